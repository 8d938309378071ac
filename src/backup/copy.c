#include "copy.h"

#include "completeness.h"
#include "extent.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/work_queue.h"
#include "postgres/data_directory.h"
#include "repo/layout.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

enum {
    LOOK_EVERY_MS = 200,
    ASK_SERVER_EVERY_US = 1000000,
    JOBS_PER_WORKER = 3, /* One is being worked on, and the others are ready. */
};

static bool open_context(Copy *copy, const CopySource *source, Error *err)
{
    BackupRun *run = copy->run;
    CopyContext *context = &copy->context;

    copy->cluster = *run->cluster;
    *context = (CopyContext){
        .data = run->data,
        .data_fd = open(run->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        .entries = run->scan.entries,
        .scan = &run->scan,
        .is_gone = mem_alloc((run->scan.count + 1) * sizeof context->is_gone[0]),
        .cluster = &copy->cluster,
        .base = source->base->is_there ? source->base : NULL,
        .unread = source->unread,
        .compression = run->request->compression,
        .page_size = run->control.block_size,
        .relation_segment_blocks = run->control.relation_segment_blocks,
        .rule = {.has_checksums = run->control.checksum_version == 1, .start = run->start},
        .rate = {.bytes_per_s = run->request->rate_limit},
        .progress = run->request->progress,
    };
    atomic_store(&context->insert_seen, run->start);
    if (run->control.checksum_version > 1) {
        log_warn("data checksums are in a state that this version does not know: pages are stored "
                 "without being judged",
                 log_u64("data_checksum_version", run->control.checksum_version));
    }
    if (context->data_fd < 0)
        return error_set_errno(err, ERR_IO, errno, "open %s", run->data);
    return true;
}

static void open_workers(Copy *copy)
{
    const BackupRequest *request = copy->run->request;

    copy->worker_count = request->jobs > 0 ? request->jobs : 1;
    copy->workers = mem_alloc(copy->worker_count * sizeof copy->workers[0]);
    copy->worker_pointers = mem_alloc(copy->worker_count * sizeof copy->worker_pointers[0]);
    for (size_t i = 0; i < copy->worker_count; i++) {
        PackWriterSetup setup = {
            .cluster = &copy->cluster,
            .pack_size = request->pack_size > 0 ? request->pack_size : PACK_SIZE_DEFAULT,
            .first_index = (uint32_t)i,
            .index_step = (uint32_t)copy->worker_count,
        };
        worker_init(&copy->workers[i], &copy->context, &setup);
        copy->worker_pointers[i] = &copy->workers[i];
    }
}

void copy_done(Copy *copy)
{
    for (size_t i = 0; i < copy->worker_count; i++)
        worker_done(&copy->workers[i]);
    if (copy->run != NULL)
        fd_done(&copy->context.data_fd);
    mem_free(copy->workers);
    mem_free(copy->worker_pointers);
    mem_free(copy->context.is_gone);
    mem_free(copy->packs);
    copy_plan_done(&copy->plan);
}

/* The server's insert position now: later than any LSN that was in a page before. */
static bool ask_insert(Copy *copy, Lsn *insert, Error *err)
{
    if (!run_ask_insert(copy->run, insert, err))
        return false;
    atomic_store_explicit(&copy->context.insert_seen, *insert, memory_order_relaxed);
    copy->asked_at = time_monotonic();
    return true;
}

static bool is_only_a_map(const char *path)
{
    const char *slash = strrchr(path, '/');
    RelationFileName file;

    return relation_file_parse(slash != NULL ? slash + 1 : path, &file) &&
           (file.fork == FORK_FSM || file.fork == FORK_VM);
}

/*
 * A bad page. Free space and visibility maps are told of and not counted: the server reads a bad
 * page of them as an empty one and fills it again (bufmgr.c, RBM_ZERO_ON_ERROR), nothing is lost.
 */
static bool report_bad_page(Copy *copy, const PageNote *note, Error *err)
{
    BackupReport *report = copy->run->report;
    const char *path = copy->context.entries[note->entry].path;

    if (is_only_a_map(path)) {
        log_warn("bad page in a map that the server can rebuild", log_str("file", path),
                 log_u64("block", note->block));
        return true;
    }
    if (report->bad_page_count < BAD_PAGES_KEPT) {
        report->bad_pages[report->bad_page_count] =
            (BadPage){.path = arena_text(&report->arena, path), .block = note->block};
    }
    report->bad_page_count++;
    if (copy->run->request->bad_pages == BAD_PAGES_WARN)
        return true;
    error_set(err, ERR_CORRUPT, "bad page: block %" PRIu32 " of %s", note->block, path);
    return error_hint(err, "--bad-pages=warn stores such pages as they are, and lists them all");
}

/* The base has another content of this page than the file, and something said that it had not. */
static void report_surprise(Copy *copy, const PageNote *note)
{
    BackupReport *report = copy->run->report;
    const char *path = copy->context.entries[note->entry].path;
    const bool is_by_wal = note->surprise == UNREAD_BY_WAL;

    log_warn(is_by_wal ? "a page has changed although no WAL names it: everything is read in this "
                         "backup"
                       : "a page has changed although its file's times did not: everything is read "
                         "in this backup",
             log_str("file", path), log_u64("block", note->block));
    if (report->surprise_count++ == 0) {
        report->is_surprise_by_wal = is_by_wal;
        report->surprise =
            (BadPage){.path = arena_text(&report->arena, path), .block = note->block};
    }
}

static int compare_notes(const void *left, const void *right)
{
    const PageNote *a = left, *b = right;

    if (a->entry != b->entry)
        return a->entry < b->entry ? -1 : 1;
    return (a->block > b->block) - (a->block < b->block);
}

static bool copy_take_back(Copy *copy, CopyJob *job, Error *err)
{
    Lsn insert = atomic_load(&copy->context.insert_seen);
    bool is_asked = false;

    if (job->kind == JOB_RANGE && job->is_gone)
        copy->context.is_gone[job->first] = true;
    if (job->note_count > 0)
        qsort(job->notes, job->note_count, sizeof job->notes[0], compare_notes);
    for (size_t i = 0; i < job->note_count; i++) {
        const PageNote *note = &job->notes[i];
        if (note->surprise != UNREAD_BY_NOTHING) {
            report_surprise(copy, note);
            continue;
        }
        if (note->lsn > insert && !is_asked) {
            if (!ask_insert(copy, &insert, err))
                return false;
            is_asked = true;
        }
        bool is_bad = note->lsn == 0 || note->lsn > insert;
        if (is_bad && !report_bad_page(copy, note, err))
            return false;
    }
    mem_free(job->notes);
    job->notes = NULL;
    job->note_count = 0;
    return true;
}

/* What must go on however long a job takes. */
static bool copy_look_around(Copy *copy, Error *err)
{
    BackupRun *run = copy->run;
    Lsn insert;

    progress_tick(run->request->progress);
    if (!interrupt_check(err) || !lease_renew(run->lease, run->timeline, run->start, err))
        return false;
    if (time_monotonic() - copy->asked_at < ASK_SERVER_EVERY_US)
        return true;
    return ask_insert(copy, &insert, err);
}

/* The next job that is to be run; NULL: there is none. */
static CopyJob *find_next_job(CopyPlan *plan, size_t *next, bool only_unread)
{
    while (*next < plan->job_count) {
        CopyJob *job = &plan->jobs[(*next)++];

        if (!only_unread || job->is_unread) {
            job->must_read = only_unread;
            return job;
        }
    }
    return NULL;
}

/* All jobs; or once more those that took something over unread. */
static bool copy_run_jobs(Copy *copy, WorkQueue *queue, bool only_unread, Error *err)
{
    CopyPlan *plan = &copy->plan;
    size_t next = 0;

    for (;;) {
        CopyJob *more;
        void *job;

        while (work_queue_has_room(queue) &&
               (more = find_next_job(plan, &next, only_unread)) != NULL) {
            if (!work_queue_submit(queue, more, err))
                return false;
        }
        if (!copy_look_around(copy, err))
            return false;
        if (!work_queue_wait(queue, LOOK_EVERY_MS))
            continue;
        if (!work_queue_next(queue, &job, err))
            return false;
        if (job == NULL)
            return true;
        if (!copy_take_back(copy, job, err))
            return false;
    }
}

bool copy_files(Copy *copy, BackupRun *run, const CopySource *source, Error *err)
{
    CLEANUP(work_queue_freep) WorkQueue *queue = NULL;

    copy->run = run;
    copy->context.data_fd = -1;
    if (!open_context(copy, source, err))
        return false;
    open_workers(copy);
    plan_make(&copy->plan, &run->scan);
    progress_phase(run->request->progress, "copy", run->scan.bytes);
    queue = work_queue_new(&(WorkQueueSetup){.threads = copy->worker_count,
                                             .capacity = copy->worker_count * JOBS_PER_WORKER,
                                             .order = WORK_AS_DONE,
                                             .run = worker_run,
                                             .workers = copy->worker_pointers},
                           err);
    if (queue == NULL || !copy_run_jobs(copy, queue, false, err))
        return false;
    if (atomic_load(&copy->context.is_distrusted) && !copy_run_jobs(copy, queue, true, err))
        return false;
    plan_finish(&copy->plan, &run->scan);
    return completeness_check_gone(&run->scan, copy->context.data_fd, copy->context.is_gone, err) &&
           completeness_drop_unlogged(&run->scan, copy->context.data_fd, copy->context.is_gone,
                                      err);
}

static ManifestEntry *find_control(Scan *scan)
{
    for (size_t i = 0; i < scan->count; i++) {
        ManifestEntry *entry = &scan->entries[i];
        if (entry->kind == ENTRY_FILE && data_plan_of(entry->path, false) == PLAN_CONTROL)
            return entry;
    }
    return NULL;
}

bool copy_control(Copy *copy, Error *err)
{
    BackupRun *run = copy->run;
    ManifestEntry *entry = find_control(&run->scan);
    uint8_t bytes[PG_CONTROL_FILE_SIZE];
    struct stat info;

    if (entry == NULL)
        return error_set(err, ERR_IO, "%s has lost its global/pg_control", run->data);
    if (fstatat(copy->context.data_fd, entry->path, &info, 0) != 0)
        return error_set_errno(err, ERR_IO, errno, "look at %s/%s", run->data, entry->path);
    if (!pg_control_read(run->data, &run->control, bytes, err))
        return error_context(err, "back up %s", entry->path);
    entry_set_stat(entry, &info);
    /* The workers are idle: their queue is gone. */
    return extent_store_small(&copy->workers[0], entry, bytes, sizeof bytes, err) ||
           error_context(err, "back up %s", entry->path);
}

/*
 * Workers number their packs 0, n, 2n, ...; 1, n+1, ... without knowing of each other, so numbers
 * are missing where one wrote fewer. The manifest wants them all: worker by worker.
 */
static uint32_t dense_index(const Copy *copy, uint32_t index)
{
    size_t worker = index % copy->worker_count;
    size_t before = 0, count;

    for (size_t i = 0; i < worker; i++) {
        (void)pack_writer_packs(copy->workers[i].packs, &count);
        before += count;
    }
    return (uint32_t)(before + index / copy->worker_count);
}

/* A pack of the base's gets a number when it is referred to first. */
static uint32_t number_base_pack(Copy *copy, uint32_t *numbers, uint32_t index)
{
    assert(copy->context.base != NULL); /* else nothing refers to one */
    if (numbers[index] == 0) {
        copy->packs = mem_resize(copy->packs, (copy->pack_count + 1) * sizeof copy->packs[0]);
        copy->packs[copy->pack_count++] = copy->context.base->manifest.packs[index];
        numbers[index] = (uint32_t)copy->pack_count;
    }
    return numbers[index] - 1;
}

static void number_pack(Copy *copy, uint32_t *numbers, uint32_t *pack)
{
    *pack = (*pack & PACK_OF_BASE) != 0 ? number_base_pack(copy, numbers, *pack & ~PACK_OF_BASE)
                                        : dense_index(copy, *pack);
}

static void number_range_packs(Copy *copy, uint32_t *numbers, ManifestRange *range)
{
    for (uint8_t i = 0; i < range->fragment_count; i++) {
        number_pack(copy, numbers, &range->fragments[i].table.pack);
        number_pack(copy, numbers, &range->fragments[i].data_pack);
    }
}

static void number_packs(Copy *copy)
{
    const BaseBackup *base = copy->context.base;
    const size_t count = base == NULL ? 0 : base->manifest.pack_count;
    uint32_t *numbers = mem_alloc((count + 1) * sizeof numbers[0]); /* from 1 on; 0: none yet */
    Scan *scan = &copy->run->scan;

    for (size_t i = 0; i < scan->count; i++) {
        ManifestEntry *entry = &scan->entries[i];
        if (entry->is_small && entry->size > 0)
            number_pack(copy, numbers, &entry->content.pack);
        for (uint32_t j = 0; !entry->is_small && j < entry->range_count; j++)
            number_range_packs(copy, numbers, &entry->ranges[j]);
    }
    mem_free(numbers);
}

static bool collect_packs(Copy *copy, Error *err)
{
    for (size_t i = 0; i < copy->worker_count; i++) {
        if (!pack_writer_close(copy->workers[i].packs, err))
            return false;
        size_t count;
        const PackInfo *packs = pack_writer_packs(copy->workers[i].packs, &count);
        if (count == 0)
            continue;
        copy->packs = mem_resize(copy->packs, (copy->pack_count + count) * sizeof copy->packs[0]);
        memcpy(copy->packs + copy->pack_count, packs, count * sizeof packs[0]);
        copy->pack_count += count;
    }
    copy->own_count = copy->pack_count;
    return true;
}

static bool check_packs(Copy *copy, Error *err)
{
    copy->bytes_stored = 0;
    for (size_t i = 0; i < copy->pack_count; i++) {
        const PackInfo *pack = &copy->packs[i];
        CLEANUP(text_freep) char *name = layout_pack(copy->cluster.name, pack->id);
        uint64_t size;

        if (!storage_stat(copy->cluster.repo->storage, name, &size, NULL, err))
            return error_context(err, "check pack %s", pack->id);
        if (size != pack->size) {
            return error_set(err, ERR_CORRUPT,
                             "pack %s has %" PRIu64 " bytes, %" PRIu64 " were written", pack->id,
                             size, pack->size);
        }
        if (i < copy->own_count)
            copy->bytes_stored += size;
    }
    return true;
}

static void sum_work(Copy *copy)
{
    for (size_t i = 0; i < copy->worker_count; i++) {
        copy->bytes_new += copy->workers[i].bytes_new;
        copy->bytes_read += copy->workers[i].bytes_read;
        copy->ranges_unread += copy->workers[i].ranges_unread;
        copy->bytes_unnamed += copy->workers[i].bytes_unnamed;
    }
}

static void drop_gone(Copy *copy)
{
    Scan *scan = &copy->run->scan;
    size_t kept = 0;

    for (size_t i = 0; i < scan->count; i++) {
        if (copy->context.is_gone[i]) {
            scan->skipped_count++;
        } else {
            scan->entries[kept++] = scan->entries[i];
        }
    }
    scan->count = kept;
}

bool copy_finish(Copy *copy, Error *err)
{
    if (!collect_packs(copy, err))
        return false;
    drop_gone(copy);
    number_packs(copy);
    sum_work(copy);
    /* The manifest is encoded next: that needs memory, too. */
    for (size_t i = 0; i < copy->worker_count; i++)
        worker_rest(&copy->workers[i]);
    return check_packs(copy, err);
}
