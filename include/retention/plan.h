/*
 * plan.h - what retention keeps, why, and what may go: a pure function of what is there, of the
 * policy and of the store's clock.
 *
 * Nothing is read here and nothing removed: retention/retention_survey.h finds out what is there,
 * retention/expiry.h does what the plan says, in two phases. The plan is told to the operator line
 * by line, so that each thing that stays and each that goes has its reason.
 *
 *     a backup is kept   by any rule of RetentionRule; none: it may go
 *     WAL is kept        from the oldest backup of the window on, along each path that is in use;
 *                        of an older backup that is kept from its start to its stop; of one that is
 *                        about to go, or waits for WAL, from its start on. It goes by its place on
 *                        its timeline, never by its age. The last segment of each timeline stays:
 *                        by it archive-get knows that what was before it is not the end of the WAL
 *
 * Nothing at all may go, whatever the rules say, while plan->obstacle is set.
 */
#pragma once

#include "catalog/backups.h"

/* Why a backup is kept; bits. */
typedef enum RetentionRule {
    KEPT_BY_WINDOW = 1,
    KEPT_BY_MINIMUM = 2,
    KEPT_BY_DAY = 4, /* the first of its day, week, month, year */
    KEPT_BY_WEEK = 8,
    KEPT_BY_MONTH = 16,
    KEPT_BY_YEAR = 32,
    KEPT_BY_PIN = 64,
    KEPT_AS_PROVEN = 128,   /* the newest that a drill has proven, else verify */
    KEPT_AS_NEWEST = 256,   /* the newest that can be restored */
    KEPT_BY_LEASE = 512,    /* somebody is using it */
    KEPT_AS_WAITING = 1024, /* its WAL may still come; or nothing later can be restored */
    KEPT_AS_UNKNOWN = 2048, /* damaged, or of a newer version: only a person removes it */
    KEPT_WITHOUT_POLICY = 4096,
} RetentionRule;

enum { RETENTION_PERIODS = 4, RETENTION_RULES = 13 };

/* What the operator wants kept. All zero: no policy, nothing goes. */
typedef struct RetentionPolicy {
    TimeUs window;                       /* every instant of so long ago until now; 0: none */
    uint64_t minimum;                    /* backups that can be restored */
    uint64_t periods[RETENTION_PERIODS]; /* days, weeks, months, years; the first of each */
} RetentionPolicy;

static inline bool retention_policy_is_set(const RetentionPolicy *policy)
{
    return policy->window != 0 || policy->minimum != 0 || policy->periods[0] != 0 ||
           policy->periods[1] != 0 || policy->periods[2] != 0 || policy->periods[3] != 0;
}

/* One backup, as far as retention looks at it. Texts are borrowed. */
typedef struct RetentionBackup {
    const char *id;
    BackupState state;
    bool is_suspect;
    uint32_t timeline;
    TimelinePath path; /* that its own history tells */
    Lsn start, stop;
    TimeUs at;           /* when it stopped, by the host that took it */
    TimeUs proven_at;    /* by a drill; 0: not */
    TimeUs verified_at;  /* read whole and good; 0: not */
    TimeUs pinned_until; /* TIME_US_NONE: not pinned; TIME_US_MAX: for good */
    bool is_leased;
    bool
        is_condemned; /* on its way out: it counts for nothing, and its WAL is kept until it went */
    bool is_given_up; /* a person wants it gone: only law 9, a pin or a lease keeps it */
    uint64_t bytes;   /* that would be free without it: of packs that only it refers to */
    int64_t periods[RETENTION_PERIODS]; /* numbers of its day, week, month, year in the zone */
} RetentionBackup;

/* Backups from `first` to `last`, as numbers of RetentionInput.by_id, that refer to a pack. */
typedef struct PackUsers {
    uint32_t first, last;
    struct PackUsers *next; /* of the same pack, before these; NULL: no others do */
} PackUsers;

typedef struct RetentionPack {
    uint64_t bytes;
    PackUsers *users; /* NULL: nobody refers to it: a leftover */
} RetentionPack;

/* A history: a path through timelines up to its last one. */
typedef struct RetentionBranch {
    TimelinePath path;
    TimeUs newest_at; /* when the newest WAL of its last timeline was stored; TIME_US_NONE: none */
} RetentionBranch;

/* Somebody at work needs WAL from here on. */
typedef struct RetentionNeed {
    uint32_t timeline;
    Lsn start; /* 0: not known: all of it */
} RetentionNeed;

typedef struct RetentionInput {
    TimeUs now; /* by the store's clock */
    RetentionPolicy policy;
    uint32_t segment_size;
    const RetentionBackup *backups;
    size_t backup_count;
    const RetentionPack
        *packs; /* what they refer to; increments one after another refer to the same */
    size_t pack_count;
    const size_t
        *by_id; /* of each number that PackUsers has the place in backups; SIZE_MAX: none */
    const RetentionBranch *branches;
    size_t branch_count;
    const WalRun *runs; /* by timeline, then segment */
    size_t run_count;
    const RetentionNeed *needs;
    size_t need_count;
    const char *obstacle; /* found while looking: why nothing may go; NULL */
} RetentionInput;

typedef struct PlannedBackup {
    const RetentionBackup *backup;
    unsigned rules;    /* RetentionRule; 0: may go */
    TimeUs needed_for; /* KEPT_BY_WINDOW: the instant that no later backup reaches; TIME_US_NONE */
    /*
     * When it stopped, at the earliest and at the latest. Clocks of hosts lie: one that stopped
     * later in the WAL than another one of its path, and says an earlier time, stopped after that
     * one, and before the next.
     */
    TimeUs at, latest;
} PlannedBackup;

/* Why a stretch of WAL is kept. */
typedef enum WalReason {
    WAL_GOES,
    WAL_OF_WINDOW,  /* from `backup` on */
    WAL_OF_BACKUP,  /* from start to stop of `backup`, so that it can be restored */
    WAL_OF_LEAVING, /* from `backup` on, which goes first, or has not all its WAL yet */
    WAL_OF_LEASE,
    WAL_OF_FORK,   /* the segment in which a timeline was left */
    WAL_IS_LAST,   /* of its timeline */
    WAL_OF_BRANCH, /* nothing on this path can be restored: nobody knows what it is good for */
} WalReason;

typedef struct RetainedWal {
    uint32_t timeline;
    uint64_t first, last;
    uint64_t bytes;
    WalReason reason;
    const char *backup; /* NULL: of none */
    bool is_dead;       /* WAL_GOES: of a branch that was left */
} RetainedWal;

typedef struct RetentionPlan {
    PlannedBackup *backups; /* in the order of the input */
    size_t backup_count;
    RetainedWal *wal; /* by timeline, then segment: all that there is */
    size_t wal_count;
    uint64_t backup_bytes, wal_bytes; /* of what may go */
    const char *obstacle;             /* why nothing may go at all; NULL */
    Arena arena;
} RetentionPlan;

void retention_plan(const RetentionInput *input, RetentionPlan *plan);
void retention_plan_done(RetentionPlan *plan); /* for CLEANUP() */

/* Whether it may be removed: no rule keeps it and nothing stands in the way. */
static inline bool planned_backup_goes(const RetentionPlan *plan, size_t i)
{
    return plan->obstacle == NULL && plan->backups[i].rules == 0;
}

/* "window", "pin", ...: of one bit. */
const char *retention_rule_text(RetentionRule rule);
const char *wal_reason_text(WalReason reason);
/* How far two clocks, or a clock and what it wrote, may differ. */
#define RETENTION_CLOCK_SLACK (INT64_C(300) * 1000000)
