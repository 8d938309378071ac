/*
 * delta.h - what of a backup is in its place already.
 *
 * Only content counts, never size and time: of large files the hash of each page, against the page
 * tables; of small ones all of it. rebuild_compare() fills a Delta and writes nothing, so that
 * whatever will be needed of the backup is read and verified before anything is overwritten;
 * rebuild_files() then writes what differs. A file that somebody touched in between is compared
 * again, as is one that was never compared: rebuild_files() can do without the first step.
 *
 * Pages that differ were decompressed to be verified; they are kept for the second step as far as
 * there is memory for them, and read again beyond that.
 */
#pragma once

#include "pack/manifest.h"

typedef struct Delta Delta;

/*
 * from_disk says that what is there was left by a run that may have ended because the disk did not
 * take what was written to it, so the page cache is not trusted. At most keep_max bytes of pages
 * are kept.
 */
Delta *delta_new(const Manifest *manifest, bool from_disk, uint64_t keep_max);
/* An eighth of what is available now, 512 MiB at most. */
uint64_t delta_keep_max(void);
void delta_freep(Delta **delta); /* for CLEANUP() */
