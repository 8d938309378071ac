/*
 * restore.h - plan a restore, carry it out.
 *
 *     restore_plan() looks and decides, changes nothing; restore_run() does what the plan says.
 */
#pragma once

#include "base/progress.h"
#include "catalog/wal_walk.h"
#include "catalog/windows.h"

typedef enum TargetAction { ACTION_PAUSE, ACTION_PROMOTE, ACTION_SHUTDOWN } TargetAction;
typedef enum OccupiedChoice {
    OCCUPIED_REFUSE,
    OCCUPIED_MOVE_ASIDE, /* the old data directory is kept under a dated name */
    OCCUPIED_FORCE,      /* its content is removed */
} OccupiedChoice;

typedef struct TablespaceMove {
    const char *name; /* oid, or the path it had */
    const char *path;
} TablespaceMove;

typedef struct RestoreWish {
    const char *data;
    const char *backup; /* NULL: chosen for the target */
    Target target;
    uint32_t target_timeline; /* 0: the newest timeline that the backup leads to */
    TargetAction action;
    OccupiedChoice occupied;
    bool discard_wal;
    const TablespaceMove *moves;
    size_t move_count;
    unsigned jobs;
    const char *restore_command; /* complete, but for the options that plan adds */
    const char *tool;            /* absolute path of this program, and how to call it: */
    const char *const *tool_options; /* "--repo=…", "--cluster=…", …; NULL-terminated */
    const char *pg_bin;
    Progress *progress;
} RestoreWish;

typedef struct RestorePlan {
    Manifest manifest;
    TimelinePath path;
    TargetPoint point;
    bool has_time_fallback; /* target time after the last commit: the archive's end is taken */
    uint64_t bytes;         /* to write */
    uint64_t wal_segments, wal_stored_bytes;
    const char *data;       /* absolute */
    const char *programs;   /* server programs; NULL when they were not found (no --start then) */
    bool occupied;          /* the target holds something */
    bool same_cluster;      /* ... and it is this cluster */
    const char *moved_to;   /* OCCUPIED_MOVE_ASIDE */
    const char *restore_command;
    uid_t uid;              /* who owns what is written; (uid_t)-1: whoever we are */
    gid_t gid;
    Tablespace *tablespaces; /* as they will be */
    size_t tablespace_count;
    const char **warnings;  /* collation, missing extra files, ... */
    size_t warning_count;
    Arena arena;
} RestorePlan;

/*
 * Every refusal of DESIGN 8 and 9 happens here, before anything is touched: ERR_REFUSED (server
 * running, directory occupied, space, target before the backup's end, ...), ERR_NOT_FOUND (no such
 * backup, target not in the archive; the message names the nearest reachable instants).
 */
bool restore_plan(const Cluster *cluster, const RestoreWish *wish, RestorePlan *plan,
                  Error *err) MUST_CHECK;

typedef struct RestoreReport {
    uint64_t files, bytes, bytes_read;
    uint64_t wal_saved; /* segments of the old data directory that were pushed or kept */
    TimeUs elapsed;     /* microseconds */
} RestoreReport;

bool restore_run(const Cluster *cluster, const RestoreWish *wish, RestorePlan *plan,
                 RestoreReport *report, Error *err) MUST_CHECK;
void restore_plan_done(RestorePlan *plan); /* for CLEANUP() */

/*
 * Rewrite the recovery settings in data for another action, after the target was verified with
 * action shutdown: pause or promote. Also removes ours once recovery has ended (target NULL).
 */
bool restore_set_action(const char *data, TargetAction action, Error *err) MUST_CHECK;
bool restore_clear_settings(const char *data, Error *err) MUST_CHECK;
