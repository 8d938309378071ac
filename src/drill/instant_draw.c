#include "drill/instant.h"

/* One in this many draws goes to a special place. */
enum { SPECIAL_SHARE = 3 };

const char *instant_kind_name(InstantKind kind)
{
    static const char *const names[] = {
        [INSTANT_COMMIT] = "commit",
        [INSTANT_FORK] = "fork",
        [INSTANT_RESTORE_POINT] = "restore point",
        [INSTANT_BACKUP_END] = "end of a backup",
    };

    return names[kind];
}

/*
 * splitmix64 (Steele, Lea, Flood 2014): each call gives the next number of the seed's sequence.
 * What a seed stands for must never change, so the generator is ours and not the C library's.
 */
static uint64_t next_number(uint64_t *state)
{
    uint64_t number = *state += UINT64_C(0x9e3779b97f4a7c15);

    number = (number ^ (number >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ (number >> 27)) * UINT64_C(0x94d049bb133111eb);
    return number ^ (number >> 31);
}

typedef struct Weights {
    uint64_t commits, specials;
    uint64_t special; /* Each special place weighs this much. A commit weighs 1. */
} Weights;

static Weights instants_weigh(const InstantList *list)
{
    Weights weights = {.special = 1};

    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].kind == INSTANT_COMMIT) {
            weights.commits += list->items[i].commits;
        } else {
            weights.specials++;
        }
    }
    if (weights.specials > 0) {
        const uint64_t share = weights.commits / (SPECIAL_SHARE - 1) / weights.specials;
        weights.special = share > 0 ? share : 1;
    }
    return weights;
}

bool instant_draw(const InstantList *list, uint64_t seed, InstantDraw *draw)
{
    const Weights weights = instants_weigh(list);
    const uint64_t total = weights.commits + weights.specials * weights.special;
    uint64_t state = seed;

    if (total == 0)
        return false;
    uint64_t left = next_number(&state) % total;
    for (size_t i = 0; i < list->count; i++) {
        const Instant *instant = &list->items[i];
        const uint64_t weight =
            instant->kind == INSTANT_COMMIT ? instant->commits : weights.special;

        if (left < weight) {
            *draw = (InstantDraw){.index = i, .commit = instant->kind == INSTANT_COMMIT ? left : 0};
            return true;
        }
        left -= weight;
    }
    return false;
}

size_t instant_draw_one(size_t count, uint64_t seed)
{
    uint64_t state = ~seed;

    return (size_t)(next_number(&state) % count);
}
