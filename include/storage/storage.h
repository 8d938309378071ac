/*
 * storage.h - where objects rest: named, immutable sequences of bytes.
 *
 * Nothing that a plain object store can't do: write (streamed, visible only on commit), read
 * (whole, a range, the end), list (all below a prefix, the first ones after a name, folders), stat,
 * identify, remove, sync, and create for the place itself. There is no rename, append, link or
 * lock. Names are relative, "/"-separated, of [A-Za-z0-9._-], and no part of one begins with a dot;
 * others are refused (ERR_INTERNAL).
 *
 *     CLEANUP(object_writer_freep) ObjectWriter *out = NULL;
 *     if (!storage_write(storage, "main/wal/00000002.history", WRITE_NEW, &out, err) ||
 *         !object_writer_write(out, data, size, err) || !object_writer_commit(out, err))
 *         return false;               // not committed: it never existed
 *
 * A Storage may be used by many threads at once; an ObjectWriter belongs to one.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/time.h"

typedef struct Storage Storage;
typedef struct ObjectWriter ObjectWriter;

/*
 * What a store is opened with: where it is, and how it is to be treated. What a store of another
 * kind needs to let us in gets its members here, so that no caller has to change. All of it is
 * borrowed for the call.
 */
typedef struct StorageSetup {
    const char *address; /* It is "file:///srv/backup" or "/srv/backup". */
    /* This many attempts are made in all, if the failure may go away. 0 is the same as 1. */
    unsigned attempts;
    /* The second attempt comes after this pause. Each further pause is twice as long, up to 5 s. */
    uint64_t pause_ms;
    /* At most this much is read and written, over all threads. 0 means that there is no limit. */
    uint64_t bytes_per_s;
} StorageSetup;

/*
 * Open the storage that setup describes. Whether it holds anything is not looked at. ERR_USAGE for
 * an address of no known kind. Free with storage_freep().
 */
Storage *storage_open(const StorageSetup *setup, Error *err) MUST_CHECK;

/* Create the place itself (the directory, with its parents, durable). Existing is fine. */
bool storage_create(Storage *storage, Error *err) MUST_CHECK;

/* The address it was opened with, for messages. */
const char *storage_address(const Storage *storage);
void storage_freep(Storage **storage); /* for CLEANUP() */

typedef enum WriteMode {
    WRITE_NEW,     /* The name must not exist: commit gives ERR_EXISTS when it does. */
    WRITE_REPLACE, /* It takes the place of what is there. */
} WriteMode;

bool storage_write(Storage *storage, const char *name, WriteMode mode, ObjectWriter **writer,
                   Error *err) MUST_CHECK;
bool object_writer_write(ObjectWriter *writer, const void *data, size_t size,
                         Error *err) MUST_CHECK;

/*
 * Make what was written durable as far as that can be done before the object has its name, so that
 * little is left for commit, which does it otherwise. Worth a call when commits wait for each
 * other.
 */
bool object_writer_settle(ObjectWriter *writer, Error *err) MUST_CHECK;

/*
 * Make the object durable and visible: data, then name, then directory (law 1). After true it
 * survives a power failure. ERR_EXISTS: the name is taken (WRITE_NEW); what is there was not
 * touched and its name is durable, whoever knows it to be the same content may go on.
 */
bool object_writer_commit(ObjectWriter *writer, Error *err) MUST_CHECK;
void object_writer_freep(ObjectWriter **writer); /* for CLEANUP(); abandons if not committed */

/*
 * write + commit of bytes in memory. Where there is no room for them, and storage_when_full() says
 * what to do, that is done and they are tried again.
 */
bool storage_put(Storage *storage, const char *name, WriteMode mode, const void *data, size_t size,
                 Error *err) MUST_CHECK;

/* Makes a little room; false: nothing is left that could be given up. */
typedef bool StorageRelief(void *context);
/* From now on. context is borrowed, for as long as the storage lives. */
void storage_when_full(Storage *storage, StorageRelief *relief, void *context);

/*
 * The bytes as they are under another name, which must not exist (ERR_EXISTS): read in pieces, so
 * an object can be of any size, and be damaged.
 */
bool storage_copy(Storage *storage, const char *from, const char *to, Error *err) MUST_CHECK;

/*
 * Append the whole object to content. ERR_NOT_FOUND: proven not to be there.
 * ERR_UNREACHABLE, ERR_IO: could not find out. ERR_REFUSED: larger than size_max.
 */
bool storage_read(Storage *storage, const char *name, size_t size_max, Buffer *content,
                  Error *err) MUST_CHECK;

/* Exactly size bytes at offset, to `to`. ERR_CORRUPT when the object ends before. */
bool storage_read_range(Storage *storage, const char *name, uint64_t offset, size_t size, void *to,
                        Error *err) MUST_CHECK;

/*
 * The last `size` bytes (all, when it is smaller) appended to content, and the object's size:
 * where trailers are.
 */
bool storage_read_suffix(Storage *storage, const char *name, size_t size, Buffer *content,
                         uint64_t *object_size, Error *err) MUST_CHECK;

/* What was left of writes that never ended. */
typedef struct Unfinished {
    uint64_t count, bytes;
} Unfinished;

/*
 * Remove what writers that were killed left below a folder ("main"), if nothing was written to it
 * since `before`, by the store's clock: no listing shows it. Added to *found.
 */
bool storage_remove_unfinished(Storage *storage, const char *folder, TimeUs before,
                               Unfinished *found, Error *err) MUST_CHECK;

typedef struct ObjectInfo {
    const char *name; /* It is the whole name, from the root of the storage. */
    uint64_t size;
    TimeUs stored_at; /* It was stored about then, by the store's clock. */
} ObjectInfo;

typedef struct ObjectList {
    Arena arena;
    ObjectInfo *objects; /* They are sorted by name, as strcmp() has it. */
    size_t count;
    size_t capacity;
} ObjectList;

/*
 * Every object whose name begins with prefix; objects being written don't show. A listing that
 * may be incomplete is an error, a prefix that nothing has gives an empty list. But when the
 * place itself is missing it is ERR_UNREACHABLE: an unmounted file system must not look like an
 * empty archive.
 */
bool storage_list(Storage *storage, const char *prefix, ObjectList *list, Error *err) MUST_CHECK;

/* Which names are wanted. What is left out asks for no less than all. */
typedef struct ListRequest {
    const char *prefix; /* They begin with it. */
    /* They sort after it (strcmp). It may be missing. NULL means from the first on. */
    const char *after;
    /* At most this many are listed, the first ones. 0 means that there is no limit. */
    size_t limit;
    bool folders_only; /* storage_list_folders() sets it. */
} ListRequest;

/*
 * As storage_list(), but only a part. Fewer than `limit` are all there are after `after`. Costs
 * what is given: a store is not asked for the rest.
 */
bool storage_list_part(Storage *storage, const ListRequest *request, ObjectList *list,
                       Error *err) MUST_CHECK;

/*
 * What there is below a prefix, one level of it: names up to the first "/" after the prefix, that
 * included ("main/"), each once. Only folders in which there is an object, however deep; objects
 * of this level itself are left out. Sizes mean nothing. The time of a folder is a new one
 * whenever an object has come into it, was replaced or went, deeper levels left out; TIME_US_NONE
 * where a store can't tell.
 */
bool storage_list_folders(Storage *storage, const char *prefix, ObjectList *list,
                          Error *err) MUST_CHECK;
void object_list_done(ObjectList *list); /* for CLEANUP() */

/* *size and *stored_at may be NULL. ERR_NOT_FOUND when it is proven not to be there. */
bool storage_stat(Storage *storage, const char *name, uint64_t *size, TimeUs *stored_at,
                  Error *err) MUST_CHECK;

/*
 * What tells this object from any other that takes its name, even from one with the same bytes and
 * times that was stored again, copied, or put back from a backup. It is only to be compared.
 * ERR_NOT_FOUND as storage_stat().
 */
enum { OBJECT_IDENTITY_SIZE = 80 };
bool storage_identify(Storage *storage, const char *name, char identity[OBJECT_IDENTITY_SIZE],
                      Error *err) MUST_CHECK;

/* Removing what is not there is a success. Durable when it returns. */
bool storage_remove(Storage *storage, const char *name, Error *err) MUST_CHECK;

/*
 * Make a visible object durable that somebody else may have published and not synced: before it
 * is relied on (law 2). Object stores have nothing to do here.
 */
bool storage_sync(Storage *storage, const char *name, Error *err) MUST_CHECK;

/* What the place has left, for whoever writes there without being root. */
typedef struct StorageRoom {
    uint64_t free_bytes;
    uint64_t size_bytes; /* All that is there and could be there together has this size. */
} StorageRoom;

/* Of the file system that the place is on. ERR_REFUSED: a store that has no such bounds. */
bool storage_room(Storage *storage, StorageRoom *room, Error *err) MUST_CHECK;

/*
 * Try out that the store keeps its promises: write, refuse a second WRITE_NEW, list, read back,
 * remove. ERR_REFUSED with what it does not do. Leaves nothing behind.
 */
bool storage_probe(Storage *storage, Error *err) MUST_CHECK;
