/*
 * knowledge.h - what is remembered of archived segments, so that it need not be read again.
 *
 * A remembered trailer stands for exactly the object that it was read from: one of this size,
 * stored at this time, as the listing says now. Anything else is read. What is remembered is in the
 * repository (wal/wal_known.h), written by `verify` and `backup` (walk/learning.h); without it,
 * or when it can't be read, all is as if there were none.
 */
#pragma once

#include "wal/wal_known.h"

/* What a listing says about an object, without opening it. */
typedef struct WalStored {
    uint64_t size;
    TimeUs at; /* It was stored then, by the store's clock. */
} WalStored;

typedef struct WalKnowledge WalKnowledge;

/* Borrows the cluster. Nothing is read until something is asked. Of one thread. */
WalKnowledge *wal_knowledge_new(const Cluster *cluster);
void wal_knowledge_freep(WalKnowledge **place); /* for CLEANUP() */

/*
 * Whether the trailer of this very object is known; *verified_at is when the object was last read
 * whole and found good, TIME_US_NONE when only its trailer was read. Cheapest in the order of the
 * segments.
 */
bool wal_knowledge_find(WalKnowledge *knowledge, uint32_t timeline, uint64_t segment,
                        const WalStored *stored, WalTrailer *trailer, TimeUs *verified_at);

/* The remembered entry itself. What it points to holds until the next call. */
bool wal_knowledge_entry(WalKnowledge *knowledge, uint32_t timeline, uint64_t segment,
                         const WalStored *stored, WalKnownEntry *entry);
