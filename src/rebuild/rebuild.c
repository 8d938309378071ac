#include "rebuild/rebuild.h"

#include "pack/small_file.h"
#include "rebuild/held_places.h"
#include "rebuild/plan_entry.h"
#include "rebuild/stored_wal.h"
#include "rebuild_job.h"

#include "base/work_queue.h"
#include "stream/digest.h"

#include <sys/stat.h>
#include <unistd.h>

enum {
    BATCH_FILES = 256,      /* A job has at most this many small files. */
    BATCH_STORED = 4 << 20, /* One job reads this many stored bytes in one go. */
    /* Up to this many bytes of other files in between are read rather than skipped. */
    BATCH_GAP = 256 << 10,
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
    WalCheck *check; /* NULL means that there is none. */
    RebuildReport *report;
    /* It owns the jobs. They take a few bytes a file, so none is given back before the end. */
    Arena *arena;

    const ManifestEntry **small; /* They are sorted by their places in the packs. */
    size_t small_count;
    size_t small_submitted;
    uint64_t large_bytes;
    uint64_t large_submitted;   /* It is in bytes. */
    RebuildLarge *shared_files; /* These files differ, and other files share their blocks. */
} Rebuild;

static bool check_crc(const RebuildLarge *large, Error *err)
{
    const ManifestEntry *entry = large->entry;
    uint32_t crc = large->crcs[0];

    for (uint32_t i = 1; i < entry->range_count; i++)
        crc = crc32c_combine(crc, large->crcs[i], entry->ranges[i].size);
    return crc == entry->crc32c ||
           error_set(err, ERR_CORRUPT, "%s: the file's CRC is not what was backed up", entry->path);
}

/* Its blocks would be written to, so all of it will be wanted. */
static void finish_compared(Rebuild *rebuild, RebuildLarge *large)
{
    if (large->record != NULL)
        large->record->verdict = large->is_changed ? DELTA_DIFFERS : DELTA_SAME;
    if (!large->is_changed ||
        !found_file_is_shared(held_places_of(rebuild->shared->placement, large->entry)))
        return;
    large->next = rebuild->shared_files;
    rebuild->shared_files = large;
}

static bool finish_large(Rebuild *rebuild, RebuildLarge *large, Error *err)
{
    const bool is_check = rebuild->shared->is_check;

    if (large->is_new && !check_crc(large, err))
        return false;
    if (is_check && !large->is_new)
        finish_compared(rebuild, large);
    if (!large->is_new && !large->is_changed)
        rebuild->report->files_kept++;
    return is_check || rebuild_settle(rebuild->shared, large->entry, err);
}

/* What the first step has found is not told twice. */
static void add_tally(Rebuild *rebuild, const RebuildTally *tally)
{
    RebuildReport *report = rebuild->report;
    const bool is_check = rebuild->shared->is_check;

    report->pages_compared += tally->pages_compared;
    report->pages_written += is_check ? 0 : tally->pages_differ;
    report->bytes_written += is_check ? 0 : tally->bytes_written;
    report->files_kept += tally->files_kept;
}

/* Take one finished job back; *any is false when there was none. */
static bool take_back(Rebuild *rebuild, bool *any, Error *err)
{
    void *pointer = NULL;

    progress_tick(rebuild->shared->progress);
    if (!wal_check_look(rebuild->check, err) || !work_queue_next(rebuild->queue, &pointer, err))
        return false;
    *any = pointer != NULL;
    if (pointer == NULL)
        return true;
    const RebuildJob *job = pointer;
    RebuildLarge *large = job->large;
    rebuild->report->bytes_read += job->content.bytes_read;
    add_tally(rebuild, &job->tally);
    if (large == NULL)
        return true;
    large->is_changed |= job->tally.pages_differ > 0;
    if (large->is_new)
        large->crcs[job->range] = job->content.crc32c;
    return --large->missing > 0 || finish_large(rebuild, large, err);
}

static bool rebuild_submit(Rebuild *rebuild, RebuildJob *job, Error *err)
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
static bool job_joins(const ManifestEntry *first, const ManifestEntry *previous,
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

    while (size < left && size < BATCH_FILES &&
           job_joins(entries[0], entries[size - 1], entries[size]))
        size++;
    RebuildJob *job = arena_alloc(rebuild->arena, sizeof *job);
    job->batch = entries;
    job->batch_count = size;
    rebuild->small_submitted += size;
    return rebuild_submit(rebuild, job, err);
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

static RebuildLarge *new_large(const Rebuild *rebuild, const ManifestEntry *entry)
{
    RebuildLarge *large = arena_alloc(rebuild->arena, sizeof *large);

    large->entry = entry;
    large->is_new = true;
    large->crcs = arena_alloc(rebuild->arena, entry->range_count * sizeof *large->crcs);
    return large;
}

/* Whether a file stays, and is written where it differs. */
static bool large_stays(const RebuildShared *shared, const RebuildLarge *large,
                        const FoundFile *found)
{
    if (!found_file_fits(found, geteuid(), getegid()))
        return false;
    /* Compared first, it is written to only if it must be. */
    return shared->is_check || (large->known != NULL && large->known->verdict == DELTA_SAME) ||
           !found_file_is_shared(held_places_of(shared->placement, large->entry));
}

static RebuildLarge *look_at_large(const Rebuild *rebuild, const ManifestEntry *entry,
                                   FoundFile *found)
{
    const RebuildShared *shared = rebuild->shared;
    RebuildLarge *large = new_large(rebuild, entry);

    *found = (FoundFile){0};
    if (shared->delta == NULL)
        return large;
    found_file_look(held_places_of(shared->placement, entry), found);
    large->known = delta_find(shared->delta, entry, found);
    large->is_new = !large_stays(shared, large, found);
    if (!large->is_new && shared->is_check) {
        large->record = delta_begin(shared->delta, entry, found);
        delta_add_ranges(shared->delta, entry, large->record);
    }
    return large;
}

/* What is to be written has its size from now on, and can be written. */
static bool large_make_room(const RebuildShared *shared, const RebuildLarge *large,
                            const FoundFile *found, Error *err)
{
    const HeldPath at = held_places_of(shared->placement, large->entry);
    const uint64_t size = large->entry->size;

    if (large->is_new) {
        return (shared->delta == NULL || held_remove(at, err)) &&
               restored_file_create(at, size, err);
    }
    const FileAttributes writable = {.mode = S_IRUSR | S_IWUSR, .mtime = TIME_US_NONE};
    return ((found->mode & S_IWUSR) != 0 || file_attributes_set(at, &writable, false, err)) &&
           restored_file_resize(at, found->size, size, err);
}

/* Nothing of it need be read. */
static bool large_is_settled(const RebuildLarge *large, uint32_t range)
{
    return large->known != NULL && !large->is_new && large->known->ranges[range].is_compared &&
           large->known->ranges[range].differs == NULL;
}

static bool submit_range(Rebuild *rebuild, RebuildLarge *large, uint32_t range, Error *err)
{
    const uint64_t size = large->entry->ranges[range].size;

    rebuild->large_submitted += size;
    if (large_is_settled(large, range)) {
        progress_add(rebuild->shared->progress, size, 0);
        return true;
    }
    RebuildJob *job = arena_alloc(rebuild->arena, sizeof *job);
    job->large = large;
    job->range = range;
    return rebuild_submit(rebuild, job, err);
}

static bool submit_ranges(Rebuild *rebuild, RebuildLarge *large, Error *err)
{
    const uint32_t count = large->entry->range_count;

    for (uint32_t i = 0; i < count; i++)
        large->missing += large_is_settled(large, i) ? 0 : 1;
    if (large->missing == 0 && !finish_large(rebuild, large, err))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!submit_range(rebuild, large, i, err) || !keep_pace(rebuild, err))
            return false;
    }
    return true;
}

static bool submit_large(Rebuild *rebuild, const ManifestEntry *entry, Error *err)
{
    FoundFile found;
    RebuildLarge *large = look_at_large(rebuild, entry, &found);

    return (rebuild->shared->is_check || large_make_room(rebuild->shared, large, &found, err)) &&
           submit_ranges(rebuild, large, err);
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

static bool wait_all(Rebuild *rebuild, Error *err)
{
    bool any = true;

    while (any) {
        if (!take_back(rebuild, &any, err))
            return false;
    }
    return true;
}

/* They are going to be new files, with nothing taken from what is there. */
static bool rebuild_check_shared(Rebuild *rebuild, Error *err)
{
    for (const RebuildLarge *file = rebuild->shared_files; file != NULL; file = file->next) {
        if (!submit_ranges(rebuild, new_large(rebuild, file->entry), err))
            return false;
    }
    return wait_all(rebuild, err);
}

static bool run_all(Rebuild *rebuild, Error *err)
{
    return rebuild_collect(rebuild, err) && submit_all(rebuild, err) && wait_all(rebuild, err) &&
           rebuild_check_shared(rebuild, err);
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
                                  .delta = request->delta,
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
    report->files_kept = 0;
    return run_shared(request, false, report, err);
}

bool rebuild_compare(const RebuildRequest *request, RebuildReport *report, Error *err)
{
    RebuildReport first = {0};
    const bool is_done = run_shared(request, true, &first, err);

    report->bytes_read += first.bytes_read;
    report->pages_compared += first.pages_compared;
    return is_done;
}
