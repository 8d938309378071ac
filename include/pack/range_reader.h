/*
 * range_reader.h - the content of one range out of the fragments that make it up, every page
 * checked (docs/format.md, chapter 4.3).
 *
 * A reader belongs to one thread and is reused; its buffers are bounded, whatever the number of
 * fragments: some 4 MiB of stored bytes, 16 MiB of extents, one extent of output, and the tables.
 */
#pragma once

#include "pack/manifest.h"
#include "pack/page_set.h"
#include "pack/page_table.h"

typedef struct RangeReader RangeReader;

RangeReader *range_reader_new(const Cluster *cluster, const Manifest *manifest);
void range_reader_freep(RangeReader **reader); /* for CLEANUP() */

/*
 * Gets a piece of up to EXTENT_SIZE bytes, in order. Its buffer is of mem_alloc_aligned() with room
 * for EXTENT_SIZE bytes; it may be changed, and be kept if another such is left in its place.
 */
typedef bool RangeSink(void *context, uint8_t **data, size_t size, uint64_t offset, Error *err);

typedef struct RangeContent {
    uint32_t crc32c; /* It is computed from what was handed out. */
    uint64_t bytes_read;
} RangeContent;

/* ERR_CORRUPT when a stored byte, a page or the whole is not what it must be. */
bool range_reader_read(RangeReader *reader, const ManifestRange *range, RangeSink *sink,
                       void *context, RangeContent *content, Error *err) MUST_CHECK;

/*
 * The same in two steps. First the page tables alone, a small part of what is stored: afterwards
 * the hash of each page is known (XXH3, with the repository's seed), the last one of a file being
 * of what it has, and the hash of the range says that they are the ones of the backup.
 */
bool range_reader_open(RangeReader *reader, const ManifestRange *range, Error *err) MUST_CHECK;
const uint64_t *range_reader_hashes(const RangeReader *reader);
uint32_t range_reader_page_crc(const RangeReader *reader, uint32_t page); /* CRC-32C */
/* The number of the fragment, in the range that is open, that has the page's newest copy. */
uint32_t range_reader_owner(const RangeReader *reader, uint32_t page);
uint64_t range_reader_bytes_read(const RangeReader *reader); /* of the packs, since then */
/*
 * Then pages of the range that is open; NULL: all. A piece holds pages that follow one another.
 * Only extents with wanted pages are read.
 */
bool range_reader_read_pages(RangeReader *reader, const PageSet *pages, RangeSink *sink,
                             void *context, RangeContent *content, Error *err) MUST_CHECK;

/* What small files share with it. */
CodecContext *range_reader_codec(RangeReader *reader);
