/* A segment that the archive has not whole. */
#include "get_parts.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "delivery.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

static bool is_standby(const Get *get)
{
    return get->view.data != NULL && archive_get_is_standby(get->view.data);
}

/* A server that recovers from an archive and is not a standby. */
static bool is_archive_recovery(const Get *get)
{
    return get->view.data != NULL && !is_standby(get) &&
           file_exists_in(get->view.data, "recovery.signal");
}

/*
 * Whose segment this is for a recovery along the path. In the segment where the path leaves a
 * timeline a recovery reads the child's: whoever asks for the parent's, with the child's there,
 * follows the parent only.
 */
static bool find_on_path(const Get *get, const WalInventory *inventory, WalSource *source,
                         Error *err)
{
    const uint32_t size = get->cluster->wal_segment_size;
    const TimelinePath *path = &get->view.path;
    const PathStep *step = path_step_of(path, get->name.timeline);
    const uint32_t owner = path_timeline_of_segment(path, get->name.segment, size);

    if (owner == get->name.timeline)
        return wal_source_on_path(get->cluster, inventory, path, get->name.segment, source, err);
    if (step == NULL || wal_segment_of(step->end, size) != get->name.segment ||
        wal_segment_of(step->begin, size) >= get->name.segment ||
        !wal_inventory_has(inventory, owner, get->name.segment))
        return true;
    return wal_source_find(get->cluster, inventory, get->name.timeline, get->name.segment, source,
                           err);
}

/*
 * Whether what is missing after it may be missing: nothing of its timeline comes later, and the
 * path does not go on; or the target needs no later segment, and the server refuses to open before
 * it has reached that.
 */
static bool may_end_here(const Get *get, const WalInventory *inventory, const WalSource *source)
{
    const PathStep *step = path_step_of(&get->view.path, get->name.timeline);
    const uint64_t next = get->name.segment + 1;

    if (get->view.bound_segment == get->name.segment ||
        wal_source_is_complete(source, get->cluster->wal_segment_size))
        return true;
    return !wal_inventory_has_later(inventory, get->name.timeline, next) &&
           (step == NULL || step->end == 0 ||
            wal_segment_of(step->end, get->cluster->wal_segment_size) < next);
}

/*
 * A standby waits for the whole segment; of others that are not a recovery nobody knows what they
 * make of a part. That there are pieces is all they need to know.
 */
static bool gets_whole_only(const Get *get, const WalInventory *inventory)
{
    return !get_is_for_tool(get) && !is_archive_recovery(get) &&
           wal_pieces_reach(&inventory->pieces, get->name.timeline, get->name.segment) == 0;
}

bool get_find_open(const Get *get, const WalInventory *inventory, WalSource *source, Error *err)
{
    WalSource found = {.form = WAL_NOWHERE};
    const bool is_tool = get_is_for_tool(get);

    *source = found;
    if (get->name.kind != WAL_SEGMENT || gets_whole_only(get, inventory))
        return true;
    if (!is_tool && is_standby(get)) { /* asks every few seconds: nothing is read for it */
        if (!wal_inventory_has_later(inventory, get->name.timeline, get->name.segment + 1))
            source->form = WAL_IN_PIECES;
        return true;
    }
    if (!(is_tool ? wal_source_find(get->cluster, inventory, get->name.timeline, get->name.segment,
                                    &found, err)
                  : find_on_path(get, inventory, &found, err)))
        return false;
    if (wal_source_is_open(&found) && (is_tool || may_end_here(get, inventory, &found)))
        *source = found;
    return true;
}

/* What there is on its way to a file, and against what pg_wal has under the name. */
typedef struct OpenDelivery {
    Delivery delivery;
    int local_fd; /* -1 means that pg_wal does not have it. */
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
    return delivery_take(&pieces->delivery, data, size, err);
}

static void open_local(OpenDelivery *pieces, const Get *get)
{
    CLEANUP(text_freep)
    char *path = text_format("%s/pg_wal/%s", get->view.data, get->request->name);

    Error ignored = {0}; /* then there is nothing of our own to compare with */
    pieces->is_local_same = file_open(path, &pieces->local_fd, &ignored);
}

/*
 * Give what there is, and zeros up to the segment's end: as a server finds the segment that it was
 * writing when it crashed. The tail that restore keeps in pg_wal may go on where that ends,
 * and what we give would take its place: then "no such file" makes the server read that. *is_local
 * says so.
 */
static bool deliver_open(const Get *get, const WalInventory *inventory, const WalSource *source,
                         bool *is_local, Error *err)
{
    CLEANUP(open_delivery_done)
    OpenDelivery pieces = {.delivery = {.cluster = get->cluster,
                                        .name = &get->name,
                                        .file = get->request->name,
                                        .folder = AT_FDCWD,
                                        .fd = -1},
                           .local_fd = -1};
    Delivery *delivery = &pieces.delivery;
    char *temp_path;
    uint64_t stored_size;

    open_local(&pieces, get);
    if (!get_temp_path(get, &temp_path, err) || !delivery_open(delivery, temp_path, err) ||
        !wal_source_read(get->cluster, inventory, source, 1, take_open, &pieces, &stored_size,
                         err) ||
        !delivery_check_content(delivery, err))
        return false;
    *is_local = pieces.is_local_same;
    if (*is_local)
        return true;
    if (ftruncate(delivery->fd, (off_t)get->cluster->wal_segment_size) != 0)
        return error_set_errno(err, ERR_IO, errno, "extend %s", delivery->temp_path);
    if (!FAULT_POINT("get.before-rename-open", err))
        return false;
    if (!delivery_publish(delivery, get->request->path, err))
        return false;
    log_info("the archive has the segment only in part; this is the end of the WAL there is",
             log_str("segment", get->request->name), log_u64("bytes", source->size));
    return FAULT_POINT("get.after-rename-open", err);
}

static bool refuse_open(const Get *get, Error *err)
{
    error_set(err, ERR_REFUSED,
              "it is not whole: the archive has it in part, which only a server that recovers with "
              "recovery.signal gets");
    return error_hint(err, "name its data directory with --data, if %s is not it",
                      get->view.data != NULL ? get->view.data : "the current directory");
}

/* What can't be read may be the part that this recovery needs. */
static bool refuse_fault(const WalSource *source, Error *err)
{
    error_set(err, ERR_CORRUPT, "it is not whole, and what there is of it is damaged: %s",
              source->fault);
    return error_hint(err,
                      "look for another copy of it in pg_wal of a server that was on timeline "
                      "%" PRIu32,
                      source->timeline);
}

/* A standby asks again. */
bool get_answer_open(const Get *get, const WalInventory *inventory, const WalSource *source,
                     Error *err)
{
    const bool is_tool = get_is_for_tool(get);
    bool is_local = false;

    if (!is_tool && is_standby(get))
        return error_set(err, ERR_ABSENT, "the archive has it only in pieces so far");
    if (!is_tool && !is_archive_recovery(get))
        return refuse_open(get, err);
    if (source->fault != NULL &&
        (source->size == 0 || get->view.bound_segment != get->name.segment))
        return refuse_fault(source, err);
    if (!deliver_open(get, inventory, source, &is_local, err))
        return false;
    return !is_local || error_set(err, ERR_ABSENT,
                                  "pg_wal has all of it that the archive has, and nothing follows");
}
