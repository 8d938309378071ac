#include "archive/get.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/random.h"
#include "catalog/absence.h"
#include "recovery_view.h"
#include "repo/layout.h"
#include "wal_check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <unistd.h>

enum {
    TEXT_SIZE_MAX = 1 << 20, /* of a history or .backup file */
    LOOK_AGAIN_MS = 500,     /* between two looks at a hole */
    NAP_MS = 50,             /* so that a signal ends the waiting soon */
};

typedef struct Get {
    const Cluster *cluster;
    const GetWish *wish;
    WalName name;
    RecoveryView view;
} Get;

static void get_done(Get *get)
{
    recovery_view_done(&get->view);
}

/*
 * A file on its way to where the server wants it. The server syncs it when it gives it its own name
 * (xlogarchive.c, KeepFileRestoredFromArchive: durable_rename), so it is not synced here: it is
 * what recovery of every segment waits for.
 */
typedef struct Delivery {
    const Get *get;
    char *temp_path;
    int fd;
    Buffer head; /* of a segment its first bytes, of other files all */
} Delivery;

static void delivery_done(Delivery *delivery)
{
    if (delivery->fd >= 0 && delivery->temp_path != NULL)
        (void)unlink(delivery->temp_path);
    fd_done(&delivery->fd);
    text_freep(&delivery->temp_path);
    buffer_done(&delivery->head);
}

/*
 * Named so that a killed run leaves nothing behind in pg_wal: the server removes xlogtemp.* there
 * when it starts (xlog.c, RemoveTempXlogFiles).
 */
static bool delivery_open(Delivery *delivery, Error *err)
{
    CLEANUP(text_freep) char *copy = text_format("%s", delivery->get->wish->path);
    uint64_t number;

    if (!random_u64(&number, err))
        return false;
    delivery->temp_path = text_format("%s/xlogtemp.%016" PRIx64, dirname(copy), number);
    delivery->fd = open(delivery->temp_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (delivery->fd < 0)
        return error_set_errno(err, ERR_IO, errno, "create %s", delivery->temp_path);
    return true;
}

static bool is_segment_like(const WalName *name)
{
    return name->kind == WAL_SEGMENT || name->kind == WAL_PARTIAL;
}

static bool take_piece(void *context, const void *data, size_t size, Error *err)
{
    Delivery *delivery = context;
    const size_t wanted =
        is_segment_like(&delivery->get->name) ? WAL_SEGMENT_HEADER_SIZE : TEXT_SIZE_MAX;
    const size_t missing = wanted - delivery->head.size;

    if (!interrupt_check(err))
        return false;
    buffer_append(&delivery->head, data, size < missing ? size : missing);
    return file_write_all(delivery->fd, data, size, delivery->temp_path, err);
}

/* Whole and undamaged is not enough: the object must also be the one that its name says. */
static bool check_trailer(const Get *get, const WalTrailer *trailer, Error *err)
{
    const Cluster *cluster = get->cluster;

    if (trailer->kind != get->name.kind || trailer->timeline != get->name.timeline)
        return error_set(err, ERR_CORRUPT, "the stored object is another file under this name");
    if (trailer->system_identifier != cluster->system_identifier) {
        return error_set(err, ERR_CORRUPT,
                         "the stored object is of the cluster with system identifier %" PRIu64
                         ", and \"%s\" is %" PRIu64,
                         trailer->system_identifier, cluster->name, cluster->system_identifier);
    }
    if (is_segment_like(&get->name) && trailer->raw_size != cluster->wal_segment_size) {
        return error_set(err, ERR_CORRUPT, "the stored segment has %" PRIu64 " bytes, not %" PRIu32,
                         trailer->raw_size, cluster->wal_segment_size);
    }
    return true;
}

static bool check_content(const Get *get, Buffer *head, Error *err)
{
    WalSegmentHeader header;

    if (is_segment_like(&get->name)) {
        return wal_check_header(get->cluster, &get->name, ERR_CORRUPT, head->data, head->size,
                                &header, err);
    }
    if (head->size >= TEXT_SIZE_MAX)
        return error_set(err, ERR_CORRUPT, "the stored file is far too large");
    buffer_append(head, "", 1); /* its end, for who reads it as text */
    if (get->name.kind == WAL_HISTORY)
        return wal_check_history(&get->name, ERR_CORRUPT, (const char *)head->data, err);
    return wal_check_backup_history(get->cluster, &get->name, ERR_CORRUPT, (const char *)head->data,
                                    err);
}

/* Give the file, verified to its last byte. ERR_NOT_FOUND: the archive does not have it. */
static bool deliver(const Get *get, Error *err)
{
    CLEANUP(delivery_done) Delivery delivery = {.get = get, .fd = -1};
    WalTrailer trailer;

    if (!delivery_open(&delivery, err) ||
        !wal_object_read_quick(get->cluster, get->wish->name, get->wish->threads, take_piece,
                               &delivery, &trailer, err) ||
        !check_trailer(get, &trailer, err) || !check_content(get, &delivery.head, err) ||
        !FAULT_POINT("get.before-rename", err)) {
        return false;
    }
    if (rename(delivery.temp_path, get->wish->path) != 0)
        return error_set_errno(err, ERR_IO, errno, "rename to %s", get->wish->path);
    text_freep(&delivery.temp_path);
    return FAULT_POINT("get.after-rename", err);
}

/* ---- a segment that the archive has only in pieces */

/* A server that recovers from an archive and is no standby. */
static bool is_archive_recovery(const Get *get)
{
    CLEANUP(text_freep) char *signal = NULL;

    if (get->view.data == NULL || archive_get_is_standby(get->view.data))
        return false;
    signal = text_format("%s/recovery.signal", get->view.data);
    return file_exists(signal);
}

static bool is_open_here(const Get *get, const WalInventory *inventory)
{
    return get->name.kind == WAL_SEGMENT &&
           wal_inventory_open_on_path(inventory, &get->view.path, get->name.timeline,
                                      get->name.segment, get->cluster->wal_segment_size) > 0;
}

/* Pieces on their way to a file, and against what pg_wal has under the name. */
typedef struct OpenDelivery {
    Delivery delivery;
    int local_fd; /* -1: pg_wal does not have it */
    uint64_t offset;
    bool is_local_same;
} OpenDelivery;

static void open_delivery_done(OpenDelivery *pieces)
{
    delivery_done(&pieces->delivery);
    fd_done(&pieces->local_fd);
}

static bool take_open(void *context, const void *data, size_t size, Error *err)
{
    OpenDelivery *pieces = context;
    CLEANUP(buffer_done) Buffer local = {0};
    size_t got = 0;

    if (pieces->is_local_same) {
        buffer_reserve(&local, size);
        if (!file_read_at(pieces->local_fd, local.data, size, pieces->offset, &got, "pg_wal", err))
            return false;
        pieces->is_local_same = got == size && memcmp(local.data, data, size) == 0;
    }
    pieces->offset += size;
    return take_piece(&pieces->delivery, data, size, err);
}

static void open_local(OpenDelivery *pieces, const Get *get)
{
    CLEANUP(text_freep)
    char *path = text_format("%s/pg_wal/%s", get->view.data, get->wish->name);

    pieces->local_fd = open(path, O_RDONLY | O_CLOEXEC);
    pieces->is_local_same = pieces->local_fd >= 0;
}

/*
 * Give the pieces, and zeros up to the segment's end: as a server finds the segment that it was
 * writing when it crashed. The tail that restore keeps in pg_wal may go on where the pieces end,
 * and what we give would take its place: then "no such file" makes the server read that. *is_local
 * says so.
 */
static bool deliver_open(const Get *get, const WalInventory *inventory, bool *is_local, Error *err)
{
    CLEANUP(open_delivery_done)
    OpenDelivery pieces = {.delivery = {.get = get, .fd = -1}, .local_fd = -1};
    Delivery *delivery = &pieces.delivery;
    uint32_t size;

    open_local(&pieces, get);
    if (!delivery_open(delivery, err) ||
        !wal_pieces_read(get->cluster, &inventory->pieces, get->name.timeline, get->name.segment,
                         take_open, &pieces, &size, err) ||
        !check_content(get, &delivery->head, err))
        return false;
    *is_local = pieces.is_local_same;
    if (*is_local)
        return true;
    if (ftruncate(delivery->fd, (off_t)get->cluster->wal_segment_size) != 0)
        return error_set_errno(err, ERR_IO, errno, "extend %s", delivery->temp_path);
    if (!FAULT_POINT("get.before-rename-open", err))
        return false;
    if (rename(delivery->temp_path, get->wish->path) != 0)
        return error_set_errno(err, ERR_IO, errno, "rename to %s", get->wish->path);
    text_freep(&delivery->temp_path);
    log_info("the archive has the segment only in part; this is the end of the WAL there is",
             log_str("segment", get->wish->name), log_u64("bytes", size));
    return FAULT_POINT("get.after-rename-open", err);
}

static bool refuse_open(const Get *get, Error *err)
{
    error_set(
        err, ERR_REFUSED,
        "it is not whole yet: the archive has it in pieces, which only a server that recovers "
        "with recovery.signal gets");
    return error_hint(err, "name its data directory with --data, if %s is not it",
                      get->view.data != NULL ? get->view.data : "the current directory");
}

/* A standby waits until it is whole: it asks again. */
static bool answer_open(const Get *get, const WalInventory *inventory, Error *err)
{
    bool is_local = false;

    if (get->view.data != NULL && archive_get_is_standby(get->view.data))
        return error_set(err, ERR_ABSENT, "the archive has it only in pieces so far");
    if (!is_archive_recovery(get))
        return refuse_open(get, err);
    if (!deliver_open(get, inventory, &is_local, err))
        return false;
    return !is_local || error_set(err, ERR_ABSENT,
                                  "pg_wal has all of it that the archive has, and nothing follows");
}

/* The first segment of this timeline that the archive has after the one asked for; 0: none. */
static uint64_t first_later(const WalInventory *inventory, const WalName *name)
{
    uint64_t first = 0;

    for (size_t i = 0; i < inventory->run_count; i++) {
        const WalRun *run = &inventory->runs[i];

        if (run->timeline == name->timeline && run->first > name->segment &&
            (first == 0 || run->first < first)) {
            first = run->first;
        }
    }
    return first;
}

static bool explain_hole(const Get *get, const WalInventory *inventory, Error *err)
{
    WalName later = get->name;
    char text[WAL_NAME_SIZE] = "WAL of a timeline that this recovery goes on to";

    later.segment = first_later(inventory, &get->name);
    if (later.segment != 0)
        wal_name_text(&later, get->cluster->wal_segment_size, text);
    error_set(err, ERR_CORRUPT, "a hole in the archive: it is missing, and %s is there", text);
    return error_hint(err, "look for it in pg_wal of the old server or in another copy, put it in "
                           "with archive-push, and start the server again: recovery goes on");
}

static bool explain_absence(const Get *get, const WalInventory *inventory, Absence absence,
                            Error *err)
{
    switch (absence) {
    case ABSENCE_PROVEN:
        return error_set(err, ERR_ABSENT, "it is not in the archive, and nothing after it is");
    case ABSENCE_HOLE:
        return explain_hole(get, inventory, err);
    case ABSENCE_FORK:
        error_set(err, ERR_CORRUPT,
                  "timeline %" PRIu32 " begins here or before, and its WAL is missing: the server "
                  "would go on with what its parent did after the fork",
                  get->name.timeline);
        return error_hint(err,
                          "put the WAL of timeline %" PRIu32 " in with archive-push, or "
                          "restore to an older timeline (--target-timeline)",
                          get->name.timeline);
    case ABSENCE_HISTORY:
        error_set(err, ERR_CORRUPT,
                  "timeline %" PRIu32 " or a later one exists, and this history is missing",
                  get->name.timeline);
        return error_hint(err,
                          "look for it in pg_wal of a server that was on timeline %" PRIu32
                          " and put it in with archive-push",
                          get->name.timeline);
    }
    return error_set(err, ERR_INTERNAL, "absence %d", (int)absence);
}

static bool wait_ms(uint64_t ms, Error *err)
{
    for (uint64_t waited = 0; waited < ms; waited += NAP_MS) {
        if (!interrupt_check(err))
            return false;
        time_sleep_ms(NAP_MS);
    }
    return interrupt_check(err);
}

/*
 * Whether pg_wal holds this segment of the name's timeline itself: restore keeps the tail there
 * that was never archived, and the server reads it when the archive has none.
 */
static bool is_in_pg_wal(const Get *get, uint64_t segment)
{
    const uint32_t size = get->cluster->wal_segment_size;
    WalName name = {.kind = WAL_SEGMENT, .timeline = get->name.timeline, .segment = segment};
    char text[WAL_NAME_SIZE];
    CLEANUP(fd_done) int fd = -1;
    CLEANUP(text_freep) char *path = NULL;
    uint8_t head[WAL_SEGMENT_HEADER_SIZE];
    WalSegmentHeader header;
    Error ignored = {0}; /* then it is of no use to the server either */
    size_t got;

    if (get->view.data == NULL)
        return false;
    path = text_format("%s/pg_wal/%s", get->view.data, wal_name_text(&name, size, text));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && file_read_at(fd, head, sizeof head, 0, &got, path, &ignored) &&
           wal_check_header(get->cluster, &name, ERR_CORRUPT, head, got, &header, &ignored);
}

/*
 * A timeline of which the archive has nothing from here on need not be lost: it may have begun in
 * the tail that is in pg_wal. With this segment or the one before it there, "no such file" makes
 * the server read the tail, and end where it ends.
 */
static bool is_in_tail(const Get *get, const WalInventory *inventory)
{
    const uint32_t timeline = get->name.timeline;
    const uint64_t segment = get->name.segment;
    const PathStep *step = path_step_of(&get->view.path, timeline);

    if (step == NULL || step->end != 0 || wal_inventory_has_later(inventory, timeline, segment))
        return false;
    return is_in_pg_wal(get, segment) ||
           (segment > wal_segment_of(step->begin, get->cluster->wal_segment_size) &&
            is_in_pg_wal(get, segment - 1));
}

/*
 * A segment of an ancestor that a later timeline of the path owns as well, missing while more of
 * the ancestor is there. A server on our path has no business here, so it is on another one, where
 * this is a hole.
 */
static bool is_hole_of_ancestor(const Get *get, const WalInventory *inventory)
{
    const PathStep *step = path_step_of(&get->view.path, get->name.timeline);
    const uint32_t size = get->cluster->wal_segment_size;

    return step != NULL && step->end != 0 &&
           wal_segment_of(step->begin, size) <= get->name.segment &&
           wal_inventory_has_later(inventory, get->name.timeline, get->name.segment);
}

static bool is_needed(const Get *get)
{
    return get->view.bound_segment == 0 || get->name.segment <= get->view.bound_segment;
}

static Absence absence_of(const Get *get, const WalInventory *inventory)
{
    Absence absence = absence_of_segment(inventory, &get->view.path, &get->name,
                                         get->cluster->wal_segment_size, get->view.bound_segment);

    if (absence == ABSENCE_FORK && is_in_tail(get, inventory))
        return ABSENCE_PROVEN;
    if (absence == ABSENCE_PROVEN && is_needed(get) && is_hole_of_ancestor(get, inventory))
        return ABSENCE_HOLE;
    return absence;
}

/*
 * The archive may list what could not be read a moment later: archive-push sets a damaged object
 * aside before it stores it anew. That is no absence.
 */
static Absence absence_here(const Get *get, const WalInventory *inventory)
{
    switch (get->name.kind) {
    case WAL_SEGMENT:
        return wal_inventory_has(inventory, get->name.timeline, get->name.segment)
                   ? ABSENCE_HOLE
                   : absence_of(get, inventory);
    case WAL_HISTORY:
        return wal_inventory_has_history(inventory, get->name.timeline)
                   ? ABSENCE_HISTORY
                   : absence_of_history(inventory, get->name.timeline);
    case WAL_PARTIAL:
    case WAL_BACKUP_HISTORY:
        /* Recovery asks for neither; a listing that was had whole is the proof. */
        return ABSENCE_PROVEN;
    }
    return ABSENCE_HOLE;
}

/*
 * Whether the file was here once, found damaged, set aside, and never stored anew. Its name is free
 * then, but it was acknowledged to the server: saying "no such file" would end a recovery early.
 */
static bool refuse_set_aside(const Get *get, Error *err)
{
    CLEANUP(text_freep) char *object = layout_wal(get->cluster->name, get->wish->name);
    CLEANUP(text_freep) char *prefix = text_format("%s.damaged-", object);
    CLEANUP(object_list_done) ObjectList list = {0};

    if (!storage_list(get->cluster->repo->storage, prefix, &list, err))
        return error_context(err, "list the archive");
    if (list.count == 0)
        return true;
    error_set(err, ERR_CORRUPT, "it was damaged, set aside as %s, and not stored anew",
              list.objects[0].name);
    return error_hint(err, "look for it in pg_wal of the old server or in another copy and put it "
                           "in with archive-push");
}

/*
 * The archive was asked and does not have it; find out what that means. "No such file" ends the
 * recovery and opens the database, so it takes a listing that was had whole. A hole may be one that
 * a parallel push is just filling, and so may a missing history or first segment: look again for
 * hole_wait_ms before saying so.
 */
static bool prove_absence(Get *get, Error *err)
{
    const TimeUs deadline = time_monotonic() + (TimeUs)get->wish->hole_wait_ms * 1000;

    if (get->name.kind == WAL_SEGMENT && !recovery_view_path(get->cluster, &get->view, err))
        return false;
    for (;;) {
        CLEANUP(wal_inventory_done) WalInventory inventory = {0};
        Error attempt = {0};
        Absence absence;

        if (!wal_inventory_load(&inventory, get->cluster, err))
            return error_context(err, "list the archive");
        /* After the listing: what came in between is given, whatever the listing says. */
        if (deliver(get, &attempt))
            return true;
        if (attempt.code != ERR_NOT_FOUND) {
            *err = attempt;
            return false;
        }
        if (is_open_here(get, &inventory))
            return answer_open(get, &inventory, err);
        absence = absence_here(get, &inventory);
        if (absence == ABSENCE_PROVEN && !refuse_set_aside(get, err))
            return false;
        if (absence == ABSENCE_PROVEN || time_monotonic() >= deadline)
            return explain_absence(get, &inventory, absence, err);
        log_debug("not in the archive although later WAL is; looking again",
                  log_str("segment", get->wish->name));
        if (!wait_ms(LOOK_AGAIN_MS, err))
            return false;
    }
}

static bool deliver_or_prove(Get *get, Error *err)
{
    Error attempt = {0};

    if (deliver(get, &attempt))
        return true;
    if (attempt.code == ERR_NOT_FOUND)
        return prove_absence(get, err);
    *err = attempt;
    return false;
}

/*
 * A segment that this recovery must not see: it lies wholly behind the point where the path leaves
 * its timeline, or its timeline is not on the path. A server on the same path does not ask for it
 * (it has the child's segment, or was stopped when that was missing), so it follows another path
 * than we think: neither the file nor "no such file", which would open the database, is right.
 */
static bool refuse_other_path(const Get *get, Error *err)
{
    error_set(err, ERR_REFUSED,
              "it does not belong to the recovery to timeline %" PRIu32
              ", which leaves timeline %" PRIu32 " before it",
              get->view.timeline, get->name.timeline);
    return error_hint(err, "recovery_target_timeline and --recovery-timeline of restore_command "
                           "must name the same timeline");
}

/* The path is looked at only when it matters: nothing of its last timeline is behind its end. */
static bool check_path(Get *get, Error *err)
{
    if (get->name.timeline == get->view.timeline)
        return true;
    if (!recovery_view_path(get->cluster, &get->view, err))
        return false;
    return segment_belongs_to_path(&get->view.path, &get->name, get->cluster->wal_segment_size) ||
           refuse_other_path(get, err);
}

static bool get_segment(Get *get, Error *err)
{
    if (check_path(get, err) && deliver_or_prove(get, err))
        return true;
    /*
     * The server reads ahead of its target and must not be stopped by a hole, or by damage, in what
     * it does not need. Should the bound be wrong, it still has its target and refuses to open.
     */
    if (!is_needed(get) && (err->code == ERR_CORRUPT || err->code == ERR_REFUSED)) {
        log_info("a segment behind the target can't be had; the recovery does not need it",
                 log_str("segment", get->wish->name), log_str("reason", err->message));
        error_clear(err);
        return error_set(err, ERR_ABSENT, "it is behind the target, and can't be had");
    }
    return false;
}

static bool get_file(Get *get, Error *err)
{
    const GetWish *wish = get->wish;

    if (!wal_name_parse(wish->name, get->cluster->wal_segment_size, &get->name, err))
        return false;
    if (get->name.kind != WAL_SEGMENT) {
        /* Servers ask for it at every end of recovery. */
        if (get->name.kind == WAL_HISTORY && get->name.timeline == 1)
            return error_set(err, ERR_ABSENT, "timeline 1 has no history");
        return deliver_or_prove(get, err);
    }
    return recovery_view_load(get->cluster, wish, &get->name, &get->view, err) &&
           get_segment(get, err);
}

bool archive_get(const Cluster *cluster, const GetWish *wish, Error *err)
{
    CLEANUP(get_done) Get get = {.cluster = cluster, .wish = wish};

    return get_file(&get, err) || error_context(err, "fetch %s", wish->name);
}

bool archive_get_is_standby(const char *data)
{
    CLEANUP(text_freep) char *path = NULL;

    if (data == NULL)
        return false;
    path = text_format("%s/standby.signal", data);
    return file_exists(path);
}
