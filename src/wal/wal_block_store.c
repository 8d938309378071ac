#include "wal_block_store.h"

#include "base/memory.h"

#include <stdlib.h>

enum {
    ITEMS_FIRST = 8 << 10,
    ITEMS_UNSORTED = 128 << 10, /* This many are kept before duplicates are looked for. */
    DIGIT_BITS = 11,
    DIGIT_COUNT = 1 << DIGIT_BITS,
};

void block_store_done(BlockStore *store)
{
    mem_free(store->owners);
    mem_free(store->places);
    mem_free(store->items);
}

static uint32_t owner_hash(const BlockOwner *owner)
{
    const uint64_t mixed = ((uint64_t)owner->file.number << 32 | owner->file.database) ^
                           ((uint64_t)owner->file.tablespace << 8 | owner->fork);

    return (uint32_t)(mixed * UINT64_C(0x9E3779B97F4A7C15) >> 32);
}

static bool owner_is(const BlockOwner *a, const BlockOwner *b)
{
    return a->file.number == b->file.number && a->file.database == b->file.database &&
           a->file.tablespace == b->file.tablespace && a->fork == b->fork;
}

static uint32_t place_after(const BlockStore *store, uint32_t place)
{
    return (place + 1) & (store->place_count - 1);
}

/* Where it is in the table, or where it belongs. */
static uint32_t owner_place(const BlockStore *store, const BlockOwner *owner)
{
    uint32_t place = owner_hash(owner) & (store->place_count - 1);

    while (store->places[place] != 0 && !owner_is(&store->owners[store->places[place] - 1], owner))
        place = place_after(store, place);
    return place;
}

static void place_owners(BlockStore *store)
{
    memset(store->places, 0, store->place_count * sizeof store->places[0]);
    for (uint32_t i = 0; i < store->owner_count; i++)
        store->places[owner_place(store, &store->owners[i])] = i + 1;
}

static void grow_owners(BlockStore *store)
{
    store->owner_capacity = store->owner_capacity == 0 ? 64 : 2 * store->owner_capacity;
    store->place_count = 4 * store->owner_capacity;
    store->owners = mem_resize(store->owners, store->owner_capacity * sizeof store->owners[0]);
    mem_free(store->places);
    store->places = mem_alloc(store->place_count * sizeof store->places[0]);
    place_owners(store);
}

static void append_owner(BlockStore *store, const BlockOwner *owner)
{
    if (store->owner_count == store->owner_capacity)
        grow_owners(store);
    store->owners[store->owner_count++] = *owner;
    store->places[owner_place(store, owner)] = store->owner_count;
    store->last = store->owner_count - 1;
}

static void find_owner(BlockStore *store, const BlockOwner *owner)
{
    const uint32_t found = store->place_count == 0 ? 0 : store->places[owner_place(store, owner)];

    if (found > 0) {
        store->last = found - 1;
    } else if (store->owner_count < OWNERS_MAX) {
        append_owner(store, owner);
    } else {
        store->is_full = true;
    }
}

static int compare_items(const void *a, const void *b)
{
    const uint64_t first = *(const uint64_t *)a;
    const uint64_t second = *(const uint64_t *)b;

    return (first > second) - (first < second);
}

/* One digit of a radix sort, which keeps the order of equal ones. */
static void sort_digit(const uint64_t *from, uint64_t *to, size_t count, unsigned shift)
{
    size_t starts[DIGIT_COUNT] = {0};
    size_t next = 0;

    for (size_t i = 0; i < count; i++)
        starts[from[i] >> shift & (DIGIT_COUNT - 1)]++;
    for (size_t i = 0; i < DIGIT_COUNT; i++) {
        const size_t here = starts[i];

        starts[i] = next;
        next += here;
    }
    for (size_t i = 0; i < count; i++)
        to[starts[from[i] >> shift & (DIGIT_COUNT - 1)]++] = from[i];
}

/* Only the digits that are not the same in all. */
static void sort_many(BlockStore *store)
{
    uint64_t *other = mem_alloc_aligned(store->capacity * sizeof other[0]);
    uint64_t varying = 0;

    for (size_t i = 1; i < store->count; i++)
        varying |= store->items[i] ^ store->items[0];
    for (unsigned shift = 0; shift < 64 && varying >> shift != 0; shift += DIGIT_BITS) {
        if ((varying >> shift & (DIGIT_COUNT - 1)) == 0)
            continue;
        sort_digit(store->items, other, store->count, shift);
        uint64_t *sorted = other;
        other = store->items;
        store->items = sorted;
    }
    mem_free(other);
}

static void sort_store(BlockStore *store)
{
    size_t kept = 0;

    if (store->count < DIGIT_COUNT / 8) {
        if (store->count > 1)
            qsort(store->items, store->count, sizeof store->items[0], compare_items);
    } else {
        sort_many(store);
    }
    for (size_t i = 0; i < store->count; i++) {
        if (kept == 0 || store->items[i] != store->items[kept - 1])
            store->items[kept++] = store->items[i];
    }
    store->count = kept;
}

/* Room for one more; what was added more than once goes first. */
static void make_item_room(BlockStore *store)
{
    if (store->count >= ITEMS_UNSORTED)
        sort_store(store);
    if (store->count < store->capacity / 2 + store->capacity / 4)
        return;
    store->is_full = store->capacity == WAL_BLOCKS_MAX;
    if (store->is_full)
        return;
    store->capacity = store->capacity == 0 ? ITEMS_FIRST : 2 * store->capacity;
    store->items = mem_resize(store->items, store->capacity * sizeof store->items[0]);
}

static void append_item(BlockStore *store, uint64_t item)
{
    if (store->count == store->capacity)
        make_item_room(store);
    if (store->is_full)
        return;
    store->is_sorted = false;
    store->items[store->count++] = item;
}

static inline void add_of_last(BlockStore *store, uint32_t block)
{
    const uint64_t item = (uint64_t)store->last << 32 | block;
    uint64_t *recent = &store->recent[(block ^ store->last << 5) & (RECENT_SIZE - 1)];

    /* One more than the item, as 0 is "nothing was added". */
    if (*recent == item + 1)
        return;
    *recent = item + 1;
    append_item(store, item);
}

static inline bool owner_is_at(const BlockOwner *owner, const uint8_t *file, uint32_t fork)
{
    return owner->file.number == get_le32(file + 8) && owner->file.database == get_le32(file + 4) &&
           owner->file.tablespace == get_le32(file) && owner->fork == fork;
}

void block_store_add(BlockStore *store, const uint8_t *file, uint32_t fork, uint32_t block)
{
    uint32_t *near = &store->near[(get_le32(file + 8) ^ fork << 4) & (NEAR_SIZE - 1)];

    if (*near < store->owner_count && owner_is_at(&store->owners[*near], file, fork)) {
        store->last = *near;
    } else {
        find_owner(store, &(BlockOwner){.file = relation_file_at(file), .fork = fork});
        *near = store->last;
    }
    add_of_last(store, block);
}

void block_store_add_same(BlockStore *store, uint32_t fork, uint32_t block)
{
    const BlockOwner owner = {.file = store->owners[store->last].file, .fork = fork};

    if (store->owners[store->last].fork != fork)
        find_owner(store, &owner);
    add_of_last(store, block);
}

bool block_store_append_owner(BlockStore *store, const BlockOwner *owner)
{
    if (store->owner_count >= OWNERS_MAX ||
        (store->owner_count > 0 &&
         block_owner_compare(&store->owners[store->owner_count - 1], owner) >= 0))
        return false;
    append_owner(store, owner);
    return true;
}

bool block_store_append(BlockStore *store, uint32_t block)
{
    const uint64_t item = (uint64_t)store->last << 32 | block;

    if (store->count > 0 && store->items[store->count - 1] >= item)
        return false;
    if (store->count == store->capacity)
        make_item_room(store);
    if (store->is_full)
        return false;
    store->items[store->count++] = item;
    return true;
}

static int compare_numbers(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

int block_owner_compare(const BlockOwner *a, const BlockOwner *b)
{
    const int orders[] = {compare_numbers(a->file.tablespace, b->file.tablespace),
                          compare_numbers(a->file.database, b->file.database),
                          compare_numbers(a->file.number, b->file.number),
                          compare_numbers(a->fork, b->fork)};

    for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
        if (orders[i] != 0)
            return orders[i];
    }
    return 0;
}

typedef struct RankedOwner {
    BlockOwner owner;
    uint32_t number; /* It is the number that the owner had. */
} RankedOwner;

static int compare_ranked(const void *a, const void *b)
{
    return block_owner_compare(&((const RankedOwner *)a)->owner, &((const RankedOwner *)b)->owner);
}

/* Number the owners by their order. */
static void rank_owners(BlockStore *store)
{
    RankedOwner *ranked = mem_alloc((store->owner_count + (size_t)1) * sizeof ranked[0]);
    uint32_t *ranks = mem_alloc((store->owner_count + (size_t)1) * sizeof ranks[0]);

    for (uint32_t i = 0; i < store->owner_count; i++)
        ranked[i] = (RankedOwner){.owner = store->owners[i], .number = i};
    qsort(ranked, store->owner_count, sizeof ranked[0], compare_ranked);
    for (uint32_t i = 0; i < store->owner_count; i++) {
        store->owners[i] = ranked[i].owner;
        ranks[ranked[i].number] = i;
    }
    for (size_t i = 0; i < store->count; i++)
        store->items[i] = (uint64_t)ranks[store->items[i] >> 32] << 32 | (uint32_t)store->items[i];
    store->last = 0;
    memset(store->recent, 0, sizeof store->recent);
    place_owners(store);
    mem_free(ranks);
    mem_free(ranked);
}

void block_store_sort(BlockStore *store)
{
    if (store->is_sorted || store->count == 0)
        return;
    rank_owners(store);
    sort_store(store);
    store->is_sorted = true;
}
