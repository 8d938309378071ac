#include "storage/wrap.h"

#include "storage/driver.h"

typedef struct HideStorage {
    Storage storage;
    Storage *inner;
    HiddenFunction *is_hidden;
    const void *context;
} HideStorage;

static const HideStorage *hide_of(const Storage *storage)
{
    return (const HideStorage *)storage;
}

static bool hidden_find(Storage *storage, const char *name, Error *err)
{
    return !hide_of(storage)->is_hidden(hide_of(storage)->context, name) ||
           error_set(err, ERR_NOT_FOUND, "%s: taken out of this view", name);
}

static bool hide_refuse(Error *err)
{
    return error_set(err, ERR_INTERNAL, "this view of the repository is for reading");
}

static bool hide_create(Storage *storage, Error *err)
{
    (void)storage;
    return hide_refuse(err);
}

static bool hide_write(Storage *storage, const char *name, WriteMode mode, ObjectWriter **writer,
                       Error *err)
{
    (void)storage, (void)name, (void)mode, (void)writer;
    return hide_refuse(err);
}

static bool hide_remove(Storage *storage, const char *name, Error *err)
{
    (void)storage, (void)name;
    return hide_refuse(err);
}

static bool hide_read(Storage *storage, const char *name, const Range *range, Buffer *content,
                      uint64_t *object_size, Error *err)
{
    Storage *inner = hide_of(storage)->inner;

    return hidden_find(storage, name, err) &&
           inner->ops->read(inner, name, range, content, object_size, err);
}

static bool hide_read_range(Storage *storage, const char *name, uint64_t offset, size_t size,
                            void *to, Error *err)
{
    return hidden_find(storage, name, err) &&
           storage_read_range(hide_of(storage)->inner, name, offset, size, to, err);
}

static bool hide_list(Storage *storage, const ListRequest *request, ObjectList *list, Error *err)
{
    CLEANUP(object_list_done) ObjectList all = {0};

    if (!storage_list(hide_of(storage)->inner, request->prefix, &all, err))
        return false;
    for (size_t i = 0; i < all.count; i++) {
        const ObjectInfo *object = &all.objects[i];

        if (!hide_of(storage)->is_hidden(hide_of(storage)->context, object->name))
            object_list_add(list, object->name, object->size, object->stored_at);
    }
    return true;
}

static bool hide_stat(Storage *storage, const char *name, uint64_t *size, TimeUs *stored_at,
                      Error *err)
{
    return hidden_find(storage, name, err) &&
           storage_stat(hide_of(storage)->inner, name, size, stored_at, err);
}

static bool hide_identify(Storage *storage, const char *name, char identity[OBJECT_IDENTITY_SIZE],
                          Error *err)
{
    return hidden_find(storage, name, err) &&
           storage_identify(hide_of(storage)->inner, name, identity, err);
}

static bool hide_sync(Storage *storage, const char *name, Error *err)
{
    return hidden_find(storage, name, err) && storage_sync(hide_of(storage)->inner, name, err);
}

static bool hide_room(Storage *storage, StorageRoom *room, Error *err)
{
    return storage_room(hide_of(storage)->inner, room, err);
}

static void hide_free(Storage *storage)
{
    mem_free(storage);
}

static const StorageOps hide_ops = {
    .kind = "hide",
    .create = hide_create,
    .write = hide_write,
    .read = hide_read,
    .read_range = hide_read_range,
    .list = hide_list,
    .stat = hide_stat,
    .remove = hide_remove,
    .identify = hide_identify,
    .sync = hide_sync,
    .room = hide_room,
    .free = hide_free,
};

Storage *storage_hide_new(Storage *inner, HiddenFunction *is_hidden, const void *context)
{
    HideStorage *own = mem_alloc(sizeof(*own));

    *own = (HideStorage){
        /* What is hidden must not count for a limit, nor make a folder: all is listed. */
        .storage = {.ops = &hide_ops,
                    .address = text_format("%s", storage_address(inner)),
                    .can = inner->can & ~(unsigned)(CAN_LIST_AFTER | CAN_LIST_FOLDERS)},
        .inner = inner,
        .is_hidden = is_hidden,
        .context = context,
    };
    return &own->storage;
}
