#include "storage/storage.h"

#include "posix.h"
#include "storage/driver.h"
#include "storage/wrap.h"
#include "storage_names.h"

enum { LARGE = 64 << 20 }; /* bytes: a second look at the object costs less than so much memory */

static const char file_scheme[] = "file://";

static Storage *unknown_address(const char *address, Error *err)
{
    const char *scheme = strstr(address, "://");

    if (scheme != NULL && strncmp(address, file_scheme, strlen(file_scheme)) != 0) {
        error_set(err, ERR_USAGE, "a repository at \"%.*s://\" is not supported yet",
                  (int)(scheme - address), address);
        error_hint(err, "it has to be a directory of this host, a mounted one too: an absolute "
                        "path, or file:///path");
        return NULL;
    }
    error_set(err, ERR_USAGE, "\"%s\" is not the address of a repository", address);
    error_hint(err, "give an absolute path or file:///path: a relative one depends on where the "
                    "program is started");
    return NULL;
}

static Storage *open_driver(const char *address, Error *err)
{
    const char *path = address;

    if (strncmp(address, file_scheme, strlen(file_scheme)) == 0)
        path += strlen(file_scheme);
    if (path[0] != '/')
        return unknown_address(address, err);

    Storage *storage = storage_posix_new(path);
    storage->address = text_format("%s", address);
    return storage;
}

/* The limit is inside: what has to be read again is a load, too. */
Storage *storage_open(const StorageSetup *setup, Error *err)
{
    Storage *storage = open_driver(setup->address, err);

    if (storage != NULL && setup->bytes_per_s > 0)
        storage = storage_limit_new(storage, setup->bytes_per_s);
    if (storage != NULL && setup->attempts > 1)
        storage = storage_retry_new(storage, setup->attempts, setup->pause_ms);
    return storage;
}

const char *storage_address(const Storage *storage)
{
    return storage->address;
}

void storage_freep(Storage **storage)
{
    if (*storage != NULL) {
        CLEANUP(text_freep) char *address = (*storage)->address;
        (*storage)->ops->free(*storage);
        (void)address;
    }
    *storage = NULL;
}

static bool check_name(const char *name, Error *err)
{
    return name_is_valid(name) ||
           error_set(err, ERR_INTERNAL, "\"%s\" is not a valid object name", name);
}

bool storage_create(Storage *storage, Error *err)
{
    return storage->ops->create(storage, err);
}

bool storage_write(Storage *storage, const char *name, WriteMode mode, ObjectWriter **writer,
                   Error *err)
{
    return check_name(name, err) && storage->ops->write(storage, name, mode, writer, err);
}

bool object_writer_write(ObjectWriter *writer, const void *data, size_t size, Error *err)
{
    return size == 0 || writer->ops->write(writer, data, size, err);
}

bool object_writer_settle(ObjectWriter *writer, Error *err)
{
    return writer->ops->settle == NULL || writer->ops->settle(writer, err);
}

bool object_writer_commit(ObjectWriter *writer, Error *err)
{
    return writer->ops->commit(writer, err);
}

void object_writer_freep(ObjectWriter **writer)
{
    if (*writer != NULL)
        (*writer)->ops->free(*writer);
    *writer = NULL;
}

bool storage_put(Storage *storage, const char *name, WriteMode mode, const void *data, size_t size,
                 Error *err)
{
    CLEANUP(object_writer_freep) ObjectWriter *out = NULL;

    return storage_write(storage, name, mode, &out, err) &&
           object_writer_write(out, data, size, err) && object_writer_commit(out, err);
}

bool storage_copy(Storage *storage, const char *from, const char *to, Error *err)
{
    enum { PIECE = 1 << 20 };
    CLEANUP(object_writer_freep) ObjectWriter *copy = NULL;
    CLEANUP(buffer_done) Buffer piece = {0};
    uint64_t size;

    if (!storage_stat(storage, from, &size, NULL, err) ||
        !storage_write(storage, to, WRITE_NEW, &copy, err))
        return false;
    buffer_reserve(&piece, PIECE);
    for (uint64_t offset = 0; offset < size; offset += PIECE) {
        size_t want = size - offset < PIECE ? (size_t)(size - offset) : PIECE;

        if (!storage_read_range(storage, from, offset, want, piece.data, err) ||
            !object_writer_write(copy, piece.data, want, err))
            return false;
    }
    return object_writer_commit(copy, err);
}

/* What a failed read has appended is taken off again. */
static bool read_part(Storage *storage, const char *name, size_t size, bool from_end,
                      Buffer *content, uint64_t *object_size, Error *err)
{
    size_t before = content->size;

    if (storage->ops->read(storage, name, 0, size, from_end, content, object_size, err))
        return true;
    content->size = before;
    return false;
}

static bool refuse_large(const char *name, size_t size_max, Error *err)
{
    return error_set(err, ERR_REFUSED, "%s has more than %zu bytes", name, size_max);
}

/* Where the limit itself is much memory, what is larger must not take it before it is refused. */
static bool check_large(Storage *storage, const char *name, size_t size_max, Error *err)
{
    uint64_t size;

    return size_max <= LARGE || size_max == SIZE_MAX ||
           (storage_stat(storage, name, &size, NULL, err) &&
            (size <= size_max || refuse_large(name, size_max, err)));
}

bool storage_read(Storage *storage, const char *name, size_t size_max, Buffer *content, Error *err)
{
    size_t before = content->size;
    uint64_t object_size;
    /* One more than allowed, so that a larger object is not read to its end. SIZE_MAX + 1 is 0. */
    size_t wanted = size_max + 1;

    if (!check_name(name, err) || !check_large(storage, name, size_max, err) ||
        !read_part(storage, name, wanted, false, content, &object_size, err))
        return false;
    if (object_size <= size_max)
        return true;
    content->size = before;
    return refuse_large(name, size_max, err);
}

bool storage_read_range(Storage *storage, const char *name, uint64_t offset, size_t size, void *to,
                        Error *err)
{
    return check_name(name, err) && storage->ops->read_range(storage, name, offset, size, to, err);
}

bool storage_read_suffix(Storage *storage, const char *name, size_t size, Buffer *content,
                         uint64_t *object_size, Error *err)
{
    uint64_t found;

    if (size == 0) /* to the driver that would mean all */
        return storage_stat(storage, name, object_size, NULL, err);
    if (!check_name(name, err) || !read_part(storage, name, size, true, content, &found, err))
        return false;
    if (object_size != NULL)
        *object_size = found;
    return true;
}

bool storage_stat(Storage *storage, const char *name, uint64_t *size, TimeUs *stored_at, Error *err)
{
    uint64_t found_size;
    TimeUs found_time;

    if (!check_name(name, err) || !storage->ops->stat(storage, name, &found_size, &found_time, err))
        return false;
    if (size != NULL)
        *size = found_size;
    if (stored_at != NULL)
        *stored_at = found_time;
    return true;
}

bool storage_identify(Storage *storage, const char *name, char identity[OBJECT_IDENTITY_SIZE],
                      Error *err)
{
    return check_name(name, err) && storage->ops->identify(storage, name, identity, err);
}

bool storage_remove(Storage *storage, const char *name, Error *err)
{
    return check_name(name, err) && storage->ops->remove(storage, name, err);
}

bool storage_sync(Storage *storage, const char *name, Error *err)
{
    return check_name(name, err) && storage->ops->sync(storage, name, err);
}

void object_list_add(ObjectList *list, const char *name, uint64_t size, TimeUs stored_at)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
        list->objects = mem_resize(list->objects, list->capacity * sizeof(*list->objects));
    }
    list->objects[list->count++] =
        (ObjectInfo){.name = arena_text(&list->arena, name), .size = size, .stored_at = stored_at};
}

void object_list_done(ObjectList *list)
{
    mem_free(list->objects);
    arena_done(&list->arena);
    *list = (ObjectList){0};
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const ObjectInfo *)a)->name, ((const ObjectInfo *)b)->name);
}

bool storage_list(Storage *storage, const char *prefix, ObjectList *list, Error *err)
{
    CLEANUP(object_list_done) ObjectList found = {0};

    if (!name_prefix_is_valid(prefix))
        return error_set(err, ERR_INTERNAL, "no object name can begin with \"%s\"", prefix);
    if (!storage->ops->list(storage, prefix, &found, err))
        return false;
    if (found.count > 0)
        qsort(found.objects, found.count, sizeof(*found.objects), compare_names);
    object_list_done(list);
    *list = found;
    found = (ObjectList){0};
    return true;
}
