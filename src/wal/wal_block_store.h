/*
 * wal_block_store.h - the blocks of a WalBlocks in memory: collected in any order, then sorted.
 */
#pragma once

#include "wal/wal_blocks.h"

/* A fork of a relation that has blocks. */
typedef struct BlockOwner {
    RelationFile file;
    uint32_t fork;
} BlockOwner;

enum {
    OWNERS_MAX = 1 << 18,
    RECENT_SIZE = 1 << 10, /* A block that was added lately is not added again. */
    NEAR_SIZE = 1 << 6,    /* Owners that were met lately are found at once. */
};

typedef struct BlockStore {
    BlockOwner *owners;
    uint32_t owner_count, owner_capacity;
    /* It is a hash table of owners, with number + 1; 0 means that the place is free. */
    uint32_t *places;
    uint32_t place_count;
    uint32_t last; /* It is the owner of the last block added. */

    uint64_t *items; /* Each is owner << 32 | block. */
    size_t count, capacity;
    bool is_sorted; /* Each item is there once, and the owners are sorted, too. */
    bool is_full;
    uint64_t recent[RECENT_SIZE];
    uint32_t near[NEAR_SIZE];
} BlockStore;

int block_owner_compare(const BlockOwner *a, const BlockOwner *b);

void block_store_done(BlockStore *store);
/* file: three oids, as in a record. */
void block_store_add(BlockStore *store, const uint8_t *file, uint32_t fork, uint32_t block);
/* Of the relation of the last one, of which there must be one. */
void block_store_add_same(BlockStore *store, uint32_t fork, uint32_t block);
void block_store_sort(BlockStore *store);
/*
 * For a decoder: in the order in which they are sorted. False: they are not, or are too many. Then
 * set is_sorted.
 */
bool block_store_append_owner(BlockStore *store, const BlockOwner *owner);
bool block_store_append(BlockStore *store, uint32_t block);
