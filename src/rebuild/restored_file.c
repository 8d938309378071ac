#include "rebuild/restored_file.h"

#include "base/file.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WINDOW_SIZE = 8 << 20 };

/* Room from `from` on, zeros as far as nothing was there. */
static bool take_room(int fd, HeldPath at, uint64_t from, uint64_t size, Error *err)
{
    if (size > from && fallocate(fd, 0, (off_t)from, (off_t)(size - from)) == 0)
        return true;
    /* Not every file system can; but a full one says so now and not after an hour. */
    bool is_full = size > from && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG);
    if (!is_full && ftruncate(fd, (off_t)size) == 0)
        return true;
    int os_errno = errno;
    CLEANUP(text_freep) char *path = held_text(at);
    return error_set_errno(err, ERR_IO, os_errno, "make room for %s", path);
}

bool restored_file_create(HeldPath at, uint64_t size, Error *err)
{
    CLEANUP(fd_done) int fd = -1;

    return held_create(at, &fd, err) && take_room(fd, at, 0, size, err);
}

bool restored_file_resize(HeldPath at, uint64_t was, uint64_t size, Error *err)
{
    CLEANUP(fd_done) int fd = -1;

    return was == size || (held_write(at, &fd, err) && take_room(fd, at, was, size, err));
}

/*
 * Whether direct writes at multiples of DIRECT_ALIGNMENT work here. Kernels before 6.1 don't say
 * (STATX_DIOALIGN); there the open and the first write tell.
 */
static bool may_write_directly(int fd)
{
#ifdef STATX_DIOALIGN
    struct statx answer;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &answer) != 0 ||
        (answer.stx_mask & STATX_DIOALIGN) == 0)
        return true;
    return answer.stx_dio_offset_align > 0 && answer.stx_dio_offset_align <= DIRECT_ALIGNMENT &&
           answer.stx_dio_mem_align <= DIRECT_ALIGNMENT;
#else
    (void)fd;
    return true;
#endif
}

bool restored_file_open(RestoredFile *file, HeldPath at, bool is_direct, Error *err)
{
    int flags;

    *file = RESTORED_FILE_CLOSED;
    if (!held_write(at, &file->fd, err))
        return false;
    file->path = held_text(at);
    flags = fcntl(file->fd, F_GETFL);
    file->is_direct = is_direct && flags >= 0 && may_write_directly(file->fd) &&
                      fcntl(file->fd, F_SETFL, flags | O_DIRECT) == 0;
    return true;
}

static bool stop_direct(RestoredFile *file, Error *err)
{
    int flags = fcntl(file->fd, F_GETFL);

    if (flags < 0 || fcntl(file->fd, F_SETFL, flags & ~O_DIRECT) != 0)
        return error_set_errno(err, ERR_IO, errno, "switch %s to buffered writing", file->path);
    file->is_direct = false;
    return true;
}

/* Start to flush what was just written, drop what was flushed before it. */
static bool move_window(RestoredFile *file, uint64_t end, Error *err)
{
    if (end < file->flushing || end - file->flushing < WINDOW_SIZE)
        return true;
    uint64_t size = end - file->flushing;
    if (!file_write_back(file->fd, file->flushing, size, file->path, err))
        return false;
    if (file->flushing >= WINDOW_SIZE) {
        uint64_t behind = file->flushing - WINDOW_SIZE;
        if (!file_write_back_wait(file->fd, behind, WINDOW_SIZE, file->path, err))
            return false;
        (void)posix_fadvise(file->fd, (off_t)behind, WINDOW_SIZE, POSIX_FADV_DONTNEED);
    }
    file->flushing = end;
    return true;
}

bool restored_file_write(RestoredFile *file, void *data, size_t size, uint64_t offset, Error *err)
{
    size_t padded = (size + DIRECT_ALIGNMENT - 1) / DIRECT_ALIGNMENT * DIRECT_ALIGNMENT;

    if (file->is_direct) {
        memset((uint8_t *)data + size, 0, padded - size);
        ssize_t written = pwrite(file->fd, data, padded, (off_t)offset);
        if (written == (ssize_t)padded)
            return true;
        if (written < 0 && errno != EINVAL && errno != EINTR)
            return error_set_errno(err, ERR_IO, errno, "write %s", file->path);
        /* Refused after all, or cut short: the rest of this file goes through the page cache. */
        if (!stop_direct(file, err))
            return false;
    }
    if (!file_write_at(file->fd, data, size, offset, file->path, err))
        return false;
    if (file->flushing == 0)
        file->flushing = offset;
    return move_window(file, offset + size, err);
}

bool restored_file_cut(RestoredFile *file, uint64_t file_size, Error *err)
{
    if (ftruncate(file->fd, (off_t)file_size) != 0)
        return error_set_errno(err, ERR_IO, errno, "set the size of %s", file->path);
    return true;
}

bool restored_file_sync(RestoredFile *file, Error *err)
{
    if (fsync(file->fd) != 0)
        return error_set_errno(err, ERR_IO, errno, "sync %s", file->path);
    return true;
}

void restored_file_done(RestoredFile *file)
{
    fd_done(&file->fd);
    text_freep(&file->path);
}

static struct timespec timespec_of(TimeUs time)
{
    int64_t seconds = time / 1000000;
    int64_t micros = time % 1000000;

    if (micros < 0) {
        micros += 1000000;
        seconds--;
    }
    return (struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = (long)micros * 1000};
}

static bool set_attributes(int fd, const char *path, const FileAttributes *attributes, Error *err)
{
    struct timespec times[2] = {timespec_of(attributes->mtime), timespec_of(attributes->mtime)};

    if (fchmod(fd, attributes->mode & 0777) != 0)
        return error_set_errno(err, ERR_IO, errno, "set the mode of %s", path);
    if (attributes->mtime != TIME_US_NONE && futimens(fd, times) != 0)
        return error_set_errno(err, ERR_IO, errno, "set the time of %s", path);
    return true;
}

bool file_attributes_set(HeldPath at, const FileAttributes *attributes, bool is_synced, Error *err)
{
    CLEANUP(text_freep) char *path = held_text(at);
    CLEANUP(fd_done) int fd = -1;

    if (!held_open_any(at, &fd, err) || !set_attributes(fd, path, attributes, err))
        return false;
    if (is_synced && fsync(fd) != 0)
        return error_set_errno(err, ERR_IO, errno, "sync %s", path);
    return true;
}

static bool restored_file_settle_new(int fd, const char *path, const FileAttributes *attributes,
                                     bool is_synced, Error *err)
{
    if (!set_attributes(fd, path, attributes, err))
        return false;
    if (is_synced && fsync(fd) != 0)
        return error_set_errno(err, ERR_IO, errno, "sync %s", path);
    return true;
}

bool restored_file_put(HeldPath at, const void *data, size_t size, const FileAttributes *attributes,
                       bool is_synced, Error *err)
{
    CLEANUP(text_freep) char *path = held_text(at);
    CLEANUP(fd_done) int fd = -1;

    return held_create(at, &fd, err) && file_write_all(fd, data, size, path, err) &&
           restored_file_settle_new(fd, path, attributes, is_synced, err);
}

bool restored_file_put_hollow(HeldPath at, uint64_t size, const FileAttributes *attributes,
                              bool is_synced, Error *err)
{
    CLEANUP(text_freep) char *path = held_text(at);
    CLEANUP(fd_done) int fd = -1;

    if (!held_create(at, &fd, err))
        return false;
    if (ftruncate(fd, (off_t)size) != 0)
        return error_set_errno(err, ERR_IO, errno, "set the size of %s", path);
    return restored_file_settle_new(fd, path, attributes, is_synced, err);
}
