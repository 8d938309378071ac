#include "rebuild.h"

#include "range_reader.h"
#include "restored_file.h"
#include "write_behind.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/work_queue.h"
#include "postgres/data_directory.h"
#include "stream/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BATCH_FILES = 256,      /* small files of one job, at most */
    BATCH_STORED = 4 << 20, /* stored bytes that one job reads in one go */
    BATCH_GAP = 256 << 10,  /* bytes of others in between that are not worth a second read */
    JOBS_PER_THREAD = 3,
    DIRECTORY_MODE = 0700,
};

/* What a restore writes itself, or what must not come back from a backup (pg-facts 7.1). */
static const char *const own_files[] = {
    "backup_label",    "tablespace_map",    "recovery.signal",  "standby.signal",
    "backup_manifest", RESTORE_MARKER_FILE, "pgcairn.recovery", "postmaster.pid",
};

bool rebuild_wants(const ManifestEntry *entry)
{
    if (entry->kind != ENTRY_FILE)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(own_files); i++) {
        if (strcmp(entry->path, own_files[i]) == 0)
            return false;
    }
    return true;
}

static bool is_control(const ManifestEntry *entry)
{
    return strcmp(entry->path, "global/pg_control") == 0;
}

/* pg_control is written when all else is durable, by run.c. */
static bool is_rebuilt(const ManifestEntry *entry)
{
    return (rebuild_wants(entry) || entry->kind == ENTRY_EXTRA) && !is_control(entry);
}

/* Of ranges, rather than of one frame. */
static bool is_large(const ManifestEntry *entry)
{
    return !entry->is_small && entry->size > 0;
}

char *rebuild_path(const RestorePlan *plan, const ManifestEntry *entry)
{
    const char *root = entry->kind == ENTRY_EXTRA ? plan->extra_directory : plan->data;
    const char *path = entry->path;

    while (*path == '/')
        path++;
    if (*path == '\0' || strcmp(path, ".") == 0)
        return text_format("%s", root);
    return text_format("%s/%s", root, path);
}

/* getpwnam(3) for one name after another is slow with a directory service behind it: all files of a
 * cluster have the same owner but for a few, so the plan's own is compared first. */
void rebuild_owner(const RestorePlan *plan, const ManifestEntry *entry, uid_t *uid, gid_t *gid)
{
    *uid = plan->uid;
    *gid = plan->gid;
    if (plan->uid == (uid_t)-1 || entry->owner == NULL || entry->group == NULL ||
        (strcmp(entry->owner, plan->owner) == 0 && strcmp(entry->group, plan->group) == 0))
        return;
    struct passwd record, *found = NULL;
    struct group group_record, *group = NULL;
    CLEANUP(buffer_done) Buffer space = {0};
    buffer_reserve(&space, 64 << 10);
    if (getpwnam_r(entry->owner, &record, (char *)space.data, space.capacity, &found) == 0 &&
        found != NULL)
        *uid = found->pw_uid;
    if (getgrnam_r(entry->group, &group_record, (char *)space.data, space.capacity, &group) == 0 &&
        group != NULL)
        *gid = group->gr_gid;
}

/* ---- directories and links --------------------------------------------------------------------
 */

static bool make_directory(const char *path, uint32_t mode, uid_t uid, gid_t gid, Error *err)
{
    if (mkdir(path, DIRECTORY_MODE) != 0 && errno != EEXIST)
        return error_set_errno(err, ERR_IO, errno, "create directory %s", path);
    FileAttributes attributes = {.mode = mode, .uid = uid, .gid = gid, .mtime = TIME_US_NONE};
    return file_attributes_set(path, &attributes, false, err);
}

static const PlannedTablespace *tablespace_of(const RestorePlan *plan, const char *path)
{
    static const char prefix[] = "pg_tblspc/";

    if (strncmp(path, prefix, sizeof prefix - 1) != 0)
        return NULL;
    char *end;
    unsigned long oid = strtoul(path + sizeof prefix - 1, &end, 10);
    for (size_t i = 0; i < plan->tablespace_count; i++) {
        if (plan->tablespaces[i].oid == oid && *end == '\0')
            return &plan->tablespaces[i];
    }
    return NULL;
}

/* A place of our own; parents that are missing must let the server's user through. */
static bool make_place(const RestorePlan *plan, const char *path, uint32_t mode, Error *err)
{
    CLEANUP(text_freep) char *parent = text_format("%s", path);

    char *slash = strrchr(parent, '/');
    if (slash != NULL && slash != parent) {
        *slash = '\0';
        if (!file_make_directories(parent, 0755, err))
            return false;
    }
    if (mkdir(path, DIRECTORY_MODE) != 0) {
        /* What was there before keeps its owner: it may hold other servers' directories. */
        if (errno == EEXIST)
            return true;
        return error_set_errno(err, ERR_IO, errno, "create directory %s", path);
    }
    if (!FAULT_POINT("restore.after-make-place", err))
        return false;
    FileAttributes attributes = {
        .mode = mode, .uid = plan->uid, .gid = plan->gid, .mtime = TIME_US_NONE};
    return file_attributes_set(path, &attributes, false, err); /* synced at the end, as all is */
}

bool rebuild_places(const RestorePlan *plan, Error *err)
{
    FileAttributes attributes = {
        .mode = plan->data_mode, .uid = plan->uid, .gid = plan->gid, .mtime = TIME_US_NONE};

    if (!make_place(plan, plan->data, plan->data_mode, err) ||
        !file_attributes_set(plan->data, &attributes, false, err))
        return false;
    for (size_t i = 0; i < plan->tablespace_count; i++) {
        if (!make_place(plan, plan->tablespaces[i].path, DIRECTORY_MODE, err))
            return false;
    }
    return plan->extra_directory == NULL ||
           make_place(plan, plan->extra_directory, DIRECTORY_MODE, err);
}

static bool make_link(const RestorePlan *plan, const ManifestEntry *entry, Error *err)
{
    const PlannedTablespace *tablespace = tablespace_of(plan, entry->path);
    CLEANUP(text_freep) char *link = rebuild_path(plan, entry);

    if (tablespace == NULL)
        return error_set(err, ERR_CORRUPT, "link %s is no tablespace of this backup", entry->path);
    if (symlink(tablespace->path, link) != 0)
        return error_set_errno(err, ERR_IO, errno, "create link %s", link);
    if (plan->uid != (uid_t)-1 && lchown(link, plan->uid, plan->gid) != 0)
        return error_set_errno(err, ERR_IO, errno, "set the owner of %s", link);
    return true;
}

/* pg_wal and what is below it: backups leave it out, the server wants it. */
static bool make_wal_directories(const RestorePlan *plan, Error *err)
{
    const char *const *names = data_wal_directories(plan->manifest.header.major);
    CLEANUP(text_freep) char *wal = text_format("%s/pg_wal", plan->data);

    if (!make_directory(wal, plan->data_mode, plan->uid, plan->gid, err))
        return false;
    for (size_t i = 0; names[i] != NULL; i++) {
        CLEANUP(text_freep) char *path = text_format("%s/%s", plan->data, names[i]);
        if (!make_directory(path, plan->data_mode, plan->uid, plan->gid, err))
            return false;
    }
    return true;
}

bool rebuild_skeleton(const RestorePlan *plan, Error *err)
{
    const Manifest *manifest = &plan->manifest;

    for (size_t i = 0; i < manifest->entry_count; i++) {
        const ManifestEntry *entry = &manifest->entries[i];
        if (entry->kind == ENTRY_LINK && !make_link(plan, entry, err))
            return false;
        if (entry->kind != ENTRY_DIRECTORY)
            continue;
        uid_t uid;
        gid_t gid;
        CLEANUP(text_freep) char *path = rebuild_path(plan, entry);
        rebuild_owner(plan, entry, &uid, &gid);
        if (!make_directory(path, entry->mode, uid, gid, err))
            return false;
    }
    return make_wal_directories(plan, err);
}

/* Every backup lists pg_wal as a directory (backup/scan.c), so it is among them. */
bool rebuild_sync_directories(const RestorePlan *plan, Error *err)
{
    const Manifest *manifest = &plan->manifest;

    for (size_t i = 0; i < manifest->entry_count; i++) {
        const ManifestEntry *entry = &manifest->entries[i];
        if (entry->kind != ENTRY_DIRECTORY)
            continue;
        CLEANUP(text_freep) char *path = rebuild_path(plan, entry);
        if (!file_sync_directory(path, err))
            return false;
    }
    for (size_t i = 0; i < plan->tablespace_count; i++) {
        if (!file_sync_directory(plan->tablespaces[i].path, err) ||
            !file_sync_parent(plan->tablespaces[i].path, err))
            return false;
    }
    return true;
}

/* ---- one job ----------------------------------------------------------------------------------
 */

typedef struct Shared {
    const Cluster *cluster;
    const RestorePlan *plan;
    Progress *progress;
    bool is_synced;
} Shared;

typedef struct Worker {
    const Shared *shared;
    RangeReader *reader;
    WriteBehind *behind;
    Buffer stored;
    uint8_t *raw; /* EXTENT_SIZE: the largest file of one frame */
} Worker;

/* A file of several ranges while they come back in any order. */
typedef struct LargeFile {
    const ManifestEntry *entry;
    uint32_t *crcs;
    uint32_t missing;
} LargeFile;

typedef struct Job {
    const ManifestEntry **batch; /* small files, or ... */
    size_t batch_count;
    LargeFile *large; /* ... one range of a large one */
    uint32_t range;
    RangeContent content;
} Job;

static FileAttributes attributes_of(const RestorePlan *plan, const ManifestEntry *entry)
{
    FileAttributes attributes = {.mode = entry->mode, .mtime = entry->mtime};

    rebuild_owner(plan, entry, &attributes.uid, &attributes.gid);
    return attributes;
}

static bool check_small(const ManifestEntry *entry, const void *raw, uint64_t seed, Error *err)
{
    if (entry->size > 0 && xxh3_of(seed, raw, entry->size) != entry->content_hash)
        return error_set(err, ERR_CORRUPT, "the file is not what was backed up");
    if (crc32c_update(0, raw, entry->size) != entry->crc32c)
        return error_set(err, ERR_CORRUPT, "the file's CRC is not what was backed up");
    return true;
}

static bool small_is_possible(const Manifest *manifest, const ManifestEntry *entry, Error *err)
{
    /* Configuration from elsewhere is one frame, whatever its size (backup/worker.c). */
    const uint64_t most = entry->kind == ENTRY_EXTRA ? EXTENT_SIZE : SMALL_FILE_SIZE;

    if (entry->size == 0 ||
        (entry->size <= most && entry->content.raw_size == entry->size &&
         entry->content.pack < manifest->pack_count && entry->content.stored_size <= 2 * most))
        return true;
    return error_set(err, ERR_CORRUPT, "manifest: impossible small file %s", entry->path);
}

bool rebuild_read_small(const Cluster *cluster, const Manifest *manifest,
                        const ManifestEntry *entry, void *raw, Error *err)
{
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    CLEANUP(buffer_done) Buffer scratch = {0};

    if (!entry->is_small || !small_is_possible(manifest, entry, err)) {
        return err->code != ERR_NONE
                   ? false
                   : error_set(err, ERR_CORRUPT, "%s is no small file", entry->path);
    }
    if (entry->size > 0 && !pack_read_frame(cluster, manifest->packs[entry->content.pack].id,
                                            &entry->content, codec, &scratch, raw, err))
        return error_context(err, "%s", entry->path);
    if (!check_small(entry, raw, cluster->repo->hash_seed, err))
        return error_context(err, "%s", entry->path);
    return true;
}

/* The folders above a file from outside: the server, which is not root, must come through. */
static bool make_folders_of_extra(const Shared *shared, const char *path, Error *err)
{
    const RestorePlan *plan = shared->plan;
    CLEANUP(text_freep) char *folder = text_format("%s", path);
    FileAttributes attributes = {
        .mode = DIRECTORY_MODE, .uid = plan->uid, .gid = plan->gid, .mtime = TIME_US_NONE};
    char *slash = folder + strlen(plan->extra_directory);

    *strrchr(folder, '/') = '\0';
    if (!file_make_directories(folder, DIRECTORY_MODE, err))
        return false;
    while (plan->uid != (uid_t)-1 && *slash == '/') {
        size_t length = strcspn(slash + 1, "/");
        char end = slash[1 + length];

        slash[1 + length] = '\0';
        if (!file_attributes_set(folder, &attributes, shared->is_synced, err))
            return false;
        slash[1 + length] = end;
        slash += 1 + length;
    }
    return true;
}

static bool write_small(Worker *worker, const ManifestEntry *entry, const uint8_t *stored,
                        Error *err)
{
    const Shared *shared = worker->shared;
    const Manifest *manifest = &shared->plan->manifest;
    CLEANUP(text_freep) char *path = rebuild_path(shared->plan, entry);
    FileAttributes attributes = attributes_of(shared->plan, entry);

    if (entry->size > 0 &&
        !pack_decode_frame(shared->cluster, manifest->packs[entry->content.pack].id,
                           &entry->content, stored, range_reader_codec(worker->reader), worker->raw,
                           err))
        return error_context(err, "%s", entry->path);
    if (!check_small(entry, worker->raw, shared->cluster->repo->hash_seed, err))
        return error_context(err, "%s", entry->path);
    if (entry->kind == ENTRY_EXTRA && !make_folders_of_extra(shared, path, err))
        return false;
    if (!restored_file_put(path, worker->raw, entry->size, &attributes, shared->is_synced, err))
        return false;
    /* The cluster's own directories are synced at the end; these are no entries of the manifest. */
    return !shared->is_synced || entry->kind != ENTRY_EXTRA || file_sync_parent(path, err);
}

/* The batch's frames lie close together in one pack: one read brings them all. */
static bool run_batch(Worker *worker, Job *job, Error *err)
{
    const Shared *shared = worker->shared;
    const Frame *first = &job->batch[0]->content;
    const Frame *last = &job->batch[job->batch_count - 1]->content;

    worker->stored.size = 0;
    if (job->batch[0]->size > 0) {
        size_t size = (size_t)(last->offset + last->stored_size - first->offset);
        CLEANUP(text_freep)
        char *name =
            layout_pack(shared->cluster->name, shared->plan->manifest.packs[first->pack].id);
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

static bool write_piece(void *context, uint8_t **data, size_t size, uint64_t offset, Error *err)
{
    RangeTarget *target = context;

    if (!write_behind_put(target->behind, target->file, data, size, target->offset + offset, err))
        return false;
    progress_add(target->progress, size, 0);
    return true;
}

/* Whatever comes of the reading, no write is under way any more when this returns. */
static bool copy_range(Worker *worker, RestoredFile *file, Job *job, Error *err)
{
    const ManifestEntry *entry = job->large->entry;
    RangeTarget target = {.behind = worker->behind,
                          .file = file,
                          .offset = (uint64_t)job->range * RANGE_SIZE,
                          .progress = worker->shared->progress};
    Error late = {0};
    bool is_read = range_reader_read(worker->reader, &entry->ranges[job->range], write_piece,
                                     &target, &job->content, err);
    bool is_written = write_behind_finish(worker->behind, &late);

    if (is_read && !is_written)
        *err = late;
    if (!is_read || !is_written)
        return error_context(err, "%s, range %u", entry->path, job->range);
    return true;
}

static bool run_range(Worker *worker, Job *job, Error *err)
{
    const Shared *shared = worker->shared;
    const ManifestEntry *entry = job->large->entry;
    CLEANUP(text_freep) char *path = rebuild_path(shared->plan, entry);
    CLEANUP(restored_file_done) RestoredFile file = RESTORED_FILE_CLOSED;
    bool is_last = job->range + 1 == entry->range_count;

    if (!restored_file_open(&file, path, err) || !copy_range(worker, &file, job, err))
        return false;
    if (!FAULT_POINT("restore.after-range", err) ||
        (is_last && !restored_file_cut(&file, entry->size, err)))
        return false;
    return !shared->is_synced || restored_file_sync(&file, err);
}

static bool run_job(void *context, void *pointer, Error *err)
{
    Worker *worker = context;
    Job *job = pointer;
    bool ok = job->large != NULL ? run_range(worker, job, err) : run_batch(worker, job, err);

    if (ok)
        progress_add(worker->shared->progress, 0, job->content.bytes_read);
    return ok;
}

/* ---- all of them ------------------------------------------------------------------------------
 */

typedef struct Rebuild {
    const Shared *shared;
    WorkQueue *queue;
    RestoreReport *report;
    Arena *arena; /* jobs: a few bytes a file, so none is given back before the end */

    const ManifestEntry **small; /* by their places in the packs */
    size_t small_count;
    size_t small_submitted;
    uint64_t large_bytes;
    uint64_t large_submitted; /* bytes */
} Rebuild;

static bool finish_large(const Rebuild *rebuild, LargeFile *large, Error *err)
{
    const ManifestEntry *entry = large->entry;
    CLEANUP(text_freep) char *path = rebuild_path(rebuild->shared->plan, entry);
    FileAttributes attributes = attributes_of(rebuild->shared->plan, entry);
    uint32_t crc = large->crcs[0];

    for (uint32_t i = 1; i < entry->range_count; i++)
        crc = crc32c_combine(crc, large->crcs[i], entry->ranges[i].size);
    if (crc != entry->crc32c) {
        return error_set(err, ERR_CORRUPT, "%s: the file's CRC is not what was backed up",
                         entry->path);
    }
    return file_attributes_set(path, &attributes, rebuild->shared->is_synced, err);
}

/* Take one finished job back; *any is false when there was none. */
static bool take_back(const Rebuild *rebuild, bool *any, Error *err)
{
    void *pointer = NULL;

    progress_tick(rebuild->shared->progress);
    if (!work_queue_next(rebuild->queue, &pointer, err))
        return false;
    *any = pointer != NULL;
    if (pointer == NULL)
        return true;
    const Job *job = pointer;
    rebuild->report->bytes_read += job->content.bytes_read;
    if (job->large == NULL)
        return true;
    job->large->crcs[job->range] = job->content.crc32c;
    return --job->large->missing > 0 || finish_large(rebuild, job->large, err);
}

static bool submit(const Rebuild *rebuild, Job *job, Error *err)
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
    Job *job = arena_alloc(rebuild->arena, sizeof *job);
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
    CLEANUP(text_freep) char *path = rebuild_path(rebuild->shared->plan, entry);

    if (!restored_file_create(path, entry->size, err))
        return false;
    LargeFile *large = arena_alloc(rebuild->arena, sizeof *large);
    large->entry = entry;
    large->crcs = arena_alloc(rebuild->arena, entry->range_count * sizeof *large->crcs);
    large->missing = entry->range_count;
    for (uint32_t i = 0; i < entry->range_count; i++) {
        Job *job = arena_alloc(rebuild->arena, sizeof *job);
        job->large = large;
        job->range = i;
        rebuild->large_submitted += entry->ranges[i].size;
        if (!submit(rebuild, job, err) || !keep_pace(rebuild, err))
            return false;
    }
    return true;
}

/* What there is to do, checked as far as the manifest tells. */
static bool collect(Rebuild *rebuild, Error *err)
{
    const Manifest *manifest = &rebuild->shared->plan->manifest;

    for (size_t i = 0; i < manifest->entry_count; i++) {
        const ManifestEntry *entry = &manifest->entries[i];
        if (!is_rebuilt(entry))
            continue;
        rebuild->report->files++;
        rebuild->report->bytes += entry->size;
        if (!(is_large(entry) ? large_is_possible(entry, err)
                              : small_is_possible(manifest, entry, err)))
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
    const Manifest *manifest = &rebuild->shared->plan->manifest;

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

    if (!collect(rebuild, err) || !submit_all(rebuild, err))
        return false;
    while (any) {
        if (!take_back(rebuild, &any, err))
            return false;
    }
    return true;
}

static void workers_free(Worker *workers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        range_reader_freep(&workers[i].reader);
        write_behind_freep(&workers[i].behind);
        buffer_done(&workers[i].stored);
        mem_free(workers[i].raw);
    }
    mem_free(workers);
}

/* NULL on failure. */
static Worker *workers_new(const Shared *shared, unsigned count, Error *err)
{
    Worker *workers = mem_alloc(count * sizeof *workers);
    bool ok = true;

    for (unsigned i = 0; ok && i < count; i++) {
        workers[i].shared = shared;
        workers[i].reader = range_reader_new(shared->cluster, &shared->plan->manifest);
        workers[i].raw = mem_alloc_aligned(EXTENT_SIZE);
        workers[i].behind = write_behind_new(err);
        ok = workers[i].behind != NULL;
    }
    if (ok)
        return workers;
    workers_free(workers, count);
    return NULL;
}

static bool run_with(Rebuild *rebuild, Worker *workers, unsigned jobs, Error *err)
{
    void **pointers = mem_alloc(jobs * sizeof *pointers);
    WorkQueueSetup setup = {.threads = jobs,
                            .capacity = (size_t)jobs * JOBS_PER_THREAD,
                            .order = WORK_AS_DONE,
                            .run = run_job,
                            .workers = pointers};

    for (unsigned i = 0; i < jobs; i++)
        pointers[i] = &workers[i];
    rebuild->queue = work_queue_new(&setup, err);
    bool ok = rebuild->queue != NULL && run_all(rebuild, err);
    work_queue_free(rebuild->queue);
    mem_free(pointers);
    return ok;
}

bool rebuild_files(const Cluster *cluster, const RestorePlan *plan, unsigned jobs, bool is_synced,
                   Progress *progress, RestoreReport *report, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    Shared shared = {
        .cluster = cluster, .plan = plan, .progress = progress, .is_synced = is_synced};
    Rebuild rebuild = {.shared = &shared, .report = report, .arena = &arena};
    Worker *workers = workers_new(&shared, jobs, err);

    if (workers == NULL)
        return false;
    rebuild.small = mem_alloc((plan->manifest.entry_count + 1) * sizeof(const ManifestEntry *));
    bool ok = run_with(&rebuild, workers, jobs, err);
    mem_free(rebuild.small);
    workers_free(workers, jobs);
    return ok;
}
