/*
 * frame.h - a reference to stored bytes in a pack: where they are and what proves them.
 *
 * An extent, a page table and a small file's content are frames: one compressed (later encrypted)
 * piece of a pack. docs/format.md, chapter 4.
 */
#pragma once

#include "stream/codec.h"

enum {
    PAGE_BYTES = 8192,     /* It is the unit of comparison, whatever the file is. */
    EXTENT_SIZE = 1 << 20, /* An extent has at most this many raw bytes. */
    EXTENT_PAGES = EXTENT_SIZE / PAGE_BYTES,
    RANGE_SIZE = 64 << 20, /* A range has at most this many raw bytes. Ranges are aligned to it. */
    RANGE_PAGES = RANGE_SIZE / PAGE_BYTES,
    SMALL_FILE_SIZE = 128 << 10, /* A file up to this size is one extent without a page table. */
    PACK_SIZE_DEFAULT = 128 << 20,
};

typedef struct Frame {
    /* It is an index into the manifest's list of packs. A page table does not store it. */
    uint32_t pack;
    Codec codec;
    uint64_t offset;      /* This many bytes come before it in the pack. */
    uint32_t stored_size; /* The frame has this many bytes in the pack. */
    uint32_t raw_size;
    uint64_t checksum; /* It is the XXH3 of the stored bytes, with the repository's seed. */
} Frame;

/* How many units of comparison that many bytes have. The last unit may be shorter. */
static inline uint32_t frame_page_count(uint64_t size)
{
    return (uint32_t)((size + PAGE_BYTES - 1) / PAGE_BYTES);
}

/*
 * No codec stores more bytes than this for that many raw ones: a limit to check before anything is
 * allocated.
 */
static inline uint64_t frame_stored_max(uint64_t raw_size)
{
    return raw_size + raw_size / 64 + 1024;
}
