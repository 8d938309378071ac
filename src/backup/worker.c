#include "range_copy.h"

#include "base/file.h"
#include "postgres/data_directory.h"
#include "stream/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void worker_init(Worker *worker, CopyContext *context, const PackWriterSetup *packs)
{
    *worker = (Worker){
        .context = context,
        .packs = pack_writer_new(packs),
        .codec = codec_context_new(),
        .raw = mem_alloc_aligned(EXTENT_SIZE),
        .gather = context->base != NULL ? mem_alloc_aligned(EXTENT_SIZE) : NULL,
        .page = mem_alloc_aligned(context->page_size),
        .pages = mem_alloc(RANGE_PAGES * sizeof worker->pages[0]),
        .hashes = mem_alloc(RANGE_PAGES * sizeof worker->hashes[0]),
        .places = mem_alloc(RANGE_PAGES * sizeof worker->places[0]),
    };
    residency_init(&worker->residency);
}

void worker_rest(Worker *worker)
{
    pack_writer_freep(&worker->packs);
    codec_context_freep(&worker->codec);
    residency_done(&worker->residency);
    range_reader_freep(&worker->base_reader);
    mem_free(TAKE(worker->raw));
    mem_free(TAKE(worker->gather));
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

/* A file of one range, as the base has it. */
static bool take_unread_file(Worker *worker, const WorkerSource *source, const struct stat *info,
                             ManifestEntry *entry, RangeClaim *claim)
{
    ManifestRange range;

    if (entry->size <= SMALL_FILE_SIZE || entry->size > RANGE_SIZE ||
        !range_take_unread(worker, source, info, 0, (size_t)entry->size, &range, claim))
        return false;
    entry->is_small = false;
    entry->range_count = 1;
    entry->ranges = arena_alloc(&worker->arena, sizeof entry->ranges[0]);
    entry->ranges[0] = range;
    entry->crc32c = range.crc32c;
    return true;
}

typedef struct LargeFile {
    ManifestEntry *entry;
    size_t have;      /* This many bytes of its first extent were read and judged. */
    RangeClaim claim; /* It is set for a file of one range. */
} LargeFile;

/* A file that is not small: every range of it, one after another. */
static bool copy_large(Worker *worker, const WorkerSource *source, PageJudge *judge,
                       const LargeFile *file, Error *err)
{
    ManifestEntry *entry = file->entry;
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
        const RangeRequest request = {.source = source,
                                      .judge = judge,
                                      .range = range,
                                      .want = want,
                                      .have = range == 0 ? file->have : 0,
                                      .claim = file->claim};

        if (range > 0) {
            residency_look(&worker->residency, source->fd, (uint64_t)range * RANGE_SIZE, want);
            judge->is_settled = true;
        }
        if (!range_copy(worker, &request, result, err))
            return false;
        if (result->size == 0)
            break;
        entry->range_count++;
        entry->crc32c = crc32c_combine(entry->crc32c, result->crc32c, result->size);
        size += result->size;
        if (result->size < want)
            break;
    }
    entry->size = size;
    entry->is_small = size == 0;
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
    PageJudge judge = extent_judge_of(worker, &source);
    size_t got = 0;
    source.fd = judge.fd = fd;
    entry_set_stat(entry, &info);
    LargeFile large = {.entry = entry};
    if (take_unread_file(worker, &source, &info, entry, &large.claim))
        return true;
    size_t first = entry->size < RANGE_SIZE ? (size_t)entry->size : RANGE_SIZE;
    size_t ask = first < EXTENT_SIZE ? first : EXTENT_SIZE;
    residency_look(&worker->residency, fd, 0, first);
    if (large.claim.by == UNREAD_BY_WAL)
        return copy_large(worker, &source, &judge, &large, err);
    if (ask > 0 && !extent_read(worker, &source, &judge, 0, ask, &got, err))
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
        return extent_store_small(worker, entry, worker->raw, (size_t)entry->size, err);
    large.have = got;
    return copy_large(worker, &source, &judge, &large, err);
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
    PageJudge judge = extent_judge_of(worker, &source);
    RangeRequest request = {.source = &source, .judge = &judge, .range = job->range, .want = want};
    if (entry->size == (uint64_t)info.st_size &&
        range_take_unread(worker, &source, &info, job->range, want, &job->result, &request.claim))
        return true;
    residency_look(&worker->residency, fd, begin, want);
    return range_copy(worker, &request, &job->result, err);
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
