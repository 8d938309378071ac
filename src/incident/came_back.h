/*
 * came_back.h - a recovery that another command began, for `promote` and `watch`: whose repository
 * it reads, and what the journal says of the restore that it belongs to.
 */
#pragma once

#include "aftermath.h"
#include "recovery/recovery.h"
#include "repo/repo.h"

typedef struct CameBack {
    const Options *options;
    bool is_ours;        /* `restore` began it, and it was not open yet when this was looked at. */
    bool has_cluster;    /* The repository is open. */
    const char *why_not; /* It says why has_cluster is false, or is "". */
    Repo repo;
    Cluster cluster;
    TimeUs started; /* It is a time_now(). */
    Options places; /* They are `options`, with the repository that restore_command names. */
    Arena arena;
} CameBack;

/*
 * Before the settings of the recovery are cleared: --repo, or what restore_command names. What
 * can't be found or opened is a fact, told by why_not.
 */
void came_back_open(CameBack *came, const Options *options);
void came_back_done(CameBack *came); /* for CLEANUP() */

/* Fills what the aftermath knows of the restore: by the last entry about this data directory. */
void came_back_describe(const CameBack *came, Aftermath *aftermath);

/* An entry of the journal, with the time that opening took; best effort. sight: the last one. */
void came_back_write_journal(const CameBack *came, const char *operation, TimeUs opening,
                             const RecoverySight *sight, const Error *failure);
