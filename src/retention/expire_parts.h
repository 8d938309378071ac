/*
 * expire_parts.h - what the steps of one expire hand on to each other.
 */
#pragma once

#include "retention/expiry.h"

/* When the repository was looked at. */
typedef struct LookTime {
    TimeUs monotonic; /* 0 means never. */
    TimeUs clock;
} LookTime;

typedef struct ExpireRun {
    const Cluster *cluster;
    const ExpireRequest *request;
    ExpireReport *report;
    Lease *lease;
    RetentionSurvey survey;
    RetentionPlan plan;
    LookTime checked; /* We last looked then, for the record that is being carried out. */
    /* They are the ids of records of which nothing is left. They are removed last of all. */
    const char **finished;
    size_t finished_count;
} ExpireRun;

/* expire_remove.c: carry out every record that is due. *did: something was removed or spared. */
bool expire_carry_out(ExpireRun *run, bool *did, Error *err) MUST_CHECK;
/*
 * expire_check.c: before each removal, and not long before: whether the lease is still ours, the
 * record is still there, and nobody uses or has pinned the backup since. A process that was stopped
 * looks again. backup NULL: of packs and WAL, whose look holds for a few seconds. ERR_BUSY.
 */
bool expire_check_again(ExpireRun *run, const CondemnedRecord *record, const char *backup,
                        Error *err) MUST_CHECK;
bool expire_look_holds(LookTime since, LookTime now);

/* expire_condemn.c: store what the plan lets go. *did: there was such. */
bool expire_condemn(ExpireRun *run, bool *did, Error *err) MUST_CHECK;

/* expire_leftovers.c: what no plan mentions. */
bool expire_leftovers(ExpireRun *run, Error *err) MUST_CHECK;

/* expire_items.c */
typedef struct ItemList {
    CondemnedItem *items;
    size_t count, capacity;
    ExpireCounts counts;
    Arena arena;
} ItemList;
void item_list_add(ItemList *list, CondemnedKind kind, const char *name);
void item_list_done(ItemList *list); /* for CLEANUP() */

/* expire_wal.c: take away a stretch of WAL, and say so first. What else is of its segments goes,
 * too. */
bool expire_remove_wal(ExpireRun *run, const CondemnedRecord *record, const WalName *first,
                       const WalName *last, Error *err) MUST_CHECK;
void expire_count(ExpireCounts *to, const ExpireCounts *counts);
/* An id added to one of the report's lists. */
void report_add_id(ExpireReport *report, const char ***ids, size_t *count, const char *id);
