#include "pack/manifest.h"

#include "base/bytes.h"
#include "base/fault.h"
#include "base/random.h"
#include "manifest_format.h"
#include "repo/envelope.h"

#include <assert.h>
#include <inttypes.h>
#include <time.h>

static_assert(sizeof(ManifestEntry) <= 112,
              "memory per file is promised: measure with scripts/bench --only memory");

/* Of a manifest, before anything is allocated: some ten million files. */
enum { STORED_SIZE_MAX = 1 << 30, FRAME_RAW_MAX = 64 << 20 };
/* A chunk ends with a whole line: room for one, so that the buffer is not doubled for it. */
enum { CHUNK_SLACK = 64 << 10 };
#define TEXT_SIZE_MAX (UINT64_C(8) << 30)

/* The trailer in its skippable frame: all stored bytes are covered, not only the text. */
enum { TRAILER_BODY = 24, TRAILER_SIZE = SKIPPABLE_HEADER_SIZE + TRAILER_BODY };

/* Its X speaks of the frames, not of itself. */
static const EnvelopeShape trailer_shape = {.what = "manifest trailer",
                                            .magic = "PGCNMEND",
                                            .size = TRAILER_BODY,
                                            .version = 1,
                                            .cover = ENVELOPE_BARE,
                                            .reserved = {{12, 4}}};

static void trailer_encode(const Buffer *checksums, uint64_t seed, uint8_t bytes[TRAILER_SIZE])
{
    skippable_begin(TRAILER_BODY, bytes);
    envelope_begin(&trailer_shape, 0, bytes + SKIPPABLE_HEADER_SIZE);
    put_le64(bytes + 24, xxh3_of(seed, checksums->data, checksums->size));
}

/* All but the checksum, which needs the frames. */
static bool trailer_check(const uint8_t bytes[TRAILER_SIZE], Error *err)
{
    if (!skippable_is_at(TRAILER_BODY, bytes) ||
        memcmp(bytes + SKIPPABLE_HEADER_SIZE, trailer_shape.magic, 8) != 0)
        return error_set(err, ERR_CORRUPT, "manifest is cut: no trailer");
    return envelope_check(&trailer_shape, 0, bytes + SKIPPABLE_HEADER_SIZE, TRAILER_BODY, err);
}

static void add_checksum(Buffer *checksums, uint64_t seed, const void *frame, size_t size)
{
    uint8_t bytes[8];

    put_le64(bytes, xxh3_of(seed, frame, size));
    buffer_append(checksums, bytes, sizeof bytes);
}

typedef struct Saver {
    ObjectWriter *object;
    CodecContext *codec;
    Buffer stored;
    Buffer checksums; /* of each frame */
    uint64_t seed;
} Saver;

static bool save_chunk(void *context, Buffer *text, Error *err)
{
    static const Compression compression = {.codec = CODEC_ZSTD, .level = 3};
    Saver *saver = context;

    saver->stored.size = 0;
    if (!codec_compress(saver->codec, compression, text->data, text->size, &saver->stored, err))
        return false;
    text->size = 0;
    add_checksum(&saver->checksums, saver->seed, saver->stored.data, saver->stored.size);
    return object_writer_write(saver->object, saver->stored.data, saver->stored.size, err);
}

static void saver_done(Saver *saver)
{
    object_writer_freep(&saver->object);
    codec_context_freep(&saver->codec);
    buffer_done(&saver->stored);
    buffer_done(&saver->checksums);
}

static bool save_trailer(Saver *saver, Error *err)
{
    uint8_t bytes[TRAILER_SIZE];

    trailer_encode(&saver->checksums, saver->seed, bytes);
    return object_writer_write(saver->object, bytes, sizeof bytes, err);
}

bool manifest_save(const Manifest *manifest, const Cluster *cluster, Error *err)
{
    const char *id = manifest->header.id;
    CLEANUP(text_freep) char *name = layout_manifest(cluster->name, id);
    CLEANUP(saver_done)
    Saver saver = {.codec = codec_context_new(), .seed = cluster->repo->hash_seed};
    CLEANUP(buffer_done) Buffer text = {0};

    buffer_reserve(&text, MANIFEST_CHUNK + CHUNK_SLACK);

    /* What could not be read again must not be saved: better no backup than one that is none. */
    if (!manifest_check(manifest, err)) {
        err->code = ERR_INTERNAL;
        return error_context(err, "save manifest of backup %s", id);
    }
    if (!storage_write(cluster->repo->storage, name, WRITE_NEW, &saver.object, err) ||
        !manifest_encode_to(manifest, &text, save_chunk, &saver, err) || !save_trailer(&saver, err))
        return error_context(err, "save manifest of backup %s", id);

    /* From the commit on the backup exists. Everything it refers to is already durable. */
    if (!FAULT_POINT("manifest.before-commit", err) || !object_writer_commit(saver.object, err) ||
        !FAULT_POINT("manifest.after-commit", err))
        return error_context(err, "publish backup %s", id);
    return true;
}

/* Gets whole lines. */
typedef bool LinesFunction(void *context, const char *text, size_t size, Error *err);

typedef struct Lines {
    CodecContext *codec;
    Buffer text; /* a frame's, after what is left of the one before */
} Lines;

static void lines_done(Lines *lines)
{
    codec_context_freep(&lines->codec);
    buffer_done(&lines->text);
}

/* Give away the whole lines of what is there, keep the rest. */
static bool take_lines(Buffer *text, LinesFunction *take, void *context, Error *err)
{
    const char *last = memrchr(text->data, '\n', text->size);
    size_t whole = last == NULL ? 0 : (size_t)(last - (const char *)text->data) + 1;

    if (whole > 0 && !take(context, (const char *)text->data, whole, err))
        return false;
    text->size -= whole;
    if (text->size > MANIFEST_LINE_MAX)
        return error_set(err, ERR_CORRUPT, "manifest has a line of %zu bytes", text->size);
    if (whole > 0)
        memmove(text->data, text->data + whole, text->size);
    return true;
}

/* Decompress frame by frame: at any time one frame's text is in memory, not the manifest's. */
static bool read_lines(const Buffer *stored, Lines *lines, LinesFunction *take, void *context,
                       Error *err)
{
    uint64_t text_size = 0;
    size_t offset = 0;

    lines->text.size = 0;
    while (offset < stored->size) {
        const uint8_t *frame = stored->data + offset;
        size_t frame_size;
        uint64_t raw_size;

        if (!codec_zstd_frame_size(frame, stored->size - offset, &frame_size, &raw_size, err))
            return false;
        if (skippable_is_first(frame, frame_size)) {
            offset += frame_size; /* of a newer version, for who knows it */
            continue;
        }
        text_size += raw_size;
        if (raw_size > FRAME_RAW_MAX || text_size > TEXT_SIZE_MAX)
            return error_set(err, ERR_CORRUPT, "manifest claims %" PRIu64 " bytes", text_size);
        /* One more, so that an empty frame has a place to be decompressed to. */
        buffer_reserve(&lines->text, lines->text.size + raw_size + 1);
        if (!codec_decompress(lines->codec, CODEC_ZSTD, frame, frame_size,
                              lines->text.data + lines->text.size, raw_size, err))
            return false;
        lines->text.size += raw_size;
        if (lines->text.size > 0 && !take_lines(&lines->text, take, context, err))
            return false;
        offset += frame_size;
    }
    return lines->text.size == 0 || error_set(err, ERR_CORRUPT, "manifest is cut");
}

static bool count_lines(void *context, const char *text, size_t size, Error *err)
{
    return manifest_count_lines(context, text, size, err);
}

static bool parse_lines(void *context, const char *text, size_t size, Error *err)
{
    return manifest_parse_lines(context, text, size, err);
}

/* Takes the trailer off; from then on stored is frames only. */
static bool check_stored(Buffer *stored, uint64_t seed, Error *err)
{
    CLEANUP(buffer_done) Buffer checksums = {0};

    if (stored->size < TRAILER_SIZE)
        return error_set(err, ERR_CORRUPT, "manifest of %zu bytes is cut", stored->size);
    const uint8_t *trailer = stored->data + stored->size - TRAILER_SIZE;
    if (!trailer_check(trailer, err))
        return false;
    stored->size -= TRAILER_SIZE;
    for (size_t offset = 0; offset < stored->size;) {
        size_t frame_size;
        uint64_t raw_size;

        if (!codec_zstd_frame_size(stored->data + offset, stored->size - offset, &frame_size,
                                   &raw_size, err))
            return false;
        add_checksum(&checksums, seed, stored->data + offset, frame_size);
        offset += frame_size;
    }
    return stored_checksum_check(xxh3_of(seed, checksums.data, checksums.size),
                                 get_le64(trailer + 24), err);
}

static bool decode_stored(Manifest *manifest, const Buffer *stored, Error *err)
{
    CLEANUP(manifest_count_done) ManifestCount count = {0};
    CLEANUP(lines_done) Lines lines = {.codec = codec_context_new()};
    ManifestParser parser;

    if (!read_lines(stored, &lines, count_lines, &count, err) || !manifest_count_end(&count, err))
        return false;
    manifest_parser_begin(&parser, manifest, &count);
    return read_lines(stored, &lines, parse_lines, &parser, err) &&
           manifest_parser_end(&parser, err) && manifest_check(manifest, err);
}

/* A manifest under the name of another one would be a backup of something else. */
static bool check_identity(const ManifestHeader *header, const Cluster *cluster, const char *id,
                           Error *err)
{
    if (strcmp(header->id, id) == 0 && strcmp(header->cluster, cluster->name) == 0)
        return true;
    return error_set(err, ERR_CORRUPT, "manifest is of backup %s of cluster \"%s\"", header->id,
                     header->cluster);
}

/* None of ours is so large: it is one backup's damage, and the others are as they were. */
static bool read_stored(const Cluster *cluster, const char *name, Buffer *stored, Error *err)
{
    if (storage_read(cluster->repo->storage, name, STORED_SIZE_MAX, stored, err))
        return true;
    if (err->code == ERR_REFUSED && err->os_errno == 0)
        err->code = ERR_CORRUPT;
    return false;
}

bool manifest_load(Manifest *manifest, const Cluster *cluster, const char *id, Error *err)
{
    CLEANUP(text_freep) char *name = layout_manifest(cluster->name, id);
    CLEANUP(manifest_done) Manifest loaded = {0};
    CLEANUP(buffer_done) Buffer stored = {0};

    if (!read_stored(cluster, name, &stored, err) ||
        !check_stored(&stored, cluster->repo->hash_seed, err) ||
        !decode_stored(&loaded, &stored, err) || !check_identity(&loaded.header, cluster, id, err))
        return error_context(err, "read manifest of backup %s", id);
    *manifest = loaded;
    loaded = (Manifest){0};
    return true;
}

bool backup_id_new(char id[BACKUP_ID_SIZE], Error *err)
{
    static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";
    struct tm parts;
    uint64_t number;
    char text[BACKUP_ID_SIZE];

    if (!random_u64(&number, err))
        return false;
    /* A year of other than four digits would not fit, nor sort. */
    if (!time_split_utc(time_now() / 1000000, &parts) || parts.tm_year + 1900 > 9999 ||
        strftime(text, sizeof text, "%Y%m%dT%H%M%SZ-aaaaaa", &parts) != BACKUP_ID_SIZE - 1) {
        return error_set(err, ERR_IO,
                         "this host's clock shows a time that can't be written as a date");
    }
    for (size_t i = 0; i < 6; i++, number >>= 5)
        text[BACKUP_ID_SIZE - 2 - i] = base32[number & 31];
    memcpy(id, text, BACKUP_ID_SIZE);
    return true;
}
