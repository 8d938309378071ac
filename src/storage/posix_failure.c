/* What a failed system call means, and whether an object that was not found is proven absent. */
#include "posix.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>

static const char hint_mount[] =
    "is the repository's file system mounted? a new repository is made by `pgcairn init`";
static const char hint_link[] =
    "a symbolic link is followed in a repository only when it is root's or this user's own: let "
    "root own it (chown -h root), or mount (--bind) what it leads to";
static const char hint_device[] = "the device or its connection fails: see the kernel's log";

static const struct {
    int os_errno;
    ErrorCode code;
    const char *hint;
} explanations[] = {
    {ESTALE, ERR_UNREACHABLE, hint_mount},
    {ETIMEDOUT, ERR_UNREACHABLE, hint_mount},
    {ENOTCONN, ERR_UNREACHABLE, hint_mount},
    {ECONNREFUSED, ERR_UNREACHABLE, hint_mount},
    {ECONNRESET, ERR_UNREACHABLE, hint_mount},
    {ECONNABORTED, ERR_UNREACHABLE, hint_mount},
    {EHOSTDOWN, ERR_UNREACHABLE, hint_mount},
    {EHOSTUNREACH, ERR_UNREACHABLE, hint_mount},
    {ENETDOWN, ERR_UNREACHABLE, hint_mount},
    {ENETUNREACH, ERR_UNREACHABLE, hint_mount},
    {ESHUTDOWN, ERR_UNREACHABLE, hint_mount},
    {EREMOTEIO, ERR_UNREACHABLE, hint_mount},
    {ENODEV, ERR_UNREACHABLE, hint_mount},
    {ENXIO, ERR_UNREACHABLE, hint_mount},
    {EIO, ERR_IO, hint_device},
    {ENOSPC, ERR_IO, "the repository's file system is full: make room or grow it"},
    {EDQUOT, ERR_IO, "the quota of the repository's file system is used up"},
    {EACCES, ERR_IO, "the user that runs pgcairn needs access to the whole repository"},
    {EPERM, ERR_IO, "the user that runs pgcairn needs access to the whole repository"},
    {ELOOP, ERR_REFUSED, hint_link},
    {EROFS, ERR_IO, "the repository's file system is mounted read-only"},
};

bool posix_explain(Error *err)
{
    for (size_t i = 0; err->code == ERR_IO && i < ARRAY_SIZE(explanations); i++) {
        if (explanations[i].os_errno != err->os_errno)
            continue;
        err->code = explanations[i].code;
        return error_hint(err, "%s", explanations[i].hint);
    }
    return false;
}

bool posix_is_missing(int os_errno)
{
    return os_errno == ENOENT || os_errno == ENOTDIR;
}

char *posix_path(const PosixStorage *posix, const char *name)
{
    return text_format("%s/%s", posix->root, name);
}

bool posix_root_is_there(const PosixStorage *posix, Error *err)
{
    CLEANUP(fd_done) int fd = open(posix->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0)
        return true;
    if (posix_is_missing(errno)) {
        error_set_errno(err, ERR_UNREACHABLE, errno, "repository directory %s", posix->root);
        return error_hint(err, "%s", hint_mount);
    }
    error_set_errno(err, ERR_IO, errno, "open repository directory %s", posix->root);
    return posix_explain(err);
}

bool posix_look_again(const PosixStorage *posix, const char *name, Error *err)
{
    if (!posix_root_is_there(posix, err))
        return false;
    for (const char *slash = strchr(name, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        CLEANUP(text_freep)
        char *path = text_format("%s/%.*s", posix->root, (int)(slash - name), name);
        CLEANUP(fd_done)
        int fd = posix_open_folder(posix, name, (size_t)(slash - name), O_RDONLY);
        if (fd < 0 && posix_is_missing(errno))
            return true;
        if (fd < 0) {
            error_set_errno(err, ERR_IO, errno, "open folder %s", path);
            return posix_explain(err);
        }
    }
    return true;
}
