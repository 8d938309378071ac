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
const char *target_action_name(TargetAction action); /* It returns, for example, "pause". */
const char *target_kind_name(TargetKind kind);       /* It returns, for example, "time". */

typedef enum OccupiedChoice {
    OCCUPIED_REFUSE,
    OCCUPIED_MOVE_ASIDE, /* The old data directory is kept under a dated name. */
    OCCUPIED_FORCE,      /* The old content is removed. */
    /* The old content stays where it is what the backup has, and the rest is removed. */
    OCCUPIED_DELTA,
} OccupiedChoice;

/* How what is there makes way (law 8): a whole directory is there, or can be obtained, at each
 * instant.
 */
typedef enum Replacement {
    REPLACES_NOTHING,
    KEEPS_OLD, /* It is the result of OCCUPIED_MOVE_ASIDE. */
    /* The old directory is renamed first, and removed once the new one is durable. */
    REMOVES_OLD_LAST,
    /*
     * It is overwritten in place, once all that is needed of the backup has been read. From then on
     * the old one is gone.
     */
    OVERWRITES_OLD,
} Replacement;

/* What will be needed afterwards, and so must not go with the old directory. */
typedef struct NeededPlace {
    const char *what; /* It is, for example, "the repository". */
    const char *path; /* It need not exist. */
} NeededPlace;

typedef struct TablespaceMove {
    const char *name; /* It is the oid, or the path that the tablespace had. */
    const char *path;
} TablespaceMove;

/* Put one WAL file of an old data directory into the archive; durable once it returns true. */
typedef bool RestorePush(void *context, const char *path, Error *err);

typedef struct RestoreRequest {
    const char *data;
    const char *backup; /* When it is NULL, a backup is chosen for the target. */
    Target target;
    uint32_t target_timeline; /* 0 means the newest timeline that the backup leads to. */
    /*
     * It is that of the directory that is replaced. NULL means that there is none, or that it is
     * not known.
     */
    const ServerBranch *server;
    TargetAction action; /* It is written into the settings. */
    OccupiedChoice occupied;
    /*
     * What is remembered of the archive is trusted, for a plan that is only shown. When it is
     * false, each trailer is read.
     */
    bool believes_known;
    bool only_looks; /* Nothing is done. The plan tells what is in the way on this host. */
    bool discard_wal;
    bool server_is_stopped; /* Somebody has made sure of it, where it can't be seen from here. */
    bool no_wal_check;      /* The stored WAL is not checked: see restore_run(). */
    /* What verify found bad is tried. The restore ends when it reads something bad. */
    bool allows_damaged;
    /*
     * The history of this timeline may be put into the archive, although nothing of the timeline is
     * there. 0 means that there is none.
     */
    uint32_t save_timeline;
    /* The restored cluster must not archive, because it is not to replace the original. */
    bool as_copy;
    bool will_pause; /* It pauses at its target, so that somebody can look around there. */
    bool will_start; /* Server programs are needed, not only nice to have. */
    /* It is the port of the restored server. 0 leaves it as it is configured. */
    unsigned port;
    const char *socket; /* It is the directory of its socket. NULL leaves it as it is configured. */
    const NeededPlace *needed;
    size_t needed_count;
    const TablespaceMove *moves;
    size_t move_count;
    const char *const *only_databases; /* The other databases are left empty. */
    size_t only_database_count;        /* 0 means that all are brought back. */
    /*
     * A recovery that reached this position is to go on, so the backup must have ended before. 0
     * means that there is none.
     */
    Lsn goes_on_from;
    const char
        /*
         * Tablespaces that were not moved go into this directory, as DIR/OID. NULL leaves them
         * where they were.
         */
        *tablespaces;
    unsigned jobs;
    /* It is used as it is. NULL means that it is made of the next two. */
    const char *restore_command;
    const char *tool; /* It is the absolute path of this program. */
    /* They tell how to call the program: "--repo=…", "--cluster=…", … The list ends with NULL. */
    const char *const *tool_options;
    const char *pg_bin;
    Progress *progress;
    RestorePush *push; /* NULL means that nothing can be pushed. */
    void *push_context;
} RestoreRequest;

/* What was found where the cluster is to go. */
typedef enum DataState {
    DATA_ABSENT,
    DATA_EMPTY,         /* It holds lost+found at most. */
    DATA_CLUSTER,       /* It is a data directory. */
    DATA_HALF_RESTORED, /* An earlier restore did not end here. */
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
    const char *state; /* It is "archived", "tail", "apart" or "beyond". */
    Lsn parts_at;      /* It is set with "apart". */
    /*
     * It is, for example, "3 commits until ...", which the archive lacks. NULL means that it lacks
     * nothing.
     */
    const char *only_there;
    uint64_t commits;  /* The archive lacks this many commits. */
    uint64_t prepared; /* The archive lacks this many prepared transactions. */
    TimeUs last_commit;
    bool may_be_more;
    bool is_given_up; /* --discard-wal was given. */
} DirectoryReport;

/* A file of a directory's pg_wal, which the recovery needs and the archive does not have. */
typedef struct PlannedWal {
    const char *path; /* It was here when the restore was planned. */
    WalName name;
    bool is_parents; /* It serves for what was prepared before a fork. */
} PlannedWal;

/* With only_databases. Names are in the arena of the plan. */
typedef struct LeftOut {
    /*
     * They are the names of databases that are brought back. The list ends with NULL, or is NULL
     * for all of them.
     */
    const char **kept;
    const char **empty; /* They are the names of databases that are left empty. */
    uint32_t *oids;     /* They are those of `empty`, and of databases without a name. */
    size_t oid_count;
    uint64_t files, bytes; /* This much is not written. */
} LeftOut;

/* What is restored: a backup, and WAL until a target. */
typedef struct Decision {
    Manifest manifest;
    TimelinePath path;
    PlannedBranch *branches; /* They part from the path before the target. */
    size_t branch_count;
    Target target; /* The server will be told this target: see has_time_fallback. */
    TargetPoint point;
    /*
     * The target time is after the last commit, so the archive's end is taken. The server is told
     * it as the LSN of its last record.
     */
    bool has_time_fallback;
    /* It is the first lock that is held at the target. 0 means that none is known. */
    Lsn locks_held;
    /*
     * The target is the position before this transaction's first lock, because the transaction
     * would still hold it at the position that was asked for. 0 means that the target is as asked.
     */
    uint32_t locked_xid;
    TimeUs time_asked; /* It is the time that was asked for in that case. */
    uint64_t bytes;    /* This many bytes are to be written. */
    LeftOut left_out;
    uint64_t wal_segments, wal_stored_bytes; /* They are replayed. */
    bool makes_init_forks;                   /* Replay makes init forks: see rebuild/unlogged.h. */
    /* A hot standby needs this on the way to the target. */
    WalParameters minima;
    /* With TARGET_LATEST, it is the last segment of all that are there. */
    uint64_t last_segment;
    /*
     * With TARGET_LATEST, it is the last complete segment in the archive. 0 means that the archive
     * has none of those needed.
     */
    uint64_t archive_end;
} Decision;

/* What was in the place before, and how it makes way. */
typedef struct OldPlace {
    const OldDirectory *directory; /* It is what was found where the cluster is to go. */
    DirectoryReport report;        /* It is what people are told about `directory`. */
    DataState state;
    /*
     * It is what happens to the old place. It is as asked, but a half-restored one is replaced
     * without being told to.
     */
    OccupiedChoice choice;
    bool is_occupied;       /* The target holds something. */
    bool is_same_cluster;   /* What the target holds is this cluster. */
    bool server_is_stopped; /* It is as asked. */
    /* It is, for example, "20261122T101112.345Z", for the names of what is kept. */
    const char *stamp;
    Replacement replacement;
    /* It is, for example, "there is no room for both". NULL means that it was asked for. */
    const char *overwrites_why;
    const char *moved_to; /* It goes there, to stay or until the new one is durable. */
    const char *wal_kept; /* The old pg_wal will be here in the end. NULL means nowhere. */
    bool has_new_wal;     /* A restore that did not end wrote what is in pg_wal now. */
    /* An earlier attempt kept it in these directories. The list ends with NULL. */
    const char *const *wal_sources;
    PlannedWal *local_wal; /* These files of it are copied into the new pg_wal. */
    size_t local_wal_count;
    const char **versions; /* They are the version directories of its tablespaces. */
    size_t version_count;
    const char **marked_versions; /* They belonged to an earlier restore, which did not end. */
    size_t marked_version_count;
    /* Removing it gives back `bytes`. wal_bytes is the size of its pg_wal. */
    uint64_t bytes, wal_bytes;
    uint64_t *version_bytes; /* It has one element for each of `versions`. */
} OldPlace;

/* What restore/configuration.h makes of configuration from outside the data directory. */
typedef struct PlannedConfiguration {
    /* After the run, the server must be told it with -c. It may be NULL. */
    const char *config_file;
    const char *hba_file, *ident_file;
    bool is_joined;            /* config_file was made of several. */
    bool names_data_directory; /* The configuration names it, so the server must be told it, too. */
    /*
     * They are spellings of recovery_target... in it that are not in lower case. The list ends with
     * NULL.
     */
    const char **spellings;
} PlannedConfiguration;

typedef struct RestorePlan {
    Decision decision;
    Placement placement;
    OldPlace old;
    PlannedConfiguration configuration;
    /* They are the server programs, or NULL when they were not found. Then there is no --start. */
    const char *programs;
    const char *restore_command;
    /* With only_looks, the next two say what is in the way. ERR_NONE means that nothing is. */
    Error running; /* A server is running there, which must be stopped before the restore. */
    /*
     * This would be refused then, too: the place is occupied, and nothing was said about what is
     * there. Or there may be a server that can't be seen.
     */
    Error undecided;
    const char **warnings; /* They are about collation, missing extra files, ... */
    size_t warning_count;
    /*
     * It says that the backup is being read. It is NULL when the restore only looks, or may not
     * write.
     */
    Lease *lease;
    Arena arena;
} RestorePlan;

typedef struct RestoreReport {
    RebuildReport rebuilt;
    /*
     * It counts removed files of the old directory, and removed directories with all in them as
     * one.
     */
    uint64_t strays;
    /* This many segments of the old data directory were kept as the tail of this recovery. */
    uint64_t wal_saved;
    TimeUs elapsed_check; /* It lasts until the first change. It is part of elapsed_rebuild. */
    TimeUs elapsed_rebuild, elapsed_sync;
    TimeUs elapsed; /* It covers the whole restore. */
} RestoreReport;

/* One more line of plan->warnings. */
void plan_warn(RestorePlan *plan, const char *format, ...) PRINTF_LIKE(2, 3);
