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
    TimeUs last_commit;         /* that was kept; TIME_US_NONE: not known */
    bool is_counted;            /* what follows holds */
    uint64_t lost;              /* commits in the archive that are not in it */
    TimeUs lost_last;           /* the latest of them; TIME_US_NONE */
    uint32_t lost_timeline;     /* where they are; 0 */
    uint64_t lost_in_directory; /* commits that only the old directory had, and were given up */
    TimeUs began, open_at;      /* TIME_US_NONE: it is not open */
    TimeUs incident_began;      /* of the only one that is open; TIME_US_NONE */
    TimeUs phases[PHASE_COUNT]; /* TIME_US_NONE: there was none */
    TimeUs opening;             /* of `promote`; TIME_US_NONE */
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
