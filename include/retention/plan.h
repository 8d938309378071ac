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
    KEPT_BY_DAY = 4, /* It is the first of its day, and so on for week, month and year. */
    KEPT_BY_WEEK = 8,
    KEPT_BY_MONTH = 16,
    KEPT_BY_YEAR = 32,
    KEPT_BY_PIN = 64,
    KEPT_AS_PROVEN = 128,   /* It is the newest that a drill has proven, or else verify. */
    KEPT_AS_NEWEST = 256,   /* It is the newest that can be restored. */
    KEPT_BY_LEASE = 512,    /* Somebody is using it. */
    KEPT_AS_WAITING = 1024, /* Its WAL may still come, or nothing later can be restored. */
    KEPT_AS_UNKNOWN = 2048, /* It is damaged, or of a newer version. Only a person removes it. */
    KEPT_WITHOUT_POLICY = 4096,
} RetentionRule;

enum { RETENTION_PERIODS = 4, RETENTION_RULES = 13 };

/* What the operator wants kept. All zero: no policy, nothing goes. */
typedef struct RetentionPolicy {
    /* Each instant from this long ago until now is kept. 0 means that there is no window. */
    TimeUs window;
    uint64_t minimum; /* This many backups that can be restored are kept. */
    /* The first of this many days, weeks, months and years is kept. */
    uint64_t periods[RETENTION_PERIODS];
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
    TimelinePath path; /* Its own history tells it. */
    Lsn start, stop;
    TimeUs at;          /* It stopped then, by the clock of the host that took it. */
    TimeUs proven_at;   /* A drill has proven it then. 0 means that none has. */
    TimeUs verified_at; /* It was read in full then, and was good. 0 means that it was not. */
    /* TIME_US_NONE means that it is not pinned, and TIME_US_MAX that the pin has no end. */
    TimeUs pinned_until;
    bool is_leased;
    /* It will be removed, so it counts for nothing, but its WAL is kept until then. */
    bool is_condemned;
    /* A person has condemned it, whatever it is. That it is damaged is nobody's surprise any more.
     */
    bool is_condemned_by_hand;
    bool is_given_up; /* A person wants it gone. Only law 9, a pin or a lease keeps it. */
    /* Without it, this many bytes would be free: those of packs that only it refers to. */
    uint64_t bytes;
    /* They are the numbers of its day, week, month and year in the zone. */
    int64_t periods[RETENTION_PERIODS];
} RetentionBackup;

/* Backups from `first` to `last`, as numbers of RetentionInput.by_id, that refer to a pack. */
typedef struct PackUsers {
    uint32_t first, last;
    /* It is for the same pack, and comes before these. NULL means that no others use the pack. */
    struct PackUsers *next;
} PackUsers;

typedef struct RetentionPack {
    uint64_t bytes;
    PackUsers *users; /* NULL means that nobody refers to it, so it is a leftover. */
} RetentionPack;

/* A history: a path through timelines up to its last one. */
typedef struct RetentionBranch {
    TimelinePath path;
    /*
     * The newest WAL of its last timeline was stored then. TIME_US_NONE means that there is none.
     */
    TimeUs newest_at;
} RetentionBranch;

/* Somebody at work needs WAL from here on. */
typedef struct RetentionNeed {
    uint32_t timeline;
    Lsn start; /* 0 means that it is not known, so that all WAL is needed. */
} RetentionNeed;

typedef struct RetentionInput {
    TimeUs now; /* It is by the store's clock. */
    RetentionPolicy policy;
    uint32_t segment_size;
    const RetentionBackup *backups;
    size_t backup_count;
    const RetentionPack
        /* The backups refer to them. Increments that follow one another refer to the same ones. */
        *packs;
    size_t pack_count;
    const size_t
        /*
         * It has for each number in PackUsers the place in `backups`, or SIZE_MAX when there is
         * none.
         */
        *by_id;
    const RetentionBranch *branches;
    size_t branch_count;
    const WalRun *runs; /* They are sorted by timeline, then by segment. */
    size_t run_count;
    const RetentionNeed *needs;
    size_t need_count;
    /* It was found while looking, and says why nothing may go. It may be NULL. */
    const char *obstacle;
} RetentionInput;

typedef struct PlannedBackup {
    const RetentionBackup *backup;
    unsigned rules; /* They are of RetentionRule. 0 means that the backup may go. */
    /*
     * With KEPT_BY_WINDOW, it is the instant that no later backup reaches. Otherwise it is
     * TIME_US_NONE.
     */
    TimeUs needed_for;
    /*
     * The backup stopped between these two times. Clocks of hosts can be wrong: a backup that
     * stopped later in the WAL than another one of its path, but says an earlier time, stopped
     * after that one, and before the next.
     */
    TimeUs at, latest;
} PlannedBackup;

/* Why a stretch of WAL is kept. */
typedef enum WalReason {
    WAL_GOES,
    WAL_OF_WINDOW, /* The WAL is kept from `backup` on. */
    WAL_OF_BACKUP, /* The WAL is kept from start to stop of `backup`, so that it can be restored. */
    /* The WAL is kept from `backup` on, which goes first, or does not have all its WAL yet. */
    WAL_OF_LEAVING,
    WAL_OF_LEASE,
    WAL_OF_FORK, /* A timeline was left in this segment. */
    WAL_IS_LAST, /* It is the last WAL of its timeline. */
    /* Nothing on this path can be restored, so nobody knows what the WAL is good for. */
    WAL_OF_BRANCH,
} WalReason;

typedef struct RetainedWal {
    uint32_t timeline;
    uint64_t first, last;
    uint64_t bytes;
    WalReason reason;
    const char *backup; /* NULL means that it is kept for none. */
    bool is_dead;       /* With WAL_GOES, it is of a branch that was left. */
} RetainedWal;

typedef struct RetentionPlan {
    PlannedBackup *backups; /* They are in the order of the input. */
    size_t backup_count;
    RetainedWal *wal; /* It has all WAL that there is, sorted by timeline, then by segment. */
    size_t wal_count;
    uint64_t backup_bytes, wal_bytes; /* They are the sizes of what may go. */
    const char *obstacle;             /* It says why nothing may go at all. It may be NULL. */
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
