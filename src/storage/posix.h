/*
 * posix.h - objects as files below a directory: local disk, NFS, anything that is mounted.
 *
 * An object is a regular file, its name the path below the root. The store is usable only while
 * the root is there: when it is not, nothing is known about any object (ERR_UNREACHABLE), and
 * nothing is created in its place.
 */
#pragma once

#include "open_files.h"
#include "storage/driver.h"

enum { DURABLE_FOLDERS_MAX = 64 };

typedef struct PosixStorage {
    Storage storage;
    char *root;
    OpenFiles files;
    /*
     * These folders' own names are known to be durable, because this process has synced every
     * folder above them. The oldest is forgotten first. `mutex` guards them.
     */
    pthread_mutex_t mutex;
    char *durable_folders[DURABLE_FOLDERS_MAX];
    size_t durable_next;
} PosixStorage;

/* path is absolute. The address is set by the caller. */
Storage *storage_posix_new(const char *path);

char *posix_path(const PosixStorage *posix, const char *name) MUST_CHECK;

/* After a system call: ENOENT or ENOTDIR, no such path. */
bool posix_is_missing(int os_errno);

/*
 * Give a failure (ERR_IO with os_errno) the code and the hint that fit its errno.
 * Always returns false.
 */
bool posix_explain(Error *err);

/* ERR_UNREACHABLE when it is not. */
bool posix_root_is_there(const PosixStorage *posix, Error *err) MUST_CHECK;

/*
 * Open every folder from the root down to where name should be: a network file system then asks
 * its server and forgets a "no such file" that it remembered. True when the root is there and
 * each folder can be read, or is missing; so what is missing after it is proven to be.
 */
bool posix_look_again(const PosixStorage *posix, const char *name, Error *err) MUST_CHECK;

/*
 * Everything below the root is reached part by part from the root's own descriptor, and a symbolic
 * link on the way is followed only when it is root's or our own: in a repository that a group
 * shares, a member must not lead another one to what is that one's alone. All give -1 with errno,
 * ELOOP for such a link.
 */
/* The folder that the first `size` bytes of name say, 0: the root; and the one that holds name. */
int posix_open_folder(const PosixStorage *posix, const char *name, size_t size, int flags);
int posix_open_parent(const PosixStorage *posix, const char *name, int flags, const char **last);
int posix_open_object(const PosixStorage *posix, const char *name, int flags);
/* fsync(2) of one; of the one that holds name. */
bool posix_sync_folder(const PosixStorage *posix, const char *name, size_t size,
                       Error *err) MUST_CHECK;
bool posix_sync_parent(const PosixStorage *posix, const char *name, Error *err) MUST_CHECK;

/* StorageOps.remove_unfinished; and whether a file of this name is one. */
bool posix_remove_unfinished(Storage *storage, const char *folder, TimeUs before, Unfinished *found,
                             Error *err) MUST_CHECK;
bool posix_is_unfinished(const char *base);

/* StorageOps.list */
bool posix_list(Storage *storage, const ListRequest *request, ObjectList *list,
                Error *err) MUST_CHECK;
