#include "found_file.h"

#include "base/file.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXTENTS_AT_ONCE = 256, READ_AHEAD = 4 << 20 };

void found_file_look(HeldPath at, FoundFile *found)
{
    struct stat status;

    *found = (FoundFile){0};
    if (!held_look(at, &status))
        return;
    *found = (FoundFile){
        .is_there = true,
        .mode = status.st_mode,
        .links = status.st_nlink,
        .user = status.st_uid,
        .group = status.st_gid,
        .size = (uint64_t)status.st_size,
        .mtime = (TimeUs)status.st_mtim.tv_sec * 1000000 + status.st_mtim.tv_nsec / 1000,
        .stamp = {.inode = status.st_ino,
                  .changed_ns =
                      (int64_t)status.st_ctim.tv_sec * 1000000000 + status.st_ctim.tv_nsec}};
}

bool found_file_fits(const FoundFile *found, uid_t user, gid_t group)
{
    return found->is_there && S_ISREG(found->mode) && (found->mode & S_IRUSR) != 0 &&
           found->links == 1 && found->user == user && found->group == group;
}

bool found_file_has(const FoundFile *found, const FileAttributes *attributes)
{
    return (found->mode & 07777) == (attributes->mode & 0777) &&
           (attributes->mtime == TIME_US_NONE || found->mtime == attributes->mtime);
}

static bool any_is_shared(int fd)
{
    const size_t size = sizeof(struct fiemap) + EXTENTS_AT_ONCE * sizeof(struct fiemap_extent);
    struct fiemap *map = mem_alloc(size);
    bool is_shared = false, is_last = false;

    for (uint64_t from = 0; !is_shared && !is_last;) {
        *map = (struct fiemap){.fm_start = from,
                               .fm_length = FIEMAP_MAX_OFFSET - from,
                               .fm_extent_count = EXTENTS_AT_ONCE};
        if (ioctl(fd, FS_IOC_FIEMAP, map) != 0 || map->fm_mapped_extents == 0)
            break;
        for (uint32_t i = 0; i < map->fm_mapped_extents; i++) {
            const struct fiemap_extent *extent = &map->fm_extents[i];
            is_shared |= (extent->fe_flags & FIEMAP_EXTENT_SHARED) != 0;
            is_last |= (extent->fe_flags & FIEMAP_EXTENT_LAST) != 0;
            from = extent->fe_logical + extent->fe_length;
        }
    }
    mem_free(map);
    return is_shared;
}

bool found_file_is_shared(HeldPath at)
{
    CLEANUP(fd_done) int fd = -1;
    Error unreadable = {0}; /* it is told where it is to be read */

    return held_read(at, &fd, &unreadable) && any_is_shared(fd);
}

bool found_file_open(HeldPath at, bool from_disk, int *fd, Error *err)
{
    if (!held_read(at, fd, err))
        return false;
    const int flags = from_disk ? fcntl(*fd, F_GETFL) : -1;
    /* Where it can't be obtained so, what the cache has clean is dropped before each read. */
    if (flags >= 0)
        (void)fcntl(*fd, F_SETFL, flags | O_DIRECT);
    (void)posix_fadvise(*fd, 0, 0, from_disk ? POSIX_FADV_DONTNEED : POSIX_FADV_SEQUENTIAL);
    return true;
}

void found_file_read_ahead(int fd, uint64_t offset)
{
    if ((fcntl(fd, F_GETFL) & O_DIRECT) == 0)
        (void)posix_fadvise(fd, (off_t)offset, READ_AHEAD, POSIX_FADV_WILLNEED);
}

/* Some file systems take the flag and refuse the read. */
static ssize_t read_some(int fd, uint8_t *to, size_t size, uint64_t offset)
{
    const ssize_t got = pread(fd, to, size, (off_t)offset);
    const int flags = got < 0 && errno == EINVAL ? fcntl(fd, F_GETFL) : 0;

    if (flags <= 0 || (flags & O_DIRECT) == 0 || fcntl(fd, F_SETFL, flags & ~O_DIRECT) != 0)
        return got;
    return pread(fd, to, size, (off_t)offset);
}

/* The size of a direct read is a multiple of the alignment, and it ends early at the file's end. */
static size_t size_to_ask(size_t size)
{
    return (size + DIRECT_ALIGNMENT - 1) / DIRECT_ALIGNMENT * DIRECT_ALIGNMENT;
}

bool found_file_read(int fd, void *buffer, size_t size, uint64_t offset)
{
    uint8_t *to = buffer;
    size_t filled = 0;

    while (filled < size) {
        const ssize_t got = read_some(fd, to + filled, size_to_ask(size - filled), offset + filled);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return false;
        if (got == 0)
            break;
        filled += (size_t)got;
    }
    if (filled < size)
        memset(to + filled, 0, size - filled);
    return true;
}
