/*
 * stores.h - stores that only tests need: one in memory, one that fails, one that counts.
 */
#pragma once

#include "storage/storage.h"

/* Objects in memory. The least that a driver can be, and still keep its contract (driver.h). */
Storage *storage_memory_new(void);
/* Change a byte of an object in it as a disk does that forgets: no listing shows it. */
void storage_memory_rot(Storage *storage, const char *name, size_t offset);
/* From now on it can do only so much (StorageAbility): storage.h makes up for the rest. */
void storage_memory_limit(Storage *storage, unsigned can);

/*
 * Calls are counted from 1 on: each call of storage.h that reaches the inner storage, and each
 * write and commit of an ObjectWriter.
 */
typedef struct StorageFault {
    uint64_t fail_at;    /* the n-th call fails, 0: none */
    uint64_t fail_count; /* this many in all, from the n-th on; 0 means 1 */
    ErrorCode code;
    bool lose_answer; /* commits and removals that fail are carried out nonetheless */
    uint64_t cut_at;  /* the n-th read gives only half its bytes as ERR_CORRUPT, 0: none */
} StorageFault;

/*
 * Makes the n-th operation fail. Owns inner; *fault is borrowed and may be changed between calls:
 * run once without faults, then once for each n up to storage_fault_calls().
 */
Storage *storage_fault_new(Storage *inner, const StorageFault *fault);
uint64_t storage_fault_calls(const Storage *storage);

/* What a store was asked for, since it was last set to zero. */
typedef struct StorageCount {
    _Atomic uint64_t listings;
    _Atomic uint64_t listed; /* objects and folders that they gave */
} StorageCount;

/* Counts in *count, which is borrowed. Owns inner. */
Storage *storage_count_new(Storage *inner, StorageCount *count);
