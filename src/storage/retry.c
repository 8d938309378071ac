#include "storage/wrap.h"

#include "base/interrupt.h"
#include "base/log.h"
#include "storage/driver.h"

#include <errno.h>

enum { PAUSE_MAX_MS = 5000, TOLD_MS = 1000, SLICE_MS = 100 };

typedef struct RetryStorage {
    Storage storage;
    Storage *inner;
    unsigned attempts;
    uint64_t pause_ms;
} RetryStorage;

/* What will be the same in a few seconds: only a person can change it. */
static bool is_lasting(const Error *err)
{
    static const int lasting[] = {EACCES, EPERM, EROFS,  ENOSPC,       EDQUOT, EFBIG,
                                  EINVAL, ELOOP, EMLINK, ENAMETOOLONG, ENOSYS, EOPNOTSUPP};

    if (err->code != ERR_UNREACHABLE && err->code != ERR_IO)
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(lasting); i++) {
        if (err->os_errno == lasting[i])
            return true;
    }
    return false;
}

/* Whoever looks on is told of a pause that is long enough to wonder about. */
static void tell_repeat(uint64_t pause_ms, unsigned attempt, const char *operation,
                        const Error *err)
{
    if (pause_ms >= TOLD_MS) {
        log_info("the repository does not work for now, trying again",
                 log_str("error", err->message), log_u64("pause_ms", pause_ms));
    } else {
        log_debug("storage failed, trying again", log_str("operation", operation),
                  log_str("error", err->message), log_u64("attempt", attempt));
    }
}

/*
 * Whether to try once more after the n-th attempt failed with err; then err is clear and the pause
 * is over. A signal ends the pause.
 */
static bool may_repeat(const RetryStorage *retry, unsigned attempt, const char *operation,
                       Error *err)
{
    uint64_t pause_ms = retry->pause_ms;

    if (attempt >= retry->attempts || is_lasting(err))
        return false;
    for (unsigned i = 1; i < attempt && pause_ms < PAUSE_MAX_MS; i++)
        pause_ms *= 2;
    if (pause_ms > PAUSE_MAX_MS)
        pause_ms = PAUSE_MAX_MS;
    tell_repeat(pause_ms, attempt, operation, err);

    error_clear(err);
    while (pause_ms > 0) {
        uint64_t slice_ms = pause_ms < SLICE_MS ? pause_ms : SLICE_MS;
        if (!interrupt_check(err))
            return false;
        time_sleep_ms(slice_ms);
        pause_ms -= slice_ms;
    }
    return interrupt_check(err);
}

/*
 * The kernel tells of bytes it could not write to the disk once; then it takes them for written. So
 * a sync that failed must not be tried again: the second one would succeed and mean nothing.
 */
static bool may_repeat_write(const RetryStorage *retry, unsigned attempt, const char *operation,
                             Error *err)
{
    return err->os_errno != EIO && may_repeat(retry, attempt, operation, err);
}

static bool retry_create(Storage *storage, Error *err)
{
    RetryStorage *retry = (RetryStorage *)storage;

    for (unsigned attempt = 1; !retry->inner->ops->create(retry->inner, err); attempt++) {
        if (!may_repeat_write(retry, attempt, "create", err))
            return false;
    }
    return true;
}

/* The writer is the inner storage's own: a stream that broke cannot be sent again from here. */
static bool retry_write(Storage *storage, const char *name, WriteMode mode, ObjectWriter **writer,
                        Error *err)
{
    RetryStorage *retry = (RetryStorage *)storage;
    Storage *inner = retry->inner;

    for (unsigned attempt = 1; !inner->ops->write(inner, name, mode, writer, err); attempt++) {
        if (!may_repeat_write(retry, attempt, "write", err))
            return false;
    }
    return true;
}

static bool retry_read(Storage *storage, const char *name, const Range *range, Buffer *content,
                       uint64_t *object_size, Error *err)
{
    RetryStorage *retry = (RetryStorage *)storage;
    Storage *inner = retry->inner;
    size_t before = content->size;

    for (unsigned attempt = 1; !inner->ops->read(inner, name, range, content, object_size, err);
         attempt++) {
        content->size = before;
        if (!may_repeat(retry, attempt, "read", err))
            return false;
    }
    return true;
}

static bool retry_read_range(Storage *storage, const char *name, uint64_t offset, size_t size,
                             void *to, Error *err)
{
    RetryStorage *retry = (RetryStorage *)storage;
    Storage *inner = retry->inner;

    for (unsigned attempt = 1; !inner->ops->read_range(inner, name, offset, size, to, err);
         attempt++) {
        if (!may_repeat(retry, attempt, "read", err))
            return false;
    }
    return true;
}

static bool retry_list(Storage *storage, const ListRequest *request, ObjectList *list, Error *err)
{
    RetryStorage *retry = (RetryStorage *)storage;
    Storage *inner = retry->inner;

    for (unsigned attempt = 1; !inner->ops->list(inner, request, list, err); attempt++) {
        object_list_done(list);
        if (!may_repeat(retry, attempt, "list", err))
            return false;
    }
    return true;
}

static bool retry_stat(Storage *storage, const char *name, uint64_t *size, TimeUs *stored_at,
                       Error *err)
{
    RetryStorage *retry = (RetryStorage *)storage;
    Storage *inner = retry->inner;

    for (unsigned attempt = 1; !inner->ops->stat(inner, name, size, stored_at, err); attempt++) {
        if (!may_repeat(retry, attempt, "look at", err))
            return false;
    }
    return true;
}

static bool retry_identify(Storage *storage, const char *name, char identity[OBJECT_IDENTITY_SIZE],
                           Error *err)
{
    RetryStorage *retry = (RetryStorage *)storage;
    Storage *inner = retry->inner;

    for (unsigned attempt = 1; !inner->ops->identify(inner, name, identity, err); attempt++) {
        if (!may_repeat(retry, attempt, "identify", err))
            return false;
    }
    return true;
}

static bool retry_remove(Storage *storage, const char *name, Error *err)
{
    RetryStorage *retry = (RetryStorage *)storage;

    for (unsigned attempt = 1; !retry->inner->ops->remove(retry->inner, name, err); attempt++) {
        if (!may_repeat_write(retry, attempt, "remove", err))
            return false;
    }
    return true;
}

static bool retry_sync(Storage *storage, const char *name, Error *err)
{
    RetryStorage *retry = (RetryStorage *)storage;

    for (unsigned attempt = 1; !retry->inner->ops->sync(retry->inner, name, err); attempt++) {
        if (!may_repeat_write(retry, attempt, "sync", err))
            return false;
    }
    return true;
}

static bool retry_room(Storage *storage, StorageRoom *room, Error *err)
{
    RetryStorage *retry = (RetryStorage *)storage;

    for (unsigned attempt = 1; !storage_room(retry->inner, room, err); attempt++) {
        if (!may_repeat(retry, attempt, "ask for room", err))
            return false;
    }
    return true;
}

static bool retry_remove_unfinished(Storage *storage, const char *folder, TimeUs before,
                                    Unfinished *found, Error *err)
{
    return storage_remove_unfinished(((RetryStorage *)storage)->inner, folder, before, found, err);
}

static void retry_free(Storage *storage)
{
    RetryStorage *retry = (RetryStorage *)storage;

    storage_freep(&retry->inner);
    mem_free(retry);
}

static const StorageOps retry_ops = {
    .kind = "retry",
    .create = retry_create,
    .write = retry_write,
    .read = retry_read,
    .read_range = retry_read_range,
    .list = retry_list,
    .stat = retry_stat,
    .remove = retry_remove,
    .remove_unfinished = retry_remove_unfinished,
    .identify = retry_identify,
    .sync = retry_sync,
    .room = retry_room,
    .free = retry_free,
};

Storage *storage_retry_new(Storage *inner, unsigned attempts, uint64_t pause_ms)
{
    RetryStorage *retry = mem_alloc(sizeof(*retry));

    *retry = (RetryStorage){.storage = {.ops = &retry_ops,
                                        .address = text_format("%s", storage_address(inner)),
                                        .can = inner->can},
                            .inner = inner,
                            .attempts = attempts,
                            .pause_ms = pause_ms};
    return &retry->storage;
}
