/*
 * keeping_outlook.h - what a policy is about to let go, for whoever only looks: list and status.
 *
 * As `expire --dry-run`, but of the archive's full folders what is remembered of them is taken: a
 * number to be told, nothing that is acted upon.
 */
#pragma once

#include "retention/retention_survey.h"

typedef struct KeepingOutlook {
    bool is_known;                    /* false: no policy is set */
    const char *obstacle;             /* why nothing goes at all; NULL */
    size_t backups;                   /* that no rule keeps: they go next, or are about to */
    uint64_t backup_bytes, wal_bytes; /* that will be free once they went */
    const char *next;                 /* the backup that goes next; NULL: none in NEXT_STEPS */
    TimeUs next_at; /* when nothing keeps it any more; no later than now: already */
    TimeUs every;   /* the time between two backups that next_at rests on */
    Arena arena;
} KeepingOutlook;

enum { NEXT_STEPS = 400 }; /* So many backups, one after another, are taken in thought. */

/*
 * every: how often a backup is taken from now on; 0: once a day. Nothing is set where the request
 * has no policy.
 */
bool keeping_foresee(const Cluster *cluster, const SurveyRequest *request, TimeUs every,
                     KeepingOutlook *outlook, Error *err) MUST_CHECK;
void keeping_outlook_done(KeepingOutlook *outlook); /* for CLEANUP() */
