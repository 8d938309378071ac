#include "base/rate.h"

#include "base/interrupt.h"
#include "base/time.h"

enum { SLEEP_MAX_MS = 100 };

/* The start of a stretch of time that is long enough for size bytes and nobody else's. */
static int64_t rate_reserve(RateLimit *limit, size_t size)
{
    int64_t cost = (int64_t)((double)size * 1e6 / (double)limit->bytes_per_s);
    int64_t free_at = atomic_load(&limit->free_at);
    int64_t begin;

    do {
        int64_t now = time_monotonic();
        begin = free_at > now ? free_at : now;
    } while (!atomic_compare_exchange_weak(&limit->free_at, &free_at, begin + cost));
    return begin;
}

bool rate_limit_take(RateLimit *limit, size_t size, Error *err)
{
    if (limit->bytes_per_s == 0)
        return interrupt_check(err);

    int64_t begin = rate_reserve(limit, size);
    for (;;) {
        if (!interrupt_check(err))
            return false;
        int64_t left_ms = (begin - time_monotonic()) / 1000;
        if (left_ms <= 0)
            return true;
        time_sleep_ms(left_ms < SLEEP_MAX_MS ? (uint64_t)left_ms : SLEEP_MAX_MS);
    }
}
