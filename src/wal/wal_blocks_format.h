/*
 * wal_blocks_format.h - what a WalBlocks is made of, for whoever encodes it.
 */
#pragma once

#include "wal_block_store.h"

enum { RECORD_REFERENCES = 24 /* They come after the header (access/xlogrecord.h). */ };

/* The first bytes of what an end of the segment cuts. */
typedef struct KeptCut {
    uint32_t size;
    uint8_t bytes[WAL_RECORD_HEAD];
} KeptCut;

struct WalBlocks {
    const PgVersion *version;
    unsigned compressed; /* These bits of an image's info say that it is compressed. */
    BlockStore store;
    WalEffect *effects;
    size_t effect_count, effect_capacity;
    bool is_unknown; /* The only effect is EFFECT_UNKNOWN. */
    KeptCut tail, head;
};

/* context: a WalBlocks. */
void wal_blocks_add_effect(void *context, const WalEffect *effect);
