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
const char *health_level_name(HealthLevel level); /* "OK" */

/* What is not as it should be. Texts in the arena of Health. */
typedef struct HealthFinding {
    HealthLevel level;
    const char *topic; /* "exposure", "archiver", "settings", "slot", "backup", "archive", "clock",
                          "duty", "rto", "space" */
    const char *what;
    const char *next; /* what to do; "" */
} HealthFinding;

enum { HEALTH_FINDINGS_MAX = 64 };

typedef struct HealthRequest {
    const char *name;        /* The cluster's name. */
    const Cluster *cluster;  /* opened; NULL: it could not be, for this reason: */
    const Error *no_cluster; /* ... a fact as well */
    StorageSetup store;      /* how its repository is opened: so is the one that the server archives
                                to, if that is a different one */
    const char *data;        /* NULL */
    const char *conninfo;    /* NULL: found through data */
    TimeUs rpo;              /* the objective */
    TimeUs backup_age;       /* how old the newest backup may get; 0: any age */
    TimeUs rto;              /* the objective: how long a restore may take; 0: none */
    TimeUs duties[DUTY_COUNT]; /* their periods; 0: none */
} HealthRequest;

typedef struct Health {
    const char *name; /* The cluster's name. */
    TimeUs rpo;
    TimeUs backup_age;
    TimeUs rto;
    TimeUs now; /* Now, by the server's clock if it answers. */

    bool has_repository; /* what follows holds */
    Error no_repository; /* why not */
    Cluster cluster;     /* The request's, whose repository must live as long. */
    WalInventory wal;
    BackupList backups;
    WindowList windows;
    BranchList branches;
    BranchAnswer branch_answer; /* to a restore that is not told which branch is meant, over this
                                   server's directory if it is known */
    RestoreOutlook outlook;
    RepositoryRoom room;
    bool has_policy; /* Some setting says what is kept; without one nothing is removed. */
    DutyState duties[DUTY_COUNT];
    bool has_end; /* the server's timeline is known, and how far the archive follows it */
    ArchiveEnd end;
    TimelinePath path; /* when has_end */
    bool is_ahead;     /* the archive holds WAL of its timeline that it has not written */
    WalFork fork;      /* Where its WAL parts from what the archive holds. */

    ServerLook server;
    ReadyPile pile;
    Exposure exposure;

    HealthLevel level;
    HealthFinding findings[HEALTH_FINDINGS_MAX]; /* worst first */
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
