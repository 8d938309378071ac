#include "rebuild/durability.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

/* Before 5.8 syncfs(2) did not report errors of writing back (commit 735e4ae5ba28). */
static bool kernel_reports_errors(void)
{
    struct utsname name;
    char *rest;

    if (uname(&name) != 0)
        return false;
    unsigned long major = strtoul(name.release, &rest, 10);
    unsigned long minor = *rest == '.' ? strtoul(rest + 1, NULL, 10) : 0;
    return major > 5 || (major == 5 && minor >= 8);
}

static bool file_system_is_known(int fd)
{
    struct statfs system;

    if (fstatfs(fd, &system) != 0)
        return false;
    return system.f_type == EXT4_SUPER_MAGIC || system.f_type == XFS_SUPER_MAGIC ||
           system.f_type == BTRFS_SUPER_MAGIC;
}

bool durability_add(Durability *durability, const HeldDirectory *directory, Error *err)
{
    struct stat status;
    CLEANUP(fd_done) int fd = openat(directory->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &status) != 0)
        return error_set_errno(err, ERR_IO, errno, "open %s", directory->path);
    for (size_t i = 0; i < durability->count; i++) {
        if (durability->devices[i] == status.st_dev)
            return true;
    }
    if (!kernel_reports_errors() || !file_system_is_known(fd) ||
        durability->count == DURABILITY_SYSTEMS_MAX) {
        durability->by_file = true;
        return true;
    }
    durability->devices[durability->count] = status.st_dev;
    durability->fds[durability->count++] = fd_take(&fd);
    return true;
}

bool durability_sync(Durability *durability, Error *err)
{
    if (durability->by_file)
        return true;
    for (size_t i = 0; i < durability->count; i++) {
        if (syncfs(durability->fds[i]) != 0)
            return error_set_errno(err, ERR_IO, errno, "sync what was restored");
    }
    return true;
}

void durability_done(Durability *durability)
{
    for (size_t i = 0; i < durability->count; i++)
        fd_done(&durability->fds[i]);
    durability->count = 0;
}
