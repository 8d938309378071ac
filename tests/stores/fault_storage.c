#include "stores.h"

#include "storage/driver.h"

#include <inttypes.h>
#include <stdatomic.h>

typedef struct FaultStorage {
    Storage storage;
    Storage *inner;
    const StorageFault *fault;
    _Atomic uint64_t calls;
    _Atomic uint64_t reads;
} FaultStorage;

typedef enum Fate { FATE_GO, FATE_FAIL, FATE_LOSE_ANSWER } Fate;

static Fate next_call(FaultStorage *storage)
{
    const StorageFault *fault = storage->fault;
    uint64_t call = atomic_fetch_add(&storage->calls, 1) + 1;
    uint64_t count = fault->fail_count > 0 ? fault->fail_count : 1;

    if (fault->fail_at == 0 || call < fault->fail_at || call - fault->fail_at >= count)
        return FATE_GO;
    return fault->lose_answer ? FATE_LOSE_ANSWER : FATE_FAIL;
}

static bool fail(const FaultStorage *storage, const char *operation, Error *err)
{
    return error_set(err, storage->fault->code, "injected failure: %s", operation);
}

/* The call was carried out, whatever came of it, and nobody hears of it. */
static bool lose(const FaultStorage *storage, const char *operation, Error *err)
{
    error_clear(err);
    return fail(storage, operation, err);
}

/* Whether this read is the one to be cut. */
static bool next_read_is_cut(FaultStorage *storage)
{
    return atomic_fetch_add(&storage->reads, 1) + 1 == storage->fault->cut_at;
}

static bool fault_create(Storage *storage, Error *err)
{
    FaultStorage *own = (FaultStorage *)storage;
    Fate fate = next_call(own);

    if (fate == FATE_FAIL)
        return fail(own, "create", err);
    bool is_done = own->inner->ops->create(own->inner, err);
    return fate == FATE_LOSE_ANSWER ? lose(own, "create", err) : is_done;
}

typedef struct FaultWriter {
    ObjectWriter writer;
    FaultStorage *own;
    ObjectWriter *inner;
} FaultWriter;

static bool fault_writer_write(ObjectWriter *writer, const void *data, size_t size, Error *err)
{
    FaultWriter *out = (FaultWriter *)writer;

    if (next_call(out->own) != FATE_GO)
        return fail(out->own, "write", err);
    return object_writer_write(out->inner, data, size, err);
}

static bool fault_writer_settle(ObjectWriter *writer, Error *err)
{
    FaultWriter *out = (FaultWriter *)writer;

    if (next_call(out->own) != FATE_GO)
        return fail(out->own, "settle", err);
    return object_writer_settle(out->inner, err);
}

static bool fault_writer_commit(ObjectWriter *writer, Error *err)
{
    FaultWriter *out = (FaultWriter *)writer;
    Fate fate = next_call(out->own);

    if (fate == FATE_FAIL)
        return fail(out->own, "commit", err);
    bool is_done = object_writer_commit(out->inner, err);
    return fate == FATE_LOSE_ANSWER ? lose(out->own, "commit", err) : is_done;
}

static void fault_writer_free(ObjectWriter *writer)
{
    FaultWriter *out = (FaultWriter *)writer;

    object_writer_freep(&out->inner);
    mem_free(out);
}

static const ObjectWriterOps fault_writer_ops = {
    .write = fault_writer_write,
    .settle = fault_writer_settle,
    .commit = fault_writer_commit,
    .free = fault_writer_free,
};

static bool fault_write(Storage *storage, const char *name, WriteMode mode, ObjectWriter **writer,
                        Error *err)
{
    FaultStorage *own = (FaultStorage *)storage;
    ObjectWriter *inner = NULL;

    if (next_call(own) != FATE_GO)
        return fail(own, "open for writing", err);
    if (!own->inner->ops->write(own->inner, name, mode, &inner, err))
        return false;
    FaultWriter *out = mem_alloc(sizeof(*out));
    *out = (FaultWriter){.writer = {&fault_writer_ops}, .own = own, .inner = inner};
    *writer = &out->writer;
    return true;
}

static bool fault_read(Storage *storage, const char *name, const Range *range, Buffer *content,
                       uint64_t *object_size, Error *err)
{
    FaultStorage *own = (FaultStorage *)storage;
    size_t before = content->size;

    if (next_call(own) != FATE_GO)
        return fail(own, "read", err);
    bool is_cut = next_read_is_cut(own);
    if (!own->inner->ops->read(own->inner, name, range, content, object_size, err))
        return false;
    if (!is_cut)
        return true;
    content->size = before + (content->size - before) / 2;
    return error_set(err, ERR_CORRUPT, "injected cut: %s", name);
}

static bool fault_read_range(Storage *storage, const char *name, uint64_t offset, size_t size,
                             void *to, Error *err)
{
    FaultStorage *own = (FaultStorage *)storage;

    if (next_call(own) != FATE_GO)
        return fail(own, "read", err);
    if (!next_read_is_cut(own))
        return own->inner->ops->read_range(own->inner, name, offset, size, to, err);
    return own->inner->ops->read_range(own->inner, name, offset, size / 2, to, err) &&
           error_set(err, ERR_CORRUPT, "injected cut: %s", name);
}

static bool fault_list(Storage *storage, const ListRequest *request, ObjectList *list, Error *err)
{
    FaultStorage *own = (FaultStorage *)storage;

    if (next_call(own) != FATE_GO)
        return fail(own, "list", err);
    return own->inner->ops->list(own->inner, request, list, err);
}

static bool fault_stat(Storage *storage, const char *name, uint64_t *size, TimeUs *stored_at,
                       Error *err)
{
    FaultStorage *own = (FaultStorage *)storage;

    if (next_call(own) != FATE_GO)
        return fail(own, "look at", err);
    return own->inner->ops->stat(own->inner, name, size, stored_at, err);
}

static bool fault_remove(Storage *storage, const char *name, Error *err)
{
    FaultStorage *own = (FaultStorage *)storage;
    Fate fate = next_call(own);

    if (fate == FATE_FAIL)
        return fail(own, "remove", err);
    bool is_done = own->inner->ops->remove(own->inner, name, err);
    return fate == FATE_LOSE_ANSWER ? lose(own, "remove", err) : is_done;
}

static bool fault_identify(Storage *storage, const char *name, char identity[OBJECT_IDENTITY_SIZE],
                           Error *err)
{
    FaultStorage *own = (FaultStorage *)storage;

    if (next_call(own) != FATE_GO)
        return fail(own, "identify", err);
    return own->inner->ops->identify(own->inner, name, identity, err);
}

static bool fault_sync(Storage *storage, const char *name, Error *err)
{
    FaultStorage *own = (FaultStorage *)storage;

    if (next_call(own) != FATE_GO)
        return fail(own, "sync", err);
    return own->inner->ops->sync(own->inner, name, err);
}

static bool fault_room(Storage *storage, StorageRoom *room, Error *err)
{
    FaultStorage *own = (FaultStorage *)storage;

    if (next_call(own) != FATE_GO)
        return fail(own, "room", err);
    return storage_room(own->inner, room, err);
}

static void fault_free(Storage *storage)
{
    FaultStorage *own = (FaultStorage *)storage;

    storage_freep(&own->inner);
    mem_free(own);
}

static const StorageOps fault_ops = {
    .kind = "fault",
    .create = fault_create,
    .write = fault_write,
    .read = fault_read,
    .read_range = fault_read_range,
    .list = fault_list,
    .stat = fault_stat,
    .remove = fault_remove,
    .identify = fault_identify,
    .sync = fault_sync,
    .room = fault_room,
    .free = fault_free,
};

Storage *storage_fault_new(Storage *inner, const StorageFault *fault)
{
    FaultStorage *own = mem_alloc(sizeof(*own));

    own->storage = (Storage){
        .ops = &fault_ops, .address = text_format("%s", storage_address(inner)), .can = inner->can};
    own->inner = inner;
    own->fault = fault;
    return &own->storage;
}

uint64_t storage_fault_calls(const Storage *storage)
{
    return atomic_load(&((const FaultStorage *)storage)->calls);
}
