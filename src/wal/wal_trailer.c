#include "wal_frame.h"

#include "base/bytes.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "repo/envelope.h"
#include "repo/frame.h"

#include <assert.h>
#include <inttypes.h>

/* docs/format.md, chapter 6.1. */
static const EnvelopeShape trailer_shape = {
    .what = "trailer of a WAL object",
    .magic = "PGCNWAL1",
    .size = WAL_TRAILER_SIZE,
    .version = 1,
    .flags = 0x100,
    .reserved = {{14, 2}, {32, 16}, {174, 2}, {314, 2}, {332, 4}, {1004, 4}},
};

enum {
    POINTS_OFFSET = 336,
    POINT_SIZE = 88,
    POINT_NAME_SIZE = 64,
    REASON_OFFSET = 864,
    REASON_SIZE = 128,
    FRAMES_OFFSET = 1016,
    BIT_REST_IS_ZERO = 1,
    BIT_STARTS_WITH_OVERWRITE = 2,
    BIT_TAIL_HAS_KIND = 4,
    FLAG_HAS_BLOCKS = 0x100,
    BLOCKS_OFFSET = 992,
    BLOCKS_FIELDS_SIZE = 24,
    CHANGES_SHIFT = 3, /* Bits 3 to 7 of that byte are WalSummary.changes. */

    /* It is a member header, the length of the extra field and a subfield header. */
    GZIP_HEADER_SIZE = 16,
    GZIP_END_SIZE = 10, /* It is an empty deflate block, a CRC and a size. */
};

uint32_t wal_frame_size(uint64_t raw_size)
{
    uint32_t size = raw_size > 8 << 20 ? 2 << 20 : 1 << 20;

    while (wal_frame_count(raw_size, size) > WAL_FRAMES_MAX && size < WAL_FRAME_SIZE_MAX)
        size *= 2;
    return size;
}

uint64_t wal_stored_checksum(uint64_t seed, const uint64_t *checksums, uint32_t frame_count)
{
    uint8_t bytes[8 * WAL_FRAMES_MAX];

    assert(frame_count <= WAL_FRAMES_MAX);
    for (uint32_t i = 0; i < frame_count; i++)
        put_le64(bytes + (size_t)8 * i, checksums[i]);
    return xxh3_of(seed, bytes, (size_t)8 * frame_count);
}

void wal_raw_checksum(uint64_t seed, uint8_t checksums[][XXH128_SIZE], uint32_t frame_count,
                      uint8_t checksum[XXH128_SIZE])
{
    assert(frame_count <= WAL_FRAMES_MAX);
    xxh128_of(seed, checksums, (size_t)XXH128_SIZE * frame_count, checksum);
}

bool wal_file_checksum(const Repo *repo, int fd, const char *path, uint64_t size,
                       uint8_t checksum[XXH128_SIZE], Error *err)
{
    const uint32_t frame_size = wal_frame_size(size);
    const uint32_t frame_count = wal_frame_count(size, frame_size);
    uint8_t checksums[WAL_FRAMES_MAX][XXH128_SIZE];
    CLEANUP(buffer_done) Buffer frame = {0};

    assert(frame_count <= WAL_FRAMES_MAX);
    buffer_reserve(&frame, frame_size);
    for (uint32_t i = 0; i < frame_count; i++) {
        const uint32_t want = wal_frame_raw_size(size, frame_size, i);
        size_t got;

        if (!interrupt_check(err) ||
            !file_read_at(fd, frame.data, want, (uint64_t)i * frame_size, &got, path, err))
            return false;
        if (got < want)
            return error_set(err, ERR_IO, "%s has become shorter than %" PRIu64, path, size);
        xxh128_of(repo->hash_seed, frame.data, want, checksums[i]);
    }
    wal_raw_checksum(repo->hash_seed, checksums, frame_count, checksum);
    return true;
}

bool wal_trailers_agree(const WalTrailer *a, const WalTrailer *b)
{
    return a->raw_size == b->raw_size && a->frame_size == b->frame_size &&
           memcmp(a->raw_checksum, b->raw_checksum, XXH128_SIZE) == 0;
}

static void trailer_put_text(uint8_t *to, size_t room, const char *text)
{
    memcpy(to, text, strnlen(text, room - 1)); /* the rest is zero already */
}

/* Zero-padded, so the last byte is zero. */
static bool get_text(const uint8_t *from, size_t room, char *text)
{
    memcpy(text, from, room);
    return text[room - 1] == '\0';
}

static void put_reader(const WalReaderState *reader, uint8_t *bytes)
{
    put_le16(bytes + 104, reader->magic);
    bytes[106] = (uint8_t)reader->end;
    bytes[107] = (uint8_t)((reader->rest_is_zero ? BIT_REST_IS_ZERO : 0) |
                           (reader->starts_with_overwrite ? BIT_STARTS_WITH_OVERWRITE : 0) |
                           (reader->tail_has_kind ? BIT_TAIL_HAS_KIND : 0));
    put_le32(bytes + 108, reader->first_page_timeline);
    put_le64(bytes + 112, reader->first_record);
    put_le64(bytes + 120, reader->first_prev);
    put_le64(bytes + 128, reader->last_record);
    put_le64(bytes + 136, reader->last_end);
    put_le64(bytes + 144, reader->broken_at);
    put_le64(bytes + 152, reader->tail_record);
    put_le32(bytes + 160, reader->tail_total);
    put_le32(bytes + 164, reader->tail_have);
    put_le32(bytes + 168, reader->head_size);
    bytes[172] = reader->tail_rmgr;
    bytes[173] = reader->tail_info;
    put_le64(bytes + 176, reader->record_count);
    trailer_put_text(bytes + REASON_OFFSET, REASON_SIZE, reader->reason);
}

static bool get_reader(WalReaderState *reader, const uint8_t *bytes)
{
    if (!get_text(bytes + REASON_OFFSET, sizeof reader->reason, reader->reason))
        return false;
    reader->magic = get_le16(bytes + 104);
    reader->end = (WalEnd)bytes[106];
    reader->rest_is_zero = (bytes[107] & BIT_REST_IS_ZERO) != 0;
    reader->starts_with_overwrite = (bytes[107] & BIT_STARTS_WITH_OVERWRITE) != 0;
    reader->tail_has_kind = (bytes[107] & BIT_TAIL_HAS_KIND) != 0;
    reader->first_page_timeline = get_le32(bytes + 108);
    reader->first_record = get_le64(bytes + 112);
    reader->first_prev = get_le64(bytes + 120);
    reader->last_record = get_le64(bytes + 128);
    reader->last_end = get_le64(bytes + 136);
    reader->broken_at = get_le64(bytes + 144);
    reader->tail_record = get_le64(bytes + 152);
    reader->tail_total = get_le32(bytes + 160);
    reader->tail_have = get_le32(bytes + 164);
    reader->head_size = get_le32(bytes + 168);
    reader->tail_rmgr = bytes[172];
    reader->tail_info = bytes[173];
    reader->record_count = get_le64(bytes + 176);
    return true;
}

static void put_parameters(const WalParameters *parameters, uint8_t *bytes)
{
    put_le32(bytes + 288, parameters->max_connections);
    put_le32(bytes + 292, parameters->max_worker_processes);
    put_le32(bytes + 296, parameters->max_wal_senders);
    put_le32(bytes + 300, parameters->max_prepared_xacts);
    put_le32(bytes + 304, parameters->max_locks_per_xact);
    put_le32(bytes + 308, parameters->wal_level);
    bytes[312] = parameters->wal_log_hints ? 1 : 0;
    bytes[313] = parameters->track_commit_timestamp ? 1 : 0;
}

static bool get_parameters(WalParameters *parameters, const uint8_t *bytes)
{
    *parameters = (WalParameters){
        .max_connections = get_le32(bytes + 288),
        .max_worker_processes = get_le32(bytes + 292),
        .max_wal_senders = get_le32(bytes + 296),
        .max_prepared_xacts = get_le32(bytes + 300),
        .max_locks_per_xact = get_le32(bytes + 304),
        .wal_level = get_le32(bytes + 308),
        .wal_log_hints = bytes[312] != 0,
        .track_commit_timestamp = bytes[313] != 0,
    };
    return bytes[312] <= 1 && bytes[313] <= 1;
}

static uint32_t points_kept(const WalSummary *summary)
{
    return summary->restore_point_count < WAL_RESTORE_POINTS_KEPT ? summary->restore_point_count
                                                                  : WAL_RESTORE_POINTS_KEPT;
}

static void put_points(const WalSummary *summary, uint8_t *bytes)
{
    put_le32(bytes + 328, summary->restore_point_count);
    for (uint32_t i = 0; i < points_kept(summary); i++) {
        const WalRestorePoint *point = &summary->restore_points[i];
        uint8_t *to = bytes + POINTS_OFFSET + (size_t)POINT_SIZE * i;

        put_le64(to, point->lsn);
        put_le64(to + 8, point->end);
        put_le64(to + 16, (uint64_t)point->time);
        trailer_put_text(to + 24, POINT_NAME_SIZE, point->name);
    }
}

static bool get_points(WalSummary *summary, const uint8_t *bytes)
{
    summary->restore_point_count = get_le32(bytes + 328);
    for (uint32_t i = 0; i < points_kept(summary); i++) {
        WalRestorePoint *point = &summary->restore_points[i];
        const uint8_t *from = bytes + POINTS_OFFSET + (size_t)POINT_SIZE * i;

        point->lsn = get_le64(from);
        point->end = get_le64(from + 8);
        point->time = (TimeUs)get_le64(from + 16);
        if (!get_text(from + 24, sizeof point->name, point->name))
            return false;
    }
    return true;
}

static void put_summary(const WalSummary *summary, uint8_t *bytes)
{
    put_reader(&summary->reader, bytes);
    put_le32(bytes + 184, summary->commit_count);
    put_le32(bytes + 188, summary->abort_count);
    put_le64(bytes + 192, (uint64_t)summary->end_time_min);
    put_le64(bytes + 200, (uint64_t)summary->end_time_max);
    put_le64(bytes + 208, (uint64_t)summary->commit_time_min);
    put_le64(bytes + 216, (uint64_t)summary->commit_time_max);
    put_le32(bytes + 224, summary->xid_first);
    put_le32(bytes + 228, summary->xid_last);
    put_le64(bytes + 232, summary->first_end_lsn);
    put_le64(bytes + 240, summary->last_end_lsn);
    put_le64(bytes + 248, summary->last_commit_end);
    put_le64(bytes + 256, summary->backup_end);
    put_le64(bytes + 264, summary->backup_end_start);
    put_le64(bytes + 272, summary->fpw_off);
    put_le64(bytes + 280, summary->parameters_at);
    put_parameters(&summary->parameters, bytes);
    put_le32(bytes + 316, summary->new_timeline);
    put_le64(bytes + 320, summary->minimal_at);
    bytes[107] |= (uint8_t)(summary->changes << CHANGES_SHIFT);
    put_points(summary, bytes);
}

static bool get_summary(WalSummary *summary, const uint8_t *bytes)
{
    wal_summary_init(summary);
    summary->commit_count = get_le32(bytes + 184);
    summary->abort_count = get_le32(bytes + 188);
    summary->end_time_min = (TimeUs)get_le64(bytes + 192);
    summary->end_time_max = (TimeUs)get_le64(bytes + 200);
    summary->commit_time_min = (TimeUs)get_le64(bytes + 208);
    summary->commit_time_max = (TimeUs)get_le64(bytes + 216);
    summary->xid_first = get_le32(bytes + 224);
    summary->xid_last = get_le32(bytes + 228);
    summary->first_end_lsn = get_le64(bytes + 232);
    summary->last_end_lsn = get_le64(bytes + 240);
    summary->last_commit_end = get_le64(bytes + 248);
    summary->backup_end = get_le64(bytes + 256);
    summary->backup_end_start = get_le64(bytes + 264);
    summary->fpw_off = get_le64(bytes + 272);
    summary->parameters_at = get_le64(bytes + 280);
    summary->new_timeline = get_le32(bytes + 316);
    summary->minimal_at = get_le64(bytes + 320);
    summary->changes = bytes[107] >> CHANGES_SHIFT & WAL_CHANGES_ALL;
    return get_reader(&summary->reader, bytes) && get_parameters(&summary->parameters, bytes) &&
           get_points(summary, bytes);
}

void wal_trailer_encode(const WalTrailer *trailer, uint64_t seed, uint8_t bytes[WAL_TRAILER_SIZE])
{
    assert(trailer->frame_count <= WAL_FRAMES_MAX);
    envelope_begin(&trailer_shape, trailer->blocks_size > 0 ? FLAG_HAS_BLOCKS : 0, bytes);
    bytes[12] = (uint8_t)(trailer->kind + 1);
    bytes[13] = (uint8_t)trailer->codec;
    memcpy(bytes + 16, trailer->raw_checksum, XXH128_SIZE);
    put_le64(bytes + 48, trailer->raw_size);
    put_le64(bytes + 56, trailer->stored_size);
    put_le64(bytes + 64, trailer->stored_checksum);
    put_le64(bytes + 72, trailer->system_identifier);
    put_le32(bytes + 80, trailer->timeline);
    put_le32(bytes + 84, trailer->major);
    put_le32(bytes + 88, trailer->segment_size);
    put_le32(bytes + 92, trailer->frame_size);
    put_le32(bytes + 96, trailer->frame_count);
    put_le32(bytes + 100, trailer->between);
    put_le64(bytes + BLOCKS_OFFSET, trailer->blocks_offset);
    put_le32(bytes + BLOCKS_OFFSET + 8, trailer->blocks_size);
    put_le64(bytes + BLOCKS_OFFSET + 16, trailer->blocks_checksum);
    put_summary(&trailer->summary, bytes);
    for (uint32_t i = 0; i < trailer->frame_count; i++)
        put_le32(bytes + FRAMES_OFFSET + (size_t)4 * i, trailer->frame_stored[i]);
    envelope_seal(&trailer_shape, seed, bytes);
}

/* Values that this version does not have: a newer writer of the same version, no damage. */
static bool check_known(const uint8_t *bytes, Error *err)
{
    if (bytes[12] < WAL_SEGMENT + 1 || bytes[12] > WAL_HISTORY + 1 || !codec_is_known(bytes[13]) ||
        bytes[106] > WAL_END_BROKEN) {
        error_set(err, ERR_VERSION, "WAL object of kind %u and codec %u, end %u", bytes[12],
                  bytes[13], bytes[106]);
        return error_hint(err, "use a newer pgcairn");
    }
    return true;
}

static bool check_blocks(const WalTrailer *trailer)
{
    const uint64_t frames = trailer->stored_size;

    return trailer->blocks_size >= WAL_BLOCKS_HEADER_SIZE &&
           trailer->blocks_size <= trailer->between && trailer->blocks_offset >= frames &&
           trailer->blocks_offset - frames <= trailer->between - trailer->blocks_size;
}

/* Without the flag these bytes are as reserved ones are: of a flag that is not known, or newer. */
static bool get_blocks(WalTrailer *trailer, const uint8_t *bytes, Error *err)
{
    const unsigned flags = envelope_flags(&trailer_shape, bytes);

    if ((flags & FLAG_HAS_BLOCKS) != 0) {
        trailer->blocks_offset = get_le64(bytes + BLOCKS_OFFSET);
        trailer->blocks_size = get_le32(bytes + BLOCKS_OFFSET + 8);
        trailer->blocks_checksum = get_le64(bytes + BLOCKS_OFFSET + 16);
        return check_blocks(trailer) ||
               error_set(err, ERR_CORRUPT, "the list of changed blocks is not within its object");
    }
    if (flags != 0 || bytes_are_zero(bytes + BLOCKS_OFFSET, BLOCKS_FIELDS_SIZE))
        return true;
    error_set(err, ERR_VERSION, "%s has fields of a newer version", trailer_shape.what);
    return error_hint(err, "use a newer pgcairn");
}

/* Sizes agree with each other and are possible: all that is allocated or read follows from them. */
static bool check_sizes(const WalTrailer *trailer)
{
    uint32_t frame_size = trailer->frame_size;
    uint64_t stored = 0;

    if (!wal_segment_size_is_valid(trailer->segment_size) || trailer->raw_size > WAL_RAW_SIZE_MAX ||
        frame_size < 1 << 20 || frame_size > WAL_FRAME_SIZE_MAX ||
        (frame_size & (frame_size - 1)) != 0 || trailer->frame_count > WAL_FRAMES_MAX ||
        trailer->frame_count != wal_frame_count(trailer->raw_size, frame_size) ||
        (trailer->kind == WAL_SEGMENT && trailer->raw_size != trailer->segment_size))
        return false;
    for (uint32_t i = 0; i < WAL_FRAMES_MAX; i++) {
        uint64_t stored_max = 0;

        if (i < trailer->frame_count)
            stored_max = frame_stored_max(wal_frame_raw_size(trailer->raw_size, frame_size, i));
        if (trailer->frame_stored[i] > stored_max ||
            (trailer->frame_stored[i] == 0 && i < trailer->frame_count))
            return false;
        stored += trailer->frame_stored[i];
    }
    return stored == trailer->stored_size;
}

bool wal_trailer_decode(WalTrailer *trailer, const uint8_t bytes[WAL_TRAILER_SIZE], uint64_t seed,
                        Error *err)
{
    if (!envelope_check(&trailer_shape, seed, bytes, WAL_TRAILER_SIZE, err) ||
        !check_known(bytes, err))
        return false;

    WalTrailer found = {
        .kind = (WalFileKind)(bytes[12] - 1),
        .codec = (Codec)bytes[13],
        .raw_size = get_le64(bytes + 48),
        .stored_size = get_le64(bytes + 56),
        .stored_checksum = get_le64(bytes + 64),
        .system_identifier = get_le64(bytes + 72),
        .timeline = get_le32(bytes + 80),
        .major = get_le32(bytes + 84),
        .segment_size = get_le32(bytes + 88),
        .frame_size = get_le32(bytes + 92),
        .frame_count = get_le32(bytes + 96),
        .between = get_le32(bytes + 100),
    };
    memcpy(found.raw_checksum, bytes + 16, XXH128_SIZE);
    for (uint32_t i = 0; i < WAL_FRAMES_MAX; i++)
        found.frame_stored[i] = get_le32(bytes + FRAMES_OFFSET + (size_t)4 * i);
    if (!get_blocks(&found, bytes, err))
        return false;
    if (!check_sizes(&found) || !get_summary(&found.summary, bytes))
        return error_set(err, ERR_CORRUPT, "trailer of WAL object contradicts itself");
    *trailer = found;
    return true;
}

size_t wal_container_begin(Codec codec, uint32_t size, uint8_t bytes[WAL_CONTAINER_MAX])
{
    /* RFC 1952: magic, deflate, FEXTRA, no time, unknown system; length of extra; subfield PC. */
    static const uint8_t gzip[GZIP_HEADER_SIZE] = {0x1f, 0x8b, 8, 4, 0,   0,   0, 0,
                                                   0,    0xff, 0, 0, 'P', 'C', 0, 0};

    if (codec != CODEC_GZIP) {
        skippable_begin(size, bytes);
        return SKIPPABLE_HEADER_SIZE;
    }
    assert(size <= WAL_CONTAINER_GZIP_MAX);
    memcpy(bytes, gzip, sizeof gzip);
    put_le16(bytes + 10, (uint16_t)(size + 4));
    put_le16(bytes + 14, (uint16_t)size);
    return sizeof gzip;
}

/* Of gzip an empty deflate block; CRC and size of nothing. */
static const uint8_t gzip_end[GZIP_END_SIZE] = {0x03};

size_t wal_container_end(Codec codec, const uint8_t **bytes)
{
    *bytes = gzip_end;
    return codec == CODEC_GZIP ? sizeof gzip_end : 0;
}

void wal_trailer_wrap(const WalTrailer *trailer, uint64_t seed, Buffer *out)
{
    uint8_t header[WAL_CONTAINER_MAX];
    uint8_t bytes[WAL_TRAILER_SIZE];
    const uint8_t *end;

    wal_trailer_encode(trailer, seed, bytes);
    buffer_append(out, header, wal_container_begin(trailer->codec, WAL_TRAILER_SIZE, header));
    buffer_append(out, bytes, sizeof bytes);
    const size_t end_size = wal_container_end(trailer->codec, &end);
    buffer_append(out, end, end_size);
}

/* The trailer with that many bytes after it, if it is there, and NULL otherwise. */
static const uint8_t *trailer_at(const uint8_t *suffix, size_t size, size_t behind)
{
    size_t needed = WAL_TRAILER_SIZE + behind;

    if (size < needed ||
        memcmp(suffix + size - needed, trailer_shape.magic, strlen(trailer_shape.magic)) != 0)
        return NULL;
    return suffix + size - needed;
}

bool wal_trailer_find(WalTrailer *trailer, const uint8_t *suffix, size_t size, uint64_t object_size,
                      uint64_t seed, Error *err)
{
    const uint8_t *bytes = trailer_at(suffix, size, 0);
    uint8_t header[WAL_CONTAINER_MAX];
    size_t behind = 0;
    WalTrailer found;

    if (bytes == NULL) {
        behind = GZIP_END_SIZE;
        bytes = trailer_at(suffix, size, behind);
    }
    if (bytes == NULL) {
        return error_set(err, ERR_CORRUPT, "WAL object of %" PRIu64 " bytes is cut: no trailer",
                         object_size);
    }
    if (!wal_trailer_decode(&found, bytes, seed, err))
        return false;

    /* The container is covered by what it must be. */
    size_t header_size = wal_container_begin(found.codec, WAL_TRAILER_SIZE, header);
    if ((found.codec == CODEC_GZIP) != (behind > 0) || (size_t)(bytes - suffix) < header_size ||
        memcmp(bytes - header_size, header, header_size) != 0 ||
        memcmp(bytes + WAL_TRAILER_SIZE, gzip_end, behind) != 0)
        return error_set(err, ERR_CORRUPT, "trailer of WAL object is not in its container");
    if (object_size !=
        found.stored_size + found.between + header_size + WAL_TRAILER_SIZE + behind) {
        return error_set(err, ERR_CORRUPT,
                         "WAL object of %" PRIu64 " bytes, %" PRIu64 " of them in frames",
                         object_size, found.stored_size);
    }
    *trailer = found;
    return true;
}
