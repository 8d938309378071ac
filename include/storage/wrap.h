/*
 * wrap.h - storages around a storage: they change how it behaves, not what it holds.
 *
 * Each owns the inner storage and frees it.
 */
#pragma once

#include "storage/storage.h"

/*
 * Try again what failed as ERR_UNREACHABLE or ERR_IO, up to `attempts` times in all, waiting
 * pause_ms, then twice as long each time up to 5 s. Writes are repeated only before they begin: a
 * stream that broke is its caller's. A read over a range is repeated as a whole.
 */
Storage *storage_retry_new(Storage *inner, unsigned attempts, uint64_t pause_ms);

/* At most bytes_per_s read and written in all, over all threads. */
Storage *storage_limit_new(Storage *inner, uint64_t bytes_per_s);

typedef struct StorageFault {
    uint64_t fail_at; /* the n-th call from 1 on fails, 0: none */
    uint64_t fail_count; /* and so do the next ones, this many in all */
    ErrorCode code;
    uint64_t cut_at; /* the n-th read gives only half its bytes as ERR_CORRUPT, 0: none */
} StorageFault;

/* Makes the n-th operation fail. *fault is borrowed and may be changed while it is used. */
Storage *storage_fault_new(Storage *inner, const StorageFault *fault);
