/*
 * prefetch_pace.h - how far ahead is far enough: what requests tell each other and the process that
 * fetches, in the spool's file "state".
 *
 * A few numbers, written without a sync and read with a checksum. They may be lost, or garbage, at
 * any time; then they start afresh. From them follow the number of segments that are fetched ahead,
 * and a refusal: what the archive gave to this recovery, it must still have (get_absence.c).
 */
#pragma once

#include "base/time.h"
#include "prefetch_spool.h"

typedef struct Pace {
    /* It is that of the last segment asked for. 0 means that there is none yet. */
    uint32_t timeline;
    uint32_t depth;     /* This many segments shall lie ready after it. */
    uint64_t segment;   /* It is the number of that segment. */
    TimeUs answered_at; /* The segment was handed over then, by the clock for durations. */
    /* It is the time from an answer to the next request, smoothed. 0 means that it is not known. */
    uint64_t replay_us;
    /* It is that of the farthest segment that was handed over. 0 means that there is none yet. */
    uint32_t given_timeline;
    uint64_t given_segment;
} Pace;

typedef struct PaceRequest {
    uint32_t timeline;
    uint64_t segment;
    TimeUs asked_at;
    TimeUs answered_at;
    /* Fetching one segment ahead takes this long. 0 means that it is not known. */
    uint64_t fetch_us;
    uint32_t depth_max; /* It is at least 1. */
    bool was_ready;
} PaceRequest;

/* All zero when the file tells nothing. */
void pace_load(const PrefetchSpool *spool, Pace *pace);
void pace_save(const PrefetchSpool *spool, const Pace *pace);

/* What the process that fetches has found out; 0 when it has not. */
uint64_t pace_load_fetch(const PrefetchSpool *spool);
void pace_save_fetch(const PrefetchSpool *spool, uint64_t fetch_us);

/*
 * A request was answered. The depth doubles when a segment was not ready that could have been, is
 * at least what is replayed while one is fetched (twice over), and shrinks slowly when a replay
 * takes far longer than a fetch.
 */
void pace_advance(Pace *pace, const PaceRequest *request);
