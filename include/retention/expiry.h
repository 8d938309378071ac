/*
 * expiry.h - what the plan says is done, in two phases.
 *
 *     condemned/ID is stored          it says what goes; nothing is removed
 *     leases are listed again         somebody whom the plan did not know: the record is taken back
 *     the grace goes by
 *     everything is looked at again   what is kept by now is spared, and told
 *     manifests go                    with what is said of them beside them
 *     packs and WAL are condemned     that no manifest needs any more; their own grace goes by
 *     packs and WAL go                and the record last
 *
 * Each step may be killed and is done again by the next run, of any host; one runs at a time (a
 * lease of its own). One that wakes up late removes what was condemned and nothing else, since what
 * is condemned counts for nobody's plan. docs/format.md, chapter 7.3.
 */
#pragma once

#include "retention/retention_survey.h"

#define RETENTION_GRACE_MIN (INT64_C(2400) * 1000000) /* It is four lives of a lease. */

typedef struct ExpireRequest {
    RetentionPolicy policy;
    const char *zone;
    TimeUs grace;
    bool at_once; /* A grace shorter than RETENTION_GRACE_MIN is wanted, even for old records. */
    const char
        /*
         * Only this backup, which a person named, is let go. NULL lets go what the policy allows.
         */
        *given_up;
    TimeUs journal_keep; /* 0 means that journal entries stay. */
} ExpireRequest;

/* What was done, in numbers. Texts in the arena. */
typedef struct ExpireCounts {
    uint64_t backups, packs, segments, others;
    uint64_t bytes;
} ExpireCounts;

typedef struct ExpireReport {
    ExpireCounts condemned, removed, spared;
    /* When it is false, expire failed, and what it would have done next is not known. */
    bool is_complete;
    const char *obstacle; /* It says why nothing was condemned or removed. It may be NULL. */
    const char *held;     /* It says why what is due was left for a later run. It may be NULL. */
    /*
     * The first of what is condemned is removed then. TIME_US_NONE means that nothing is condemned.
     */
    TimeUs until;
    const char **gone;  /* They are the ids of the backups that were removed. */
    const char **going; /* They are the ids of the backups that were condemned. */
    const char **saved; /* They are the ids of the backups that were spared. */
    size_t gone_count, going_count, saved_count;
    Arena arena;
} ExpireReport;

/*
 * Do what can be done now. ERR_BUSY: another one is at work. ERR_REFUSED: this host's clock is not
 * the store's; or given_up must stay. ERR_NOT_FOUND: there is no such backup.
 */
bool expire_run(const Cluster *cluster, const ExpireRequest *request, ExpireReport *report,
                Error *err) MUST_CHECK;
void expire_report_done(ExpireReport *report); /* for CLEANUP() */

/* Bring back what is condemned: one backup, or all of a record. ERR_NOT_FOUND; ERR_BUSY. */
bool expire_spare(const Cluster *cluster, const char *id, ExpireReport *report,
                  Error *err) MUST_CHECK;

/* Refuse to go on where this host's clock and the store's (of a fresh object) are not together. */
bool expire_check_clock(TimeUs store, TimeUs host, Error *err) MUST_CHECK;
