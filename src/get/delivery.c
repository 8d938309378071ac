#include "delivery.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "wal/wal_check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

enum { TEXT_SIZE_MAX = 1 << 20 /* It is the limit for a history or .backup file. */ };

void delivery_done(Delivery *delivery)
{
    if (delivery->fd >= 0 && delivery->temp_path != NULL)
        (void)unlinkat(delivery->folder, delivery->temp_path, 0);
    fd_done(&delivery->fd);
    text_freep(&delivery->temp_path);
    buffer_done(&delivery->head);
}

bool delivery_open(Delivery *delivery, char *temp_path, Error *err)
{
    delivery->temp_path = temp_path;
    delivery->fd =
        openat(delivery->folder, temp_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (delivery->fd < 0)
        return error_set_errno(err, ERR_IO, errno, "create %s", temp_path);
    return true;
}

bool delivery_take(void *context, const void *data, size_t size, Error *err)
{
    Delivery *delivery = context;
    const size_t wanted =
        wal_name_is_of_segment(delivery->name) ? WAL_SEGMENT_HEADER_SIZE : TEXT_SIZE_MAX;
    const size_t missing = wanted - delivery->head.size;

    if (!interrupt_check(err))
        return false;
    buffer_append(&delivery->head, data, size < missing ? size : missing);
    return file_write_all(delivery->fd, data, size, delivery->temp_path, err);
}

/* Whole and undamaged is not enough: the object must also be the one that its name says. */
static bool check_trailer(const Delivery *delivery, const WalTrailer *trailer, Error *err)
{
    const Cluster *cluster = delivery->cluster;

    if (trailer->kind != delivery->name->kind || trailer->timeline != delivery->name->timeline)
        return error_set(err, ERR_CORRUPT, "the stored object is another file under this name");
    if (trailer->system_identifier != cluster->system_identifier) {
        return error_set(err, ERR_CORRUPT,
                         "the stored object is of the cluster with system identifier %" PRIu64
                         ", and \"%s\" is %" PRIu64,
                         trailer->system_identifier, cluster->name, cluster->system_identifier);
    }
    if (wal_name_is_of_segment(delivery->name) && trailer->raw_size != cluster->wal_segment_size) {
        return error_set(err, ERR_CORRUPT, "the stored segment has %" PRIu64 " bytes, not %" PRIu32,
                         trailer->raw_size, cluster->wal_segment_size);
    }
    return true;
}

bool delivery_check_content(Delivery *delivery, Error *err)
{
    const WalName *name = delivery->name;
    Buffer *head = &delivery->head;
    WalSegmentHeader header;

    if (wal_name_is_of_segment(name)) {
        return wal_check_header(delivery->cluster, name, ERR_CORRUPT, head->data, head->size,
                                &header, err);
    }
    if (head->size >= TEXT_SIZE_MAX)
        return error_set(err, ERR_CORRUPT, "the stored file is far too large");
    buffer_append(head, "", 1); /* its end, for whoever reads it as text */
    if (name->kind == WAL_HISTORY)
        return wal_check_history(name, ERR_CORRUPT, (const char *)head->data, err);
    return wal_check_backup_history(delivery->cluster, name, ERR_CORRUPT, (const char *)head->data,
                                    err);
}

bool delivery_fetch(Delivery *delivery, unsigned threads, Error *err)
{
    WalTrailer trailer;

    return wal_object_read(delivery->cluster, delivery->file, threads, delivery_take, delivery,
                           &trailer, err) &&
           check_trailer(delivery, &trailer, err) && delivery_check_content(delivery, err);
}

bool delivery_publish(Delivery *delivery, const char *path, Error *err)
{
    if (renameat(delivery->folder, delivery->temp_path, delivery->folder, path) != 0)
        return error_set_errno(err, ERR_IO, errno, "rename to %s", path);
    text_freep(&delivery->temp_path);
    return true;
}
