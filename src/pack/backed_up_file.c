#include "pack/backed_up_file.h"

#include "pack/range_reader.h"
#include "pack/small_file.h"

const ManifestEntry *backed_up_entry_find(const Manifest *manifest, const char *path)
{
    size_t low = 0;
    size_t high = manifest->entry_count;

    while (high > 0 && manifest->entries[high - 1].kind == ENTRY_EXTRA)
        high--; /* sorted for themselves, at the end */
    if (*path == '/') {
        low = high;
        high = manifest->entry_count;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(manifest->entries[middle].path, path);

        if (order == 0)
            return &manifest->entries[middle];
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

const ManifestEntry *backed_up_file_find(const Manifest *manifest, const char *path)
{
    const ManifestEntry *entry = backed_up_entry_find(manifest, path);

    return entry != NULL && entry->kind == ENTRY_FILE ? entry : NULL;
}

static bool take_piece(void *context, uint8_t **data, size_t size, uint64_t offset, Error *err)
{
    (void)offset, (void)err; /* they come in order */
    buffer_append(context, *data, size);
    return true;
}

bool backed_up_file_read(const Cluster *cluster, const Manifest *manifest,
                         const ManifestEntry *entry, Buffer *out, Error *err)
{
    CLEANUP(range_reader_freep) RangeReader *reader = NULL;
    RangeContent content;

    if (entry->is_small) {
        size_t before = out->size;

        buffer_reserve(out, before + entry->size + 1);
        if (!small_file_read(cluster, manifest, entry, out->data + before, err))
            return false;
        out->size = before + entry->size;
        return true;
    }
    reader = range_reader_new(cluster, manifest);
    for (uint32_t i = 0; i < entry->range_count; i++) {
        if (!range_reader_read(reader, &entry->ranges[i], take_piece, out, &content, err))
            return error_context(err, "%s", entry->path);
    }
    return true;
}
