/*
 * old_directory.h - what is known of the directory that a restore replaces, and of the WAL that
 * earlier attempts kept: looked at first, before anything is planned.
 */
#pragma once

#include "catalog/branches.h"
#include "replace/data_state.h"
#include "replace/old_branch.h"

struct OldDirectory {
    bool has_own;
    OldBranch own; /* It is of what is replaced, with the pg_wal that earlier attempts put away. */
    /*
     * They are of what earlier restores kept beside the place. Only what is proven of their WAL is
     * used.
     */
    OldBranch *kept;
    size_t kept_count;
    ServerBranch server; /* It is the server of `own`. It is set with has_server. */
    bool has_server;
};

/* data: resolved. ERR_REFUSED as data_look(). Strings go into arena. */
bool old_directory_look(const Cluster *cluster, const RestoreRequest *request, const char *data,
                        Arena *arena, OldDirectory *directory, Error *err) MUST_CHECK;

/*
 * From now on what the directories are proven to have beyond the archive counts in this inventory:
 * segments, and the history of the timeline that the replaced one is on.
 */
bool old_directory_add(const OldDirectory *directory, WalInventory *inventory,
                       uint32_t segment_size, Error *err) MUST_CHECK;

/* Whether there are any, or may be. */
bool old_commits_any(const OldCommits *commits);
/* "3 commits and 1 prepared transaction until 2026-11-30 17:40:00+00", in arena. */
const char *old_commits_text(const OldCommits *commits, Arena *arena);
