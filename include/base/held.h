/*
 * held.h - a directory that was opened once, and what is below it.
 *
 * A path that is looked up anew each time can lead elsewhere each time: whoever may rename on its
 * way puts a link or another directory in the place of a part. So what is made, read or removed
 * below a directory is reached from the descriptor of that directory, and no symbolic link is
 * followed on the way: the kernel sees to it (openat2(2), Linux 5.6), or each part is opened by
 * itself where it has no such call or a filter forbids it.
 *
 *     held_open(&held, "/srv/pg/main", err)
 *     held_create(held_at(&held, "base/1/2619"), &fd, err)
 *
 * Mounts below the directory belong to it. Errors of all: ERR_IO, also where a link is on the way;
 * ERR_NOT_FOUND where it is said.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "base/file.h"

#include <sys/stat.h>

typedef struct HeldDirectory {
    int fd;        /* It is open for reading. */
    char *path;    /* The directory was found under this path, which messages show. */
    bool by_parts; /* We have no openat2(2), so paths are walked part by part. */
} HeldDirectory;

#define HELD_NONE ((HeldDirectory){.fd = -1})

/*
 * Something below a held directory: a path without "..", without empty parts, not absolute, or
 * nothing is opened. "." is the directory itself.
 */
typedef struct HeldPath {
    const HeldDirectory *directory;
    const char *below;
} HeldPath;

HeldPath held_at(const HeldDirectory *directory, const char *below);
char *held_text(HeldPath at); /* the whole path (caller frees) */

/* A link anywhere in its path is refused: give a resolved one. ERR_NOT_FOUND. */
bool held_open(HeldDirectory *held, const char *path, Error *err) MUST_CHECK;
/* As an operator names it, which may be by links: followed this one time. */
bool held_open_resolved(HeldDirectory *held, const char *path, Error *err) MUST_CHECK;
bool held_open_below(HeldDirectory *held, HeldPath at, Error *err) MUST_CHECK;
/*
 * The same, but what is missing is made: the directories above with mode 0755, each of them durable
 * before the next, and it with 0700, which is *is_new and not synced yet.
 */
bool held_make(HeldDirectory *held, const char *path, bool *is_new, Error *err) MUST_CHECK;
HeldDirectory held_take(HeldDirectory *held); /* HELD_NONE stays */
void held_done(HeldDirectory *held);          /* for CLEANUP() */

/*
 * Its path still leads to it. ERR_BUSY when somebody has put another directory, a link or nothing
 * there meanwhile.
 */
bool held_is_in_place(const HeldDirectory *held, Error *err) MUST_CHECK;

/* A regular file for reading, whatever it would cost to open another kind. ERR_NOT_FOUND. */
bool held_read(HeldPath at, int *fd, Error *err) MUST_CHECK;
/* All of it, see file_read_whole(). */
bool held_read_whole(HeldPath at, size_t size_max, Buffer *content, Error *err) MUST_CHECK;
/* A regular file that is there, for writing. */
bool held_write(HeldPath at, int *fd, Error *err) MUST_CHECK;
/* A new file, mode 0600, for writing. Whatever has the name already is left alone: ERR_IO. */
bool held_create(HeldPath at, int *fd, Error *err) MUST_CHECK;
/* To set the attributes of a file or a directory. */
bool held_open_any(HeldPath at, int *fd, Error *err) MUST_CHECK;

/* file_writer_open() and what follows it, all of it in the directory that is opened here. */
bool held_writer_open(FileWriter *writer, HeldPath at, mode_t mode, Error *err) MUST_CHECK;

/* Made if it is missing; mode 0700 then. */
bool held_make_directory(HeldPath at, Error *err) MUST_CHECK;
/* The directories above it, with mode 0700 where they are missing; what is made is durable. */
bool held_make_parents(HeldPath at, Error *err) MUST_CHECK;
bool held_make_link(HeldPath at, const char *target, Error *err) MUST_CHECK;
bool held_is_link_to(HeldPath at, const char *target);

/* rename(2). */
bool held_rename(HeldPath from, HeldPath to, Error *err) MUST_CHECK;
/* unlink(2); missing is fine. */
bool held_remove(HeldPath at, Error *err) MUST_CHECK;

/* As lstat(2); false also when it can't be looked at. */
bool held_look(HeldPath at, struct stat *found);
bool held_has(HeldPath at);

/* fsync(2) of a directory; of the one that has it. */
bool held_sync(HeldPath at, Error *err) MUST_CHECK;
bool held_sync_parent(HeldPath at, Error *err) MUST_CHECK;

/*
 * What is below a directory, in one call of the kernel's and with no link on the way or at the end:
 * -1 with errno. ENOENT is final; anything else may be for want of openat2(2), or for a link.
 */
int held_open_beneath(int directory, const char *below, int flags);

/*
 * The first `size` bytes of a path part by part from / or from the working directory, no part of
 * which may be a link, as a directory opened with these flags; -1 with errno.
 */
int held_open_path(const char *path, size_t size, int flags);
