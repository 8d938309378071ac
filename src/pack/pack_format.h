/*
 * pack_format.h - the bytes of a pack around its frames: header, directory, trailer.
 *
 * Encode and decode only, no I/O. docs/format.md, chapter 4, is the authority.
 */
#pragma once

#include "pack/pack.h"

enum {
    PACK_HEADER_SIZE = 80,
    PACK_TRAILER_SIZE = 64,
    PACK_ENTRY_SIZE = 32,        /* It is the size of a directory entry without its path. */
    PACK_PATH_MAX = 4095,        /* A path in the directory has at most this many bytes. */
    PACK_ENTRIES_FULL = 1 << 16, /* A pack with this many frames is closed. */
    /* A writer may have this many when it closes the pack at last: a range more than full. */
    PACK_ENTRIES_MAX = PACK_ENTRIES_FULL + RANGE_PAGES + 1,
    /* A page table that has everything it can have takes this many raw bytes (page_table.c). */
    PAGE_TABLE_SIZE_MAX = 40 + RANGE_PAGES * (8 + 32 + 16),
    /* A pack is also closed when its raw directory has this many bytes. */
    PACK_DIRECTORY_FULL = 8 << 20,
    /* A directory can have a range of the longest paths on top of PACK_DIRECTORY_FULL. */
    PACK_DIRECTORY_MAX = 64 << 20,
};

typedef struct PackTrailer {
    uint32_t entry_count;
    uint64_t directory_offset;
    uint32_t directory_stored;
    uint32_t directory_raw;
    Codec directory_codec;
    uint64_t directory_checksum; /* It is X of the stored directory. */
} PackTrailer;

typedef struct PackEntry {
    FrameKind kind;
    Frame frame;
    uint32_t range;
    const char *path; /* After decoding it does not end with zero. */
    size_t path_size;
} PackEntry;

void pack_header_encode(const char *pack_id, uint64_t seed, uint8_t bytes[PACK_HEADER_SIZE]);
bool pack_header_check(const uint8_t bytes[PACK_HEADER_SIZE], const char *pack_id, uint64_t seed,
                       Error *err) MUST_CHECK;

void pack_trailer_encode(const PackTrailer *trailer, uint64_t seed,
                         uint8_t bytes[PACK_TRAILER_SIZE]);
/* pack_size: of the object that it is the end of. ERR_CORRUPT, ERR_VERSION. */
bool pack_trailer_decode(PackTrailer *trailer, const uint8_t bytes[PACK_TRAILER_SIZE],
                         uint64_t pack_size, uint64_t seed, Error *err) MUST_CHECK;

void pack_entry_encode(const PackEntry *entry, Buffer *directory); /* appended */
/* The entry at *offset, which moves past it. */
bool pack_entry_decode(const uint8_t *directory, size_t size, size_t *offset, PackEntry *entry,
                       Error *err) MUST_CHECK;

/*
 * Whether a frame can be what it says, in a pack of pack_size bytes, before a byte is read for it.
 * raw_max: the most raw bytes that the caller expects.
 */
bool frame_check(const Frame *frame, uint64_t pack_size, uint64_t raw_max, Error *err) MUST_CHECK;
