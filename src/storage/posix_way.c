#include "posix.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WAY = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

/*
 * What a link of root's or of ours leads to, -1 with errno: ELOOP when it is somebody else's. The
 * very link whose owner was looked at is read, so it can't be exchanged in between; where it leads
 * is its maker's choice.
 */
static int follow(int at, const char *name, int flags)
{
    CLEANUP(fd_done) int link = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    char target[PATH_MAX];
    struct stat found;

    if (link < 0 || fstat(link, &found) != 0)
        return -1;
    if (!S_ISLNK(found.st_mode)) {
        errno = ENOTDIR;
        return -1;
    }
    if (found.st_uid != 0 && found.st_uid != geteuid()) {
        errno = ELOOP;
        return -1;
    }
    ssize_t size = readlinkat(link, "", target, sizeof target - 1);
    if (size < 0)
        return -1;
    target[size] = '\0';
    return openat(at, target, (flags & ~O_NOFOLLOW) | O_CLOEXEC);
}

/* The kernel's answer to a link is ENOTDIR where a directory is wanted, and ELOOP elsewhere. */
static int open_part(int at, const char *name, int flags)
{
    int fd = openat(at, name, flags | O_NOFOLLOW | O_CLOEXEC);

    return fd >= 0 || (errno != ENOTDIR && errno != ELOOP) ? fd : follow(at, name, flags);
}

int posix_open_folder(const PosixStorage *posix, const char *name, size_t size, int flags)
{
    CLEANUP(text_freep) char *copy = text_format("%.*s", (int)size, name);
    CLEANUP(fd_done) int at = open(posix->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char *rest = NULL;

    for (const char *part = strtok_r(copy, "/", &rest); at >= 0 && part != NULL;
         part = strtok_r(NULL, "/", &rest)) {
        int next = open_part(at, part, WAY);
        int os_errno = errno;
        fd_done(&at);
        errno = os_errno;
        at = next;
    }
    return at < 0 ? -1 : openat(at, ".", flags | O_DIRECTORY | O_CLOEXEC);
}

int posix_open_parent(const PosixStorage *posix, const char *name, int flags, const char **last)
{
    const char *slash = strrchr(name, '/');

    *last = slash != NULL ? slash + 1 : name;
    return posix_open_folder(posix, name, (size_t)(*last - name), flags);
}

int posix_open_object(const PosixStorage *posix, const char *name, int flags)
{
    const char *last;
    CLEANUP(fd_done) int folder = posix_open_parent(posix, name, O_PATH, &last);
    int fd = folder < 0 ? -1 : open_part(folder, last, flags);
    int os_errno = errno;

    fd_done(&folder);
    errno = os_errno;
    return fd;
}

bool posix_sync_folder(const PosixStorage *posix, const char *name, size_t size, Error *err)
{
    CLEANUP(text_freep)
    char *path = text_format("%s%s%.*s", posix->root, size > 0 ? "/" : "", (int)size, name);
    CLEANUP(fd_done) int fd = posix_open_folder(posix, name, size, O_RDONLY);

    return fd < 0 ? error_set_errno(err, ERR_IO, errno, "sync directory %s", path)
                  : file_sync_directory_fd(fd, path, err);
}

bool posix_sync_parent(const PosixStorage *posix, const char *name, Error *err)
{
    const char *slash = strrchr(name, '/');

    return posix_sync_folder(posix, name, slash != NULL ? (size_t)(slash - name) : 0, err);
}
