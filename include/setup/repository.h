/*
 * repository.h - the one door: how a command opens the repository and its cluster.
 *
 * Everything that a command says about the repository as a place is read here: --repo, --cluster,
 * --retries, --rate-limit, and later what opens a store of another kind or what is encrypted. So
 * no command meets a repository with another patience than its like:
 *
 *   use                      who                            attempts       gives up after
 *   REPOSITORY_FOR_SERVER    archive-push, archive-get,     --retries + 1  1.4 s (--retries=3)
 *                            receive
 *   REPOSITORY_FOR_READING   restore, advance, verify       6              7.75 s
 *   REPOSITORY_FOR_WRITING   backup, wal-quarantine --yes   6              7.75 s
 *   REPOSITORY_FOR_ANSWER    init, list, log, and           3              0.3 s
 *                            wal-quarantine that only shows
 *   REPOSITORY_ONCE          status, and what archive-get   1              at once
 *                            leaves to fetch ahead
 *
 * Where there is nothing at the address at all (no such directory), READING and WRITING say so
 * after 0.3 s, too: it is mistyped more often than it is away. Once the place was seen it is waited
 * for. For SERVER a directory that is missing may be a file system that is not mounted yet.
 *
 * Attempts count for each operation, from the first one on: a repository that is away for a moment
 * neither stops a command that begins nor one that has worked for hours. What is tried again, and
 * what is not since it will be the same in a moment, is in storage/wrap.h. A pause follows each
 * attempt but the last, each twice as long as the one before.
 *
 * Why so: the server calls its hooks again anyway, and waits for each, so it is the operator who
 * says how long; what works for hours loses more by giving up than by waiting; whoever asks at a
 * terminal wants the answer now; and for status a repository that is away is the answer.
 *
 * --rate-limit is on what is read from the repository, where that is the work: a backup's is on
 * what is read from the server's disks (backup/rate.h).
 */
#pragma once

#include "cli/options.h"
#include "repo/repo.h"

typedef enum RepositoryUse {
    REPOSITORY_FOR_SERVER,
    REPOSITORY_FOR_READING,
    REPOSITORY_FOR_WRITING,
    REPOSITORY_FOR_ANSWER,
    REPOSITORY_ONCE,
} RepositoryUse;

/* The policy, as the store gets it. Its address is borrowed from options. */
StorageSetup repository_setup(const Options *options, RepositoryUse use);

/*
 * The repository of --repo and its cluster of --cluster, which refers to it: a Repo stays where it
 * is. cluster may be NULL: none is opened. Close with repo_done(), after a failure too; then an id
 * of "" tells that the repository itself was not opened. ERR_USAGE: not an address; else as
 * repo_open() and cluster_open().
 */
bool repository_open(const Options *options, RepositoryUse use, Repo *repo, Cluster *cluster,
                     Error *err) MUST_CHECK;

/* Only its place, whatever is there, for repo_create(). NULL on failure: ERR_USAGE. */
Storage *repository_place(const Options *options, RepositoryUse use, Error *err) MUST_CHECK;

/*
 * Threads for one WAL segment: --jobs, but a segment has 8 frames, and more than 4 would start,
 * find nothing, and end.
 */
unsigned repository_segment_threads(const Options *options);
