/*
 * driver.h - for those who write a driver or a wrapper of storage.
 *
 * A driver embeds Storage and ObjectWriter as first members and fills the tables. The calls of
 * storage.h check names and arguments and come here; wrappers hold an inner Storage.
 */
#pragma once

#include "storage/storage.h"

typedef struct StorageOps {
    const char *kind; /* "posix" */
    bool (*create)(Storage *storage, Error *err);
    bool (*write)(Storage *storage, const char *name, WriteMode mode, ObjectWriter **writer,
                  Error *err);
    /* size may be 0 for "to the end"; appends to content; *object_size may be NULL */
    bool (*read)(Storage *storage, const char *name, uint64_t offset, size_t size, bool from_end,
                 Buffer *content, uint64_t *object_size, Error *err);
    /* straight into memory: the hot path of restore */
    bool (*read_range)(Storage *storage, const char *name, uint64_t offset, size_t size, void *to,
                       Error *err);
    bool (*list)(Storage *storage, const char *prefix, ObjectList *list, Error *err);
    bool (*stat)(Storage *storage, const char *name, uint64_t *size, TimeUs *stored_at, Error *err);
    bool (*identify)(Storage *storage, const char *name, char identity[OBJECT_IDENTITY_SIZE],
                     Error *err);
    bool (*remove)(Storage *storage, const char *name, Error *err);
    bool (*sync)(Storage *storage, const char *name, Error *err);
    void (*free)(Storage *storage);
} StorageOps;

struct Storage {
    const StorageOps *ops;
    char *address;
};

typedef struct ObjectWriterOps {
    bool (*write)(ObjectWriter *writer, const void *data, size_t size, Error *err);
    bool (*settle)(ObjectWriter *writer, Error *err); /* NULL: nothing can be done before commit */
    bool (*commit)(ObjectWriter *writer, Error *err);
    void (*free)(ObjectWriter *writer);
} ObjectWriterOps;

struct ObjectWriter {
    const ObjectWriterOps *ops;
};

/* Add one to a list being made; name is copied. storage_list() sorts. */
void object_list_add(ObjectList *list, const char *name, uint64_t size, TimeUs stored_at);
