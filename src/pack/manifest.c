#include "pack/manifest.h"

#include "base/bytes.h"
#include "base/fault.h"
#include "manifest_format.h"
#include "manifest_trailer.h"
#include "repo/envelope.h"

#include <assert.h>
#include <inttypes.h>

static_assert(sizeof(ManifestEntry) <= 112,
              "memory per file is promised: measure with scripts/bench --only memory");

/* Of a manifest, before anything is allocated: some ten million files. */
enum { STORED_SIZE_MAX = 1 << 30, FRAME_RAW_MAX = 64 << 20 };
/* From its end: the whole of a small one, so that it takes one read. */
enum { HEAD_READ = 32 << 10 };
/* A chunk ends with a whole line: room for one, so that the buffer is not doubled for it. */
enum { CHUNK_SLACK = 64 << 10 };
#define TEXT_SIZE_MAX (UINT64_C(8) << 30)

void manifest_head_done(ManifestHead *head)
{
    arena_done(&head->arena);
    *head = (ManifestHead){0};
}

typedef struct Saver {
    ObjectWriter *object;
    CodecContext *codec;
    Buffer stored;
    Buffer checksums; /* It has the checksum of each frame. */
    ManifestTrailer trailer;
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
    manifest_frame_add(&saver->checksums, saver->seed, saver->stored.data, saver->stored.size);
    saver->trailer.frames_size += saver->stored.size;
    return object_writer_write(saver->object, saver->stored.data, saver->stored.size, err);
}

static bool note_head_end(void *context, Buffer *text, Error *err)
{
    Saver *saver = context;

    (void)text;
    (void)err;
    saver->trailer.head_size = saver->trailer.frames_size;
    saver->trailer.head_checksum = manifest_frames_checksum(&saver->checksums, saver->seed);
    return true;
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
    uint8_t bytes[MANIFEST_TRAILER_SIZE];

    saver->trailer.frames_checksum = manifest_frames_checksum(&saver->checksums, saver->seed);
    manifest_trailer_encode(&saver->trailer, saver->seed, bytes);
    return object_writer_write(saver->object, bytes, sizeof bytes, err);
}

bool manifest_save(const Manifest *manifest, const Cluster *cluster, Error *err)
{
    const char *id = manifest->header.id;
    CLEANUP(text_freep) char *name = layout_manifest(cluster->name, id);
    CLEANUP(saver_done)
    Saver saver = {.codec = codec_context_new(), .seed = cluster->repo->hash_seed};
    const ManifestSinks sinks = {.text = save_chunk, .head_end = note_head_end, .context = &saver};
    CLEANUP(buffer_done) Buffer text = {0};

    buffer_reserve(&text, MANIFEST_CHUNK + CHUNK_SLACK);

    /* What could not be read again must not be saved: better no backup than one that is none. */
    if (!manifest_check(manifest, err)) {
        err->code = ERR_INTERNAL;
        return error_context(err, "save manifest of backup %s", id);
    }
    if (!storage_write(cluster->repo->storage, name, WRITE_NEW, &saver.object, err) ||
        !manifest_encode_to(manifest, &text, &sinks, err) || !save_trailer(&saver, err))
        return error_context(err, "save manifest of backup %s", id);

    /* From the commit on the backup exists. Everything it refers to is already durable. */
    if (!FAULT_POINT("manifest.before-commit", err) || !object_writer_commit(saver.object, err) ||
        !FAULT_POINT("manifest.after-commit", err))
        return error_context(err, "publish backup %s", id);
    return true;
}

/* Gets whole lines. */
typedef bool LinesFunction(void *context, const char *text, size_t size, Error *err);

/* Stored frames: whole ones. */
typedef struct Frames {
    const uint8_t *stored;
    size_t size;
} Frames;

typedef struct Lines {
    CodecContext *codec;
    Buffer text; /* It has a frame's text, after what is left of the frame before. */
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
static bool read_lines(Frames frames, Lines *lines, LinesFunction *take, void *context, Error *err)
{
    uint64_t text_size = 0;
    size_t offset = 0;

    lines->text.size = 0;
    while (offset < frames.size) {
        const uint8_t *frame = frames.stored + offset;
        size_t frame_size;
        uint64_t raw_size;

        if (!codec_zstd_frame_size(frame, frames.size - offset, &frame_size, &raw_size, err))
            return false;
        if (skippable_is_first(frame, frame_size)) {
            offset += frame_size; /* of a newer version, for whoever knows it */
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

/* Of frames that were compared with the trailer's X: who reads without the seed has the SHA-256. */
static bool decode_head(Manifest *manifest, Frames head, Error *err)
{
    CLEANUP(manifest_count_done) ManifestCount count = {.is_proven = true};
    CLEANUP(lines_done) Lines lines = {.codec = codec_context_new()};
    ManifestParser parser;

    if (!read_lines(head, &lines, count_lines, &count, err) ||
        !manifest_count_head_end(&count, err))
        return false;
    manifest_parser_begin(&parser, manifest, &count);
    return read_lines(head, &lines, parse_lines, &parser, err) &&
           manifest_parser_head_end(&parser, err) && manifest_check_head(manifest, err);
}

/* The head must end where those who read it alone take it to end: both see the same. */
static bool decode_whole(Manifest *manifest, Frames head, Frames rest, Error *err)
{
    CLEANUP(manifest_count_done) ManifestCount count = {0};
    CLEANUP(lines_done) Lines lines = {.codec = codec_context_new()};
    ManifestParser parser;

    if (!read_lines(head, &lines, count_lines, &count, err) ||
        !manifest_count_head_end(&count, err) ||
        !read_lines(rest, &lines, count_lines, &count, err) || !manifest_count_end(&count, err))
        return false;
    manifest_parser_begin(&parser, manifest, &count);
    return read_lines(head, &lines, parse_lines, &parser, err) &&
           read_lines(rest, &lines, parse_lines, &parser, err) &&
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

static bool decode_stored(Manifest *manifest, const Buffer *stored, uint64_t seed, Error *err)
{
    ManifestTrailer trailer;

    if (!manifest_trailer_decode(&trailer, stored, stored->size, seed, err) ||
        !manifest_check_frames(&trailer, stored->data, seed, err))
        return false;
    const Frames head = {stored->data, trailer.head_size};
    const Frames rest = {stored->data + head.size, trailer.frames_size - trailer.head_size};
    return decode_whole(manifest, head, rest, err);
}

bool manifest_load(Manifest *manifest, const Cluster *cluster, const char *id, Error *err)
{
    CLEANUP(text_freep) char *name = layout_manifest(cluster->name, id);
    CLEANUP(manifest_done) Manifest loaded = {0};
    CLEANUP(buffer_done) Buffer stored = {0};

    if (!read_stored(cluster, name, &stored, err) ||
        !decode_stored(&loaded, &stored, cluster->repo->hash_seed, err) ||
        !check_identity(&loaded.header, cluster, id, err))
        return error_context(err, "read manifest of backup %s", id);
    *manifest = loaded;
    loaded = (Manifest){0};
    return true;
}

/*
 * Of most manifests one read brings all that is wanted, of a small one the head as well. `stored`
 * becomes the head.
 */
static bool read_head(const Cluster *cluster, const char *name, Buffer *stored,
                      ManifestTrailer *trailer, Error *err)
{
    Storage *storage = cluster->repo->storage;
    uint64_t size;

    if (!storage_read_suffix(storage, name, HEAD_READ, stored, &size, err) ||
        !manifest_trailer_decode(trailer, stored, size, cluster->repo->hash_seed, err))
        return false;
    if (size > STORED_SIZE_MAX)
        return error_set(err, ERR_CORRUPT, "manifest has %" PRIu64 " bytes", size);
    if (stored->size == size)
        return true;
    buffer_reserve(stored, trailer->head_size);
    stored->size = trailer->head_size;
    return storage_read_range(storage, name, 0, stored->size, stored->data, err);
}

bool manifest_head_load(ManifestHead *head, const Cluster *cluster, const char *id, Error *err)
{
    CLEANUP(text_freep) char *name = layout_manifest(cluster->name, id);
    CLEANUP(manifest_done) Manifest loaded = {0};
    CLEANUP(buffer_done) Buffer stored = {0};
    ManifestTrailer trailer;

    if (!read_head(cluster, name, &stored, &trailer, err) ||
        !manifest_check_head_frames(&trailer, stored.data, cluster->repo->hash_seed, err) ||
        !decode_head(&loaded, (Frames){stored.data, trailer.head_size}, err) ||
        !check_identity(&loaded.header, cluster, id, err))
        return error_context(err, "read the head of the manifest of backup %s", id);
    *head = (ManifestHead){.header = loaded.header,
                           .tablespaces = loaded.tablespaces,
                           .tablespace_count = loaded.tablespace_count,
                           .packs = loaded.packs,
                           .pack_count = loaded.pack_count,
                           .arena = loaded.arena};
    loaded = (Manifest){0};
    return true;
}
