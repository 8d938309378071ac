#include "storage/storage.h"

#include "base/text.h"
#include "storage/driver.h"
#include "storage_names.h"

enum { LARGE = 64 << 20 }; /* bytes: a second look at the object costs less than so much memory */

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

/* Two servers, or two pushes, would overwrite each other's (law 2). */
static bool check_mode(const Storage *storage, WriteMode mode, Error *err)
{
    if (mode != WRITE_NEW || (storage->can & CAN_CREATE_NEW) != 0)
        return true;
    error_set(err, ERR_REFUSED, "the storage at %s can't refuse a second object of the same name",
              storage_address(storage));
    return error_hint(err, "choose a store that can: nothing else keeps one server from "
                           "overwriting what another one stored");
}

bool storage_write(Storage *storage, const char *name, WriteMode mode, ObjectWriter **writer,
                   Error *err)
{
    return check_name(name, err) && check_mode(storage, mode, err) &&
           storage->ops->write(storage, name, mode, writer, err);
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

void storage_when_full(Storage *storage, StorageRelief *relief, void *context)
{
    storage->relief = relief;
    storage->relief_context = context;
}

static bool put_once(Storage *storage, const char *name, WriteMode mode, const void *data,
                     size_t size, Error *err)
{
    CLEANUP(object_writer_freep) ObjectWriter *out = NULL;

    return storage_write(storage, name, mode, &out, err) &&
           object_writer_write(out, data, size, err) && object_writer_commit(out, err);
}

bool storage_put(Storage *storage, const char *name, WriteMode mode, const void *data, size_t size,
                 Error *err)
{
    while (!put_once(storage, name, mode, data, size, err)) {
        if (!error_is_no_room(err) || storage->relief == NULL ||
            !storage->relief(storage->relief_context))
            return false;
        error_clear(err);
    }
    return true;
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
static bool read_part(Storage *storage, const char *name, const Range *range, Buffer *content,
                      uint64_t *object_size, Error *err)
{
    size_t before = content->size;

    if (storage->ops->read(storage, name, range, content, object_size, err))
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
    /* One more than allowed, so that a larger object is not read to its end. */
    const Range wanted = {.size = size_max < SIZE_MAX ? (uint64_t)size_max + 1 : UINT64_MAX};

    if (!check_name(name, err) || !check_large(storage, name, size_max, err) ||
        !read_part(storage, name, &wanted, content, &object_size, err))
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

/* For a store that has to be told where a range begins. */
static bool read_end(Storage *storage, const char *name, size_t size, Buffer *content,
                     uint64_t *object_size, Error *err)
{
    const size_t before = content->size;
    uint64_t whole;

    if (!storage_stat(storage, name, &whole, NULL, err))
        return false;
    const uint64_t part = size < whole ? size : whole;
    if (!read_part(storage, name, &(Range){.offset = whole - part, .size = part}, content,
                   object_size, err))
        return false;
    if (*object_size == whole)
        return true;
    content->size = before;
    return error_set(err, ERR_UNREACHABLE, "%s was replaced while it was read", name);
}

bool storage_read_suffix(Storage *storage, const char *name, size_t size, Buffer *content,
                         uint64_t *object_size, Error *err)
{
    uint64_t found;
    const Range range = {.from_end = true, .size = size};

    if (!check_name(name, err) || !((storage->can & CAN_READ_SUFFIX) != 0
                                        ? read_part(storage, name, &range, content, &found, err)
                                        : read_end(storage, name, size, content, &found, err)))
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

bool storage_remove_unfinished(Storage *storage, const char *folder, TimeUs before,
                               Unfinished *found, Error *err)
{
    return check_name(folder, err) &&
           (storage->ops->remove_unfinished == NULL ||
            storage->ops->remove_unfinished(storage, folder, before, found, err));
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

static bool is_after(const ListRequest *request, const char *name)
{
    return request->after == NULL || strcmp(name, request->after) > 0;
}

/*
 * What is not in a listing is taken for absent (law 7), so a store that lists otherwise than it was
 * asked must not be believed: one that skips, or goes back to the beginning, shows here.
 */
static bool check_listing(const Storage *storage, const ListRequest *request,
                          const ObjectList *list, Error *err)
{
    bool is_good = request->limit == 0 || list->count <= request->limit;

    for (size_t i = 0; i < list->count && is_good; i++) {
        const char *name = list->objects[i].name;

        is_good = text_begins_with(name, request->prefix) && is_after(request, name) &&
                  (i == 0 || strcmp(list->objects[i - 1].name, name) < 0);
    }
    return is_good || error_set(err, ERR_REFUSED,
                                "the storage at %s lists other names than it was asked for, or "
                                "not in their order",
                                storage_address(storage));
}

static bool ask_for_list(Storage *storage, const ListRequest *request, ObjectList *list, Error *err)
{
    return storage->ops->list(storage, request, list, err) &&
           check_listing(storage, request, list, err);
}

/* For a store that lists all or nothing. */
static bool pick_part(Storage *storage, const ListRequest *request, ObjectList *list, Error *err)
{
    CLEANUP(object_list_done) ObjectList all = {0};

    if (!ask_for_list(storage, &(ListRequest){.prefix = request->prefix}, &all, err))
        return false;
    for (size_t i = 0; i < all.count; i++) {
        const ObjectInfo *object = &all.objects[i];

        if (is_after(request, object->name) &&
            (request->limit == 0 || list->count < request->limit))
            object_list_add(list, object->name, object->size, object->stored_at);
    }
    return true;
}

/* For a store that knows no folders. The names of one follow each other. */
static bool pick_folders(Storage *storage, const char *prefix, ObjectList *list, Error *err)
{
    CLEANUP(object_list_done) ObjectList all = {0};

    if (!ask_for_list(storage, &(ListRequest){.prefix = prefix}, &all, err))
        return false;
    for (size_t i = 0; i < all.count; i++) {
        const char *name = all.objects[i].name;
        const char *slash = strchr(name + strlen(prefix), '/');

        if (slash == NULL ||
            (list->count > 0 && text_begins_with(name, list->objects[list->count - 1].name)))
            continue;
        CLEANUP(text_freep) char *folder = text_format("%.*s/", (int)(slash - name), name);
        object_list_add(list, folder, 0, TIME_US_NONE);
    }
    return true;
}

static bool list_as_able(Storage *storage, const ListRequest *request, ObjectList *list, Error *err)
{
    const bool is_part = request->after != NULL || request->limit > 0;

    if (request->folders_only && (storage->can & CAN_LIST_FOLDERS) == 0)
        return pick_folders(storage, request->prefix, list, err);
    if (is_part && (storage->can & CAN_LIST_AFTER) == 0)
        return pick_part(storage, request, list, err);
    return ask_for_list(storage, request, list, err);
}

static bool list_checked(Storage *storage, const ListRequest *request, ObjectList *list, Error *err)
{
    CLEANUP(object_list_done) ObjectList found = {0};

    if (!name_prefix_is_valid(request->prefix) ||
        (request->after != NULL && !name_prefix_is_valid(request->after))) {
        return error_set(err, ERR_INTERNAL, "no object name can begin with \"%s\"",
                         request->after != NULL ? request->after : request->prefix);
    }
    if (!list_as_able(storage, request, &found, err))
        return false;
    object_list_done(list);
    *list = found;
    found = (ObjectList){0};
    return true;
}

bool storage_room(Storage *storage, StorageRoom *room, Error *err)
{
    if ((storage->can & CAN_TELL_ROOM) != 0)
        return storage->ops->room(storage, room, err);
    return error_set(err, ERR_REFUSED, "the storage at %s does not tell how much room it has",
                     storage_address(storage));
}

bool storage_list(Storage *storage, const char *prefix, ObjectList *list, Error *err)
{
    return list_checked(storage, &(ListRequest){.prefix = prefix}, list, err);
}

bool storage_list_part(Storage *storage, const ListRequest *request, ObjectList *list, Error *err)
{
    const ListRequest part = {
        .prefix = request->prefix, .after = request->after, .limit = request->limit};

    return list_checked(storage, &part, list, err);
}

bool storage_list_folders(Storage *storage, const char *prefix, ObjectList *list, Error *err)
{
    return list_checked(storage, &(ListRequest){.prefix = prefix, .folders_only = true}, list, err);
}
