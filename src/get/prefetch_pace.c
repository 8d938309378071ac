#include "prefetch_pace.h"

#include "base/bytes.h"
#include "stream/digest.h"

#include <unistd.h>

enum {
    REQUEST_AT = 0,
    REQUEST_SIZE = 56, /* The checksum of the request comes after these bytes. */
    FETCH_AT = 64,     /* Another process writes this part, hence it has a place of its own. */
    FETCH_SIZE = 8,
    CHECKSUM_SIZE = 8,
    DEPTH_FIRST = 4,
    SMOOTHING = 4, /* A new duration counts for a quarter. */
    SLOW = 8,      /* A replay takes this many times as long as a fetch. */
};

/* With the key: numbers of another boot count from another moment. */
static uint64_t checksum_of(const PrefetchSpool *spool, const uint8_t *bytes, size_t size)
{
    return xxh3_of(xxh3_of(spool->seed, spool->key, strlen(spool->key)), bytes, size);
}

static bool pace_load_bytes(const PrefetchSpool *spool, off_t at, uint8_t *bytes, size_t size)
{
    return pread(spool->state, bytes, size + CHECKSUM_SIZE, at) ==
               (ssize_t)(size + CHECKSUM_SIZE) &&
           get_le64(bytes + size) == checksum_of(spool, bytes, size);
}

static void pace_save_bytes(const PrefetchSpool *spool, off_t at, uint8_t *bytes, size_t size)
{
    put_le64(bytes + size, checksum_of(spool, bytes, size));
    (void)!pwrite(spool->state, bytes, size + CHECKSUM_SIZE, at);
}

void pace_load(const PrefetchSpool *spool, Pace *pace)
{
    uint8_t bytes[REQUEST_SIZE + CHECKSUM_SIZE];

    *pace = (Pace){.timeline = 0};
    if (!pace_load_bytes(spool, REQUEST_AT, bytes, REQUEST_SIZE))
        return;
    *pace = (Pace){.timeline = get_le32(bytes),
                   .depth = get_le32(bytes + 4),
                   .segment = get_le64(bytes + 8),
                   .answered_at = (TimeUs)get_le64(bytes + 16),
                   .replay_us = get_le64(bytes + 24),
                   .given_timeline = get_le32(bytes + 32),
                   .given_segment = get_le64(bytes + 40)};
}

void pace_save(const PrefetchSpool *spool, const Pace *pace)
{
    uint8_t bytes[REQUEST_SIZE + CHECKSUM_SIZE] = {0};

    put_le32(bytes, pace->timeline);
    put_le32(bytes + 4, pace->depth);
    put_le64(bytes + 8, pace->segment);
    put_le64(bytes + 16, (uint64_t)pace->answered_at);
    put_le64(bytes + 24, pace->replay_us);
    put_le32(bytes + 32, pace->given_timeline);
    put_le64(bytes + 40, pace->given_segment);
    pace_save_bytes(spool, REQUEST_AT, bytes, REQUEST_SIZE);
}

uint64_t pace_load_fetch(const PrefetchSpool *spool)
{
    uint8_t bytes[FETCH_SIZE + CHECKSUM_SIZE];

    return pace_load_bytes(spool, FETCH_AT, bytes, FETCH_SIZE) ? get_le64(bytes) : 0;
}

void pace_save_fetch(const PrefetchSpool *spool, uint64_t fetch_us)
{
    uint8_t bytes[FETCH_SIZE + CHECKSUM_SIZE];

    put_le64(bytes, fetch_us);
    pace_save_bytes(spool, FETCH_AT, bytes, FETCH_SIZE);
}

/* Twice what is replayed during a fetch: a new process begins when half of it is used up. */
static uint32_t depth_needed(uint64_t replay_us, uint64_t fetch_us, uint32_t depth_max)
{
    const uint64_t replayed = replay_us > 0 ? fetch_us / replay_us + 1 : 1;

    return replayed < depth_max / 2 ? 2 * (uint32_t)replayed : depth_max;
}

static void pace_measure_bytes(Pace *pace, const PaceRequest *request)
{
    const TimeUs lapse = request->asked_at - pace->answered_at;
    const uint64_t replay = lapse > 0 ? (uint64_t)lapse : 1;

    pace->replay_us = pace->replay_us == 0
                          ? replay
                          : pace->replay_us - pace->replay_us / SMOOTHING + replay / SMOOTHING;
}

static void pace_adapt(Pace *pace, const PaceRequest *request)
{
    const uint32_t needed = depth_needed(pace->replay_us, request->fetch_us, request->depth_max);

    if (!request->was_ready) {
        pace->depth = pace->depth < request->depth_max / 2 ? 2 * pace->depth : request->depth_max;
    } else if (pace->depth < needed) {
        pace->depth = needed;
    } else if (pace->depth > needed && request->fetch_us > 0 &&
               pace->replay_us / SLOW > request->fetch_us) {
        pace->depth--;
    }
}

void pace_advance(Pace *pace, const PaceRequest *request)
{
    const bool follows = pace->timeline != 0 && request->segment == pace->segment + 1;

    if (pace->depth == 0)
        pace->depth = DEPTH_FIRST;
    if (follows) {
        pace_measure_bytes(pace, request);
        pace_adapt(pace, request);
    } else {
        pace->replay_us = 0;
    }
    if (pace->depth > request->depth_max)
        pace->depth = request->depth_max;
    if (request->segment >= pace->given_segment) {
        pace->given_timeline = request->timeline;
        pace->given_segment = request->segment;
    }
    pace->timeline = request->timeline;
    pace->segment = request->segment;
    pace->answered_at = request->answered_at;
}
