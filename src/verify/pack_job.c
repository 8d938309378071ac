#include "pack_job.h"

#include "troubles.h"

#include "pack/page_table.h"
#include "stream/digest.h"

#include <inttypes.h>

enum { PATH_ROOM = 4096 };

/* An extent of the range that is going by. */
typedef struct SeenExtent {
    Frame frame;
    bool is_good;
    uint32_t first_page; /* It is an index into hashes and crcs. */
} SeenExtent;

/*
 * Extents of one range stand one after another, and then, as it is now, their page table
 * (docs/format.md, chapter 4): so what it says is compared with what has just gone by. One that
 * stands elsewhere is compared when the manifest that refers to it is checked.
 */
struct PackWorker {
    PackScanState *scan;
    bool is_stored_only;
    SeenExtent extents[RANGE_PAGES];
    uint32_t extent_count;
    uint64_t hashes[RANGE_PAGES];
    uint32_t crcs[RANGE_PAGES];
    uint32_t page_count;
    uint64_t table_hashes[RANGE_PAGES];
    char path[PATH_ROOM]; /* It is that of the range. */
    uint32_t range;
};

PackWorker *pack_worker_new(bool is_stored_only)
{
    PackWorker *worker = mem_alloc(sizeof *worker);

    worker->scan = pack_scan_state_new();
    worker->is_stored_only = is_stored_only;
    if (is_stored_only)
        pack_scan_stored_only(worker->scan);
    return worker;
}

void pack_worker_freep(PackWorker **worker)
{
    if (*worker != NULL)
        pack_scan_state_freep(&(*worker)->scan);
    mem_free(*worker);
    *worker = NULL;
}

void pack_job_begin(PackJob *job, const VerifyRun *run, size_t pack)
{
    *job = (PackJob){
        .cluster = run->cluster,
        .progress = run->request->progress,
        .pack = pack,
        .info = run->packs[pack].info,
    };
}

void pack_job_done(PackJob *job)
{
    mem_free(job->frames);
    arena_done(&job->arena);
    *job = (PackJob){0};
}

static void add_problem(PackJob *job, FindingSeverity severity, const char *what,
                        const char *expected, const char *found)
{
    if (job->problem_count < PACK_PROBLEMS_KEPT) {
        job->problems[job->problem_count] = (PackProblem){
            .severity = severity,
            .what = arena_text(&job->arena, what),
            .expected = arena_text(&job->arena, expected),
            .found = arena_text(&job->arena, found),
        };
    }
    job->problem_count++;
}

static const char *frame_kind_name(FrameKind kind)
{
    switch (kind) {
    case FRAME_EXTENT:
        return "extent";
    case FRAME_PAGE_TABLE:
        return "page table";
    case FRAME_FILE:
        return "content";
    }
    return "frame";
}

/* "extent of base/5/1259 (range 0) at offset 80" */
static void frame_describe(const ScannedFrame *frame, Buffer *text)
{
    buffer_print(text, "%s of %.*s", frame_kind_name(frame->kind), (int)frame->path_size,
                 frame->path);
    if (frame->kind != FRAME_FILE)
        buffer_print(text, " (range %" PRIu32 ")", frame->range);
    buffer_print(text, " at offset %" PRIu64, frame->frame.offset);
}

static void frame_problem(PackJob *job, const ScannedFrame *frame, FindingSeverity severity,
                          const char *expected, const char *found)
{
    CLEANUP(buffer_done) Buffer what = {0};

    frame_describe(frame, &what);
    add_problem(job, severity, (const char *)what.data, expected, found);
}

/* Its stored bytes or its content. What decodes as of a newer version need not be damage. */
static void damaged_frame(PackJob *job, const ScannedFrame *frame, const char *expected,
                          const Error *problem)
{
    frame_problem(job, frame, FINDING_DAMAGE, expected, problem->message);
    if (job->problem_count <= PACK_PROBLEMS_KEPT)
        job->problems[job->problem_count - 1].is_newer = problem->code == ERR_VERSION;
}

static void begin_range(PackWorker *worker, const ScannedFrame *frame)
{
    worker->extent_count = 0;
    worker->page_count = 0;
    worker->range = frame->range;
    (void)snprintf(worker->path, sizeof worker->path, "%.*s", (int)frame->path_size, frame->path);
}

static bool is_same_range(const PackWorker *worker, const ScannedFrame *frame)
{
    return worker->range == frame->range && strlen(worker->path) == frame->path_size &&
           memcmp(worker->path, frame->path, frame->path_size) == 0;
}

static uint32_t page_size_at(uint64_t size, uint32_t page)
{
    uint64_t left = size - (uint64_t)page * PAGE_BYTES;

    return left < PAGE_BYTES ? (uint32_t)left : PAGE_BYTES;
}

/* A file that vanished while it was read leaves extents without a page table: no matter. */
static void see_extent(PackJob *job, PackWorker *worker, const ScannedFrame *frame,
                       const uint8_t *raw)
{
    uint64_t seed = job->cluster->repo->hash_seed;
    uint32_t count = frame_page_count(frame->frame.raw_size);

    if (!is_same_range(worker, frame) || worker->extent_count == RANGE_PAGES ||
        count > RANGE_PAGES - worker->page_count)
        begin_range(worker, frame);
    worker->extents[worker->extent_count++] = (SeenExtent){
        .frame = frame->frame, .is_good = raw != NULL, .first_page = worker->page_count};
    if (raw == NULL)
        return;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *page = raw + (size_t)i * PAGE_BYTES;
        uint32_t size = page_size_at(frame->frame.raw_size, i);

        worker->hashes[worker->page_count] = xxh3_of(seed, page, size);
        worker->crcs[worker->page_count++] = crc32c_update(0, page, size);
    }
}

static bool is_same_frame(const Frame *one, const Frame *other)
{
    return one->offset == other->offset && one->checksum == other->checksum &&
           one->stored_size == other->stored_size && one->raw_size == other->raw_size &&
           one->codec == other->codec;
}

static const SeenExtent *find_extent(const PackWorker *worker, const Frame *wanted)
{
    for (uint32_t i = 0; i < worker->extent_count; i++) {
        if (is_same_frame(&worker->extents[i].frame, wanted))
            return &worker->extents[i];
    }
    return NULL;
}

/* Whether what the page table says about one page is what went by. */
static bool is_page_right(const PackWorker *worker, const PageTable *table, uint32_t index,
                          const SeenExtent *extent)
{
    const PageEntry *entry = &table->entries[index];
    uint32_t at = extent->first_page + entry->slot;

    return page_size_at(table->range_size, table->pages[index]) ==
               page_size_at(extent->frame.raw_size, entry->slot) &&
           worker->hashes[at] == entry->hash && worker->crcs[at] == entry->crc32c;
}

typedef struct PagesVerdict {
    uint32_t wrong, first_wrong;
    bool lost_extent, bad_extent;
} PagesVerdict;

static PagesVerdict judge_pages(const PackWorker *worker, const PageTable *table)
{
    CLEANUP(buffer_done) Buffer places = {0};
    PagesVerdict verdict = {0};

    buffer_reserve(&places, (table->extent_count + 1) * sizeof(SeenExtent *));
    const SeenExtent **extents = (const SeenExtent **)(void *)places.data;
    for (uint32_t i = 0; i < table->extent_count; i++) {
        extents[i] = find_extent(worker, &table->extents[i]);
        verdict.lost_extent |= extents[i] == NULL;
        verdict.bad_extent |= extents[i] != NULL && !extents[i]->is_good;
    }
    for (uint32_t i = 0; i < table->page_count; i++) {
        const SeenExtent *extent = extents[table->entries[i].extent];

        if (extent == NULL || !extent->is_good || is_page_right(worker, table, i, extent))
            continue;
        if (verdict.wrong++ == 0)
            verdict.first_wrong = table->pages[i];
    }
    return verdict;
}

/* The fact of a page table: the range's digests, as far as this table has all of it. */
static void sum_up_range(const PackJob *job, PackWorker *worker, const PageTable *table,
                         FrameFact *fact)
{
    fact->range_size = (uint32_t)table->range_size;
    if (table->page_count != frame_page_count(table->range_size)) {
        fact->state = FRAME_PARTIAL;
        return;
    }
    for (uint32_t i = 0; i < table->page_count; i++) {
        worker->table_hashes[i] = table->entries[i].hash;
        fact->crc32c = crc32c_combine(fact->crc32c, table->entries[i].crc32c,
                                      page_size_at(table->range_size, i));
    }
    fact->hash = range_hash(job->cluster->repo->hash_seed, table->range_size, worker->table_hashes,
                            table->page_count);
}

static void see_table(PackJob *job, PackWorker *worker, const ScannedFrame *frame,
                      const uint8_t *raw, FrameFact *fact)
{
    CLEANUP(page_table_done) PageTable table = {0};
    Error problem = {0};
    char text[96];

    fact->state = FRAME_DAMAGED;
    if (!is_same_range(worker, frame))
        begin_range(worker, frame);
    if (!page_table_decode(&table, raw, frame->frame.raw_size, &problem)) {
        damaged_frame(job, frame, "a page table", &problem);
        return;
    }
    PagesVerdict verdict = judge_pages(worker, &table);
    if (table.range != frame->range) {
        frame_problem(job, frame, FINDING_INCONSISTENT, "the page table of its range",
                      "it is of another range");
    } else if (verdict.lost_extent) {
        fact->state = FRAME_ALONE; /* whether they are elsewhere a manifest says */
    } else if (verdict.wrong > 0) {
        snprintf(text, sizeof text, "%" PRIu32 " pages are different, the first is %" PRIu32,
                 verdict.wrong, verdict.first_wrong);
        frame_problem(job, frame, FINDING_INCONSISTENT, "hash and CRC-32C of every page", text);
    } else if (!verdict.bad_extent) { /* which has its own finding */
        fact->state = FRAME_GOOD;
        sum_up_range(job, worker, &table, fact);
    }
    begin_range(worker, frame);
}

static FrameFact *add_fact(PackJob *job, const ScannedFrame *frame)
{
    if (job->frame_count == job->frame_capacity) {
        job->frame_capacity = job->frame_capacity == 0 ? 256 : 2 * job->frame_capacity;
        job->frames = mem_resize(job->frames, job->frame_capacity * sizeof job->frames[0]);
    }
    FrameFact *fact = &job->frames[job->frame_count++];
    *fact = (FrameFact){
        .frame = frame->frame, .range = frame->range, .kind = frame->kind, .state = FRAME_GOOD};
    return fact;
}

typedef struct PackJobScan {
    PackJob *job;
    PackWorker *worker;
} PackJobScan;

static void see_damage(PackJob *job, const ScannedFrame *frame, const Error *problem)
{
    char expected[96];

    snprintf(expected, sizeof expected,
             "%" PRIu32 " stored bytes with checksum %016" PRIx64 ", %" PRIu32 " raw",
             frame->frame.stored_size, frame->frame.checksum, frame->frame.raw_size);
    damaged_frame(job, frame, expected, problem);
}

static bool see_frame(void *context, const ScannedFrame *frame, const uint8_t *raw,
                      const Error *problem, Error *err)
{
    PackJobScan *scan = context;
    PackJob *job = scan->job;

    (void)err;
    job->frames_seen++;
    progress_add(job->progress, frame->frame.stored_size, frame->frame.stored_size);
    if (problem->code != ERR_NONE)
        see_damage(job, frame, problem);
    if (scan->worker->is_stored_only)
        return true;
    job->bytes_raw += raw != NULL ? frame->frame.raw_size : 0;
    if (frame->kind == FRAME_EXTENT) {
        see_extent(job, scan->worker, frame, raw);
        return true;
    }
    FrameFact *fact = add_fact(job, frame);
    if (raw == NULL) {
        fact->state = FRAME_DAMAGED;
    } else if (frame->kind == FRAME_PAGE_TABLE) {
        see_table(job, scan->worker, frame, raw, fact);
    } else {
        fact->hash = xxh3_of(job->cluster->repo->hash_seed, raw, frame->frame.raw_size);
        fact->crc32c = crc32c_update(0, raw, frame->frame.raw_size);
    }
    return true;
}

bool pack_job_run(void *worker, void *work, Error *err)
{
    PackJob *job = work;
    PackJobScan scan = {.job = job, .worker = worker};

    scan.worker->extent_count = 0;
    scan.worker->page_count = 0;
    scan.worker->path[0] = '\0';
    job->is_readable = pack_scan(job->cluster, job->info.id, job->info.size, scan.worker->scan,
                                 see_frame, &scan, job->sha256, &job->error);
    if (!job->is_readable && !is_finding(&job->error))
        return error_pass(err, &job->error);
    job->is_other =
        job->is_readable && memcmp(job->sha256, job->info.sha256, sizeof job->sha256) != 0;
    return true;
}
