#include "worker.h"

#include "base/file.h"
#include "base/log.h"
#include "pages.h"
#include "postgres/data_directory.h"
#include "stream/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* One file that is open, and what its pages are. */
typedef struct WorkerSource {
    int fd;
    uint32_t entry;
    const char *path;
    bool is_relation;
    bool is_main_fork;
    uint32_t first_block; /* of the file, in its relation fork */
    CopyJob *job;
} WorkerSource;

void worker_init(Worker *worker, CopyContext *context, const PackWriterSetup *packs)
{
    *worker = (Worker){
        .context = context,
        .packs = pack_writer_new(packs),
        .codec = codec_context_new(),
        .raw = mem_alloc_aligned(EXTENT_SIZE),
        .page = mem_alloc_aligned(context->page_size),
        .pages = mem_alloc(RANGE_PAGES * sizeof worker->pages[0]),
        .hashes = mem_alloc(RANGE_PAGES * sizeof worker->hashes[0]),
        .places = mem_alloc(RANGE_PAGES * sizeof worker->places[0]),
    };
    residency_init(&worker->residency);
    for (uint32_t i = 0; i < RANGE_PAGES; i++)
        worker->pages[i] = i;
}

void worker_rest(Worker *worker)
{
    pack_writer_freep(&worker->packs);
    codec_context_freep(&worker->codec);
    residency_done(&worker->residency);
    mem_free(TAKE(worker->raw));
    mem_free(TAKE(worker->page));
    buffer_done(&worker->stored);
    buffer_done(&worker->table);
    mem_free(TAKE(worker->pages));
    mem_free(TAKE(worker->hashes));
    mem_free(TAKE(worker->places));
}

void worker_done(Worker *worker)
{
    worker_rest(worker);
    arena_done(&worker->arena);
}

bool worker_store(Worker *worker, FrameKind kind, const char *path, uint32_t range, const void *raw,
                  size_t size, Frame *frame, Error *err)
{
    Compression compression = worker->context->compression;

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
    return true;
}

bool worker_store_small(Worker *worker, ManifestEntry *entry, const void *raw, size_t size,
                        Error *err)
{
    entry->is_small = true;
    entry->size = size;
    entry->crc32c = crc32c_update(0, raw, size);
    entry->content_hash = 0;
    if (size == 0)
        return true;
    entry->content_hash = xxh3_of(worker->context->cluster->repo->hash_seed, raw, size);
    return worker_store(worker, FRAME_FILE, entry->path, 0, raw, size, &entry->content, err) &&
           pack_writer_close_if_full(worker->packs, err);
}

static PageJudge judge_of(const Worker *worker, const WorkerSource *source)
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

/*
 * Up to `want` bytes at offset into worker->raw, judged. The next extent is asked for before this
 * one is worked on, so that the disk is busy while we compress.
 */
static bool read_extent(Worker *worker, const WorkerSource *source, PageJudge *judge,
                        uint64_t offset, size_t want, size_t *got, Error *err)
{
    CopyContext *context = worker->context;
    uint64_t next = offset + want;

    if (!rate_limit_take(&context->rate, want, err))
        return false;
    if (!residency_is_cached(&worker->residency, next, EXTENT_SIZE) &&
        next < worker->residency.begin + worker->residency.size)
        (void)posix_fadvise(source->fd, (off_t)next, EXTENT_SIZE, POSIX_FADV_WILLNEED);
    if (!file_read_at(source->fd, worker->raw, want, offset, got, source->path, err))
        return false;
    residency_restore(&worker->residency, source->fd, offset, *got);
    progress_add(context->progress, *got, 0);

    uint32_t block = source->first_block + (uint32_t)(offset / context->page_size);
    return !source->is_relation || pages_judge(judge, worker->raw, *got, offset, block, err);
}

/* Hashes of the pages of an extent: places and hashes of the range from page `first` on. */
static uint32_t hash_pages(Worker *worker, uint32_t extent, uint32_t first, size_t size,
                           uint32_t crc)
{
    uint64_t seed = worker->context->cluster->repo->hash_seed;

    for (uint32_t slot = 0; slot * (size_t)PAGE_BYTES < size; slot++) {
        const uint8_t *page = worker->raw + slot * (size_t)PAGE_BYTES;
        size_t left = size - slot * (size_t)PAGE_BYTES;
        size_t length = left < PAGE_BYTES ? left : PAGE_BYTES;
        PageEntry *place = &worker->places[first + slot];

        *place = (PageEntry){.hash = xxh3_of(seed, page, length),
                             .crc32c = crc32c_update(0, page, length),
                             .extent = (uint16_t)extent,
                             .slot = (uint16_t)slot};
        worker->hashes[first + slot] = place->hash;
        crc = crc32c_combine(crc, place->crc32c, length);
    }
    return crc;
}

/* The page table of what was read, and the range's line in the manifest. */
static bool finish_range(Worker *worker, const char *path, PageTable *table, ManifestRange *result,
                         Error *err)
{
    uint64_t seed = worker->context->cluster->repo->hash_seed;
    uint32_t page_count = (uint32_t)((table->range_size + PAGE_BYTES - 1) / PAGE_BYTES);

    table->extents = worker->extents;
    table->page_count = page_count;
    table->pages = worker->pages;
    table->entries = worker->places;
    worker->table.size = 0;
    page_table_encode(table, &worker->table);

    *result = (ManifestRange){
        .index = table->range,
        .size = table->range_size,
        .hash = range_hash(seed, table->range_size, worker->hashes, page_count),
        .is_settled = table->is_settled,
        .fragment_count = 1,
        .fragments = arena_alloc(&worker->arena, sizeof result->fragments[0]),
    };
    return worker_store(worker, FRAME_PAGE_TABLE, path, table->range, worker->table.data,
                        worker->table.size, &result->fragments[0].table, err) &&
           pack_writer_close_if_full(worker->packs, err);
}

/*
 * Store up to `want` bytes of one range. `have` bytes of its first extent are in worker->raw
 * already, read and judged. result->size is less than want where the file ended before; 0 leaves
 * nothing behind.
 */
static bool worker_copy_range(Worker *worker, const WorkerSource *source, PageJudge *judge,
                              uint32_t range, size_t want, size_t have, ManifestRange *result,
                              uint32_t *crc, Error *err)
{
    PageTable table = {.range = range};
    uint64_t begin = (uint64_t)range * RANGE_SIZE;

    *crc = 0;
    while (table.range_size < want) {
        size_t left = want - (size_t)table.range_size;
        size_t ask = left < EXTENT_SIZE ? left : EXTENT_SIZE;
        size_t got = have;

        if (have == 0 &&
            !read_extent(worker, source, judge, begin + table.range_size, ask, &got, err))
            return false;
        have = 0;
        if (got == 0)
            break;
        *crc = hash_pages(worker, table.extent_count, table.extent_count * EXTENT_PAGES, got, *crc);
        if (!worker_store(worker, FRAME_EXTENT, source->path, range, worker->raw, got,
                          &worker->extents[table.extent_count], err))
            return false;
        table.extent_count++;
        table.range_size += got;
        if (got < ask)
            break;
    }
    if (table.range_size == 0) {
        *result = (ManifestRange){.index = range};
        return true;
    }
    /* Only of a relation's main fork it is known when a page was last written: pages have LSNs. */
    table.is_settled = source->is_main_fork && judge->is_settled;
    return finish_range(worker, source->path, &table, result, err);
}

static bool worker_refuse_open(const CopyContext *context, const ManifestEntry *entry, Error *err)
{
    bool is_extra = entry->kind == ENTRY_EXTRA;

    error_set_errno(err, ERR_IO, errno, "open %s%s%s", is_extra ? "" : context->data,
                    is_extra ? "" : "/", entry->path);
    return scan_hint_unreadable(context->data_fd, entry->path, err);
}

/* A link that the scan has followed, and still to the same file. */
static bool open_followed(const CopyContext *context, const ManifestEntry *entry, int *fd,
                          struct stat *info, Error *err)
{
    const FollowedLink *link = scan_followed(context->scan, entry->path);

    if (link == NULL && data_place_of(entry->path) != PLACE_FILE)
        return true;
    if (link != NULL) {
        *fd = openat(context->data_fd, entry->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (*fd < 0)
            return worker_refuse_open(context, entry, err);
        if (fstat(*fd, info) != 0)
            return error_set_errno(err, ERR_IO, errno, "look at %s/%s", context->data, entry->path);
        if (info->st_ino == link->inode && info->st_dev == link->device)
            return true;
    }
    error_set(err, ERR_REFUSED, "%s/%s: a symbolic link was set while the backup ran",
              context->data, entry->path);
    return error_hint(err, "take the backup again");
}

/*
 * Open what the entry names. *fd is -1 when it is gone, or something else has its name now: then
 * WAL knows, or nobody misses it.
 */
static bool open_entry(const CopyContext *context, const ManifestEntry *entry, int *fd,
                       struct stat *info, Error *err)
{
    bool is_extra = entry->kind == ENTRY_EXTRA;
    /* O_NONBLOCK: a fifo that took the place of the file must not stop us. */
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (is_extra ? 0 : O_NOFOLLOW);

    *fd = openat(context->data_fd, entry->path, flags);
    if (*fd < 0 && errno == ELOOP && !is_extra)
        return open_followed(context, entry, fd, info, err);
    if (*fd < 0) {
        if (errno == ENOENT || errno == ELOOP || errno == ENOTDIR || errno == ENXIO)
            return true;
        return worker_refuse_open(context, entry, err);
    }
    if (fstat(*fd, info) != 0)
        return error_set_errno(err, ERR_IO, errno, "look at %s/%s", context->data, entry->path);
    if (!S_ISREG(info->st_mode))
        fd_done(fd);
    return true;
}

static WorkerSource worker_source_of(const CopyContext *context, uint32_t index, CopyJob *job)
{
    const ManifestEntry *entry = &context->entries[index];
    const char *slash = strrchr(entry->path, '/');
    RelationFileName file;
    WorkerSource source = {.fd = -1, .entry = index, .path = entry->path, .job = job};

    source.is_relation = entry->kind == ENTRY_FILE &&
                         data_plan_of(entry->path, false) == PLAN_RELATION &&
                         relation_file_parse(slash != NULL ? slash + 1 : entry->path, &file);
    if (source.is_relation) {
        source.is_main_fork = file.fork == FORK_MAIN;
        source.first_block = file.segment * context->relation_segment_blocks;
    }
    return source;
}

/* A file that is not small: every range of it, one after another. */
static bool copy_large(Worker *worker, const WorkerSource *source, PageJudge *judge,
                       ManifestEntry *entry, size_t have, Error *err)
{
    uint32_t count = (uint32_t)((entry->size + RANGE_SIZE - 1) / RANGE_SIZE);
    uint64_t size = 0;

    entry->is_small = false;
    entry->crc32c = 0;
    entry->range_count = 0;
    entry->ranges = arena_alloc(&worker->arena, count * sizeof entry->ranges[0]);
    for (uint32_t range = 0; range < count; range++) {
        uint64_t left = entry->size - (uint64_t)range * RANGE_SIZE;
        size_t want = left < RANGE_SIZE ? (size_t)left : RANGE_SIZE;
        ManifestRange *result = &entry->ranges[range];
        uint32_t crc;

        if (range > 0) {
            residency_look(&worker->residency, source->fd, (uint64_t)range * RANGE_SIZE, want);
            judge->is_settled = true;
        }
        if (!worker_copy_range(worker, source, judge, range, want, range == 0 ? have : 0, result,
                               &crc, err))
            return false;
        if (result->size == 0)
            break;
        entry->range_count++;
        entry->crc32c = crc32c_combine(entry->crc32c, crc, result->size);
        size += result->size;
        if (result->size < want)
            break;
    }
    entry->size = size;
    return true;
}

/* Whether a file is small is decided by what was read of it, not by what it was at the scan. */
static bool copy_file(Worker *worker, CopyJob *job, uint32_t index, Error *err)
{
    CopyContext *context = worker->context;
    ManifestEntry *entry = &context->entries[index];
    CLEANUP(fd_done) int fd = -1;
    struct stat info;

    if (!open_entry(context, entry, &fd, &info, err))
        return false;
    if (fd < 0) {
        context->is_gone[index] = true;
        return true;
    }

    WorkerSource source = worker_source_of(context, index, job);
    PageJudge judge = judge_of(worker, &source);
    size_t got = 0;
    source.fd = judge.fd = fd;
    entry_set_stat(entry, &info);
    size_t first = entry->size < RANGE_SIZE ? (size_t)entry->size : RANGE_SIZE;
    size_t ask = first < EXTENT_SIZE ? first : EXTENT_SIZE;
    residency_look(&worker->residency, fd, 0, first);
    if (ask > 0 && !read_extent(worker, &source, &judge, 0, ask, &got, err))
        return false;
    if (got < ask)
        entry->size = got;
    /* Configuration from elsewhere is one frame, whatever its size; one that is much too large was
     * not a configuration when it was read. */
    bool is_extra = entry->kind == ENTRY_EXTRA;
    if (is_extra && entry->size > EXTENT_SIZE) {
        context->is_gone[index] = true;
        return true;
    }
    if (entry->size <= SMALL_FILE_SIZE || is_extra)
        return worker_store_small(worker, entry, worker->raw, (size_t)entry->size, err);
    return copy_large(worker, &source, &judge, entry, got, err);
}

/* One range of a split file, up to the size that the file had at the scan. */
static bool worker_run_range(Worker *worker, CopyJob *job, Error *err)
{
    CopyContext *context = worker->context;
    const ManifestEntry *entry = &context->entries[job->first];
    uint64_t begin = (uint64_t)job->range * RANGE_SIZE;
    size_t want = entry->size - begin < RANGE_SIZE ? (size_t)(entry->size - begin) : RANGE_SIZE;
    CLEANUP(fd_done) int fd = -1;
    struct stat info;

    if (!open_entry(context, entry, &fd, &info, err))
        return false;
    job->is_gone = fd < 0;
    if (fd < 0)
        return true;

    WorkerSource source = worker_source_of(context, job->first, job);
    source.fd = fd;
    PageJudge judge = judge_of(worker, &source);
    residency_look(&worker->residency, fd, begin, want);
    return worker_copy_range(worker, &source, &judge, job->range, want, 0, &job->result,
                             &job->crc32c, err);
}

bool worker_run(void *worker, void *job, Error *err)
{
    CopyJob *work = job;
    Worker *self = worker;

    if (work->kind == JOB_RANGE) {
        return worker_run_range(self, work, err) ||
               error_context(err, "back up %s", self->context->entries[work->first].path);
    }
    for (uint32_t i = 0; i < work->count; i++) {
        uint32_t index = work->order[work->first + i];
        if (!copy_file(self, work, index, err))
            return error_context(err, "back up %s", self->context->entries[index].path);
    }
    return true;
}
