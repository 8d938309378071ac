/*
 * restore_plan.h - what a restore was asked for, and what it is going to do.
 *
 * restore_plan() (restore.h) fills a RestorePlan; those that carry it out read it. Its parts say
 * what is restored (Decision), where the files go (Placement, placement.h), what was there before
 * and how it makes way (OldPlace), and what the server's configuration becomes.
 */
#pragma once

#include "base/progress.h"
#include "catalog/branches.h"
#include "catalog/target.h"
#include "catalog/windows.h"
#include "postgres/settings.h"
#include "rebuild/rebuild.h"
#include "repo/lease.h"

#define RESTORE_MARKER_FILE "pgcairn.restore"
/* Backups leave out what begins so (backup/scan.c). A date follows. */
#define KEPT_WAL_INSIDE RESTORE_MARKER_FILE "-pg_wal-"

typedef enum TargetAction { ACTION_PAUSE, ACTION_PROMOTE, ACTION_SHUTDOWN } TargetAction;
const char *target_action_name(TargetAction action); /* "pause" */
const char *target_kind_name(TargetKind kind);       /* "time" */

typedef enum OccupiedChoice {
    OCCUPIED_REFUSE,
    OCCUPIED_MOVE_ASIDE, /* the old data directory is kept under a dated name */
    OCCUPIED_FORCE,      /* its content is removed */
    OCCUPIED_DELTA,      /* ... or stays where it is what the backup has */
} OccupiedChoice;

/* How what is there makes way (law 8): a whole directory is there, or can be obtained, at each
 * instant.
 */
typedef enum Replacement {
    REPLACES_NOTHING,
    KEEPS_OLD,        /* OCCUPIED_MOVE_ASIDE */
    REMOVES_OLD_LAST, /* renamed first, removed once the new one is durable */
    OVERWRITES_OLD,   /* in place, once all that is needed of the backup has been read: from then
                         on the old one is gone */
} Replacement;

/* What will be needed afterwards, and so must not go with the old directory. */
typedef struct NeededPlace {
    const char *what; /* "the repository" */
    const char *path; /* need not exist */
} NeededPlace;

typedef struct TablespaceMove {
    const char *name; /* oid, or the path it had */
    const char *path;
} TablespaceMove;

/* Put one WAL file of an old data directory into the archive; durable once it returns true. */
typedef bool RestorePush(void *context, const char *path, Error *err);

typedef struct RestoreRequest {
    const char *data;
    const char *backup; /* NULL: chosen for the target */
    Target target;
    uint32_t target_timeline;   /* 0: the newest timeline that the backup leads to */
    const ServerBranch *server; /* of the directory that is replaced; NULL: none, or not known */
    TargetAction action;        /* what is written into the settings */
    OccupiedChoice occupied;
    bool believes_known; /* of the archive: for a plan that is only shown; else each trailer is read
                          */
    bool only_looks;     /* nothing is done: what is in the way on this host is told in the plan */
    bool discard_wal;
    bool server_is_stopped; /* somebody has made sure of it, where it can't be seen from here */
    bool no_wal_check;      /* of the stored WAL, see restore_run() */
    bool allows_damaged;    /* what verify found bad is tried; what is bad is met when it is read */
    uint32_t save_timeline; /* whose history may be put into the archive although nothing of it is
                               there; 0: none */
    bool as_copy;    /* the restored cluster must not archive: it is not to replace the original */
    bool will_pause; /* at its target, for somebody to look around there */
    bool will_start; /* server programs are needed, not only nice to have */
    unsigned port;   /* of the restored server; 0: as it is configured */
    const char *socket; /* directory of its socket; NULL: as it is configured */
    const NeededPlace *needed;
    size_t needed_count;
    const TablespaceMove *moves;
    size_t move_count;
    const char *const *only_databases; /* the others are left empty */
    size_t only_database_count;        /* 0: all are brought back */
    Lsn goes_on_from; /* a recovery that got there is to go on: its backup ended before; 0: none is
                       */
    const char
        *tablespaces; /* a directory for all that were not moved: DIR/OID; NULL: where they were
                       */
    unsigned jobs;
    const char *restore_command;     /* as it is to be; NULL: made of the next two */
    const char *tool;                /* absolute path of this program, and how to call it: */
    const char *const *tool_options; /* "--repo=…", "--cluster=…", …; NULL-terminated */
    const char *pg_bin;
    Progress *progress;
    RestorePush *push; /* NULL: nothing can be pushed */
    void *push_context;
} RestoreRequest;

/* What was found where the cluster is to go. */
typedef enum DataState {
    DATA_ABSENT,
    DATA_EMPTY,         /* at most lost+found */
    DATA_CLUSTER,       /* a data directory */
    DATA_HALF_RESTORED, /* by an earlier restore that did not end */
} DataState;

/* Another branch, with commits that what is restored has not. */
typedef struct PlannedBranch {
    uint32_t timeline;
    BranchGain gain;
} PlannedBranch;

typedef struct OldDirectory OldDirectory;

/* Of the directory that is replaced; timeline 0: nothing is known of it, or it has no WAL. */
typedef struct DirectoryReport {
    uint32_t timeline;
    Lsn reached;
    const char *state;      /* "archived", "tail", "apart", "beyond" */
    Lsn parts_at;           /* "apart" */
    const char *only_there; /* "3 commits until ..." that the archive does not have; NULL: none */
    uint64_t commits;       /* that the archive does not have */
    uint64_t prepared;      /* transactions, ... */
    TimeUs last_commit;
    bool may_be_more;
    bool is_given_up; /* --discard-wal */
} DirectoryReport;

/* A file of a directory's pg_wal, which the recovery needs and the archive does not have. */
typedef struct PlannedWal {
    const char *path; /* where it was when the restore was planned */
    WalName name;
    bool is_parents; /* for what was prepared before a fork */
} PlannedWal;

/* With only_databases. Names are in the arena of the plan. */
typedef struct LeftOut {
    const char **kept;  /* names of databases that are brought back, NULL-terminated; NULL: all */
    const char **empty; /* ... and of those that are left empty */
    uint32_t *oids;     /* of `empty`, and of databases without a name, ... */
    size_t oid_count;
    uint64_t files, bytes; /* that are not written */
} LeftOut;

/* What is restored: a backup, and WAL until a target. */
typedef struct Decision {
    Manifest manifest;
    TimelinePath path;
    PlannedBranch *branches; /* that part from the path before the target */
    size_t branch_count;
    Target target; /* as the server will be told: see has_time_fallback */
    TargetPoint point;
    bool has_time_fallback; /* target time after the last commit: the archive's end is taken, which
                               the server is told as the LSN of its last record */
    Lsn locks_held;         /* the first lock that is held at the target; 0: none is known */
    uint32_t locked_xid;    /* the target is the position before this transaction's first lock, for
                               it would still hold it at the one that was asked for; 0: as asked */
    TimeUs time_asked;      /* ... and what was asked for */
    uint64_t bytes;         /* to write */
    LeftOut left_out;
    uint64_t wal_segments, wal_stored_bytes; /* that are replayed */
    bool makes_init_forks;                   /* ... : see rebuild/unlogged.h */
    WalParameters minima;                    /* what a hot standby needs on the way to the target */
    uint64_t last_segment;                   /* TARGET_LATEST: the last one of all that is there */
    uint64_t archive_end; /* ... the last whole one in the archive; 0: none of what is needed */
} Decision;

/* What was in the place before, and how it makes way. */
typedef struct OldPlace {
    const OldDirectory *directory; /* inside: what was found where the cluster is to go */
    DirectoryReport report;        /* ... and what is told of it */
    DataState state;
    OccupiedChoice choice;  /* what happens to it: as asked, but that a half-restored one is
                               replaced without being told to */
    bool is_occupied;       /* the target holds something */
    bool is_same_cluster;   /* ... and it is this cluster */
    bool server_is_stopped; /* as asked */
    const char *stamp;      /* "20261122T101112.345Z", for the names of what is kept */
    Replacement replacement;
    const char *overwrites_why;     /* "there is no room for both"; NULL: as asked */
    const char *moved_to;           /* where it goes, to stay or until the new one is durable */
    const char *wal_kept;           /* where the old pg_wal will be at last; NULL: nowhere */
    bool has_new_wal;               /* a restore that did not end wrote what is in pg_wal now */
    const char *const *wal_sources; /* directories where an earlier attempt kept it; NULL-ended */
    PlannedWal *local_wal;          /* files of it that are copied into the new pg_wal */
    size_t local_wal_count;
    const char **versions; /* version directories of its tablespaces */
    size_t version_count;
    const char **marked_versions; /* that an earlier restore, which did not end, had as its own */
    size_t marked_version_count;
    uint64_t bytes, wal_bytes; /* that removing it gives back; of its pg_wal */
    uint64_t *version_bytes;   /* of each of `versions` */
} OldPlace;

/* What restore/configuration.h makes of configuration from outside the data directory. */
typedef struct PlannedConfiguration {
    const char *config_file; /* after the run: what the server must be told with -c, or NULL */
    const char *hba_file, *ident_file;
    bool is_joined;            /* config_file was made of several */
    bool names_data_directory; /* the configuration does: it must be told, too */
    const char **spellings; /* of recovery_target... in it, other than in lower case; NULL-ended */
} PlannedConfiguration;

typedef struct RestorePlan {
    Decision decision;
    Placement placement;
    OldPlace old;
    PlannedConfiguration configuration;
    const char *programs; /* server programs; NULL when they were not found (no --start then) */
    const char *restore_command;
    /* only_looks, ERR_NONE: nothing */
    Error running;   /* a server runs there, to be stopped before the restore */
    Error undecided; /* what would be refused then, too: the place is occupied, and nothing was said
                        of what is there; or a server may be there that can't be seen */
    const char **warnings; /* collation, missing extra files, ... */
    size_t warning_count;
    Lease *lease; /* that the backup is being read; NULL: it only looks, or may not write */
    Arena arena;
} RestorePlan;

typedef struct RestoreReport {
    RebuildReport rebuilt;
    uint64_t strays;    /* files of the old directory, and directories with all in them, removed */
    uint64_t wal_saved; /* segments of the old data directory kept as the tail of this recovery */
    TimeUs elapsed_check;                 /* until the first change; in elapsed_rebuild, too */
    TimeUs elapsed_rebuild, elapsed_sync; /* microseconds */
    TimeUs elapsed;                       /* all */
} RestoreReport;

/* One more line of plan->warnings. */
void plan_warn(RestorePlan *plan, const char *format, ...) PRINTF_LIKE(2, 3);
