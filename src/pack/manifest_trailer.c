#include "manifest_trailer.h"

#include "base/bytes.h"
#include "repo/envelope.h"
#include "stream/codec.h"
#include "stream/digest.h"

#include <inttypes.h>

enum { BODY_SIZE = MANIFEST_TRAILER_SIZE - SKIPPABLE_HEADER_SIZE };

static const EnvelopeShape shape = {.what = "manifest trailer",
                                    .magic = "PGCNMEND",
                                    .size = BODY_SIZE,
                                    .version = 1,
                                    .reserved = {{12, 4}}};

void manifest_trailer_encode(const ManifestTrailer *trailer, uint64_t seed,
                             uint8_t bytes[MANIFEST_TRAILER_SIZE])
{
    uint8_t *body = bytes + SKIPPABLE_HEADER_SIZE;

    skippable_begin(BODY_SIZE, bytes);
    envelope_begin(&shape, 0, body);
    put_le64(body + 16, trailer->head_size);
    put_le64(body + 24, trailer->frames_size);
    put_le64(body + 32, trailer->head_checksum);
    put_le64(body + 40, trailer->frames_checksum);
    envelope_seal(&shape, seed, body);
}

static bool trailer_check_sizes(const ManifestTrailer *trailer, uint64_t object_size, Error *err)
{
    if (object_size - MANIFEST_TRAILER_SIZE != trailer->frames_size) {
        return error_set(err, ERR_CORRUPT,
                         "manifest has %" PRIu64 " bytes before its trailer, which says %" PRIu64,
                         object_size - MANIFEST_TRAILER_SIZE, trailer->frames_size);
    }
    return trailer->head_size <= trailer->frames_size ||
           error_set(err, ERR_CORRUPT, "manifest's head is larger than the whole");
}

bool manifest_trailer_decode(ManifestTrailer *trailer, const Buffer *tail, uint64_t object_size,
                             uint64_t seed, Error *err)
{
    if (tail->size < MANIFEST_TRAILER_SIZE)
        return error_set(err, ERR_CORRUPT, "manifest of %zu bytes is cut", tail->size);
    const uint8_t *bytes = tail->data + tail->size - MANIFEST_TRAILER_SIZE;
    const uint8_t *body = bytes + SKIPPABLE_HEADER_SIZE;
    if (!skippable_is_at(BODY_SIZE, bytes) || memcmp(body, shape.magic, strlen(shape.magic)) != 0)
        return error_set(err, ERR_CORRUPT, "manifest is cut: no trailer");
    if (!envelope_check(&shape, seed, body, BODY_SIZE, err))
        return false;
    *trailer = (ManifestTrailer){
        .head_size = get_le64(body + 16),
        .frames_size = get_le64(body + 24),
        .head_checksum = get_le64(body + 32),
        .frames_checksum = get_le64(body + 40),
    };
    return trailer_check_sizes(trailer, object_size, err);
}

void manifest_frame_add(Buffer *checksums, uint64_t seed, const void *frame, size_t size)
{
    uint8_t bytes[8];

    put_le64(bytes, xxh3_of(seed, frame, size));
    buffer_append(checksums, bytes, sizeof bytes);
}

uint64_t manifest_frames_checksum(const Buffer *checksums, uint64_t seed)
{
    return xxh3_of(seed, checksums->data, checksums->size);
}

static bool check_stored(const uint8_t *stored, size_t size, uint64_t checksum, uint64_t seed,
                         Error *err)
{
    CLEANUP(buffer_done) Buffer checksums = {0};

    for (size_t offset = 0; offset < size;) {
        size_t frame_size;
        uint64_t raw_size;

        if (!codec_zstd_frame_size(stored + offset, size - offset, &frame_size, &raw_size, err))
            return false;
        manifest_frame_add(&checksums, seed, stored + offset, frame_size);
        offset += frame_size;
    }
    return stored_checksum_check(manifest_frames_checksum(&checksums, seed), checksum, err);
}

bool manifest_check_head_frames(const ManifestTrailer *trailer, const uint8_t *stored,
                                uint64_t seed, Error *err)
{
    return check_stored(stored, trailer->head_size, trailer->head_checksum, seed, err);
}

bool manifest_check_frames(const ManifestTrailer *trailer, const uint8_t *stored, uint64_t seed,
                           Error *err)
{
    return manifest_check_head_frames(trailer, stored, seed, err) &&
           check_stored(stored, trailer->frames_size, trailer->frames_checksum, seed, err);
}
