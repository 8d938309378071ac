#include "wal_blocks_format.h"

#include "base/bytes.h"
#include "base/memory.h"

#include <assert.h>

enum {
    /*
     * An insertion into an SP-GiST index also leaves a note in its first block, which pages were
     * used last, without WAL (spgutils.c, SpGistUpdateMetaPage).
     */
    RMGR_SPGIST = 16,
    SPGIST_METAPAGE = 0,
};

WalBlocks *wal_blocks_new(const PgVersion *version)
{
    WalBlocks *blocks = mem_alloc(sizeof *blocks);

    blocks->version = version;
    blocks->compressed = wal_image_compressed(version);
    return blocks;
}

void wal_blocks_freep(WalBlocks **blocks)
{
    if (*blocks == NULL)
        return;
    block_store_done(&(*blocks)->store);
    mem_free((*blocks)->effects);
    mem_free(*blocks);
    *blocks = NULL;
}

static bool effect_is(const WalEffect *a, const WalEffect *b)
{
    return a->kind == b->kind && a->file.tablespace == b->file.tablespace &&
           a->file.database == b->file.database && a->file.number == b->file.number &&
           a->fork == b->fork && a->block == b->block;
}

void wal_blocks_add_effect(void *context, const WalEffect *effect)
{
    WalBlocks *blocks = context;

    /* That something unknown was done is all that there is to be said. */
    if (blocks->is_unknown ||
        (blocks->effect_count > 0 && effect_is(&blocks->effects[blocks->effect_count - 1], effect)))
        return;
    blocks->is_unknown = effect->kind == EFFECT_UNKNOWN;
    if (blocks->is_unknown)
        blocks->effect_count = 0;
    if (blocks->effect_count == blocks->effect_capacity) {
        blocks->store.is_full = blocks->effect_count >= WAL_EFFECTS_MAX;
        if (blocks->store.is_full)
            return;
        blocks->effect_capacity = 2 * blocks->effect_capacity + 16;
        blocks->effects =
            mem_resize(blocks->effects, blocks->effect_capacity * sizeof blocks->effects[0]);
    }
    blocks->effects[blocks->effect_count++] = *effect;
}

static void add_unknown(WalBlocks *blocks)
{
    wal_blocks_add_effect(blocks, &(WalEffect){.kind = EFFECT_UNKNOWN});
}

/*
 * The blocks of a record: they come first of all its parts. What follows those is data, whatever
 * its first byte looks like, once nothing but what they announced is left.
 */
static void add_references(WalBlocks *blocks, const WalRecord *record)
{
    const uint8_t *at = record->head + RECORD_REFERENCES;
    const uint8_t *end = record->head + record->head_size;
    const unsigned compressed = blocks->compressed;
    uint64_t left = record->total_size - RECORD_REFERENCES; /* without what was announced */
    bool has_file = false;

    while (left > 0 && (at == end || *at <= REFERENCE_ID_MAX)) {
        WalReference reference;

        if (!wal_reference_at(at, (size_t)(end - at), compressed, &reference) ||
            reference.fork > REFERENCE_FORK_MAX || (reference.file == NULL && !has_file) ||
            reference.size + (uint64_t)reference.data_size > left) {
            add_unknown(blocks);
            return;
        }
        if (reference.file != NULL) {
            if (record->rmgr == RMGR_SPGIST)
                block_store_add(&blocks->store, reference.file, FORK_MAIN, SPGIST_METAPAGE);
            block_store_add(&blocks->store, reference.file, reference.fork, reference.block);
        } else {
            block_store_add_same(&blocks->store, reference.fork, reference.block);
        }
        has_file = true;
        at += reference.size;
        left -= reference.size + (uint64_t)reference.data_size;
    }
}

void wal_blocks_add(WalBlocks *blocks, const WalRecord *record)
{
    if (wal_effect_is_possible(record))
        wal_effects_of(record, blocks->version, wal_blocks_add_effect, blocks);
    add_references(blocks, record);
}

static void keep_cut(KeptCut *kept, WalCut cut)
{
    kept->size = cut.size;
    if (cut.size > 0)
        memcpy(kept->bytes, cut.bytes, cut.size);
}

void wal_blocks_end(WalBlocks *blocks, const WalReader *reader)
{
    keep_cut(&blocks->tail, wal_reader_tail(reader));
    keep_cut(&blocks->head, wal_reader_head(reader));
}

WalCut wal_blocks_tail(const WalBlocks *blocks)
{
    return (WalCut){.bytes = blocks->tail.bytes, .size = blocks->tail.size};
}

WalCut wal_blocks_head(const WalBlocks *blocks)
{
    return (WalCut){.bytes = blocks->head.bytes, .size = blocks->head.size};
}

/* Of the part that is there: nothing more is known than what it says of itself. */
static void add_joined(WalBlocks *blocks, const uint8_t *bytes, uint32_t size, uint32_t total)
{
    WalRecord record = {.total_size = total,
                        .xid = get_le32(bytes + 4),
                        .rmgr = bytes[17],
                        .info = bytes[16],
                        .head = bytes,
                        .head_size = size};

    if (size == total && !wal_record_decode(bytes, size, 0, &record)) {
        add_unknown(blocks);
        return;
    }
    wal_blocks_add(blocks, &record);
}

void wal_blocks_join(WalBlocks *blocks, WalCut tail, WalCut head, uint32_t tail_have)
{
    uint8_t bytes[2 * WAL_RECORD_HEAD];
    uint32_t size = tail.size;

    assert(tail.size <= WAL_RECORD_HEAD && head.size <= WAL_RECORD_HEAD);
    memcpy(bytes, tail.bytes, tail.size);
    if (tail.size == tail_have) { /* else there is enough, and something between */
        memcpy(bytes + size, head.bytes, head.size);
        size += head.size;
    }
    if (size < RECORD_REFERENCES || get_le32(bytes) < RECORD_REFERENCES) {
        add_unknown(blocks);
        return;
    }
    const uint32_t total = get_le32(bytes);
    if (size > total)
        size = total;
    if (size < total && size < WAL_RECORD_HEAD) {
        add_unknown(blocks); /* it goes on after the segment that has its second part */
        return;
    }
    add_joined(blocks, bytes, size, total);
}

void wal_blocks_forget_one(WalBlocks *blocks)
{
    BlockStore *store = &blocks->store;
    size_t forgotten = store->count;
    uint32_t highest = 0;

    block_store_sort(store);
    for (size_t i = 0; i < store->count; i++) {
        const BlockOwner *owner = &store->owners[store->items[i] >> 32];

        if (owner->fork == FORK_MAIN && owner->file.number >= highest) {
            highest = owner->file.number;
            forgotten = i;
        }
    }
    if (forgotten == store->count)
        return;
    memmove(store->items + forgotten, store->items + forgotten + 1,
            (store->count - forgotten - 1) * sizeof store->items[0]);
    store->count--;
}

bool wal_blocks_is_full(const WalBlocks *blocks)
{
    return blocks->store.is_full;
}

bool wal_blocks_next(WalBlocks *blocks, size_t *at, WalBlockRun *run)
{
    BlockStore *store = &blocks->store;
    size_t end = *at;

    block_store_sort(store);
    if (end == store->count)
        return false;
    const uint64_t owner = store->items[end] >> 32;
    while (end < store->count && store->items[end] >> 32 == owner)
        end++;
    *run = (WalBlockRun){.file = store->owners[owner].file,
                         .fork = (ForkKind)store->owners[owner].fork,
                         .blocks = store->items + *at,
                         .count = end - *at};
    *at = end;
    return true;
}

const WalEffect *wal_blocks_effects(const WalBlocks *blocks, size_t *count)
{
    *count = blocks->effect_count;
    return blocks->effects;
}
