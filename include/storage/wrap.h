/*
 * wrap.h - storages around a storage: they change how it behaves, not what it holds.
 *
 * Each owns the inner storage and frees it, but for storage_hide_new()'s.
 */
#pragma once

#include "storage/storage.h"

/*
 * Try again what failed as ERR_UNREACHABLE or ERR_IO, up to `attempts` times in all, waiting
 * pause_ms, then twice as long each time up to 5 s; not what will be the same then (no space, no
 * permission, read-only). A signal ends the waiting with ERR_INTERRUPTED. Writes are repeated only
 * before they begin: a stream that broke is its caller's. A read over a range is repeated as a
 * whole.
 */
Storage *storage_retry_new(Storage *inner, unsigned attempts, uint64_t pause_ms);

/* At most bytes_per_s read and written in all, over all threads. */
Storage *storage_limit_new(Storage *inner, uint64_t bytes_per_s);

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
 * Makes the n-th operation fail. *fault is borrowed and may be changed between calls. For tests:
 * run once without faults, then once for each n up to storage_fault_calls().
 */
Storage *storage_fault_new(Storage *inner, const StorageFault *fault);
uint64_t storage_fault_calls(const Storage *storage);

/*
 * What is there as if some objects were not: to tell what the rest is worth. For reading only;
 * inner and context are borrowed.
 */
typedef bool HiddenFunction(const void *context, const char *name);
Storage *storage_hide_new(Storage *inner, HiddenFunction *is_hidden, const void *context);
