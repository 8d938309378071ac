/* A segment that the archive has only in pieces. */
#include "get_parts.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "delivery.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* A server that recovers from an archive and is no standby. */
static bool is_archive_recovery(const Get *get)
{
    return get->view.data != NULL && !archive_get_is_standby(get->view.data) &&
           file_exists_in(get->view.data, "recovery.signal");
}

bool get_is_open(const Get *get, const WalInventory *inventory)
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
    return delivery_take(&pieces->delivery, data, size, err);
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
    OpenDelivery pieces = {.delivery = {.cluster = get->cluster,
                                        .name = &get->name,
                                        .file = get->wish->name,
                                        .folder = AT_FDCWD,
                                        .fd = -1},
                           .local_fd = -1};
    Delivery *delivery = &pieces.delivery;
    char *temp_path;
    uint32_t size;

    open_local(&pieces, get);
    if (!get_temp_path(get, &temp_path, err) || !delivery_open(delivery, temp_path, err) ||
        !wal_pieces_read(get->cluster, &inventory->pieces, get->name.timeline, get->name.segment,
                         take_open, &pieces, &size, err) ||
        !delivery_check_content(delivery, err))
        return false;
    *is_local = pieces.is_local_same;
    if (*is_local)
        return true;
    if (ftruncate(delivery->fd, (off_t)get->cluster->wal_segment_size) != 0)
        return error_set_errno(err, ERR_IO, errno, "extend %s", delivery->temp_path);
    if (!FAULT_POINT("get.before-rename-open", err))
        return false;
    if (!delivery_publish(delivery, get->wish->path, err))
        return false;
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
bool get_answer_open(const Get *get, const WalInventory *inventory, Error *err)
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
