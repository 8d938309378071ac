#include "extent.h"

#include "base/file.h"
#include "stream/digest.h"

#include <fcntl.h>

bool extent_store(Worker *worker, FrameKind kind, const char *path, uint32_t range, const void *raw,
                  size_t size, Frame *frame, Error *err)
{
    Compression compression = worker->context->compression;

    compression.is_bare =
        true; /* the X of its pages, or of its bytes, is in manifest and page table */
    worker->stored.size = 0;
    if (compression.codec != CODEC_NONE &&
        !codec_compress(worker->codec, compression, raw, size, &worker->stored, err))
        return false;

    /* What compression does not shrink is kept as it is: cheaper to read, and never larger. */
    bool is_plain = compression.codec == CODEC_NONE || worker->stored.size >= size;
    const void *stored = is_plain ? raw : worker->stored.data;
    size_t stored_size = is_plain ? size : worker->stored.size;
    if (!pack_writer_add(worker->packs, kind, path, range,
                         is_plain ? CODEC_NONE : compression.codec, stored, stored_size, size,
                         frame, err))
        return false;
    progress_add(worker->context->progress, 0, stored_size);
    worker->bytes_new += kind == FRAME_PAGE_TABLE ? 0 : size;
    return true;
}

/* The same bytes under the same name: by hash, CRC and size. */
static bool share_small(const CopyContext *context, ManifestEntry *entry)
{
    const ManifestEntry *base = base_entry_find(context->base, entry->path);

    if (base == NULL || !base->is_small || base->size != entry->size ||
        base->content_hash != entry->content_hash || base->crc32c != entry->crc32c ||
        !base_frame_is_usable(context->base, &base->content))
        return false;
    entry->content = base->content;
    entry->content.pack |= PACK_OF_BASE;
    return true;
}

bool extent_store_small(Worker *worker, ManifestEntry *entry, const void *raw, size_t size,
                        Error *err)
{
    entry->is_small = true;
    entry->size = size;
    entry->crc32c = crc32c_update(0, raw, size);
    entry->content_hash = 0;
    if (size == 0)
        return true;
    entry->content_hash = xxh3_of(worker->context->cluster->repo->hash_seed, raw, size);
    if (share_small(worker->context, entry))
        return true;
    return extent_store(worker, FRAME_FILE, entry->path, 0, raw, size, &entry->content, err) &&
           pack_writer_close_if_full(worker->packs, err);
}

PageJudge extent_judge_of(const Worker *worker, const WorkerSource *source)
{
    return (PageJudge){
        .fd = source->fd,
        .path = source->path,
        .entry = source->entry,
        .page_size = worker->context->page_size,
        .rule = &worker->context->rule,
        .insert_seen = atomic_load_explicit(&worker->context->insert_seen, memory_order_relaxed),
        .scratch = worker->page,
        .job = source->job,
        .is_settled = true,
        .read = file_read_at,
    };
}

bool extent_read(Worker *worker, const WorkerSource *source, PageJudge *judge, uint64_t offset,
                 size_t want, size_t *got, Error *err)
{
    CopyContext *context = worker->context;
    uint64_t next = offset + want;

    if (!rate_limit_take(&context->rate, want, err))
        return false;
    if (!worker->is_passing_over && !residency_is_cached(&worker->residency, next, EXTENT_SIZE) &&
        next < worker->residency.begin + worker->residency.size)
        (void)posix_fadvise(source->fd, (off_t)next, EXTENT_SIZE, POSIX_FADV_WILLNEED);
    if (!file_read_at(source->fd, worker->raw, want, offset, got, source->path, err))
        return false;
    residency_restore(&worker->residency, source->fd, offset, *got);
    progress_add(context->progress, *got, 0);
    worker->bytes_read += *got;

    uint32_t block = source->first_block + (uint32_t)(offset / context->page_size);
    return !source->is_relation || pages_judge(judge, worker->raw, *got, offset, block, err);
}
