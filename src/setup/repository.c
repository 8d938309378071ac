#include "setup/repository.h"

#include "repo/layout.h"

#include <errno.h>

enum { SEGMENT_THREADS_MAX = 4 };

/* See the table in the header. A pause of 0 is never waited for. */
static const struct {
    unsigned attempts; /* 0 means one more than --retries. */
    uint64_t pause_ms; /* It comes before the second attempt. */
    bool is_limited;   /* --rate-limit applies to it. */
    bool looks_first;  /* It first looks whether the place is there, and does not retry that. */
} policies[] = {
    [REPOSITORY_FOR_SERVER] = {.attempts = 0, .pause_ms = 200},
    [REPOSITORY_FOR_READING] = {.attempts = 6,
                                .pause_ms = 250,
                                .is_limited = true,
                                .looks_first = true},
    [REPOSITORY_FOR_WRITING] = {.attempts = 6, .pause_ms = 250, .looks_first = true},
    [REPOSITORY_FOR_ANSWER] = {.attempts = 3, .pause_ms = 100},
    [REPOSITORY_ONCE] = {.attempts = 1},
};

StorageSetup repository_setup(const Options *options, RepositoryUse use)
{
    const unsigned attempts = policies[use].attempts;

    return (StorageSetup){
        .address = options->repo,
        .attempts = attempts > 0 ? attempts : (unsigned)options->retries + 1,
        .pause_ms = policies[use].pause_ms,
        .bytes_per_s = policies[use].is_limited ? options->rate_limit : 0,
    };
}

Storage *repository_place(const Options *options, RepositoryUse use, Error *err)
{
    const StorageSetup setup = repository_setup(options, use);

    return storage_open(&setup, err);
}

/*
 * An address at which there is nothing is mistyped more often than it is away, and nobody wants to
 * wait for that. What else may be wrong with the place is met again by whoever has the patience.
 */
static bool repository_is_somewhere(const Options *options, RepositoryUse use, Error *err)
{
    CLEANUP(storage_freep) Storage *storage = NULL;
    Error attempt = {0};

    if (!policies[use].looks_first)
        return true;
    storage = repository_place(options, REPOSITORY_FOR_ANSWER, err);
    if (storage == NULL)
        return false;
    if (storage_stat(storage, LAYOUT_REPOSITORY, NULL, NULL, &attempt) ||
        attempt.code != ERR_UNREACHABLE ||
        (attempt.os_errno != ENOENT && attempt.os_errno != ENOTDIR))
        return true;
    (void)error_pass(err, &attempt);
    return error_context(err, "open repository");
}

bool repository_open(const Options *options, RepositoryUse use, Repo *repo, Cluster *cluster,
                     Error *err)
{
    if (!repository_is_somewhere(options, use, err))
        return false;
    Storage *storage = repository_place(options, use, err);

    return storage != NULL && repo_open(repo, storage, err) &&
           (cluster == NULL || cluster_open(repo, options->cluster, cluster, err));
}

unsigned repository_segment_threads(const Options *options)
{
    return options->jobs < SEGMENT_THREADS_MAX ? (unsigned)options->jobs : SEGMENT_THREADS_MAX;
}
