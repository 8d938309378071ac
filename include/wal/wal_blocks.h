/*
 * wal_blocks.h - which blocks of relations the records of one WAL segment refer to, and what they
 * do to files beside: what an increment must look at. docs/format.md, chapter 6.4.
 *
 * Made while a segment is read anyway, on its way into the archive, and stored with it. It is of
 * every record that is whole in the segment; of the two that its ends cut it keeps the first bytes,
 * which wal_blocks_join() makes a record of: its blocks are named there.
 *
 * Says rather too much than too little. A WalBlocks belongs to one thread.
 */
#pragma once

#include "postgres/wal_effect.h"
#include "postgres/wal_reference.h"
#include "stream/codec.h"

enum {
    /* It limits the different blocks of a segment. With more, the list says nothing. */
    WAL_BLOCKS_MAX = 4 << 20,
    WAL_EFFECTS_MAX = 1 << 20,
    WAL_BLOCKS_HEADER_SIZE = 64,
};

typedef struct WalBlocks WalBlocks;
WalBlocks *wal_blocks_new(const PgVersion *version);
void wal_blocks_freep(WalBlocks **blocks); /* for CLEANUP() */

/* Each record of the segment, in order. */
void wal_blocks_add(WalBlocks *blocks, const WalRecord *record);
/* The reader has been fed all there is of the segment. */
void wal_blocks_end(WalBlocks *blocks, const WalReader *reader);
/*
 * Add the record that one segment leaves (tail, of tail_have bytes) and the next one begins with
 * (head), from what both keep of it. EFFECT_UNKNOWN when that is not enough: it is not complete.
 */
void wal_blocks_join(WalBlocks *blocks, WalCut tail, WalCut head, uint32_t tail_have);
WalCut wal_blocks_tail(const WalBlocks *blocks);
WalCut wal_blocks_head(const WalBlocks *blocks);

/* For tests: forgets one block, of a main fork of the relation with the highest number. */
void wal_blocks_forget_one(WalBlocks *blocks);

/* There were too many, so nothing can be said. */
bool wal_blocks_is_full(const WalBlocks *blocks);

/* A fork of a relation, and the blocks of it: ascending, each once. */
typedef struct WalBlockRun {
    RelationFile file;
    ForkKind fork;
    const uint64_t *blocks; /* The lower 32 bits of each are the block: wal_block_of(). */
    size_t count;
} WalBlockRun;
static inline uint32_t wal_block_of(const WalBlockRun *run, size_t index)
{
    return (uint32_t)run->blocks[index];
}
/* By tablespace, database, relation, fork; *at is 0 to begin with. False: that was the last. */
bool wal_blocks_next(WalBlocks *blocks, size_t *at, WalBlockRun *run);
/* In the order of the records; EFFECT_UNKNOWN alone when there is one. */
const WalEffect *wal_blocks_effects(const WalBlocks *blocks, size_t *count);

/* As it is stored, appended to out. Not of one that is full. seed: the repository's. */
bool wal_blocks_encode(WalBlocks *blocks, uint64_t seed, CodecContext *codec, Buffer *out,
                       Error *err) MUST_CHECK;
/* `size` bytes, that and no more. ERR_CORRUPT, ERR_VERSION. */
bool wal_blocks_decode(const PgVersion *version, const uint8_t *bytes, size_t size, uint64_t seed,
                       CodecContext *codec, WalBlocks **blocks, Error *err) MUST_CHECK;
