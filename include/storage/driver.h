/*
 * driver.h - for those who write a driver (a kind of store) or a wrapper around one.
 *
 * A driver embeds Storage and ObjectWriter as first members and fills the tables below. Nobody else
 * calls them: storage.h checks names and arguments first, and does itself what a store is not able
 * to do. A wrapper holds an inner Storage, passes on what it does not change, and has the abilities
 * of the inner one. src/storage/posix.c is the model; tests/unit/storage/conformance.c tells
 * whether a driver keeps to what is said here: all of them and all wrappers run it.
 *
 * What holds for every function
 *
 *   names      are valid (storage.h) and belong to objects; a place where a store has something
 *              else (a folder, a socket) has no object. Names that can't be names are never listed.
 *   threads    any number may call at once on one Storage, also for the same name. A writer belongs
 *              to one thread at a time.
 *   again      whatever failed may be called again, and retry.c does so: a call that was carried
 *              out although its answer was lost must not do harm the second time. Only the writing
 *              of a stream is not repeated from outside: a store to which parts are sent has to try
 *              each part again by itself.
 *   outputs    are set on success; what a failed call leaves in a Buffer or an ObjectList is thrown
 *              away by its caller.
 *   waiting    may take long, but not forever: give up with ERR_UNREACHABLE. Ask
 *              interrupt_check() between waits.
 *
 * Errors. The difference between the first and the others decides whether a recovery ends (law 7):
 *
 *   ERR_NOT_FOUND    it is proven that there is no such object: the store itself was reached and
 *                    said so. Never for a store that is away, not mounted, or does not let us look
 *   ERR_UNREACHABLE  the store can't be reached or does not answer now; may work later
 *   ERR_IO           the store was reached and failed. With os_errno where there is one: retry.c
 *                    does not try again what only a person can change (no room, no permission), nor
 *                    a write after EIO
 *   ERR_EXISTS       WRITE_NEW, and the name is taken
 *   ERR_CORRUPT      an object ends before what was asked for
 *   ERR_REFUSED      the store does not do this, or must not be let do it
 *   ERR_INTERRUPTED  a signal ended the waiting
 */
#pragma once

#include "storage/storage.h"

/* What not every store can do. storage.c makes up for what is missing, or refuses. */
typedef enum StorageAbility {
    /*
     * A commit of WRITE_NEW fails when the name is taken. When several commit at the same instant,
     * one wins and the others get ERR_EXISTS. Without this ability WRITE_NEW is refused.
     */
    CAN_CREATE_NEW = 1,
    /* read() takes ranges from the end. Without it the size is asked for first. */
    CAN_READ_SUFFIX = 2,
    /* list() takes `after` and `limit`. Without it everything is listed, and most thrown away. */
    CAN_LIST_AFTER = 4,
    /* list() takes `folders_only`. Without it they are made from a listing of objects. */
    CAN_LIST_FOLDERS = 8,
    /* It knows how much still fits into it: room(). Without it that is not known. */
    CAN_TELL_ROOM = 16,
} StorageAbility;

/* Bytes of an object. What of it lies after the object's end is left out, and no error. */
typedef struct Range {
    /* The range is the last `size` bytes, and offset does not count. It needs CAN_READ_SUFFIX. */
    bool from_end;
    uint64_t offset; /* The first byte is here. */
    /* At most this many bytes are wanted. 0 means none, and UINT64_MAX all to the end. */
    uint64_t size;
} Range;

/* All functions are required, unless it says otherwise. */
typedef struct StorageOps {
    const char *kind; /* It is "posix", for example, for tests and debugging. */

    /* Make the place itself, durable. If it is there already, that is fine. */
    bool (*create)(Storage *storage, Error *err);

    /*
     * Begin an object. Nothing of it is visible before commit, in no listing either, and nothing
     * of it stays when the writer is freed or the process dies (what a crash leaves must never
     * show as an object). WRITE_REPLACE takes the place of what is there in one step: a reader
     * gets the old bytes or the new ones.
     */
    bool (*write)(Storage *storage, const char *name, WriteMode mode, ObjectWriter **writer,
                  Error *err);

    /*
     * Append a range of the object to content; *object_size, if not NULL, is how large the whole
     * object is. Both are of one and the same object, whatever takes its name meanwhile.
     */
    bool (*read)(Storage *storage, const char *name, const Range *range, Buffer *content,
                 uint64_t *object_size, Error *err);

    /*
     * Read exactly size bytes at offset straight into memory. This is the hot path of restore.
     * ERR_CORRUPT when there are fewer.
     */
    bool (*read_range)(Storage *storage, const char *name, uint64_t offset, size_t size, void *to,
                       Error *err);

    /*
     * Add the objects that the request wants with object_list_add(), sorted by name as strcmp()
     * has it ("a-b", "a.b", "a/b", "a0"), each once. `after`, `limit` and `folders_only` are set
     * only for whoever has the ability. With folders_only: in place of the objects what their names
     * have up to the first "/" after the prefix, that included, with size 0; each once, and only
     * those in which there is an object. Their time is TIME_US_NONE, or one that nobody can
     * set and that is new whenever an object has come into this very folder, was replaced or went:
     * whoever knows what was in a folder relies on that, and does not list the folder again.
     *
     * All that was committed before the call began and not removed is in it: a listing that may be
     * incomplete is an error. A prefix that nothing has gives an empty list, but only when the
     * place itself was seen: ERR_UNREACHABLE otherwise.
     */
    bool (*list)(Storage *storage, const ListRequest *request, ObjectList *list, Error *err);

    /* Neither output is NULL. The time is the store's own, the same as in a listing. */
    bool (*stat)(Storage *storage, const char *name, uint64_t *size, TimeUs *stored_at, Error *err);

    /*
     * See storage_identify(). The identity must be one that nobody can bring about a second time.
     */
    bool (*identify)(Storage *storage, const char *name, char identity[OBJECT_IDENTITY_SIZE],
                     Error *err);

    /*
     * Remove an object. The removal is durable when the call returns. An object that is not there
     * is a success, and as durably gone.
     */
    bool (*remove)(Storage *storage, const char *name, Error *err);

    /*
     * Remove what writers that died have left below a folder, if nothing was written to it since
     * `before`, by the store's clock. It is optional: NULL means that what was not committed leaves
     * nothing.
     */
    bool (*remove_unfinished)(Storage *storage, const char *folder, TimeUs before,
                              Unfinished *found, Error *err);

    /*
     * Make an object durable that is visible, whoever published it. Where what is visible is
     * durable, only find out that it is there (ERR_NOT_FOUND).
     */
    bool (*sync)(Storage *storage, const char *name, Error *err);

    /* It is only called where the store has the ability, and is NULL without it. */
    bool (*room)(Storage *storage, StorageRoom *room, Error *err);

    /* It does not free `address`, which storage_freep() frees. */
    void (*free)(Storage *storage);
} StorageOps;

struct Storage {
    const StorageOps *ops;
    char *address; /* It was allocated by mem_alloc() or the like. */
    unsigned can;  /* It says what the store is able to do: StorageAbility. */
    /* storage_when_full() sets them. Only storage.c uses them. */
    StorageRelief *relief;
    void *relief_context;
};

typedef struct ObjectWriterOps {
    /* The size is not 0. After a failure the writer can only be freed. */
    bool (*write)(ObjectWriter *writer, const void *data, size_t size, Error *err);

    /*
     * It is optional: NULL means that nothing can be done before commit. See
     * object_writer_settle().
     */
    bool (*settle)(ObjectWriter *writer, Error *err);

    /*
     * Make the object durable, then visible, in this order (law 1). After true, it survives a power
     * failure. It is called once. ERR_EXISTS means that what has the name was not touched, and that
     * its name is durable. After a failure of another kind, the object may be there or not.
     */
    bool (*commit)(ObjectWriter *writer, Error *err);

    /* Without a commit it abandons the object. It can't fail. */
    void (*free)(ObjectWriter *writer);
} ObjectWriterOps;

struct ObjectWriter {
    const ObjectWriterOps *ops;
};

/* Add one to a list being made; name is copied. */
void object_list_add(ObjectList *list, const char *name, uint64_t size, TimeUs stored_at);
