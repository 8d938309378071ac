/*
 * page_table.h - which pages of a range a fragment holds, their hashes, and where they are.
 * docs/format.md, chapter 4.3, is the authority for the bytes.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "repo/frame.h"

/* Where one page is. */
typedef struct PageEntry {
    /* It is the seeded XXH3 of the page's bytes. The last page of a file may be short. */
    uint64_t hash;
    uint32_t crc32c;
    uint16_t extent; /* It is an index into the extents. */
    uint16_t slot;   /* It is the page's number in the raw extent. */
} PageEntry;

typedef struct PageTable {
    uint32_t range; /* It is the number of the range in its file. */
    /* The range had this many bytes at that backup. The overlay is clipped here. */
    uint64_t range_size;
    bool is_settled; /* No page in it could have been caught in the middle of a write. */
    uint32_t extent_count;
    Frame *extents;      /* There are at most RANGE_PAGES of them. Their .pack is not set. */
    uint32_t page_count; /* This fragment holds this many pages. */
    uint32_t *pages;     /* They are the pages' numbers in the range, in ascending order. */
    PageEntry *entries;  /* There is one for each page. */
} PageTable;

void page_table_encode(const PageTable *table, Buffer *out); /* appended */
/*
 * ERR_CORRUPT unless encode wrote it. The arrays are allocated (page_table_done()), bounded by
 * RANGE_PAGES.
 */
bool page_table_decode(PageTable *table, const uint8_t *bytes, size_t size, Error *err) MUST_CHECK;
void page_table_done(PageTable *table); /* for CLEANUP() */

/* The hash of a range: XXH3 over its size and the hashes of all its pages, in order. */
uint64_t range_hash(uint64_t seed, uint64_t range_size, const uint64_t *page_hashes,
                    uint32_t page_count);
