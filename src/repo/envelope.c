#include "repo/envelope.h"

#include "base/bytes.h"
#include "stream/digest.h"

#include <assert.h>

enum {
    CHECKSUM_SIZE = 8,
    FLAG_ENCRYPTED = 1,
    FLAGS_CRITICAL = 0xff,
    SKIPPABLE_MAGIC = 0x184D2A5E, /* Both zstd and lz4 skip frames with 0x184D2A50 to 5F. */
};

static size_t magic_size(const EnvelopeShape *shape)
{
    return strlen(shape->magic);
}

void envelope_begin(const EnvelopeShape *shape, uint16_t flags, uint8_t *bytes)
{
    const size_t size = magic_size(shape);

    assert((flags & ~shape->flags) == 0);
    memset(bytes, 0, shape->size);
    memcpy(bytes, shape->magic, size);
    put_le16(bytes + size, shape->version);
    put_le16(bytes + size + 2, flags);
}

void envelope_seal(const EnvelopeShape *shape, uint64_t seed, uint8_t *bytes)
{
    const size_t checked = shape->size - CHECKSUM_SIZE;

    assert(shape->cover == ENVELOPE_SEALED);
    put_le64(bytes + checked, xxh3_of(seed, bytes, checked));
}

uint16_t envelope_flags(const EnvelopeShape *shape, const uint8_t *bytes)
{
    return get_le16(bytes + magic_size(shape) + 2);
}

/* Before the checksum, which a newer version may keep elsewhere or compute otherwise. */
static bool envelope_check_version(const EnvelopeShape *shape, const uint8_t *bytes, Error *err)
{
    const unsigned version = get_le16(bytes + magic_size(shape));

    if (version == 0)
        return error_set(err, ERR_CORRUPT, "%s has version 0", shape->what);
    if (version <= shape->version)
        return true;
    error_set(err, ERR_VERSION, "%s has version %u, this program knows %u", shape->what, version,
              shape->version);
    return error_hint(err, "use a newer pgcairn");
}

static bool check_seal(const EnvelopeShape *shape, uint64_t seed, const uint8_t *bytes, Error *err)
{
    const size_t checked = shape->size - CHECKSUM_SIZE;

    return shape->cover != ENVELOPE_SEALED ||
           get_le64(bytes + checked) == xxh3_of(seed, bytes, checked) ||
           error_set(err, ERR_CORRUPT, "%s has a bad checksum", shape->what);
}

static bool has_reserved_bytes(const EnvelopeShape *shape, const uint8_t *bytes)
{
    for (size_t i = 0; i < ENVELOPE_SPANS_MAX; i++) {
        if (!bytes_are_zero(bytes + shape->reserved[i].offset, shape->reserved[i].size))
            return true;
    }
    return false;
}

/* What a newer writer of this version may have added. */
static bool check_additions(const EnvelopeShape *shape, const uint8_t *bytes, Error *err)
{
    const unsigned unknown = envelope_flags(shape, bytes) & ~(unsigned)shape->flags;
    const bool has_options = unknown > FLAGS_CRITICAL;
    const unsigned critical = unknown & FLAGS_CRITICAL;

    if (critical == FLAG_ENCRYPTED) {
        return error_set(err, ERR_VERSION,
                         "%s says that the object is encrypted, which this "
                         "program can't read",
                         shape->what);
    }
    if (critical == 0 && (has_options || !has_reserved_bytes(shape, bytes)))
        return true;
    error_set(err, ERR_VERSION, "%s has %s of a newer version", shape->what,
              critical != 0 ? "flags" : "fields");
    return error_hint(err, "use a newer pgcairn");
}

bool envelope_check(const EnvelopeShape *shape, uint64_t seed, const uint8_t *bytes, size_t size,
                    Error *err)
{
    if (size < shape->size || memcmp(bytes, shape->magic, magic_size(shape)) != 0)
        return error_set(err, ERR_CORRUPT, "not a %s", shape->what);
    return envelope_check_version(shape, bytes, err) && check_seal(shape, seed, bytes, err) &&
           check_additions(shape, bytes, err);
}

bool stored_checksum_check(uint64_t computed, uint64_t recorded, Error *err)
{
    return computed == recorded || error_set(err, ERR_CORRUPT, "stored bytes have a bad checksum");
}

void skippable_begin(uint32_t size, uint8_t bytes[SKIPPABLE_HEADER_SIZE])
{
    put_le32(bytes, SKIPPABLE_MAGIC);
    put_le32(bytes + 4, size);
}

bool skippable_is_first(const uint8_t *bytes, size_t size)
{
    return size >= SKIPPABLE_HEADER_SIZE && get_le32(bytes) == SKIPPABLE_MAGIC;
}

bool skippable_is_at(uint32_t size, const uint8_t bytes[SKIPPABLE_HEADER_SIZE])
{
    return get_le32(bytes) == SKIPPABLE_MAGIC && get_le32(bytes + 4) == size;
}
