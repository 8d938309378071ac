/*
 * health.h - is all well with a cluster, and what to do if not.
 *
 * health_look() collects facts from the repository and from the server, whichever of them can be
 * reached; health_judge() is a pure function of the facts and the objective.
 */
#pragma once

#include "catalog/branches.h"
#include "catalog/windows.h"
#include "health/exposure.h"
#include "health/outlook.h"
#include "health/repository_room.h"
#include "health/server_look.h"
#include "ledger/duties.h"

/* By severity. Not to know is worse than a warning: it may hide what is critical. */
typedef enum HealthLevel {
    HEALTH_OK,
    HEALTH_WARNING,
    HEALTH_UNKNOWN,
    HEALTH_CRITICAL,
} HealthLevel;
const char *health_level_name(HealthLevel level); /* It returns, for example, "OK". */

/* What is not as it should be. Texts in the arena of Health. */
typedef struct HealthFinding {
    HealthLevel level;
    /*
     * It is "exposure", "archiver", "settings", "slot", "backup", "archive", "clock", "duty", "rto"
     * or "space".
     */
    const char *topic;
    const char *what;
    const char *next; /* It says what to do, or is "". */
} HealthFinding;

enum { HEALTH_FINDINGS_MAX = 64 };

typedef struct HealthRequest {
    const char *name;
    const Cluster *cluster;  /* It is open. NULL means that it could not be opened. */
    const Error *no_cluster; /* It says why cluster is NULL, which is a fact as well. */
    /*
     * The repository is opened this way. So is the one that the server archives to, if that is a
     * different one.
     */
    StorageSetup store;
    const char *data;     /* It may be NULL. */
    const char *conninfo; /* When it is NULL, the server is found through data. */
    TimeUs rpo;           /* It is the objective. */
    TimeUs backup_age;    /* The newest backup may get this old. 0 means any age. */
    /* It is the objective: a restore may take this long. 0 means that there is none. */
    TimeUs rto;
    TimeUs duties[DUTY_COUNT]; /* They are the periods of the duties. 0 means that there is none. */
} HealthRequest;

typedef struct Health {
    const char *name;
    TimeUs rpo;
    TimeUs backup_age;
    TimeUs rto;
    TimeUs now; /* It is the server's clock if that answers, and otherwise ours. */

    bool has_repository; /* The repository was read: the fields below are valid. */
    Error no_repository; /* It says why has_repository is false. */
    Cluster cluster;     /* It is the request's, whose repository must live as long as this. */
    WalInventory wal;
    BackupList backups;
    WindowList windows;
    BranchList branches;
    /*
     * It is the answer to a restore that is not told which branch is meant, and that replaces this
     * server's directory if that is known.
     */
    BranchAnswer branch_answer;
    RestoreOutlook outlook;
    RepositoryRoom room;
    bool has_policy; /* Some setting says what is kept; without one nothing is removed. */
    DutyState duties[DUTY_COUNT];
    bool has_end; /* The server's timeline is known, and how far the archive follows it. */
    ArchiveEnd end;
    TimelinePath path; /* It is set with has_end. */
    /* The archive holds WAL of the server's timeline that the server has not written. */
    bool is_ahead;
    WalFork fork; /* It tells where the server's WAL parts from what the archive holds. */

    ServerLook server;
    ReadyPile pile;
    Exposure exposure;

    HealthLevel level;
    HealthFinding findings[HEALTH_FINDINGS_MAX]; /* The worst comes first. */
    size_t finding_count;
    Arena arena;
} Health;

/*
 * What can't be reached is a fact, not a failure. ERR_REFUSED when the server is not this cluster;
 * ERR_INTERRUPTED.
 */
bool health_look(const HealthRequest *request, Health *health, Error *err) MUST_CHECK;
/* Fills level and findings. */
void health_judge(Health *health);
void health_done(Health *health); /* for CLEANUP() */

/* The newest backup in this state, by its position, of the server's own history if there is one;
 * NULL. */
const BackupInfo *health_newest_backup(const Health *health, BackupState state);
/* The window of the server's own history, the last if there are several; without one, or when the
 * history is not known, the one that reaches furthest. NULL: nothing can be restored. */
const RecoveryWindow *health_window(const Health *health);
/* Whether it ends on the server's history; true when that is not known. */
bool health_is_own_window(const Health *health, const RecoveryWindow *window);
