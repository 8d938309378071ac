#include "pack_directory.h"

#include "repo/envelope.h"
#include "repo/layout.h"
#include "stream/digest.h"

#include <inttypes.h>

static bool explain_frame(const char *pack_id, const Frame *frame, Error *err)
{
    return error_context(err, "pack %s, offset %" PRIu64, pack_id, frame->offset);
}

bool pack_decode_frame(const Cluster *cluster, const char *pack_id, const Frame *frame,
                       const void *stored, CodecContext *codec, void *raw, Error *err)
{
    const uint64_t computed = xxh3_of(cluster->repo->hash_seed, stored, frame->stored_size);

    if (!stored_checksum_check(computed, frame->checksum, err) ||
        !codec_decompress(codec, frame->codec, stored, frame->stored_size, raw, frame->raw_size,
                          err))
        return explain_frame(pack_id, frame, err);
    return true;
}

bool pack_read_frame(const Cluster *cluster, const char *pack_id, const Frame *frame,
                     CodecContext *codec, Buffer *scratch, void *raw, Error *err)
{
    CLEANUP(text_freep) char *name = layout_pack(cluster->name, pack_id);

    /* The caller has room for raw_size; a stored size out of proportion is damage, not a request.
     */
    if (frame->stored_size > frame_stored_max(frame->raw_size)) {
        error_set(err, ERR_CORRUPT, "frame of %u bytes stored as %u", frame->raw_size,
                  frame->stored_size);
        return explain_frame(pack_id, frame, err);
    }
    scratch->size = 0;
    buffer_reserve(scratch, frame->stored_size);
    if (!storage_read_range(cluster->repo->storage, name, frame->offset, frame->stored_size,
                            scratch->data, err)) {
        /* A manifest names this pack: that it is gone is damage, not an answer. */
        if (err->code == ERR_NOT_FOUND) {
            error_clear(err);
            error_set(err, ERR_CORRUPT, "pack is missing");
        }
        return explain_frame(pack_id, frame, err);
    }
    return pack_decode_frame(cluster, pack_id, frame, scratch->data, codec, raw, err);
}

/* Every entry is whole, frames follow one another without gap from the header to the directory. */
static bool check_directory(const PackTrailer *trailer, const uint8_t *directory, Error *err)
{
    size_t at = 0;
    uint64_t offset = PACK_HEADER_SIZE;

    for (uint32_t i = 0; i < trailer->entry_count; i++) {
        PackEntry entry;

        if (!pack_entry_decode(directory, trailer->directory_raw, &at, &entry, err))
            return false;
        if (entry.frame.offset != offset)
            return error_set(err, ERR_CORRUPT, "pack directory has a gap at %" PRIu64, offset);
        offset += entry.frame.stored_size;
    }
    if (at != trailer->directory_raw || offset != trailer->directory_offset)
        return error_set(err, ERR_CORRUPT, "pack directory does not fit its frames");
    return true;
}

static bool read_directory(const Cluster *cluster, const char *name, const PackTrailer *trailer,
                           Buffer *directory, Error *err)
{
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    CLEANUP(buffer_done) Buffer stored = {0};

    buffer_reserve(&stored, trailer->directory_stored);
    if (!storage_read_range(cluster->repo->storage, name, trailer->directory_offset,
                            trailer->directory_stored, stored.data, err))
        return false;
    const uint64_t computed =
        xxh3_of(cluster->repo->hash_seed, stored.data, trailer->directory_stored);
    if (!stored_checksum_check(computed, trailer->directory_checksum, err))
        return error_context(err, "pack directory");
    buffer_reserve(directory, trailer->directory_raw);
    directory->size = trailer->directory_raw;
    return codec_decompress(codec, trailer->directory_codec, stored.data, trailer->directory_stored,
                            directory->data, trailer->directory_raw, err);
}

bool pack_directory_load(const Cluster *cluster, const char *pack_id, uint64_t size,
                         PackTrailer *trailer, Buffer *directory, Error *err)
{
    CLEANUP(text_freep) char *name = layout_pack(cluster->name, pack_id);
    Storage *storage = cluster->repo->storage;
    uint64_t seed = cluster->repo->hash_seed;
    CLEANUP(buffer_done) Buffer bytes = {0};
    uint64_t found;
    uint8_t header[PACK_HEADER_SIZE];

    if (!storage_read_suffix(storage, name, PACK_TRAILER_SIZE, &bytes, &found, err))
        return false;
    if (found != size) {
        return error_set(err, ERR_CORRUPT, "pack has %" PRIu64 " bytes instead of %" PRIu64, found,
                         size);
    }
    if (size < PACK_HEADER_SIZE + PACK_TRAILER_SIZE)
        return error_set(err, ERR_CORRUPT, "pack of %" PRIu64 " bytes is cut", size);
    return pack_trailer_decode(trailer, bytes.data, size, seed, err) &&
           storage_read_range(storage, name, 0, sizeof header, header, err) &&
           pack_header_check(header, pack_id, seed, err) &&
           read_directory(cluster, name, trailer, directory, err) &&
           check_directory(trailer, directory->data, err);
}

bool pack_check(const Cluster *cluster, const char *pack_id, uint64_t size, Error *err)
{
    CLEANUP(buffer_done) Buffer directory = {0};
    PackTrailer trailer;

    if (pack_directory_load(cluster, pack_id, size, &trailer, &directory, err))
        return true;
    if (err->code == ERR_NOT_FOUND) {
        error_clear(err);
        error_set(err, ERR_CORRUPT, "pack is missing");
    }
    return error_context(err, "pack %s", pack_id);
}
