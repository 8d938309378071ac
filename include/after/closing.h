/*
 * closing.h - what a restore has cost: the commits that are not in it, and the time, held against
 * the objectives.
 *
 * RPO, measured: from the last commit that was kept to the latest that is known and is not in it.
 * Known is what the archive holds on timelines that go on beyond the place where the new one
 * begins, and what the old data directory had. What nobody has any more can't be counted.
 * RTO, measured: from where the restore began (with one incident open, from where that began) until
 * the database was open.
 */
#pragma once

#include "ledger/measure.h"
#include "repo/repo.h"

typedef struct Closing {
    /* This is the last commit that was kept. TIME_US_NONE means that it is not known. */
    TimeUs last_commit;
    bool is_counted;        /* The fields below are valid. */
    uint64_t lost;          /* The archive has this many commits that the cluster lacks. */
    TimeUs lost_last;       /* It is the time of the latest of them, or TIME_US_NONE. */
    uint32_t lost_timeline; /* They are on this timeline, or it is 0. */
    /* Only the old directory had these commits, and they were given up. */
    uint64_t lost_in_directory;
    TimeUs began, open_at; /* open_at is TIME_US_NONE while the cluster is not open. */
    /* The only open incident began then. TIME_US_NONE means that there is not exactly one. */
    TimeUs incident_began;
    TimeUs phases[PHASE_COUNT]; /* TIME_US_NONE means that there was no such phase. */
    /* `promote` took this long. TIME_US_NONE means that it is not known. */
    TimeUs opening;
    TimeUs rpo_objective, rto_objective;
} Closing;

/* Nothing is known yet. */
void closing_init(Closing *closing);

/* Pure; TIME_US_NONE: it can't be said. 0: no commit is known to be lost. */
TimeUs closing_rpo(const Closing *closing);
TimeUs closing_rto(const Closing *closing);
/* Of the RTO: no phase of ours, when people looked at what was there. 0: none. */
TimeUs closing_looked(const Closing *closing);

/*
 * Counts what the archive has beyond the place where `timeline`, the one that the server on `data`
 * is on, left its parent. Nothing to count on timeline 1. ERR_UNREACHABLE and the like.
 */
bool closing_count_lost(Closing *closing, const Cluster *cluster, const char *data,
                        uint32_t timeline, unsigned threads, Error *err) MUST_CHECK;
