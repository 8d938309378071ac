#include "rebuild/held_places.h"
#include "rebuild_job.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/interrupt.h"

/*
 * Each direct write is waited for by itself, so few long ones cost less than the page cache, and
 * many short ones far more: the kernel sends those to the disk together. From so many pages in a
 * row.
 */
enum { DIRECT_RUN_PAGES = 32 };

typedef struct RangeTarget {
    WriteBehind *behind;
    RestoredFile *file;
    uint64_t offset; /* The range begins here in the file. */
    uint64_t written;
    Progress *progress; /* When it is NULL, the range was counted when it was compared. */
    /* Writes are scattered and go into the page cache, which takes little time. */
    bool is_scattered;
} RangeTarget;

static const ManifestRange *range_of(const RebuildJob *job)
{
    return &job->large->entry->ranges[job->range];
}

static uint64_t offset_of(const RebuildJob *job)
{
    return (uint64_t)job->range * RANGE_SIZE;
}

static bool range_write_piece(void *context, uint8_t **data, size_t size, uint64_t offset,
                              Error *err)
{
    RangeTarget *target = context;

    if (!(target->is_scattered
              ? restored_file_write(target->file, *data, size, target->offset + offset, err)
              : write_behind_put(target->behind, target->file, data, size, target->offset + offset,
                                 err)))
        return false;
    target->written += size;
    if (target->progress != NULL)
        progress_add(target->progress, size, 0);
    return true;
}

/*
 * Of the range that is open; pages NULL: all. Whatever comes of the reading, no write is under way
 * any more when this returns.
 */
static bool write_pages(RebuildWorker *worker, RestoredFile *file, RebuildJob *job,
                        const PageSet *pages, Error *err)
{
    RangeTarget target = {.behind = worker->behind,
                          .file = file,
                          .offset = offset_of(job),
                          .is_scattered = pages != NULL && !file->is_direct,
                          .progress = pages == NULL ? worker->shared->progress : NULL};
    Error late = {0};
    bool is_read = range_reader_read_pages(worker->reader, pages, range_write_piece, &target,
                                           &job->content, err);
    bool is_written = write_behind_finish(worker->behind, &late);

    job->tally.bytes_written = target.written;
    if (is_read && !is_written)
        *err = late;
    return is_read && is_written;
}

/* What was read and verified before. */
static bool write_kept(RestoredFile *file, RebuildJob *job, const DeltaRange *range, Error *err)
{
    const uint64_t range_size = range_of(job)->size;
    uint8_t *from = range->kept;
    PageRun run = {0};

    while (page_set_next_run(range->differs, &run)) {
        const uint64_t at = (uint64_t)run.first * PAGE_BYTES,
                       full = (uint64_t)run.count * PAGE_BYTES;
        const size_t size = range_size - at < full ? (size_t)(range_size - at) : (size_t)full;
        if (!interrupt_check(err) ||
            !restored_file_write(file, from, size, offset_of(job) + at, err))
            return false;
        from += full;
        job->tally.bytes_written += size;
    }
    return true;
}

/* pages NULL: all; kept NULL: what is written is read now. */
static bool write_range(RebuildWorker *worker, RebuildJob *job, const PageSet *pages,
                        const DeltaRange *kept, Error *err)
{
    const RebuildShared *shared = worker->shared;
    const ManifestEntry *entry = job->large->entry;
    CLEANUP(restored_file_done) RestoredFile file = RESTORED_FILE_CLOSED;
    const bool is_last = job->range + 1 == entry->range_count;
    const bool is_direct =
        pages == NULL || page_set_count(pages) >= page_set_run_count(pages) * DIRECT_RUN_PAGES;

    if (!restored_file_open(&file, held_places_of(shared->placement, entry), is_direct, err) ||
        !(kept != NULL ? write_kept(&file, job, kept, err)
                       : write_pages(worker, &file, job, pages, err)))
        return false;
    if (!FAULT_POINT("restore.after-range", err) ||
        (is_last && !restored_file_cut(&file, entry->size, err)))
        return false;
    return !shared->is_synced || restored_file_sync(&file, err);
}

static bool pass_over(void *context, uint8_t **data, size_t size, uint64_t offset, Error *err)
{
    (void)context;
    (void)data;
    (void)size;
    (void)offset;
    (void)err;
    return true;
}

static bool pass_over_counted(void *context, uint8_t **data, size_t size, uint64_t offset,
                              Error *err)
{
    (void)data;
    (void)offset;
    (void)err;
    progress_add(context, size, 0);
    return true;
}

/* What was verified, into the memory that it is kept in. */
static bool keep_piece(void *context, uint8_t **data, size_t size, uint64_t offset, Error *err)
{
    uint8_t **next = context;

    (void)offset;
    (void)err;
    memcpy(*next, *data, size);
    *next += size; /* only the last page of a file is shorter than its place */
    return true;
}

static bool run_new(RebuildWorker *worker, RebuildJob *job, Error *err)
{
    if (!range_reader_open(worker->reader, range_of(job), err))
        return false;
    return worker->shared->is_check
               ? range_reader_read_pages(worker->reader, NULL, pass_over_counted,
                                         worker->shared->progress, &job->content, err)
               : write_range(worker, job, NULL, NULL, err);
}

static void differ_all(PageSet *differs, uint32_t first, size_t size)
{
    for (uint32_t page = first; (size_t)(page - first) * PAGE_BYTES < size; page++)
        page_set_add(differs, page);
}

/* Of the range that is open. What can't be read differs: it is written anew. */
static bool compare_range(RebuildWorker *worker, RebuildJob *job, PageSet *differs, Error *err)
{
    const RebuildShared *shared = worker->shared;
    const uint64_t seed = shared->cluster->repo->hash_seed, size = range_of(job)->size;
    CLEANUP(fd_done) int fd = -1;

    if (!found_file_open(held_places_of(shared->placement, job->large->entry),
                         shared->delta->from_disk, &fd, err))
        return false;
    for (uint64_t at = 0; at < size; at += EXTENT_SIZE) {
        const size_t part = size - at < EXTENT_SIZE ? (size_t)(size - at) : EXTENT_SIZE;
        const uint32_t first = (uint32_t)(at / PAGE_BYTES);
        if (!interrupt_check(err))
            return false;
        found_file_read_ahead(fd, offset_of(job) + at + part);
        if (found_file_read(fd, worker->raw, part, offset_of(job) + at)) {
            page_set_add_differing(differs, first, worker->raw, part,
                                   range_reader_hashes(worker->reader), seed);
        } else {
            differ_all(differs, first, part);
        }
        progress_add(shared->progress, part, 0);
    }
    job->tally.pages_compared = (size + PAGE_BYTES - 1) / PAGE_BYTES;
    return true;
}

/* What was found when the range was compared, if it is remembered; else NULL. */
static const DeltaRange *known_range(const RebuildJob *job)
{
    const DeltaFile *known = job->large->known;
    const DeltaRange *range = known != NULL ? &known->ranges[job->range] : NULL;

    return range != NULL && range->is_compared ? range : NULL;
}

/* Which pages differ: as it was remembered, or by looking. */
static bool find_differing(RebuildWorker *worker, RebuildJob *job, PageSet *differs, Error *err)
{
    const DeltaRange *known = known_range(job);

    if (known != NULL) {
        *differs = *known->differs; /* else there is no job for it */
        progress_add(worker->shared->progress, range_of(job)->size, 0);
        return true;
    }
    *differs = (PageSet){0};
    return compare_range(worker, job, differs, err);
}

/* What will be needed is read and verified, and kept if it is remembered and there is room. */
static bool verify_differing(RebuildWorker *worker, RebuildJob *job, const PageSet *differs,
                             Error *err)
{
    DeltaFile *record = job->large->record;
    DeltaRange *range = record != NULL ? &record->ranges[job->range] : NULL;
    uint8_t *kept = range != NULL && range->is_compared
                        ? delta_take_room(worker->shared->delta, differs)
                        : NULL;
    uint8_t *next = kept;
    const bool is_read = range_reader_read_pages(
        worker->reader, differs, kept != NULL ? keep_piece : pass_over, &next, &job->content, err);

    if (kept != NULL && is_read) {
        range->kept = kept;
    } else {
        mem_free(kept);
    }
    return is_read;
}

static bool settle_range(RebuildWorker *worker, RebuildJob *job, const PageSet *differs, Error *err)
{
    DeltaFile *record = job->large->record;

    job->tally.pages_differ = page_set_count(differs);
    job->content.bytes_read = range_reader_bytes_read(worker->reader);
    if (record != NULL)
        delta_remember(worker->shared->delta, &record->ranges[job->range], differs);
    if (job->tally.pages_differ == 0)
        return true;
    return worker->shared->is_check ? verify_differing(worker, job, differs, err)
                                    : write_range(worker, job, differs, NULL, err);
}

static bool run_kept(RebuildWorker *worker, RebuildJob *job, const DeltaRange *range, Error *err)
{
    job->tally.pages_differ = page_set_count(range->differs);
    progress_add(worker->shared->progress, range_of(job)->size, 0);
    return write_range(worker, job, range->differs, range, err);
}

static bool run_over(RebuildWorker *worker, RebuildJob *job, Error *err)
{
    const DeltaRange *known = known_range(job);
    PageSet differs;

    if (known != NULL && known->kept != NULL)
        return run_kept(worker, job, known, err);
    return range_reader_open(worker->reader, range_of(job), err) &&
           find_differing(worker, job, &differs, err) && settle_range(worker, job, &differs, err);
}

bool range_job_run(RebuildWorker *worker, RebuildJob *job, Error *err)
{
    return (job->large->is_new ? run_new(worker, job, err) : run_over(worker, job, err)) ||
           error_context(err, "%s, range %u", job->large->entry->path, job->range);
}
