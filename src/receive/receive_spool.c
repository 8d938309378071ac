#include "receive_spool.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "receive_begin.h"
#include "receive_marker.h"
#include "repo/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEGMENTS_MIN = 4 };

struct ReceiveSpool {
    ReceiveSpoolSetup setup;
    Repo repo; /* It is the spool's storage, with the repository's id and seed. */
    Cluster cluster;
    int lock_fd;
    WorkQueue *queue;
    bool is_target_known; /* The repository was asked whether the cluster is what we take it for. */
    bool is_moving;
    SpoolMove move; /* It belongs to the thread while that is moving. */
    /* It is the segment that is being stored in the repository, as far as the spool had it. */
    OpenSegment *segment;
    uint32_t timeline;
    uint64_t number;
    CodecContext *codec;
};

/* What is acknowledged rests here: only we may write, and one process at a time. */
static bool spool_lock(const char *path, int *lock_fd, Error *err)
{
    const int fd = *lock_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat found;

    if (fd < 0 || fstat(fd, &found) != 0)
        return error_set_errno(err, ERR_IO, errno, "open directory %s", path);
    if (!file_is_ours_alone(&found)) {
        return error_set(err, ERR_REFUSED,
                         "%s must belong to the user that runs receive, and nobody else may write "
                         "there",
                         path);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return error_set_errno(err, ERR_IO, errno, "lock %s", path);
        error_set(err, ERR_BUSY, "another receive uses the spool %s", path);
        return error_hint(err, "each needs one of its own: --wal-spool");
    }
    return true;
}

/*
 * Files that a killed run was writing: nobody will finish them, and they would take space forever.
 * What can't be removed harms nobody else.
 */
static void spool_remove_unborn(const char *path)
{
    CLEANUP(directory_done) DIR *directory = opendir(path);
    const struct dirent *entry;

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        CLEANUP(text_freep) char *inside = text_format("%s/%s", path, entry->d_name);

        if (entry->d_name[0] == '.')
            continue;
        if (strstr(entry->d_name, ".tmp-") != NULL) {
            (void)unlinkat(dirfd(directory), entry->d_name, 0);
        } else {
            spool_remove_unborn(inside); /* a file is not a directory to be opened */
        }
    }
}

static bool spool_open_storage(ReceiveSpool *spool, Error *err)
{
    const Cluster *target = spool->setup.target;
    const char *directory = spool->setup.directory;

    if (directory[0] != '/')
        return error_set(err, ERR_USAGE, "it must be an absolute path");
    if (spool->setup.size_max < (uint64_t)SEGMENTS_MIN * target->wal_segment_size) {
        return error_set(err, ERR_USAGE,
                         "its size must be at least that of %d segments: %" PRIu64 " MiB",
                         SEGMENTS_MIN, ((uint64_t)SEGMENTS_MIN * target->wal_segment_size) >> 20);
    }
    spool->repo = *target->repo;
    spool->repo.storage = storage_open(&(StorageSetup){.address = directory}, err);
    spool->cluster = *target;
    spool->cluster.repo = &spool->repo;
    return spool->repo.storage != NULL && storage_create(spool->repo.storage, err) &&
           spool_lock(directory, &spool->lock_fd, err) &&
           receive_marker_claim(spool->repo.storage, target, err);
}

static bool run_move(void *worker, void *job, Error *err);

bool receive_spool_open(const ReceiveSpoolSetup *setup, ReceiveSpool **spool, Error *err)
{
    CLEANUP(receive_spool_freep) ReceiveSpool *opened = mem_alloc(sizeof *opened);
    void *worker = opened;

    opened->setup = *setup;
    opened->lock_fd = -1;
    opened->codec = codec_context_new();
    if (!spool_open_storage(opened, err))
        return error_context(err, "open the spool %s", setup->directory);
    spool_remove_unborn(setup->directory);
    opened->queue = work_queue_new(
        &(WorkQueueSetup){.threads = 1, .capacity = 1, .run = run_move, .workers = &worker}, err);
    if (opened->queue == NULL)
        return false;
    *spool = TAKE(opened);
    return true;
}

void receive_spool_freep(ReceiveSpool **spool)
{
    ReceiveSpool *gone = *spool;

    if (gone == NULL)
        return;
    work_queue_freep(&gone->queue);
    open_segment_freep(&gone->segment);
    codec_context_freep(&gone->codec);
    storage_freep(&gone->repo.storage);
    fd_done(&gone->lock_fd);
    mem_free(gone);
    *spool = NULL;
}

const Cluster *receive_spool_cluster(const ReceiveSpool *spool)
{
    return &spool->cluster;
}

bool receive_spool_check(const ReceiveSpool *spool, Error *err)
{
    const char *path = spool->setup.directory;
    struct stat held;
    struct stat found;

    if (fstat(spool->lock_fd, &held) != 0)
        return error_set_errno(err, ERR_IO, errno, "look at the spool");
    if (stat(path, &found) != 0)
        return error_set_errno(err, ERR_UNREACHABLE, errno, "look for the spool %s", path);
    if (found.st_dev == held.st_dev && found.st_ino == held.st_ino)
        return true;
    error_set(err, ERR_REFUSED, "%s is another directory than when this began", path);
    return error_hint(err, "the spool was moved, or its file system unmounted: put it back, and "
                           "start this again");
}

static bool add_sizes(ReceiveSpool *spool, const char *prefix, uint64_t *bytes, Error *err)
{
    const Cluster *cluster = &spool->cluster;
    CLEANUP(object_list_done) ObjectList list = {0};

    if (!storage_list(spool->repo.storage, prefix, &list, err))
        return false;
    for (size_t i = 0; i < list.count; i++) {
        const ObjectInfo *object = &list.objects[i];
        uint32_t from, to;
        WalName name;

        if ((layout_wal_name_of(cluster->name, object->name, cluster->wal_segment_size, &name) &&
             name.kind == WAL_SEGMENT) ||
            layout_piece_of(cluster->name, object->name, cluster->wal_segment_size, &name, &from,
                            &to))
            *bytes += object->size;
    }
    return true;
}

bool receive_spool_measure(ReceiveSpool *spool, uint64_t *bytes, Error *err)
{
    CLEANUP(text_freep) char *wal = layout_wal_prefix(spool->cluster.name);
    CLEANUP(text_freep) char *open = layout_open_prefix(spool->cluster.name);

    *bytes = 0;
    return (add_sizes(spool, wal, bytes, err) && add_sizes(spool, open, bytes, err)) ||
           error_context(err, "look into the spool %s", spool->setup.directory);
}

bool receive_spool_is_full(const ReceiveSpool *spool, uint64_t bytes)
{
    return bytes >= spool->setup.size_max;
}

static bool spool_append_text(void *context, const void *data, size_t size, Error *err)
{
    (void)err;
    buffer_append(context, data, size);
    return true;
}

/*
 * What is said of the repository may come from the spool alone, and an unmounted file system takes
 * everything.
 */
static bool spool_check_target(ReceiveSpool *spool, Error *err)
{
    const Cluster *target = spool->setup.target;
    Cluster found;

    if (!repo_check(target->repo, err))
        return false;
    if (spool->is_target_known)
        return true;
    if (!cluster_open(target->repo, target->name, &found, err)) {
        if (err->code == ERR_NOT_FOUND)
            err->code = ERR_REFUSED;
        return false;
    }
    if (!receive_marker_is_same(&found, target)) {
        return error_set(err, ERR_REFUSED,
                         "the repository has \"%s\" with system identifier %" PRIu64
                         ", and the spool is for one with %" PRIu64,
                         found.name, found.system_identifier, target->system_identifier);
    }
    spool->is_target_known = true;
    return true;
}

/* They stay in the spool, too: what is streamed later needs their paths. */
static bool move_histories(ReceiveSpool *spool, const WalInventory *inventory, Error *err)
{
    for (size_t i = 0; i < inventory->history_count; i++) {
        const WalName name = {.kind = WAL_HISTORY, .timeline = inventory->histories[i]};
        CLEANUP(buffer_done) Buffer text = {0};
        char name_text[WAL_NAME_SIZE];

        wal_name_text(&name, spool->cluster.wal_segment_size, name_text);
        if (!wal_object_read(&spool->cluster, name_text, 1, spool_append_text, &text, NULL, err) ||
            !receive_keep_history(spool->setup.target, spool->setup.compression, name.timeline,
                                  &text, err))
            return false;
    }
    return true;
}

/* The next segment to be moved, whole or in pieces: the first of the lowest timeline. */
typedef struct NextSegment {
    uint32_t timeline;
    uint64_t segment;
    bool is_whole;
} NextSegment;

static bool spool_is_before(uint32_t timeline, uint64_t segment, const NextSegment *next)
{
    return timeline < next->timeline || (timeline == next->timeline && segment < next->segment);
}

/* After `after`, which may be NULL. */
static bool spool_find_next(const WalInventory *inventory, const NextSegment *after,
                            NextSegment *next)
{
    bool found = false;

    for (size_t i = 0; i < inventory->run_count; i++) {
        const WalRun *run = &inventory->runs[i];
        uint64_t segment = run->first;

        if (after != NULL && run->timeline == after->timeline && segment <= after->segment)
            segment = after->segment + 1;
        if (segment > run->last || (after != NULL && run->timeline < after->timeline) ||
            (found && !spool_is_before(run->timeline, segment, next)))
            continue;
        *next = (NextSegment){run->timeline, segment, true};
        found = true;
    }
    for (size_t i = 0; i < inventory->pieces.count; i++) {
        const WalPiece *piece = &inventory->pieces.items[i];

        if ((after != NULL &&
             !(after->timeline < piece->timeline ||
               (after->timeline == piece->timeline && after->segment < piece->segment))) ||
            (found && !spool_is_before(piece->timeline, piece->segment, next)))
            continue;
        *next = (NextSegment){piece->timeline, piece->segment, false};
        found = true;
    }
    return found;
}

/* Its history is here, or, of a timeline that was begun long ago, in the repository. */
static bool spool_load_path(ReceiveSpool *spool, uint32_t timeline, Arena *arena,
                            TimelinePath *path, Error *err)
{
    Error attempt = {0};

    if (timeline_path_load(&spool->cluster, timeline, arena, path, &attempt))
        return true;
    if (attempt.code == ERR_NOT_FOUND)
        return timeline_path_load(spool->setup.target, timeline, arena, path, err);
    return error_pass(err, &attempt);
}

/* spool->segment is that one: as far as it was fed before, or from its first byte on. */
static bool open_target(ReceiveSpool *spool, const NextSegment *next, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    TimelinePath path;

    if (spool->segment != NULL && spool->timeline == next->timeline &&
        spool->number == next->segment)
        return true;
    open_segment_freep(&spool->segment);
    if (!spool_load_path(spool, next->timeline, &arena, &path, err) ||
        !open_segment_begin(&(OpenSegmentSetup){.cluster = spool->setup.target,
                                                .timeline = next->timeline,
                                                .segment = next->segment,
                                                .path = &path,
                                                .compression = spool->setup.compression,
                                                .threads = spool->setup.threads,
                                                .is_at_once = next->is_whole},
                            &spool->segment, err))
        return false;
    spool->timeline = next->timeline;
    spool->number = next->segment;
    return true;
}

/* A signal ends the making of a whole segment; the bytes are taken, and can be stored in pieces. */
static bool spool_feed(OpenSegment *segment, const uint8_t *data, size_t size, Error *err)
{
    while (size > 0) {
        const uint32_t before = open_segment_received(segment);
        Error attempt = {0};

        if (!open_segment_add(segment, data, size, &attempt) &&
            (attempt.code != ERR_INTERRUPTED || open_segment_received(segment) == before)) {
            return error_pass(err, &attempt);
        }
        data += open_segment_received(segment) - before;
        size -= open_segment_received(segment) - before;
    }
    return true;
}

typedef struct WholeReading {
    OpenSegment *segment;
    uint64_t offset;
} WholeReading;

/* What pieces have fed already was compared with the whole when that came into the spool. */
static bool take_rest(void *context, const void *data, size_t size, Error *err)
{
    WholeReading *reading = context;
    const uint32_t received = open_segment_received(reading->segment);
    const uint64_t begin = reading->offset;
    const uint64_t known = received > begin ? received - begin : 0;

    reading->offset += size;
    return known >= size ||
           spool_feed(reading->segment, (const uint8_t *)data + known, size - (size_t)known, err);
}

/*
 * The last one first: what a killed run leaves is then the beginning of the segment still, and can
 * be moved.
 */
static bool spool_remove_pieces(ReceiveSpool *spool, const WalInventory *inventory,
                                const NextSegment *next, uint32_t end, Error *err)
{
    for (size_t i = inventory->pieces.count; i-- > 0;) {
        const WalPiece *piece = &inventory->pieces.items[i];

        if (piece->timeline == next->timeline && piece->segment == next->segment &&
            piece->to <= end && !wal_piece_remove(&spool->cluster, piece, err))
            return false;
    }
    return true;
}

/*
 * Nothing may be stored that was not verified: one that is stored in pieces meanwhile, as it does
 * not fit into memory, is read twice.
 */
static bool move_whole(ReceiveSpool *spool, const WalInventory *inventory, const NextSegment *next,
                       Error *err)
{
    const WalName name = {
        .kind = WAL_SEGMENT, .timeline = next->timeline, .segment = next->segment};
    char text[WAL_NAME_SIZE];
    WholeReading reading = {0};

    wal_name_text(&name, spool->cluster.wal_segment_size, text);
    CLEANUP(text_freep) char *object = layout_wal(spool->cluster.name, text);
    if (!open_target(spool, next, err) ||
        (!open_segment_is_at_once(spool->segment) &&
         !wal_object_read(&spool->cluster, text, 1, NULL, NULL, NULL, err)))
        return false;
    reading.segment = spool->segment;
    /* A signal has left the whole object without bytes that the segment took. */
    if (!wal_object_read(&spool->cluster, text, 1, take_rest, &reading, NULL, err) ||
        !interrupt_check(err) || !open_segment_commit(spool->segment, err))
        return false;
    open_segment_freep(&spool->segment);
    return FAULT_POINT("spool.before-remove", err) && repo_check(spool->setup.target->repo, err) &&
           spool_remove_pieces(spool, inventory, next, UINT32_MAX, err) &&
           storage_remove(spool->repo.storage, object, err) &&
           FAULT_POINT("spool.after-remove", err);
}

/*
 * Feed the gapless stretch. One that vanished has a larger one in its place, or the whole segment:
 * next time. A damaged one is where the stretch ends: receiving it again stores it anew.
 */
static bool feed_pieces(ReceiveSpool *spool, const WalPieceList *list, Error *err)
{
    CLEANUP(buffer_done) Buffer raw = {0};
    const WalPiece *piece;

    while ((piece = wal_pieces_at(list, spool->timeline, spool->number,
                                  open_segment_received(spool->segment))) != NULL) {
        const size_t known = open_segment_received(spool->segment) - piece->from;
        Error attempt = {0};

        if (!wal_piece_read(&spool->cluster, piece, spool->codec, &raw, &attempt)) {
            if (attempt.code == ERR_CORRUPT)
                log_warn("a piece in the spool is damaged", log_str("reason", attempt.message));
            if (attempt.code == ERR_NOT_FOUND || attempt.code == ERR_CORRUPT)
                return true;
            return error_pass(err, &attempt);
        }
        if (!spool_feed(spool->segment, raw.data + known, raw.size - known, err))
            return false;
    }
    return true;
}

/* Pieces that a killed run left behind when the whole segment had gone into the repository. */
static bool is_whole_in_target(const ReceiveSpool *spool, const NextSegment *next)
{
    const WalName name = {
        .kind = WAL_SEGMENT, .timeline = next->timeline, .segment = next->segment};
    char text[WAL_NAME_SIZE];
    Error ignored = {0}; /* not to know is as good as no */
    WalTrailer trailer;

    wal_name_text(&name, spool->cluster.wal_segment_size, text);
    return wal_object_trailer(spool->setup.target, text, &trailer, &ignored);
}

static bool reaches_behind(const WalInventory *inventory, const NextSegment *next, uint32_t end)
{
    for (size_t i = 0; i < inventory->pieces.count; i++) {
        const WalPiece *piece = &inventory->pieces.items[i];

        if (piece->timeline == next->timeline && piece->segment == next->segment && piece->to > end)
            return true;
    }
    return false;
}

static bool move_pieces(ReceiveSpool *spool, const WalInventory *inventory, const NextSegment *next,
                        bool is_kept, bool *is_left, Error *err)
{
    uint32_t end;

    if (!open_target(spool, next, err) || !feed_pieces(spool, &inventory->pieces, err) ||
        !open_segment_store(spool->segment, err))
        return false;
    *is_left = is_kept;
    if (is_kept)
        return true;
    end = is_whole_in_target(spool, next) ? UINT32_MAX : open_segment_durable(spool->segment);
    *is_left = reaches_behind(inventory, next, end);
    open_segment_freep(&spool->segment);
    return FAULT_POINT("spool.before-clear", err) && repo_check(spool->setup.target->repo, err) &&
           spool_remove_pieces(spool, inventory, next, end, err);
}

/* By the time of a move another segment may have begun: later ones are kept as well. */
static bool is_kept(SpoolKeep keep, const NextSegment *next)
{
    return keep.timeline != 0 &&
           (next->timeline > keep.timeline ||
            (next->timeline == keep.timeline && next->segment >= keep.segment));
}

static bool move_one(ReceiveSpool *spool, const WalInventory *inventory, const NextSegment *next,
                     SpoolKeep keep, bool *is_left, Error *err)
{
    return next->is_whole ? move_whole(spool, inventory, next, err)
                          : move_pieces(spool, inventory, next, is_kept(keep, next), is_left, err);
}

static bool move_next(ReceiveSpool *spool, SpoolKeep keep, bool *has_more, Error *err)
{
    CLEANUP(wal_inventory_done) WalInventory inventory = {0};
    NextSegment next;
    NextSegment later;

    *has_more = false;
    if (!spool_check_target(spool, err) || !wal_inventory_load(&inventory, &spool->cluster, err) ||
        !move_histories(spool, &inventory, err))
        return false;
    if (!spool_find_next(&inventory, NULL, &next))
        return true;
    for (;;) {
        bool is_left = false;

        if (!move_one(spool, &inventory, &next, keep, &is_left, err))
            return false;
        *has_more = spool_find_next(&inventory, &next, &later);
        /* What stays (pieces after a damaged one, too) must not be in the way of the rest. */
        if (!is_left || !*has_more)
            return true;
        next = later;
    }
}

bool receive_spool_move(ReceiveSpool *spool, SpoolKeep keep, bool *has_more, Error *err)
{
    if (move_next(spool, keep, has_more, err))
        return true;
    /* What was fed may be half of something: from the beginning next time. */
    open_segment_freep(&spool->segment);
    /* What the spool needs is nowhere: a timeline's history. */
    if (err->code == ERR_NOT_FOUND)
        err->code = ERR_CORRUPT;
    return error_context(err, "move WAL from the spool into the repository");
}

/* A failure is an answer here, and stops nothing. */
static bool run_move(void *worker, void *job, Error *err)
{
    SpoolMove *move = job;

    (void)err;
    move->ok = receive_spool_move(worker, move->keep, &move->has_more, &move->error);
    return true;
}

bool receive_spool_is_moving(const ReceiveSpool *spool)
{
    return spool->is_moving;
}

bool receive_spool_submit(ReceiveSpool *spool, SpoolKeep keep, Error *err)
{
    spool->move = (SpoolMove){.keep = keep};
    spool->is_moving = work_queue_submit(spool->queue, &spool->move, err);
    return spool->is_moving;
}

bool receive_spool_poll(ReceiveSpool *spool, uint64_t wait_ms, SpoolMove *move)
{
    Error ignored = {0}; /* none fails: run_move() */
    void *job;

    if (!spool->is_moving || !work_queue_wait(spool->queue, wait_ms) ||
        !work_queue_next(spool->queue, &job, &ignored))
        return false;
    spool->is_moving = false;
    *move = spool->move;
    return true;
}
