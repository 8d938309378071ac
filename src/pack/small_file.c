#include "pack/small_file.h"

#include "stream/digest.h"

bool small_file_check(const ManifestEntry *entry, const void *raw, uint64_t seed, Error *err)
{
    if (entry->size > 0 && xxh3_of(seed, raw, entry->size) != entry->content_hash)
        return error_set(err, ERR_CORRUPT, "the file is not what was backed up");
    if (crc32c_update(0, raw, entry->size) != entry->crc32c)
        return error_set(err, ERR_CORRUPT, "the file's CRC is not what was backed up");
    return true;
}

bool small_file_is_possible(const Manifest *manifest, const ManifestEntry *entry, Error *err)
{
    /* Configuration from elsewhere is one frame, whatever its size (backup/worker.c). */
    const uint64_t most = entry->kind == ENTRY_EXTRA ? EXTENT_SIZE : SMALL_FILE_SIZE;

    if (entry->size == 0 ||
        (entry->size <= most && entry->content.raw_size == entry->size &&
         entry->content.pack < manifest->pack_count && entry->content.stored_size <= 2 * most))
        return true;
    return error_set(err, ERR_CORRUPT, "manifest: impossible small file %s", entry->path);
}

bool small_file_read(const Cluster *cluster, const Manifest *manifest, const ManifestEntry *entry,
                     void *raw, Error *err)
{
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    CLEANUP(buffer_done) Buffer scratch = {0};

    if (!entry->is_small || !small_file_is_possible(manifest, entry, err)) {
        return err->code != ERR_NONE
                   ? false
                   : error_set(err, ERR_CORRUPT, "%s is not a small file", entry->path);
    }
    if (entry->size > 0 && !pack_read_frame(cluster, manifest->packs[entry->content.pack].id,
                                            &entry->content, codec, &scratch, raw, err))
        return error_context(err, "%s", entry->path);
    if (!small_file_check(entry, raw, cluster->repo->hash_seed, err))
        return error_context(err, "%s", entry->path);
    return true;
}
