/*
 * keeping_outlook.h - what a policy is about to let go, for whoever only looks: list and status.
 *
 * As `expire --dry-run`, but of the archive's full folders what is remembered of them is taken: a
 * number to be told, nothing that is acted upon.
 */
#pragma once

#include "retention/retention_survey.h"

typedef struct KeepingOutlook {
    bool is_known;        /* When it is false, no policy is set. */
    const char *obstacle; /* It says why nothing goes at all. It may be NULL. */
    size_t backups;       /* No rule keeps this many backups: they go next, or are about to. */
    uint64_t backup_bytes, wal_bytes; /* They will be free once these are gone. */
    const char *next; /* This backup goes next. NULL means that none does in NEXT_STEPS. */
    TimeUs
        next_at;  /* Nothing keeps it from then on. It may go now if that is not later than now. */
    TimeUs every; /* next_at rests on this time between two backups. */
    Arena arena;
} KeepingOutlook;

/* This many backups, one after another, are simulated. */
enum { NEXT_STEPS = 400 };

/*
 * every: how often a backup is taken from now on; 0: once a day. Nothing is set where the request
 * has no policy.
 */
bool keeping_foresee(const Cluster *cluster, const SurveyRequest *request, TimeUs every,
                     KeepingOutlook *outlook, Error *err) MUST_CHECK;
void keeping_outlook_done(KeepingOutlook *outlook); /* for CLEANUP() */
