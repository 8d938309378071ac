/*
 * restored_file.h - writing the files of a restore without filling the page cache.
 *
 * Fresh page cache is the most expensive place to write to, and it evicts what the host needs:
 * large files are written directly where the file system allows it, else through a rolling window
 * that is flushed and dropped once the writer has passed.
 */
#pragma once

#include "base/held.h"
#include "base/time.h"

#include <sys/types.h>

enum { DIRECT_ALIGNMENT = 4096 };

typedef struct RestoredFile {
    int fd;
    char *path;
    bool is_direct;
    /* The window that begins here has not been sent to the disk. All before it has. */
    uint64_t flushing;
} RestoredFile;

#define RESTORED_FILE_CLOSED ((RestoredFile){.fd = -1})

/* A new file of this size, all zeros so far, room for it taken if the file system can. */
bool restored_file_create(HeldPath at, uint64_t size, Error *err) MUST_CHECK;

/* One that is there gets this size: cut, or with zeros after what it has. */
bool restored_file_resize(HeldPath at, uint64_t was, uint64_t size, Error *err) MUST_CHECK;

/*
 * To write parts of it; several threads may have it open. is_direct: where that can be; for whoever
 * writes much of it.
 */
bool restored_file_open(RestoredFile *file, HeldPath at, bool is_direct, Error *err) MUST_CHECK;

/*
 * data is page-aligned, offset a multiple of DIRECT_ALIGNMENT, and the buffer has room up to the
 * next multiple of it after size: a direct write fills it with zeros, and
 * restored_file_cut() takes them off the end of the file again.
 */
bool restored_file_write(RestoredFile *file, void *data, size_t size, uint64_t offset,
                         Error *err) MUST_CHECK;
bool restored_file_cut(RestoredFile *file, uint64_t file_size, Error *err) MUST_CHECK;
bool restored_file_sync(RestoredFile *file, Error *err) MUST_CHECK;
void restored_file_done(RestoredFile *file); /* for CLEANUP() */

/* Exact mode and mtime, whatever the umask is; set through a descriptor. */
typedef struct FileAttributes {
    uint32_t mode;
    TimeUs mtime;
} FileAttributes;
/* Of a file or a directory. is_synced: fsync them, and all that was written to the file. */
bool file_attributes_set(HeldPath at, const FileAttributes *attributes, bool is_synced,
                         Error *err) MUST_CHECK;

/* A small file in one piece; is_synced: fsync it. */
bool restored_file_put(HeldPath at, const void *data, size_t size, const FileAttributes *attributes,
                       bool is_synced, Error *err) MUST_CHECK;

/* A new file of this size that takes no room: zeros, wherever it is read. */
bool restored_file_put_hollow(HeldPath at, uint64_t size, const FileAttributes *attributes,
                              bool is_synced, Error *err) MUST_CHECK;
