#include "pack_format.h"

#include "base/fault.h"
#include "base/random.h"
#include "repo/layout.h"
#include "stream/digest.h"

#include <assert.h>
#include <inttypes.h>

struct PackWriter {
    PackWriterSetup setup;
    PackInfo *packs; /* They are committed. */
    size_t pack_count;
    size_t pack_capacity;
    CodecContext *codec; /* It compresses directories. */

    /* It is the pack that is open. While it is NULL, the fields below are not valid. */
    ObjectWriter *object;
    PackInfo info;
    Sha256 *sha256;   /* It has seen all bytes of the pack. */
    Buffer directory; /* It is raw. */
    uint32_t entry_count;
    bool is_broken; /* A write failed, so its bytes are not what we counted. */
};

PackWriter *pack_writer_new(const PackWriterSetup *setup)
{
    PackWriter *writer = mem_alloc(sizeof *writer);

    assert(setup->index_step > 0);
    writer->setup = *setup;
    writer->codec = codec_context_new();
    writer->sha256 = sha256_new();
    return writer;
}

void pack_writer_freep(PackWriter **writer)
{
    if (*writer == NULL)
        return;
    object_writer_freep(&(*writer)->object);
    sha256_freep(&(*writer)->sha256);
    codec_context_freep(&(*writer)->codec);
    buffer_done(&(*writer)->directory);
    mem_free((*writer)->packs);
    mem_free(*writer);
    *writer = NULL;
}

static bool pack_append(PackWriter *writer, const void *data, size_t size, Error *err)
{
    if (!object_writer_write(writer->object, data, size, err)) {
        writer->is_broken = true;
        return false;
    }
    sha256_update(writer->sha256, data, size);
    writer->info.size += size;
    return true;
}

static bool open_pack(PackWriter *writer, Error *err)
{
    const Repo *repo = writer->setup.cluster->repo;
    uint8_t header[PACK_HEADER_SIZE];
    uint8_t unused[SHA256_SIZE];
    uint64_t high;
    uint64_t low;

    if (!random_u64(&high, err) || !random_u64(&low, err))
        return false;
    writer->info = (PackInfo){.size = 0};
    snprintf(writer->info.id, sizeof writer->info.id, "%016" PRIx64 "%016" PRIx64, high, low);
    writer->directory.size = 0;
    writer->entry_count = 0;
    writer->is_broken = false;
    sha256_final(writer->sha256, unused); /* begins anew, whatever an abandoned pack left */

    CLEANUP(text_freep)
    char *name = layout_pack(writer->setup.cluster->name, writer->info.id);
    if (!storage_write(repo->storage, name, WRITE_NEW, &writer->object, err))
        return false;
    pack_header_encode(writer->info.id, repo->hash_seed, header);
    return pack_append(writer, header, sizeof header, err);
}

bool pack_writer_add(PackWriter *writer, FrameKind kind, const char *path, uint32_t range,
                     Codec codec, const void *stored, size_t stored_size, size_t raw_size,
                     Frame *frame, Error *err)
{
    size_t path_size = strlen(path);
    uint64_t index =
        writer->setup.first_index + (uint64_t)writer->pack_count * writer->setup.index_step;

    assert(stored_size > 0 && stored_size <= UINT32_MAX && raw_size > 0 && raw_size <= UINT32_MAX);
    if (path_size > PACK_PATH_MAX)
        return error_set(err, ERR_REFUSED, "path of %zu bytes is too long", path_size);
    if (index > UINT32_MAX || writer->entry_count >= PACK_ENTRIES_MAX)
        return error_set(err, ERR_INTERNAL, "too many packs or frames");
    if (writer->object == NULL && !open_pack(writer, err))
        return error_context(err, "write pack");
    if (writer->is_broken)
        return error_set(err, ERR_INTERNAL, "pack %s broke earlier", writer->info.id);

    PackEntry entry = {
        .kind = kind,
        .frame = {.pack = (uint32_t)index,
                  .codec = codec,
                  .offset = writer->info.size,
                  .stored_size = (uint32_t)stored_size,
                  .raw_size = (uint32_t)raw_size,
                  .checksum = xxh3_of(writer->setup.cluster->repo->hash_seed, stored, stored_size)},
        .range = range,
        .path = path,
        .path_size = path_size,
    };
    if (!pack_append(writer, stored, stored_size, err))
        return error_context(err, "write pack %s", writer->info.id);
    pack_entry_encode(&entry, &writer->directory);
    writer->entry_count++;
    *frame = entry.frame;
    return true;
}

/* Directory and trailer. */
static bool append_end(PackWriter *writer, Error *err)
{
    static const Compression compression = {.codec = CODEC_ZSTD, .level = 3};
    uint64_t seed = writer->setup.cluster->repo->hash_seed;
    uint8_t bytes[PACK_TRAILER_SIZE];
    CLEANUP(buffer_done) Buffer stored = {0};

    assert(writer->directory.size <= PACK_DIRECTORY_MAX);
    if (!codec_compress(writer->codec, compression, writer->directory.data, writer->directory.size,
                        &stored, err))
        return false;
    PackTrailer trailer = {
        .entry_count = writer->entry_count,
        .directory_offset = writer->info.size,
        .directory_stored = (uint32_t)stored.size,
        .directory_raw = (uint32_t)writer->directory.size,
        .directory_codec = compression.codec,
        .directory_checksum = xxh3_of(seed, stored.data, stored.size),
    };
    pack_trailer_encode(&trailer, seed, bytes);
    return pack_append(writer, stored.data, stored.size, err) &&
           pack_append(writer, bytes, sizeof bytes, err);
}

static void remember_pack(PackWriter *writer)
{
    if (writer->pack_count == writer->pack_capacity) {
        writer->pack_capacity = writer->pack_capacity * 2 + 4;
        writer->packs = mem_resize(writer->packs, writer->pack_capacity * sizeof *writer->packs);
    }
    writer->packs[writer->pack_count++] = writer->info;
}

bool pack_writer_close(PackWriter *writer, Error *err)
{
    if (writer->object == NULL)
        return true;
    if (writer->is_broken)
        return error_set(err, ERR_INTERNAL, "pack %s broke earlier", writer->info.id);
    if (!append_end(writer, err) || !FAULT_POINT("pack.before-commit", err) ||
        !object_writer_commit(writer->object, err)) {
        writer->is_broken = true;
        return error_context(err, "store pack %s", writer->info.id);
    }
    sha256_final(writer->sha256, writer->info.sha256);
    object_writer_freep(&writer->object);
    remember_pack(writer);
    return FAULT_POINT("pack.after-commit", err);
}

bool pack_writer_close_if_full(PackWriter *writer, Error *err)
{
    bool is_full = writer->info.size >= writer->setup.pack_size ||
                   writer->entry_count >= PACK_ENTRIES_FULL ||
                   writer->directory.size >= PACK_DIRECTORY_FULL;

    return writer->object == NULL || !is_full || pack_writer_close(writer, err);
}

const PackInfo *pack_writer_packs(const PackWriter *writer, size_t *count)
{
    *count = writer->pack_count;
    return writer->packs;
}
