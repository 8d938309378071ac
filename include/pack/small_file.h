/*
 * small_file.h - a file of a backup that is one frame, without a page table (docs/format.md, 4.2).
 */
#pragma once

#include "pack/manifest.h"

/*
 * ERR_CORRUPT when what the manifest says about a small file is impossible. This is found before
 * memory is allocated for it.
 */
bool small_file_is_possible(const Manifest *manifest, const ManifestEntry *entry,
                            Error *err) MUST_CHECK;

/* raw: entry->size bytes; seed: the repository's. ERR_CORRUPT when they are not what was backed up.
 */
bool small_file_check(const ManifestEntry *entry, const void *raw, uint64_t seed,
                      Error *err) MUST_CHECK;

/* Its bytes, read from its pack and checked; entry->size bytes at raw. ERR_CORRUPT,
 * ERR_UNREACHABLE. */
bool small_file_read(const Cluster *cluster, const Manifest *manifest, const ManifestEntry *entry,
                     void *raw, Error *err) MUST_CHECK;
