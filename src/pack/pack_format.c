#include "pack_format.h"

#include "base/bytes.h"
#include "repo/envelope.h"
#include "stream/digest.h"

#include <assert.h>
#include <inttypes.h>

enum { PACK_VERSION = 1, PACK_ID_SIZE = 16 };

static const EnvelopeShape header_shape = {.what = "pack header",
                                           .magic = "PGCNPACK",
                                           .size = PACK_HEADER_SIZE,
                                           .version = PACK_VERSION,
                                           .reserved = {{12, 4}, {32, 40}}};
static const EnvelopeShape trailer_shape = {.what = "pack trailer",
                                            .magic = "PGCNPEND",
                                            .size = PACK_TRAILER_SIZE,
                                            .version = PACK_VERSION,
                                            .reserved = {{33, 7}, {48, 8}}};

void pack_header_encode(const char *pack_id, uint64_t seed, uint8_t bytes[PACK_HEADER_SIZE])
{
    envelope_begin(&header_shape, 0, bytes);
    bool is_id = hex_parse(pack_id, bytes + 16, PACK_ID_SIZE);
    assert(is_id);
    (void)is_id;
    envelope_seal(&header_shape, seed, bytes);
}

bool pack_header_check(const uint8_t bytes[PACK_HEADER_SIZE], const char *pack_id, uint64_t seed,
                       Error *err)
{
    uint8_t id[PACK_ID_SIZE];
    char found[2 * PACK_ID_SIZE + 1];

    if (!envelope_check(&header_shape, seed, bytes, PACK_HEADER_SIZE, err))
        return false;
    if (!hex_parse(pack_id, id, sizeof id) || memcmp(bytes + 16, id, sizeof id) != 0) {
        return error_set(err, ERR_CORRUPT, "object holds pack %s",
                         hex_text(bytes + 16, PACK_ID_SIZE, found));
    }
    return true;
}

void pack_trailer_encode(const PackTrailer *trailer, uint64_t seed,
                         uint8_t bytes[PACK_TRAILER_SIZE])
{
    envelope_begin(&trailer_shape, 0, bytes);
    put_le32(bytes + 12, trailer->entry_count);
    put_le64(bytes + 16, trailer->directory_offset);
    put_le32(bytes + 24, trailer->directory_stored);
    put_le32(bytes + 28, trailer->directory_raw);
    bytes[32] = (uint8_t)trailer->directory_codec;
    put_le64(bytes + 40, trailer->directory_checksum);
    envelope_seal(&trailer_shape, seed, bytes);
}

bool pack_trailer_decode(PackTrailer *trailer, const uint8_t bytes[PACK_TRAILER_SIZE],
                         uint64_t pack_size, uint64_t seed, Error *err)
{
    if (pack_size < PACK_HEADER_SIZE + PACK_TRAILER_SIZE)
        return error_set(err, ERR_CORRUPT, "pack of %" PRIu64 " bytes is cut", pack_size);
    if (!envelope_check(&trailer_shape, seed, bytes, PACK_TRAILER_SIZE, err))
        return false;
    if (!codec_is_known(bytes[32]))
        return error_set(err, ERR_VERSION, "pack directory has codec %u", bytes[32]);

    PackTrailer found = {
        .entry_count = get_le32(bytes + 12),
        .directory_offset = get_le64(bytes + 16),
        .directory_stored = get_le32(bytes + 24),
        .directory_raw = get_le32(bytes + 28),
        .directory_codec = (Codec)bytes[32],
        .directory_checksum = get_le64(bytes + 40),
    };
    uint64_t end = pack_size - PACK_TRAILER_SIZE;
    if (found.directory_offset < PACK_HEADER_SIZE || found.directory_offset > end ||
        found.directory_stored != end - found.directory_offset)
        return error_set(err, ERR_CORRUPT, "pack directory is not where the trailer says");
    if (found.entry_count > PACK_ENTRIES_MAX || found.directory_raw > PACK_DIRECTORY_MAX ||
        found.directory_raw < (uint64_t)found.entry_count * PACK_ENTRY_SIZE ||
        found.directory_stored > frame_stored_max(found.directory_raw)) {
        return error_set(err, ERR_CORRUPT,
                         "pack claims a directory of %u entries and %u bytes, %u stored",
                         found.entry_count, found.directory_raw, found.directory_stored);
    }
    *trailer = found;
    return true;
}

void pack_entry_encode(const PackEntry *entry, Buffer *directory)
{
    uint8_t bytes[PACK_ENTRY_SIZE] = {0};

    assert(entry->path_size <= PACK_PATH_MAX);
    bytes[0] = (uint8_t)entry->kind;
    bytes[1] = (uint8_t)entry->frame.codec;
    put_le16(bytes + 2, (uint16_t)entry->path_size);
    put_le32(bytes + 4, entry->range);
    put_le64(bytes + 8, entry->frame.offset);
    put_le64(bytes + 16, entry->frame.checksum);
    put_le32(bytes + 24, entry->frame.stored_size);
    put_le32(bytes + 28, entry->frame.raw_size);
    buffer_append(directory, bytes, sizeof bytes);
    buffer_append(directory, entry->path, entry->path_size);
}

bool pack_entry_decode(const uint8_t *directory, size_t size, size_t *offset, PackEntry *entry,
                       Error *err)
{
    const uint8_t *bytes = directory + *offset;
    size_t room = size - *offset;

    if (room < PACK_ENTRY_SIZE || room - PACK_ENTRY_SIZE < get_le16(bytes + 2))
        return error_set(err, ERR_CORRUPT, "pack directory is cut");
    if (bytes[0] < FRAME_EXTENT || bytes[0] > FRAME_FILE)
        return error_set(err, ERR_VERSION, "pack directory has a frame of kind %u", bytes[0]);
    if (!codec_is_known(bytes[1]))
        return error_set(err, ERR_VERSION, "pack directory has a frame of codec %u", bytes[1]);
    *entry = (PackEntry){
        .kind = (FrameKind)bytes[0],
        .frame =
            {
                .codec = (Codec)bytes[1],
                .offset = get_le64(bytes + 8),
                .checksum = get_le64(bytes + 16),
                .stored_size = get_le32(bytes + 24),
                .raw_size = get_le32(bytes + 28),
            },
        .range = get_le32(bytes + 4),
        .path = (const char *)bytes + PACK_ENTRY_SIZE,
        .path_size = get_le16(bytes + 2),
    };
    *offset += PACK_ENTRY_SIZE + entry->path_size;
    return true;
}

bool frame_check(const Frame *frame, uint64_t pack_size, uint64_t raw_max, Error *err)
{
    if (frame->raw_size == 0 || frame->raw_size > raw_max || frame->stored_size == 0 ||
        frame->stored_size > frame_stored_max(frame->raw_size)) {
        return error_set(err, ERR_CORRUPT, "frame of %u bytes stored as %u", frame->raw_size,
                         frame->stored_size);
    }
    if (pack_size < PACK_HEADER_SIZE + PACK_TRAILER_SIZE || frame->offset < PACK_HEADER_SIZE ||
        frame->offset > pack_size - PACK_TRAILER_SIZE ||
        frame->stored_size > pack_size - PACK_TRAILER_SIZE - frame->offset) {
        return error_set(err, ERR_CORRUPT,
                         "frame at %" PRIu64 " of %u bytes is outside its pack of %" PRIu64,
                         frame->offset, frame->stored_size, pack_size);
    }
    return true;
}
