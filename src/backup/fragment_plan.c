#include "fragment_plan.h"

uint32_t fragments_limit(uint64_t path_hash, uint64_t range_hash)
{
    const uint64_t draw = path_hash ^ range_hash;

    return FRAGMENTS_LIMIT_LEAST + (uint32_t)(draw % (FRAGMENTS_LIMIT - FRAGMENTS_LIMIT_LEAST + 1));
}

uint32_t fragments_keep(const uint32_t *live, uint32_t count, uint32_t page_count)
{
    uint64_t cost = 0, best_cost = 0;
    uint32_t taken = 0;

    for (uint32_t more = 1; more < count; more++) {
        cost += live[count - more];
        /* With the new one there must be no more than the limit. */
        if (count - more + 1 > FRAGMENTS_LIMIT)
            continue;
        if (taken == 0 || cost * taken <= best_cost * more) {
            taken = more;
            best_cost = cost;
        }
    }
    return best_cost > page_count / 2 ? 0 : count - taken;
}
