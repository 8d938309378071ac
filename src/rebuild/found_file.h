/*
 * found_file.h - what has the name of a backup's file already, where a restore goes over what is
 * there.
 */
#pragma once

#include "rebuild/restored_file.h"

#include "base/held.h"

/* By which it shows whether somebody has touched it since. Says nothing of its content. */
typedef struct FoundStamp {
    uint64_t inode;
    int64_t changed_ns; /* It is the ctime. */
} FoundStamp;

typedef struct FoundFile {
    bool is_there;
    mode_t mode; /* It includes the type. */
    uint64_t links;
    uid_t user;
    gid_t group;
    uint64_t size;
    TimeUs mtime;
    FoundStamp stamp;
} FoundFile;

void found_file_look(HeldPath at, FoundFile *found);

/*
 * Whether it may be read and written to: a regular file of this user that nobody knows by another
 * name. Whatever else is there makes way for a new file.
 */
bool found_file_fits(const FoundFile *found, uid_t user, gid_t group);

/* Mode and mtime. */
bool found_file_has(const FoundFile *found, const FileAttributes *attributes);

/*
 * Whether blocks of it are another file's, too (reflinks, snapshots), as far as its file system
 * tells (FS_IOC_FIEMAP). What can't be asked shares nothing: it has only links.
 */
bool found_file_is_shared(HeldPath at);

/*
 * For comparing. from_disk: past the page cache, which after a write that failed holds what the
 * disk does not have (fsync(2) tells of it once). `buffer` of found_file_read() then comes from
 * mem_alloc_aligned().
 */
bool found_file_open(HeldPath at, bool from_disk, int *fd, Error *err) MUST_CHECK;

/* What will be read next is on its way while this is hashed. Advice: not for direct reads. */
void found_file_read_ahead(int fd, uint64_t offset);

/*
 * `size` bytes at offset, zeros after its end, as they would be read once the file is as long.
 * False when they can't be read.
 */
bool found_file_read(int fd, void *buffer, size_t size, uint64_t offset);
