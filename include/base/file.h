/*
 * file.h - whole files that a reader sees complete or not at all, and plain helpers around them.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>

/* For CLEANUP() of an int: closes it unless it is -1, and makes it -1. Never fails. */
void fd_done(int *fd);
/* Gives it away: what was to be closed no longer is. */
int fd_take(int *fd);
/* The same for what opendir(3) gave; NULL is fine. */
void directory_done(DIR **directory);

/*
 * A file being written under a temporary name beside its final name. Committed it appears,
 * complete and durable; not committed it never existed. The temporary name is random, so what
 * a killed run left behind is never in the way of the next one.
 */
typedef struct FileWriter {
    int fd;
    /* Names are looked up here: it is AT_FDCWD, or the directory that has the file. */
    int directory;
    char *path;      /* The file gets this name when it is committed. */
    char *temp_path; /* It is "<path>.tmp-<16 hex digits>". */
    uint64_t size;   /* This many bytes were written so far. */
    /* Write-back of this many bytes has been started, see file_writer_write(). */
    uint64_t flushing;
    bool is_settled; /* All that was written is on disk. */
} FileWriter;

#define FILE_WRITER_CLOSED ((FileWriter){.fd = -1, .directory = AT_FDCWD})

/* The directory must exist. mode as for open(2). */
bool file_writer_open(FileWriter *writer, const char *path, mode_t mode, Error *err) MUST_CHECK;

/*
 * The same in a directory that is open for reading: of `path` only the last part is looked up, all
 * of it is for messages. The descriptor is the writer's from now on, whatever comes of it.
 */
bool file_writer_open_in(FileWriter *writer, int directory, const char *path, mode_t mode,
                         Error *err) MUST_CHECK;

/*
 * Appends. A large file goes to disk in a rolling window while it is written and leaves the page
 * cache (sync_file_range, POSIX_FADV_DONTNEED): it neither evicts the server's cache nor leaves
 * the whole work to the fsync at the end.
 */
bool file_writer_write(FileWriter *writer, const void *data, size_t size, Error *err) MUST_CHECK;

/*
 * fsync the file, for whoever publishes it later and wants to have that done before. May be left
 * out: publishing does it then.
 */
bool file_writer_settle(FileWriter *writer, Error *err) MUST_CHECK;

/*
 * fsync the file, publish it under its final name, fsync the directory.
 *
 * ERR_EXISTS: the name is taken; what is there was not touched and its name is durable. Whoever
 * names files by their content may take this for success.
 * ERR_IO after the file became visible, when the directory could not be synced: readers see the
 * complete file, but it may be gone after a power failure. It is not a success, and it is not
 * undone, since a reader may rely on it by now. The caller reports the failure; a retry under
 * the same name syncs the directory again, gets ERR_EXISTS and finds the content it brought.
 */
bool file_writer_commit(FileWriter *writer, Error *err) MUST_CHECK;

/* The same, but replaces what is there (rename). For files of ours outside the repository. */
bool file_writer_replace(FileWriter *writer, Error *err) MUST_CHECK;

/* For CLEANUP(). Closes and removes the temporary name, committed or not. Never fails. */
void file_writer_done(FileWriter *writer);

/* All of data, at the descriptor's position; path is for the message. */
bool file_write_all(int fd, const void *data, size_t size, const char *path, Error *err) MUST_CHECK;
bool file_write_at(int fd, const void *data, size_t size, uint64_t offset, const char *path,
                   Error *err) MUST_CHECK;

/*
 * Begin to write back a range of the page cache (size 0: to the file's end); wait until it is on
 * disk, except for what only fsync(2) writes. An error is ERR_IO, and final: the fsync at the end
 * does not report it again.
 */
bool file_write_back(int fd, uint64_t offset, uint64_t size, const char *path,
                     Error *err) MUST_CHECK;
bool file_write_back_wait(int fd, uint64_t offset, uint64_t size, const char *path,
                          Error *err) MUST_CHECK;

/*
 * A regular file for reading, or nothing: a pipe of that name would make us wait forever, a device
 * do who knows what. *fd is -1 on failure. ERR_NOT_FOUND when there is none, ERR_IO otherwise.
 */
bool file_open(const char *path, int *fd, Error *err) MUST_CHECK;

/* Up to size bytes at offset; *got is less only at the end of the file. */
bool file_read_at(int fd, void *to, size_t size, uint64_t offset, size_t *got, const char *path,
                  Error *err) MUST_CHECK;

/*
 * The whole file appended to content. ERR_NOT_FOUND when there is none, ERR_IO otherwise, also
 * when it has more than size_max bytes. content->data[content->size] is zero afterwards, so a text
 * file is a C string.
 */
bool file_read_whole(const char *path, size_t size_max, Buffer *content, Error *err) MUST_CHECK;

/* The same of what is open already. */
bool file_read_rest(int fd, const char *path, size_t size_max, Buffer *content,
                    Error *err) MUST_CHECK;

/* The same of what the operator named and vouches for: a pipe or /dev/null will do, too. */
bool file_read_given(const char *path, size_t size_max, Buffer *content, Error *err) MUST_CHECK;

bool file_exists(const char *path); /* lstat(2) finds something */
bool file_exists_in(const char *directory, const char *name);

/* What stat(2) found belongs to the user that we run as, and nobody else may write to it. */
bool file_is_ours_alone(const struct stat *found);

/* fsync(2) of a directory; of one that is open; of the directory that holds path. */
bool file_sync_directory(const char *directory, Error *err) MUST_CHECK;
bool file_sync_directory_fd(int fd, const char *path, Error *err) MUST_CHECK;
bool file_sync_parent(const char *path, Error *err) MUST_CHECK;

/* Whether a directory is there, through symbolic links; no for one that can't be looked at. */
bool file_is_directory(const char *path);

/* The directory that a path's last part is in, as dirname(3) gives it. Free with mem_free(). */
char *file_folder(const char *path) MUST_CHECK;

/*
 * mkdir -p with mode for what is missing; each new directory's parent is fsynced, so that the
 * directory survives a power failure once this returns.
 */
bool file_make_directories(const char *path, mode_t mode, Error *err) MUST_CHECK;
