#include "rebuild_job.h"

#include "pack/small_file.h"
#include "rebuild/held_places.h"

#include "base/fault.h"
#include "base/interrupt.h"
#include "stream/digest.h"

#include <string.h>

FileAttributes rebuild_attributes(const ManifestEntry *entry)
{
    return (FileAttributes){.mode = entry->mode, .mtime = entry->mtime};
}

static bool write_small(RebuildWorker *worker, const ManifestEntry *entry, const uint8_t *stored,
                        Error *err)
{
    const RebuildShared *shared = worker->shared;
    const Manifest *manifest = shared->manifest;
    FileAttributes attributes = rebuild_attributes(entry);

    if (entry->size > 0 &&
        !pack_decode_frame(shared->cluster, manifest->packs[entry->content.pack].id,
                           &entry->content, stored, range_reader_codec(worker->reader), worker->raw,
                           err))
        return error_context(err, "%s", entry->path);
    if (!small_file_check(entry, worker->raw, shared->cluster->repo->hash_seed, err))
        return error_context(err, "%s", entry->path);
    if (shared->is_check)
        return true;
    const HeldPath at = held_places_of(shared->placement, entry);
    if (entry->kind == ENTRY_EXTRA && !held_make_parents(at, err))
        return false;
    if (!restored_file_put(at, worker->raw, entry->size, &attributes, shared->is_synced, err))
        return false;
    /* The cluster's own directories are synced at the end; these are no entries of the manifest. */
    return !shared->is_synced || entry->kind != ENTRY_EXTRA || held_sync_parent(at, err);
}

/* The batch's frames lie close together in one pack: one read brings them all. */
static bool run_batch(RebuildWorker *worker, RebuildJob *job, Error *err)
{
    const RebuildShared *shared = worker->shared;
    const Frame *first = &job->batch[0]->content;
    const Frame *last = &job->batch[job->batch_count - 1]->content;

    worker->stored.size = 0;
    if (job->batch[0]->size > 0) {
        size_t size = (size_t)(last->offset + last->stored_size - first->offset);
        CLEANUP(text_freep)
        char *name = layout_pack(shared->cluster->name, shared->manifest->packs[first->pack].id);
        buffer_reserve(&worker->stored, size);
        if (!storage_read_range(shared->cluster->repo->storage, name, first->offset, size,
                                worker->stored.data, err))
            return error_context(err, "%s", job->batch[0]->path);
        job->content.bytes_read = size;
    }
    for (size_t i = 0; i < job->batch_count; i++) {
        const ManifestEntry *entry = job->batch[i];
        const uint8_t *stored =
            entry->size > 0 ? worker->stored.data + (entry->content.offset - first->offset) : NULL;
        if (!interrupt_check(err) || !write_small(worker, entry, stored, err))
            return false;
        progress_add(shared->progress, entry->size, 0);
        if (!FAULT_POINT("restore.after-file", err))
            return false;
    }
    return true;
}

typedef struct RangeTarget {
    WriteBehind *behind;
    RestoredFile *file;
    uint64_t offset; /* of the range in the file */
    Progress *progress;
} RangeTarget;

static bool job_write_piece(void *context, uint8_t **data, size_t size, uint64_t offset, Error *err)
{
    RangeTarget *target = context;

    if (!write_behind_put(target->behind, target->file, data, size, target->offset + offset, err))
        return false;
    progress_add(target->progress, size, 0);
    return true;
}

/* Whatever comes of the reading, no write is under way any more when this returns. */
static bool copy_range(RebuildWorker *worker, RestoredFile *file, RebuildJob *job, Error *err)
{
    const ManifestEntry *entry = job->large->entry;
    RangeTarget target = {.behind = worker->behind,
                          .file = file,
                          .offset = (uint64_t)job->range * RANGE_SIZE,
                          .progress = worker->shared->progress};
    Error late = {0};
    bool is_read = range_reader_read(worker->reader, &entry->ranges[job->range], job_write_piece,
                                     &target, &job->content, err);
    bool is_written = write_behind_finish(worker->behind, &late);

    if (is_read && !is_written)
        *err = late;
    if (!is_read || !is_written)
        return error_context(err, "%s, range %u", entry->path, job->range);
    return true;
}

static bool pass_over(void *context, uint8_t **data, size_t size, uint64_t offset, Error *err)
{
    (void)data;
    (void)offset;
    (void)err;
    progress_add(context, size, 0);
    return true;
}

static bool check_range(RebuildWorker *worker, RebuildJob *job, Error *err)
{
    const ManifestEntry *entry = job->large->entry;

    return range_reader_read(worker->reader, &entry->ranges[job->range], pass_over,
                             worker->shared->progress, &job->content, err) ||
           error_context(err, "%s, range %u", entry->path, job->range);
}

static bool run_range(RebuildWorker *worker, RebuildJob *job, Error *err)
{
    const RebuildShared *shared = worker->shared;
    const ManifestEntry *entry = job->large->entry;
    CLEANUP(restored_file_done) RestoredFile file = RESTORED_FILE_CLOSED;
    bool is_last = job->range + 1 == entry->range_count;

    if (!restored_file_open(&file, held_places_of(shared->placement, entry), err) ||
        !copy_range(worker, &file, job, err))
        return false;
    if (!FAULT_POINT("restore.after-range", err) ||
        (is_last && !restored_file_cut(&file, entry->size, err)))
        return false;
    return !shared->is_synced || restored_file_sync(&file, err);
}

bool rebuild_job_run(void *context, void *pointer, Error *err)
{
    RebuildWorker *worker = context;
    RebuildJob *job = pointer;
    bool ok = job->large == NULL         ? run_batch(worker, job, err)
              : worker->shared->is_check ? check_range(worker, job, err)
                                         : run_range(worker, job, err);

    if (ok)
        progress_add(worker->shared->progress, 0, job->content.bytes_read);
    return ok;
}

void rebuild_workers_free(RebuildWorker *workers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        range_reader_freep(&workers[i].reader);
        write_behind_freep(&workers[i].behind);
        buffer_done(&workers[i].stored);
        mem_free(workers[i].raw);
    }
    mem_free(workers);
}

RebuildWorker *rebuild_workers_new(const RebuildShared *shared, unsigned count, Error *err)
{
    RebuildWorker *workers = mem_alloc(count * sizeof *workers);
    bool ok = true;

    for (unsigned i = 0; ok && i < count; i++) {
        workers[i].shared = shared;
        workers[i].reader = range_reader_new(shared->cluster, shared->manifest);
        workers[i].raw = mem_alloc_aligned(EXTENT_SIZE);
        workers[i].behind = write_behind_new(err);
        ok = workers[i].behind != NULL;
    }
    if (ok)
        return workers;
    rebuild_workers_free(workers, count);
    return NULL;
}
