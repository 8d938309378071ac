#include "rebuild/rebuild.h"

#include "pack/small_file.h"
#include "rebuild/held_places.h"
#include "rebuild/plan_entry.h"
#include "rebuild/stored_wal.h"
#include "rebuild_job.h"

#include "base/work_queue.h"
#include "stream/digest.h"

enum {
    BATCH_FILES = 256,      /* small files of one job, at most */
    BATCH_STORED = 4 << 20, /* stored bytes that one job reads in one go */
    BATCH_GAP = 256 << 10,  /* bytes of others in between that are not worth a second read */
    JOBS_PER_THREAD = 3,
};

static bool is_control(const ManifestEntry *entry)
{
    return strcmp(entry->path, "global/pg_control") == 0;
}

/* pg_control is written when all else is durable, by restore/run.c. */
static bool is_rebuilt(const ManifestEntry *entry)
{
    return (plan_entry_is_written(entry) || entry->kind == ENTRY_EXTRA) && !is_control(entry);
}

/* Of ranges, rather than of one frame. */
static bool is_large(const ManifestEntry *entry)
{
    return !entry->is_small && entry->size > 0;
}

typedef struct Rebuild {
    const RebuildShared *shared;
    WorkQueue *queue;
    WalCheck *check; /* NULL: none */
    RebuildReport *report;
    Arena *arena; /* jobs: a few bytes a file, so none is given back before the end */

    const ManifestEntry **small; /* by their places in the packs */
    size_t small_count;
    size_t small_submitted;
    uint64_t large_bytes;
    uint64_t large_submitted; /* bytes */
} Rebuild;

static bool finish_large(const Rebuild *rebuild, RebuildLarge *large, Error *err)
{
    const ManifestEntry *entry = large->entry;
    FileAttributes attributes = rebuild_attributes(entry);
    uint32_t crc = large->crcs[0];

    for (uint32_t i = 1; i < entry->range_count; i++)
        crc = crc32c_combine(crc, large->crcs[i], entry->ranges[i].size);
    if (crc != entry->crc32c) {
        return error_set(err, ERR_CORRUPT, "%s: the file's CRC is not what was backed up",
                         entry->path);
    }
    return rebuild->shared->is_check ||
           file_attributes_set(held_places_of(rebuild->shared->placement, entry), &attributes,
                               rebuild->shared->is_synced, err);
}

/* Take one finished job back; *any is false when there was none. */
static bool take_back(const Rebuild *rebuild, bool *any, Error *err)
{
    void *pointer = NULL;

    progress_tick(rebuild->shared->progress);
    if (!wal_check_look(rebuild->check, err) || !work_queue_next(rebuild->queue, &pointer, err))
        return false;
    *any = pointer != NULL;
    if (pointer == NULL)
        return true;
    const RebuildJob *job = pointer;
    rebuild->report->bytes_read += job->content.bytes_read;
    if (job->large == NULL)
        return true;
    job->large->crcs[job->range] = job->content.crc32c;
    return --job->large->missing > 0 || finish_large(rebuild, job->large, err);
}

static bool submit(const Rebuild *rebuild, RebuildJob *job, Error *err)
{
    bool any;

    while (!work_queue_has_room(rebuild->queue)) {
        if (!take_back(rebuild, &any, err))
            return false;
    }
    return work_queue_submit(rebuild->queue, job, err);
}

static int by_place(const void *a, const void *b)
{
    const ManifestEntry *first = *(const ManifestEntry *const *)a;
    const ManifestEntry *second = *(const ManifestEntry *const *)b;

    if ((first->size > 0) != (second->size > 0))
        return first->size > 0 ? 1 : -1;
    if (first->size == 0)
        return strcmp(first->path, second->path);
    if (first->content.pack != second->content.pack)
        return first->content.pack < second->content.pack ? -1 : 1;
    if (first->content.offset != second->content.offset)
        return first->content.offset < second->content.offset ? -1 : 1;
    return strcmp(first->path, second->path);
}

/* Whether a file can join a batch that began with `first` and reached `previous`. */
static bool joins(const ManifestEntry *first, const ManifestEntry *previous,
                  const ManifestEntry *entry)
{
    if (first->size == 0 || entry->size == 0)
        return first->size == entry->size;
    uint64_t end = previous->content.offset + previous->content.stored_size;
    return entry->content.pack == first->content.pack &&
           entry->content.offset + entry->content.stored_size >= end &&
           (entry->content.offset <= end || entry->content.offset - end <= BATCH_GAP) &&
           entry->content.offset + entry->content.stored_size - first->content.offset <=
               BATCH_STORED;
}

/* The next batch of small files. */
static bool submit_batch(Rebuild *rebuild, Error *err)
{
    const ManifestEntry **entries = rebuild->small + rebuild->small_submitted;
    size_t left = rebuild->small_count - rebuild->small_submitted, size = 1;

    while (size < left && size < BATCH_FILES && joins(entries[0], entries[size - 1], entries[size]))
        size++;
    RebuildJob *job = arena_alloc(rebuild->arena, sizeof *job);
    job->batch = entries;
    job->batch_count = size;
    rebuild->small_submitted += size;
    return submit(rebuild, job, err);
}

/*
 * Small files take turns with the large ones: these keep a thread busy with the disk, those with
 * directories, on whose locks threads that all create files would wait for one another.
 */
static bool keep_pace(Rebuild *rebuild, Error *err)
{
    double share = (double)rebuild->large_submitted / (double)rebuild->large_bytes;
    size_t due = (size_t)((double)rebuild->small_count * share);

    while (rebuild->small_submitted < due && rebuild->small_submitted < rebuild->small_count) {
        if (!submit_batch(rebuild, err))
            return false;
    }
    return true;
}

static bool large_is_possible(const ManifestEntry *entry, Error *err)
{
    uint64_t size = 0;

    for (uint32_t i = 0; i < entry->range_count; i++) {
        bool is_last = i + 1 == entry->range_count;
        if (entry->ranges[i].index != i || (!is_last && entry->ranges[i].size != RANGE_SIZE))
            return error_set(err, ERR_CORRUPT, "manifest: impossible ranges of %s", entry->path);
        size += entry->ranges[i].size;
    }
    if (entry->range_count == 0 || size != entry->size) {
        return error_set(err, ERR_CORRUPT, "manifest: ranges of %s don't make up its size",
                         entry->path);
    }
    return true;
}

static bool submit_large(Rebuild *rebuild, const ManifestEntry *entry, Error *err)
{
    if (!rebuild->shared->is_check &&
        !restored_file_create(held_places_of(rebuild->shared->placement, entry), entry->size, err))
        return false;
    RebuildLarge *large = arena_alloc(rebuild->arena, sizeof *large);
    large->entry = entry;
    large->crcs = arena_alloc(rebuild->arena, entry->range_count * sizeof *large->crcs);
    large->missing = entry->range_count;
    for (uint32_t i = 0; i < entry->range_count; i++) {
        RebuildJob *job = arena_alloc(rebuild->arena, sizeof *job);
        job->large = large;
        job->range = i;
        rebuild->large_submitted += entry->ranges[i].size;
        if (!submit(rebuild, job, err) || !keep_pace(rebuild, err))
            return false;
    }
    return true;
}

/* What there is to do, checked as far as the manifest tells. */
static bool rebuild_collect(Rebuild *rebuild, Error *err)
{
    const Manifest *manifest = rebuild->shared->manifest;

    for (size_t i = 0; i < manifest->entry_count; i++) {
        const ManifestEntry *entry = &manifest->entries[i];
        if (!is_rebuilt(entry))
            continue;
        rebuild->report->files++;
        rebuild->report->bytes += entry->size;
        if (!(is_large(entry) ? large_is_possible(entry, err)
                              : small_file_is_possible(manifest, entry, err)))
            return false;
        if (is_large(entry)) {
            rebuild->large_bytes += entry->size;
        } else {
            rebuild->small[rebuild->small_count++] = entry;
        }
    }
    qsort(rebuild->small, rebuild->small_count, sizeof(const ManifestEntry *), by_place);
    return true;
}

static bool submit_all(Rebuild *rebuild, Error *err)
{
    const Manifest *manifest = rebuild->shared->manifest;

    for (size_t i = 0; i < manifest->entry_count; i++) {
        const ManifestEntry *entry = &manifest->entries[i];
        if (is_rebuilt(entry) && is_large(entry) && !submit_large(rebuild, entry, err))
            return false;
    }
    while (rebuild->small_submitted < rebuild->small_count) {
        if (!submit_batch(rebuild, err))
            return false;
    }
    return true;
}

static bool run_all(Rebuild *rebuild, Error *err)
{
    bool any = true;

    if (!rebuild_collect(rebuild, err) || !submit_all(rebuild, err))
        return false;
    while (any) {
        if (!take_back(rebuild, &any, err))
            return false;
    }
    return true;
}

static bool run_with(Rebuild *rebuild, RebuildWorker *workers, unsigned jobs, Error *err)
{
    void **pointers = mem_alloc(jobs * sizeof *pointers);
    WorkQueueSetup setup = {.threads = jobs,
                            .capacity = (size_t)jobs * JOBS_PER_THREAD,
                            .order = WORK_AS_DONE,
                            .run = rebuild_job_run,
                            .workers = pointers};

    for (unsigned i = 0; i < jobs; i++)
        pointers[i] = &workers[i];
    rebuild->queue = work_queue_new(&setup, err);
    bool ok = rebuild->queue != NULL && run_all(rebuild, err);
    work_queue_free(rebuild->queue);
    mem_free(pointers);
    return ok;
}

static bool run_shared(const RebuildRequest *request, bool is_check, RebuildReport *report,
                       Error *err)
{
    const RebuildShared shared = {.cluster = request->cluster,
                                  .placement = request->placement,
                                  .manifest = request->manifest,
                                  .progress = request->progress,
                                  .is_synced = request->is_synced,
                                  .is_check = is_check};
    CLEANUP(arena_done) Arena arena = {0};
    Rebuild rebuild = {
        .shared = &shared, .check = request->check, .report = report, .arena = &arena};
    const unsigned jobs = request->jobs > 0 ? request->jobs : 1;
    RebuildWorker *workers = rebuild_workers_new(&shared, jobs, err);

    if (workers == NULL)
        return false;
    rebuild.small = mem_alloc((shared.manifest->entry_count + 1) * sizeof(const ManifestEntry *));
    bool ok = run_with(&rebuild, workers, jobs, err);
    mem_free(rebuild.small);
    rebuild_workers_free(workers, jobs);
    return ok;
}

bool rebuild_files(const RebuildRequest *request, RebuildReport *report, Error *err)
{
    return run_shared(request, false, report, err);
}

bool rebuild_check(const RebuildRequest *request, Error *err)
{
    RebuildReport uncounted = {0};

    return run_shared(request, true, &uncounted, err);
}
