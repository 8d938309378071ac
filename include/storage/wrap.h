/*
 * wrap.h - storages around a storage: they change how it behaves, not what it holds.
 *
 * Each owns the inner storage and frees it, but for storage_hide_new()'s.
 */
#pragma once

#include "storage/storage.h"

/*
 * Try again what failed as ERR_UNREACHABLE or ERR_IO, up to `attempts` times in all, waiting
 * pause_ms, then twice as long each time up to 5 s; but not what would fail in the same way (no
 * space, no permission, read-only). A pause of a second or more is logged. A signal ends the
 * waiting with ERR_INTERRUPTED. Writes are repeated only before they begin: a stream that broke is
 * its caller's. A read over a range is repeated as a whole.
 */
Storage *storage_retry_new(Storage *inner, unsigned attempts, uint64_t pause_ms);

/* At most bytes_per_s read and written in all, over all threads. */
Storage *storage_limit_new(Storage *inner, uint64_t bytes_per_s);

/* Both, as setup asks for them, in the order that storage_open() has them in. */
Storage *storage_wrap(Storage *inner, const StorageSetup *setup);

/*
 * What is there as if some objects were not: to tell what the rest is worth. For reading only;
 * inner and context are borrowed.
 */
typedef bool HiddenFunction(const void *context, const char *name);
Storage *storage_hide_new(Storage *inner, HiddenFunction *is_hidden, const void *context);
