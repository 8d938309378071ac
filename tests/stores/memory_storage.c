#include "stores.h"

#include "storage/driver.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>

typedef struct MemoryObject {
    char *name;
    uint8_t *data;
    size_t size;
    TimeUs stored_at;
    uint64_t number; /* of all that were ever stored here */
} MemoryObject;

typedef struct MemoryStorage {
    Storage storage;
    pthread_mutex_t mutex; /* guards all below */
    MemoryObject *objects; /* sorted by name */
    size_t count;
    size_t capacity;
    uint64_t last_number;
} MemoryStorage;

typedef struct MemoryWriter {
    ObjectWriter writer;
    MemoryStorage *memory;
    char *name;
    WriteMode mode;
    Buffer content;
} MemoryWriter;

static bool memory_create(Storage *storage, Error *err)
{
    (void)storage;
    (void)err;
    return true;
}

/* Where name is, or would have to be put in. */
static size_t place_of(const MemoryStorage *memory, const char *name)
{
    size_t low = 0;
    size_t high = memory->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(memory->objects[middle].name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static MemoryObject *find_object(const MemoryStorage *memory, const char *name, Error *err)
{
    size_t place = place_of(memory, name);

    if (place < memory->count && strcmp(memory->objects[place].name, name) == 0)
        return &memory->objects[place];
    error_set(err, ERR_NOT_FOUND, "%s is not in memory", name);
    return NULL;
}

static bool memory_writer_write(ObjectWriter *writer, const void *data, size_t size, Error *err)
{
    (void)err;
    buffer_append(&((MemoryWriter *)writer)->content, data, size);
    return true;
}

static MemoryObject *make_room(MemoryStorage *memory, size_t place)
{
    if (memory->count == memory->capacity) {
        memory->capacity = memory->capacity == 0 ? 64 : 2 * memory->capacity;
        memory->objects = mem_resize(memory->objects, memory->capacity * sizeof(*memory->objects));
    }
    assert(memory->objects != NULL);
    memmove(&memory->objects[place + 1], &memory->objects[place],
            (memory->count - place) * sizeof(*memory->objects));
    memory->count++;
    memory->objects[place] = (MemoryObject){0};
    return &memory->objects[place];
}

static bool publish(MemoryWriter *out, Error *err)
{
    MemoryStorage *memory = out->memory;
    size_t place = place_of(memory, out->name);
    MemoryObject *object = place < memory->count ? &memory->objects[place] : NULL;

    if (object == NULL || strcmp(object->name, out->name) != 0) {
        object = make_room(memory, place);
        object->name = text_format("%s", out->name);
    } else if (out->mode == WRITE_NEW) {
        return error_set(err, ERR_EXISTS, "%s is in memory already", out->name);
    }
    mem_free(object->data);
    object->size = out->content.size;
    object->data = TAKE(out->content.data);
    object->stored_at = time_now();
    object->number = ++memory->last_number;
    out->content = (Buffer){0};
    return true;
}

static bool memory_writer_commit(ObjectWriter *writer, Error *err)
{
    MemoryWriter *out = (MemoryWriter *)writer;

    pthread_mutex_lock(&out->memory->mutex);
    bool is_done = publish(out, err);
    pthread_mutex_unlock(&out->memory->mutex);
    return is_done;
}

static void memory_writer_free(ObjectWriter *writer)
{
    MemoryWriter *out = (MemoryWriter *)writer;

    buffer_done(&out->content);
    mem_free(out->name);
    mem_free(out);
}

static const ObjectWriterOps memory_writer_ops = {
    .write = memory_writer_write,
    .commit = memory_writer_commit,
    .free = memory_writer_free,
};

static bool memory_write(Storage *storage, const char *name, WriteMode mode, ObjectWriter **writer,
                         Error *err)
{
    MemoryWriter *out = mem_alloc(sizeof(*out));

    (void)err;
    *out = (MemoryWriter){.writer = {&memory_writer_ops},
                          .memory = (MemoryStorage *)storage,
                          .name = text_format("%s", name),
                          .mode = mode};
    *writer = &out->writer;
    return true;
}

static bool memory_read(Storage *storage, const char *name, const Range *range, Buffer *content,
                        uint64_t *object_size, Error *err)
{
    MemoryStorage *memory = (MemoryStorage *)storage;

    pthread_mutex_lock(&memory->mutex);
    const MemoryObject *object = find_object(memory, name, err);
    if (object != NULL) {
        const size_t whole = object->size;
        size_t wanted = range->size < whole ? (size_t)range->size : whole;
        uint64_t offset = range->from_end ? whole - wanted : range->offset;
        size_t left = offset < whole ? whole - (size_t)offset : 0;
        if (left > 0)
            buffer_append(content, object->data + offset, wanted < left ? wanted : left);
        if (object_size != NULL)
            *object_size = object->size;
    }
    pthread_mutex_unlock(&memory->mutex);
    return object != NULL;
}

static bool copy_range(const MemoryObject *object, uint64_t offset, size_t size, void *to,
                       Error *err)
{
    if (offset > object->size || size > object->size - offset)
        return error_set(err, ERR_CORRUPT, "%s ends too early", object->name);
    if (size > 0)
        memcpy(to, object->data + offset, size);
    return true;
}

static bool memory_read_range(Storage *storage, const char *name, uint64_t offset, size_t size,
                              void *to, Error *err)
{
    MemoryStorage *memory = (MemoryStorage *)storage;

    pthread_mutex_lock(&memory->mutex);
    const MemoryObject *object = find_object(memory, name, err);
    bool is_done = object != NULL && copy_range(object, offset, size, to, err);
    pthread_mutex_unlock(&memory->mutex);
    return is_done;
}

static size_t first_wanted(const MemoryStorage *memory, const ListRequest *request)
{
    const bool is_within = request->after != NULL && strcmp(request->after, request->prefix) >= 0;
    size_t place = place_of(memory, is_within ? request->after : request->prefix);

    return place + (is_within && place < memory->count &&
                    strcmp(memory->objects[place].name, request->after) == 0);
}

static bool memory_list(Storage *storage, const ListRequest *request, ObjectList *list, Error *err)
{
    MemoryStorage *memory = (MemoryStorage *)storage;

    (void)err;
    pthread_mutex_lock(&memory->mutex);
    for (size_t i = first_wanted(memory, request); i < memory->count; i++) {
        const MemoryObject *object = &memory->objects[i];
        if (strncmp(object->name, request->prefix, strlen(request->prefix)) != 0 ||
            (request->limit > 0 && list->count == request->limit))
            break;
        object_list_add(list, object->name, object->size, object->stored_at);
    }
    pthread_mutex_unlock(&memory->mutex);
    return true;
}

static bool memory_stat(Storage *storage, const char *name, uint64_t *size, TimeUs *stored_at,
                        Error *err)
{
    MemoryStorage *memory = (MemoryStorage *)storage;

    pthread_mutex_lock(&memory->mutex);
    const MemoryObject *object = find_object(memory, name, err);
    if (object != NULL) {
        *size = object->size;
        *stored_at = object->stored_at;
    }
    pthread_mutex_unlock(&memory->mutex);
    return object != NULL;
}

static void object_done(MemoryObject *object)
{
    mem_free(object->name);
    mem_free(object->data);
}

static bool memory_remove(Storage *storage, const char *name, Error *err)
{
    MemoryStorage *memory = (MemoryStorage *)storage;

    (void)err;
    pthread_mutex_lock(&memory->mutex);
    size_t place = place_of(memory, name);
    if (place < memory->count && strcmp(memory->objects[place].name, name) == 0) {
        object_done(&memory->objects[place]);
        memory->count--;
        memmove(&memory->objects[place], &memory->objects[place + 1],
                (memory->count - place) * sizeof(*memory->objects));
    }
    pthread_mutex_unlock(&memory->mutex);
    return true;
}

static bool memory_identify(Storage *storage, const char *name, char identity[OBJECT_IDENTITY_SIZE],
                            Error *err)
{
    MemoryStorage *memory = (MemoryStorage *)storage;

    pthread_mutex_lock(&memory->mutex);
    size_t place = place_of(memory, name);
    bool is_there = place < memory->count && strcmp(memory->objects[place].name, name) == 0;
    if (is_there)
        snprintf(identity, OBJECT_IDENTITY_SIZE, "%" PRIu64, memory->objects[place].number);
    pthread_mutex_unlock(&memory->mutex);
    return is_there || error_set(err, ERR_NOT_FOUND, "%s is not in memory", name);
}

static bool memory_sync(Storage *storage, const char *name, Error *err)
{
    uint64_t size;
    TimeUs stored_at;

    return memory_stat(storage, name, &size, &stored_at, err); /* only that it is there */
}

static bool memory_room(Storage *storage, StorageRoom *room, Error *err)
{
    (void)storage;
    (void)err;
    *room = (StorageRoom){.free_bytes = 1ULL << 40, .size_bytes = 1ULL << 40};
    return true;
}

static void memory_free(Storage *storage)
{
    MemoryStorage *memory = (MemoryStorage *)storage;

    for (size_t i = 0; i < memory->count; i++)
        object_done(&memory->objects[i]);
    mem_free(memory->objects);
    pthread_mutex_destroy(&memory->mutex);
    mem_free(memory);
}

static const StorageOps memory_ops = {
    .kind = "memory",
    .create = memory_create,
    .write = memory_write,
    .read = memory_read,
    .read_range = memory_read_range,
    .list = memory_list,
    .stat = memory_stat,
    .remove = memory_remove,
    .identify = memory_identify,
    .sync = memory_sync,
    .room = memory_room,
    .free = memory_free,
};

Storage *storage_memory_new(void)
{
    MemoryStorage *memory = mem_alloc(sizeof(*memory));

    memory->storage =
        (Storage){.ops = &memory_ops,
                  .address = text_format("memory:"),
                  .can = CAN_CREATE_NEW | CAN_READ_SUFFIX | CAN_LIST_AFTER | CAN_TELL_ROOM};
    pthread_mutex_init(&memory->mutex, NULL);
    return &memory->storage;
}

void storage_memory_rot(Storage *storage, const char *name, size_t offset)
{
    MemoryStorage *memory = (MemoryStorage *)storage;
    Error err = {0};

    pthread_mutex_lock(&memory->mutex);
    MemoryObject *object = find_object(memory, name, &err);
    assert(object != NULL && offset < object->size);
    object->data[offset] ^= 1;
    pthread_mutex_unlock(&memory->mutex);
}

void storage_memory_limit(Storage *storage, unsigned can)
{
    storage->can = can;
}
