/*
 * envelope.h - what every binary header and trailer of an object has in common: docs/format.md,
 * "How the format grows".
 *
 *   magic, version (2 bytes), flags (2), fields and reserved bytes, X of all before it (8)
 *
 * The version is checked before the checksum, since a newer version may compute it otherwise.
 * Flags 0 to 7 are critical: a reader that does not know one refuses the object. Flags 8 to 15 are
 * optional: a reader that does not know one ignores it, and the reserved bytes that belong to it.
 * Without such a flag reserved bytes are 0, and a reader refuses others: a newer writer is
 * recognised, not misread.
 */
#pragma once

#include "base/base.h"
#include "base/error.h"

/* What covers an envelope's own bytes: law 4 asks it of each. */
typedef enum EnvelopeCover {
    ENVELOPE_SEALED,  /* Its last 8 bytes are X of all before them. */
    ENVELOPE_COVERED, /* The checksum of the frame that holds it covers it. */
} EnvelopeCover;

enum { ENVELOPE_SPANS_MAX = 8, ENVELOPE_MAGIC_MAX = 8 };

typedef struct EnvelopeSpan {
    uint16_t offset, size; /* They are in bytes, from the magic on. */
} EnvelopeSpan;

/* One kind of header or trailer: a constant of the file that encodes and decodes it. */
typedef struct EnvelopeShape {
    const char *what; /* Messages call it by this name: "pack header". */
    char magic[ENVELOPE_MAGIC_MAX + 1];
    /* It has this many bytes from the magic to the end, including the checksum. */
    uint16_t size;
    uint16_t version; /* This version is written, and it is the newest that is read. */
    /*
     * This program knows these. If it does not know bit 0, a set bit 0 means that the object is
     * encrypted.
     */
    uint16_t flags;
    EnvelopeCover cover;
    /* They leave out the flags. Unused ones have size 0. */
    EnvelopeSpan reserved[ENVELOPE_SPANS_MAX];
} EnvelopeShape;

/* Clears shape->size bytes and puts magic, version and flags there. */
void envelope_begin(const EnvelopeShape *shape, uint16_t flags, uint8_t *bytes);
/* ENVELOPE_SEALED: puts the checksum, when all the rest is there. */
void envelope_seal(const EnvelopeShape *shape, uint64_t seed, uint8_t *bytes);
/*
 * Whether there is such an envelope that this program can read. ERR_CORRUPT: cut, something else,
 * or a bad checksum. ERR_VERSION: of a newer version, or encrypted.
 */
bool envelope_check(const EnvelopeShape *shape, uint64_t seed, const uint8_t *bytes, size_t size,
                    Error *err) MUST_CHECK;
uint16_t envelope_flags(const EnvelopeShape *shape, const uint8_t *bytes);

/*
 * X of stored bytes, computed and as recorded: the one comparison of law 4. ERR_CORRUPT. Called
 * before a decompressor sees the bytes.
 */
bool stored_checksum_check(uint64_t computed, uint64_t recorded, Error *err) MUST_CHECK;

/*
 * The stock programs of zstd and lz4 skip a frame that begins like this (RFC 8878, 3.1.2; 16 magic
 * numbers are theirs to give, ours is one of them). Put before an envelope in such a stream.
 */
enum { SKIPPABLE_HEADER_SIZE = 8 };
void skippable_begin(uint32_t size, uint8_t bytes[SKIPPABLE_HEADER_SIZE]);
bool skippable_is_at(uint32_t size, const uint8_t bytes[SKIPPABLE_HEADER_SIZE]);
/* One of any size, at the beginning of `size` bytes. */
bool skippable_is_first(const uint8_t *bytes, size_t size);
