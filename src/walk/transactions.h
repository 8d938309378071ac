/*
 * transactions.h - the transactions that are open at a place in the WAL, and what they did so far.
 *
 * A subtransaction has an entry of its own until the end of its transaction names it.
 */
#pragma once

#include "base/buffer.h"
#include "postgres/wal_changes.h"

typedef struct Removal {
    uint32_t oid; /* It is that of a database or a tablespace. */
    Lsn lsn;
} Removal;

typedef struct Transaction {
    uint32_t xid;      /* 0 means that the slot has no entry. */
    uint32_t database; /* 0 means that none was seen. */
    uint32_t truncated;
    Buffer created; /* It holds RelationFile. */
    /* They hold Removal: files that replay of the record removes at once. */
    Buffer databases, tablespaces;
} Transaction;

typedef struct Transactions {
    Transaction *slots; /* It is a hash table with open addressing. Its size is a power of two. */
    size_t size, count;
} Transactions;

void transactions_done(Transactions *open); /* for CLEANUP() */
/* Its entry, made when there was none. It holds until the next call of this or of remove. */
Transaction *transactions_add(Transactions *open, uint32_t xid);
Transaction *transactions_find(const Transactions *open, uint32_t xid); /* or NULL */
void transactions_remove(Transactions *open, uint32_t xid);
/* Forget those that precede `oldest`. */
void transactions_forget(Transactions *open, uint32_t oldest);
