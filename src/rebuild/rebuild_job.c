#include "rebuild_job.h"

#include "pack/small_file.h"
#include "rebuild/held_places.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "stream/digest.h"

#include <string.h>
#include <unistd.h>

FileAttributes rebuild_attributes(const ManifestEntry *entry)
{
    return (FileAttributes){.mode = entry->mode, .mtime = entry->mtime};
}

static bool settle_found(const RebuildShared *shared, const ManifestEntry *entry,
                         const FoundFile *found, Error *err)
{
    const HeldPath at = held_places_of(shared->placement, entry);
    const FileAttributes attributes = rebuild_attributes(entry);

    /* A killed run may have written what is right and never synced it. */
    return (!shared->is_synced && found_file_has(found, &attributes)) ||
           file_attributes_set(at, &attributes, shared->is_synced, err);
}

bool rebuild_settle(const RebuildShared *shared, const ManifestEntry *entry, Error *err)
{
    FoundFile found;

    found_file_look(held_places_of(shared->placement, entry), &found);
    return settle_found(shared, entry, &found, err);
}

static bool small_has_content(const RebuildWorker *worker, const ManifestEntry *entry, HeldPath at)
{
    CLEANUP(fd_done) int fd = -1;
    Error other = {0}; /* then it is written anew */

    return found_file_open(at, worker->shared->delta->from_disk, &fd, &other) &&
           found_file_read(fd, worker->raw, entry->size, 0) &&
           small_file_check(entry, worker->raw, worker->shared->cluster->repo->hash_seed, &other);
}

static bool small_is_same(const RebuildWorker *worker, const ManifestEntry *entry, FoundFile *found)
{
    const RebuildShared *shared = worker->shared;
    const HeldPath at = held_places_of(shared->placement, entry);

    if (entry->kind == ENTRY_EXTRA) /* each restore has a place of its own for them */
        return false;
    found_file_look(at, found);
    if (!found_file_fits(found, geteuid(), getegid()) || found->size != entry->size)
        return false;
    if (delta_find(shared->delta, entry, found) != NULL)
        return true;
    if (!small_has_content(worker, entry, at))
        return false;
    if (shared->is_check)
        delta_begin(shared->delta, entry, found)->verdict = DELTA_SAME;
    return true;
}

/* What is there already leaves the batch. */
static bool batch_drop_same(const RebuildWorker *worker, RebuildJob *job, Error *err)
{
    size_t left = 0;

    for (size_t i = 0; i < job->batch_count; i++) {
        const ManifestEntry *entry = job->batch[i];
        FoundFile found;
        if (!interrupt_check(err))
            return false;
        if (!small_is_same(worker, entry, &found)) {
            job->batch[left++] = entry;
            continue;
        }
        if (!worker->shared->is_check && !settle_found(worker->shared, entry, &found, err))
            return false;
        job->tally.files_kept++;
        progress_add(worker->shared->progress, entry->size, 0);
    }
    job->batch_count = left;
    return true;
}

/* A file that differs is a different one from now on: nothing is written to what was there. */
static bool make_way(const RebuildShared *shared, const ManifestEntry *entry, HeldPath at,
                     Error *err)
{
    return shared->delta == NULL || entry->kind == ENTRY_EXTRA || held_remove(at, err);
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
    if (!make_way(shared, entry, at, err) ||
        !restored_file_put(at, worker->raw, entry->size, &attributes, shared->is_synced, err))
        return false;
    /* The cluster's own directories are synced at the end; these are not entries of the manifest.
     */
    return !shared->is_synced || entry->kind != ENTRY_EXTRA || held_sync_parent(at, err);
}

/* The batch's frames lie close together in one pack: one read brings them all. */
static bool write_batch(RebuildWorker *worker, RebuildJob *job, Error *err)
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
        job->tally.bytes_written += entry->size;
        progress_add(shared->progress, entry->size, 0);
        if (!FAULT_POINT("restore.after-file", err))
            return false;
    }
    return true;
}

static bool run_batch(RebuildWorker *worker, RebuildJob *job, Error *err)
{
    if (worker->shared->delta != NULL && !batch_drop_same(worker, job, err))
        return false;
    return job->batch_count == 0 || write_batch(worker, job, err);
}

bool rebuild_job_run(void *context, void *pointer, Error *err)
{
    RebuildWorker *worker = context;
    RebuildJob *job = pointer;
    bool ok = job->large == NULL ? run_batch(worker, job, err) : range_job_run(worker, job, err);

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
