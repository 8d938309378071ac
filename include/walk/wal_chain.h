/*
 * wal_chain.h - whether one WAL segment goes on where the one before it ended.
 *
 * A pure function of what the trailers say: the record that a segment leaves incomplete must be
 * completed by the next one, and the back link of its first record must lead to the last one.
 */
#pragma once

#include "postgres/wal_reader.h"

/* What the segments so far leave open. Zeroed to begin with: nothing is known. */
typedef struct WalChain {
    bool has_before;      /* When it is false, this is the first segment, and nothing is known. */
    Lsn last_record;      /* 0 means that it is not known. */
    Lsn pending;          /* This record began and is not complete. 0 means that there is none. */
    uint64_t missing;     /* This many bytes of it are missing. */
    bool pending_matters; /* It may be an event. */
} WalChain;

bool wal_chain_fits(const WalChain *chain, const WalReaderState *state);
/* Whether the pending record is complete in this segment. */
bool wal_chain_completes(const WalChain *chain, const WalReaderState *state, uint32_t segment_size);
void wal_chain_add(WalChain *chain, const WalReaderState *state, uint32_t segment_size);
