#include "stores.h"

#include "storage/driver.h"

typedef struct CountStorage {
    Storage storage;
    Storage *inner;
    StorageCount *count;
} CountStorage;

static Storage *inner_of(Storage *storage)
{
    return ((CountStorage *)storage)->inner;
}

static bool count_create(Storage *storage, Error *err)
{
    return inner_of(storage)->ops->create(inner_of(storage), err);
}

static bool count_write(Storage *storage, const char *name, WriteMode mode, ObjectWriter **writer,
                        Error *err)
{
    return inner_of(storage)->ops->write(inner_of(storage), name, mode, writer, err);
}

static bool count_read(Storage *storage, const char *name, const Range *range, Buffer *content,
                       uint64_t *object_size, Error *err)
{
    return inner_of(storage)->ops->read(inner_of(storage), name, range, content, object_size, err);
}

static bool count_read_range(Storage *storage, const char *name, uint64_t offset, size_t size,
                             void *to, Error *err)
{
    return inner_of(storage)->ops->read_range(inner_of(storage), name, offset, size, to, err);
}

static bool count_list(Storage *storage, const ListRequest *request, ObjectList *list, Error *err)
{
    const CountStorage *own = (CountStorage *)storage;
    const size_t before = list->count;

    own->count->listings++;
    if (!own->inner->ops->list(own->inner, request, list, err))
        return false;
    own->count->listed += list->count - before;
    return true;
}

static bool count_stat(Storage *storage, const char *name, uint64_t *size, TimeUs *stored_at,
                       Error *err)
{
    return inner_of(storage)->ops->stat(inner_of(storage), name, size, stored_at, err);
}

static bool count_identify(Storage *storage, const char *name, char identity[OBJECT_IDENTITY_SIZE],
                           Error *err)
{
    return inner_of(storage)->ops->identify(inner_of(storage), name, identity, err);
}

static bool count_remove(Storage *storage, const char *name, Error *err)
{
    return inner_of(storage)->ops->remove(inner_of(storage), name, err);
}

static bool count_sync(Storage *storage, const char *name, Error *err)
{
    return inner_of(storage)->ops->sync(inner_of(storage), name, err);
}

static bool count_room(Storage *storage, StorageRoom *room, Error *err)
{
    return storage_room(inner_of(storage), room, err);
}

static void count_free(Storage *storage)
{
    CountStorage *own = (CountStorage *)storage;

    storage_freep(&own->inner);
    mem_free(own);
}

static const StorageOps count_ops = {
    .kind = "count",
    .create = count_create,
    .write = count_write,
    .read = count_read,
    .read_range = count_read_range,
    .list = count_list,
    .stat = count_stat,
    .identify = count_identify,
    .remove = count_remove,
    .sync = count_sync,
    .room = count_room,
    .free = count_free,
};

Storage *storage_count_new(Storage *inner, StorageCount *count)
{
    CountStorage *own = mem_alloc(sizeof *own);

    *own = (CountStorage){.storage = {.ops = &count_ops,
                                      .address = text_format("%s", storage_address(inner)),
                                      .can = inner->can},
                          .inner = inner,
                          .count = count};
    return &own->storage;
}
