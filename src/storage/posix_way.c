#include "posix.h"

#include "base/file.h"
#include "base/held.h"

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
static int posix_follow(int at, const char *name, int flags)
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

    return fd >= 0 || (errno != ENOTDIR && errno != ELOOP) ? fd : posix_follow(at, name, flags);
}

static int open_root(const PosixStorage *posix)
{
    return open(posix->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int folder_by_parts(int root, char *name, int flags)
{
    CLEANUP(fd_done) int at = -1;
    char *rest = NULL;

    for (char *part = strtok_r(name, "/", &rest); part != NULL; part = strtok_r(NULL, "/", &rest)) {
        int next = open_part(at >= 0 ? at : root, part, WAY);
        int os_errno = errno;
        fd_done(&at);
        errno = os_errno;
        at = next;
        if (at < 0)
            return -1;
    }
    return openat(at >= 0 ? at : root, ".", flags | O_DIRECTORY | O_CLOEXEC);
}

/*
 * An archive is looked at object by object, and each part of a name is a question to the server of
 * a network's file system: where no link is on the way, one call does for all of them.
 */
static bool is_answered(int fd)
{
    return fd >= 0 || errno == ENOENT;
}

static int open_folder_below(int root, const char *name, size_t size, int flags)
{
    CLEANUP(text_freep) char *copy = text_format("%.*s", (int)size, name);
    int fd = size > 0 ? held_open_beneath(root, copy, flags | O_DIRECTORY) : -1;

    return size > 0 && is_answered(fd) ? fd : folder_by_parts(root, copy, flags);
}

int posix_open_folder(const PosixStorage *posix, const char *name, size_t size, int flags)
{
    CLEANUP(fd_done) int root = open_root(posix);
    int fd = root < 0 ? -1 : open_folder_below(root, name, size, flags);
    int os_errno = errno;

    fd_done(&root);
    errno = os_errno;
    return fd;
}

int posix_open_parent(const PosixStorage *posix, const char *name, int flags, const char **last)
{
    const char *slash = strrchr(name, '/');

    *last = slash != NULL ? slash + 1 : name;
    return posix_open_folder(posix, name, (size_t)(*last - name), flags);
}

static int object_by_parts(int root, const char *name, int flags)
{
    const char *slash = strrchr(name, '/');
    const char *last = slash != NULL ? slash + 1 : name;
    CLEANUP(fd_done) int folder = open_folder_below(root, name, (size_t)(last - name), O_PATH);
    int fd = folder < 0 ? -1 : open_part(folder, last, flags);
    int os_errno = errno;

    fd_done(&folder);
    errno = os_errno;
    return fd;
}

int posix_open_object(const PosixStorage *posix, const char *name, int flags)
{
    CLEANUP(fd_done) int root = open_root(posix);
    int fd = root < 0 ? -1 : held_open_beneath(root, name, flags);

    if (root >= 0 && !is_answered(fd))
        fd = object_by_parts(root, name, flags);
    int os_errno = errno;
    fd_done(&root);
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
