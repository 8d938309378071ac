/*
 * transactions.h - the transactions that are open at a place in the WAL, and what they did so far.
 *
 * A subtransaction has an entry of its own until the end of its transaction names it.
 */
#pragma once

#include "base/buffer.h"
#include "postgres/wal_changes.h"

typedef struct Removal {
    uint32_t oid; /* database, or tablespace */
    Lsn lsn;
} Removal;

typedef struct Transaction {
    uint32_t xid;      /* 0: no entry */
    uint32_t database; /* 0: none seen */
    uint32_t truncated;
    Buffer created;                /* RelationFile */
    Buffer databases, tablespaces; /* Removal: files removed at once, by replay of the record */
} Transaction;

typedef struct Transactions {
    Transaction *slots; /* a hash table, open addressing; a power of two */
    size_t size, count;
} Transactions;

void transactions_done(Transactions *open); /* for CLEANUP() */
/* Its entry, made when there was none. It holds until the next call of this or of remove. */
Transaction *transactions_add(Transactions *open, uint32_t xid);
Transaction *transactions_find(const Transactions *open, uint32_t xid); /* or NULL */
void transactions_remove(Transactions *open, uint32_t xid);
/* Forget those that precede `oldest`. */
void transactions_forget(Transactions *open, uint32_t oldest);
