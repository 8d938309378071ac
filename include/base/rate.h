/*
 * rate.h - no more than so many bytes a second, over all threads.
 */
#pragma once

#include "base/error.h"

#include <stdatomic.h>

/*
 * The instant from which on the next bytes may be read: each taker moves it on by the time that its
 * bytes take and sleeps until its own. One atomic number, so workers need no lock for it.
 */
typedef struct RateLimit {
    uint64_t bytes_per_s;    /* 0 means no limit. */
    _Atomic int64_t free_at; /* It is a time_monotonic(). */
} RateLimit;

/* Wait until `size` bytes may be read. ERR_INTERRUPTED, also without a limit. */
bool rate_limit_take(RateLimit *limit, size_t size, Error *err) MUST_CHECK;
