#include "storage/wrap.h"

#include "base/interrupt.h"
#include "storage/driver.h"

#include <pthread.h>

/*
 * Bytes take their time on an imaginary line: each transfer begins where the one before ended, and
 * its thread sleeps until then. An idle line saves up at most BURST_US.
 */
enum { BURST_US = 250000, SLICE_US = 100000, PART_SIZE = 256 << 10 };

typedef struct LimitStorage {
    Storage storage;
    Storage *inner;
    uint64_t bytes_per_s;
    pthread_mutex_t mutex; /* It guards line_free_at. */
    TimeUs line_free_at;   /* It is a time_monotonic(). */
} LimitStorage;

/* When the line will have carried these bytes too. */
static TimeUs limit_book(LimitStorage *limit, size_t size)
{
    __uint128_t duration = (__uint128_t)size * 1000000 / limit->bytes_per_s;
    TimeUs now = time_monotonic();

    pthread_mutex_lock(&limit->mutex);
    if (limit->line_free_at < now - BURST_US)
        limit->line_free_at = now - BURST_US;
    limit->line_free_at += (TimeUs)duration;
    TimeUs until = limit->line_free_at;
    pthread_mutex_unlock(&limit->mutex);
    return until;
}

static bool wait_for_line(LimitStorage *limit, size_t size, Error *err)
{
    TimeUs until = limit_book(limit, size);

    for (TimeUs now = time_monotonic(); now < until; now = time_monotonic()) {
        TimeUs slice = until - now < SLICE_US ? until - now : SLICE_US;
        if (!interrupt_check(err))
            return false;
        time_sleep_ms(((uint64_t)slice + 999) / 1000);
    }
    return true;
}

static bool limit_create(Storage *storage, Error *err)
{
    LimitStorage *limit = (LimitStorage *)storage;

    return limit->inner->ops->create(limit->inner, err);
}

typedef struct LimitWriter {
    ObjectWriter writer;
    LimitStorage *limit;
    ObjectWriter *inner;
} LimitWriter;

static bool limit_writer_write(ObjectWriter *writer, const void *data, size_t size, Error *err)
{
    LimitWriter *out = (LimitWriter *)writer;
    const uint8_t *next = data;

    while (size > 0) {
        size_t part = size < PART_SIZE ? size : PART_SIZE;
        if (!wait_for_line(out->limit, part, err) ||
            !object_writer_write(out->inner, next, part, err))
            return false;
        next += part;
        size -= part;
    }
    return true;
}

static bool limit_writer_settle(ObjectWriter *writer, Error *err)
{
    return object_writer_settle(((LimitWriter *)writer)->inner, err);
}

static bool limit_writer_commit(ObjectWriter *writer, Error *err)
{
    return object_writer_commit(((LimitWriter *)writer)->inner, err);
}

static void limit_writer_free(ObjectWriter *writer)
{
    LimitWriter *out = (LimitWriter *)writer;

    object_writer_freep(&out->inner);
    mem_free(out);
}

static const ObjectWriterOps limit_writer_ops = {
    .write = limit_writer_write,
    .settle = limit_writer_settle,
    .commit = limit_writer_commit,
    .free = limit_writer_free,
};

static bool limit_write(Storage *storage, const char *name, WriteMode mode, ObjectWriter **writer,
                        Error *err)
{
    LimitStorage *limit = (LimitStorage *)storage;
    ObjectWriter *inner = NULL;

    if (!limit->inner->ops->write(limit->inner, name, mode, &inner, err))
        return false;
    LimitWriter *out = mem_alloc(sizeof(*out));
    *out = (LimitWriter){.writer = {&limit_writer_ops}, .limit = limit, .inner = inner};
    *writer = &out->writer;
    return true;
}

/* How much it is shows only afterwards, so the next one waits. */
static bool limit_read(Storage *storage, const char *name, const Range *range, Buffer *content,
                       uint64_t *object_size, Error *err)
{
    LimitStorage *limit = (LimitStorage *)storage;
    size_t before = content->size;

    return limit->inner->ops->read(limit->inner, name, range, content, object_size, err) &&
           wait_for_line(limit, content->size - before, err);
}

static bool limit_read_range(Storage *storage, const char *name, uint64_t offset, size_t size,
                             void *to, Error *err)
{
    LimitStorage *limit = (LimitStorage *)storage;

    return wait_for_line(limit, size, err) &&
           limit->inner->ops->read_range(limit->inner, name, offset, size, to, err);
}

static bool limit_list(Storage *storage, const ListRequest *request, ObjectList *list, Error *err)
{
    LimitStorage *limit = (LimitStorage *)storage;

    return limit->inner->ops->list(limit->inner, request, list, err);
}

static bool limit_stat(Storage *storage, const char *name, uint64_t *size, TimeUs *stored_at,
                       Error *err)
{
    LimitStorage *limit = (LimitStorage *)storage;

    return limit->inner->ops->stat(limit->inner, name, size, stored_at, err);
}

static bool limit_remove(Storage *storage, const char *name, Error *err)
{
    LimitStorage *limit = (LimitStorage *)storage;

    return limit->inner->ops->remove(limit->inner, name, err);
}

static bool limit_identify(Storage *storage, const char *name, char identity[OBJECT_IDENTITY_SIZE],
                           Error *err)
{
    LimitStorage *limit = (LimitStorage *)storage;

    return limit->inner->ops->identify(limit->inner, name, identity, err);
}

static bool limit_sync(Storage *storage, const char *name, Error *err)
{
    LimitStorage *limit = (LimitStorage *)storage;

    return limit->inner->ops->sync(limit->inner, name, err);
}

static bool limit_room(Storage *storage, StorageRoom *room, Error *err)
{
    return storage_room(((LimitStorage *)storage)->inner, room, err);
}

static bool limit_remove_unfinished(Storage *storage, const char *folder, TimeUs before,
                                    Unfinished *found, Error *err)
{
    return storage_remove_unfinished(((LimitStorage *)storage)->inner, folder, before, found, err);
}

static void limit_free(Storage *storage)
{
    LimitStorage *limit = (LimitStorage *)storage;

    storage_freep(&limit->inner);
    pthread_mutex_destroy(&limit->mutex);
    mem_free(limit);
}

static const StorageOps limit_ops = {
    .kind = "limit",
    .create = limit_create,
    .write = limit_write,
    .read = limit_read,
    .read_range = limit_read_range,
    .list = limit_list,
    .stat = limit_stat,
    .remove = limit_remove,
    .remove_unfinished = limit_remove_unfinished,
    .identify = limit_identify,
    .sync = limit_sync,
    .room = limit_room,
    .free = limit_free,
};

Storage *storage_limit_new(Storage *inner, uint64_t bytes_per_s)
{
    LimitStorage *limit = mem_alloc(sizeof(*limit));

    *limit = (LimitStorage){.storage = {.ops = &limit_ops,
                                        .address = text_format("%s", storage_address(inner)),
                                        .can = inner->can},
                            .inner = inner,
                            .bytes_per_s = bytes_per_s > 0 ? bytes_per_s : 1,
                            .line_free_at = time_monotonic()};
    pthread_mutex_init(&limit->mutex, NULL);
    return &limit->storage;
}
