#include "base/held.h"

#include "base/fault.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As in linux/openat2.h, which older headers do not have. */
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
typedef struct OpenHow {
    uint64_t flags, mode, resolve;
} OpenHow;
enum { RESOLVE_NO_MAGICLINKS = 0x02, RESOLVE_NO_SYMLINKS = 0x04, RESOLVE_BENEATH = 0x08 };

enum { PARENT_MODE = 0755, OWN_MODE = 0700 };
enum { WAY = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC }; /* a part that others follow */

HeldPath held_at(const HeldDirectory *directory, const char *below)
{
    return (HeldPath){.directory = directory, .below = below};
}

char *held_text(HeldPath at)
{
    return strcmp(at.below, ".") == 0 ? text_format("%s", at.directory->path)
                                      : text_format("%s/%s", at.directory->path, at.below);
}

static bool held_fail(Error *err, const char *what, HeldPath at)
{
    int os_errno = errno;
    CLEANUP(text_freep) char *path = held_text(at);

    if (os_errno == ELOOP) {
        error_set_errno(err, ERR_IO, os_errno, "%s %s", what, path);
        return error_hint(err, "a symbolic link is on the way there, and none is followed");
    }
    return error_set_errno(err, os_errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, os_errno, "%s %s",
                           what, path);
}

/* Not "..": openat2(2) would allow it as long as it stays below. */
static bool is_plain(const char *below)
{
    if (strcmp(below, ".") == 0)
        return true;
    for (const char *part = below;; part++) {
        size_t size = strcspn(part, "/");
        if (size == 0 || (size == 1 && part[0] == '.') ||
            (size == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        part += size;
        if (*part == '\0')
            return true;
    }
}

/* The kernel's answer to a link in place of a directory is ENOTDIR here, and ELOOP elsewhere. */
static int held_open_part(int at, const char *part)
{
    struct stat found;
    int fd = openat(at, part, WAY);

    if (fd < 0 && errno == ENOTDIR) {
        bool is_link =
            fstatat(at, part, &found, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(found.st_mode);
        errno = is_link ? ELOOP : ENOTDIR;
    }
    return fd;
}

static int open_by_parts(int directory, const char *below, int flags, mode_t mode)
{
    CLEANUP(text_freep) char *copy = text_format("%s", below);
    CLEANUP(fd_done) int at = -1;
    char *part = copy;

    for (char *slash; (slash = strchr(part, '/')) != NULL; part = slash + 1) {
        *slash = '\0';
        int next = held_open_part(at >= 0 ? at : directory, part);
        if (next < 0)
            return -1;
        fd_done(&at);
        at = next;
    }
    return openat(at >= 0 ? at : directory, part, flags, mode);
}

static int open_at_once(int directory, const char *below, int flags, mode_t mode)
{
    const OpenHow how = {.flags = (unsigned)flags,
                         .mode = (flags & O_CREAT) != 0 ? mode : 0,
                         .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};

    return (int)syscall(SYS_openat2, directory, below, &how, sizeof how);
}

int held_open_beneath(int directory, const char *below, int flags)
{
    return open_at_once(directory, below, flags | O_CLOEXEC, 0);
}

/* -1 with errno. */
static int open_below(HeldPath at, int flags, mode_t mode)
{
    const HeldDirectory *held = at.directory;

    if (!is_plain(at.below)) {
        errno = EINVAL;
        return -1;
    }
    flags |= O_NOFOLLOW | O_CLOEXEC;
    if (!held->by_parts) {
        int fd = open_at_once(held->fd, at.below, flags, mode);
        if (fd >= 0 || errno != ENAMETOOLONG)
            return fd;
    }
    return open_by_parts(held->fd, at.below, flags, mode);
}

/* The directory that has it, and where its name begins in at.below; -1 with errno. */
static int held_open_parent(HeldPath at, int flags, const char **name)
{
    const char *slash = strrchr(at.below, '/');

    *name = slash != NULL ? slash + 1 : at.below;
    if (!is_plain(*name)) {
        errno = EINVAL;
        return -1;
    }
    if (slash == NULL)
        return open_below(held_at(at.directory, "."), flags | O_DIRECTORY, 0);
    CLEANUP(text_freep) char *parent = text_format("%.*s", (int)(slash - at.below), at.below);
    return open_below(held_at(at.directory, parent), flags | O_DIRECTORY, 0);
}

int held_open_path(const char *path, size_t size, int flags)
{
    CLEANUP(text_freep) char *copy = text_format("%.*s", (int)size, path);
    CLEANUP(fd_done) int at = open(copy[0] == '/' ? "/" : ".", WAY);
    char *rest = NULL;

    for (const char *part = strtok_r(copy, "/", &rest); at >= 0 && part != NULL;
         part = strtok_r(NULL, "/", &rest)) {
        int next = openat(at, part, WAY);
        fd_done(&at);
        at = next;
    }
    return at < 0 ? -1 : openat(at, ".", flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* What can't be opened so is what we have open: only a kernel or a filter can be in the way. */
static void held_hold(HeldDirectory *held, int fd, char *path)
{
    *held = (HeldDirectory){.fd = fd};
    held->path = path;
    CLEANUP(fd_done) int probe = open_at_once(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    held->by_parts = probe < 0;
}

bool held_open(HeldDirectory *held, const char *path, Error *err)
{
    int fd = held_open_path(path, strlen(path), O_RDONLY);

    *held = HELD_NONE;
    if (fd < 0) {
        return error_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                               "open directory %s", path);
    }
    held_hold(held, fd, text_format("%s", path));
    return true;
}

bool held_open_resolved(HeldDirectory *held, const char *path, Error *err)
{
    CLEANUP(text_freep) char *resolved = realpath(path, NULL);

    *held = HELD_NONE;
    if (resolved == NULL) {
        return error_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                               "open directory %s", path);
    }
    return held_open(held, resolved, err);
}

bool held_open_below(HeldDirectory *held, HeldPath at, Error *err)
{
    int fd = open_below(at, O_RDONLY | O_DIRECTORY, 0);

    *held = HELD_NONE;
    if (fd < 0)
        return held_fail(err, "open directory", at);
    held_hold(held, fd, held_text(at));
    return true;
}

HeldDirectory held_take(HeldDirectory *held)
{
    HeldDirectory taken = *held;

    *held = HELD_NONE;
    return taken;
}

void held_done(HeldDirectory *held)
{
    fd_done(&held->fd);
    text_freep(&held->path);
}

bool held_is_in_place(const HeldDirectory *held, Error *err)
{
    CLEANUP(fd_done) int now = held_open_path(held->path, strlen(held->path), O_PATH);
    struct stat ours, found;

    if (now >= 0 && fstat(now, &found) == 0 && fstat(held->fd, &ours) == 0 &&
        found.st_dev == ours.st_dev && found.st_ino == ours.st_ino)
        return true;
    return error_set(err, ERR_BUSY, "%s is not the directory any more that it was a moment ago",
                     held->path);
}

static bool sync_open(int directory, const char *path, Error *err)
{
    CLEANUP(fd_done) int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return error_set_errno(err, ERR_IO, errno, "sync directory %s", path);
    return file_sync_directory_fd(fd, path, err);
}

/*
 * A walk down a way, whose missing parts are made. A run that was killed between mkdir and fsync
 * leaves a directory whose name is not durable, and only the next run can make it so. They are made
 * top down, so it can only be the deepest one that is there: `above` has its name.
 */
typedef struct HeldWay {
    int at, above;
    mode_t mode;
    bool has_made;
    const char *path; /* Messages show it. */
} HeldWay;

static void held_way_done(HeldWay *way)
{
    fd_done(&way->at);
    fd_done(&way->above);
}

/* It may belong to somebody else: what we cannot open we have not made. */
static bool held_way_sync(const HeldWay *way, Error *err)
{
    Error attempt = {0};

    if (way->has_made || way->above < 0 || sync_open(way->above, way->path, &attempt) ||
        attempt.os_errno == EACCES || attempt.os_errno == EPERM)
        return true;
    return error_pass(err, &attempt);
}

static bool make_part(HeldWay *way, const char *part, Error *err)
{
    if (!held_way_sync(way, err) || !FAULT_POINT("file.before-make-directory", err))
        return false;
    if (mkdirat(way->at, part, way->mode) != 0 && errno != EEXIST)
        return error_set_errno(err, ERR_IO, errno, "create directory %s of %s", part, way->path);
    way->has_made = true;
    return FAULT_POINT("file.after-make-directory", err) && sync_open(way->at, way->path, err);
}

static bool held_way_step(HeldWay *way, const char *part, Error *err)
{
    int next = held_open_part(way->at, part);

    if (next < 0 && errno == ENOENT) {
        if (!make_part(way, part, err))
            return false;
        next = held_open_part(way->at, part);
    }
    if (next < 0)
        return error_set_errno(err, ERR_IO, errno, "open directory %s of %s", part, way->path);
    fd_done(&way->above);
    way->above = way->at;
    way->at = next;
    return true;
}

/* All parts of `names`, from way->at on. */
static bool go_down(HeldWay *way, char *names, Error *err)
{
    char *rest = NULL;

    for (const char *part = strtok_r(names, "/", &rest); part != NULL;
         part = strtok_r(NULL, "/", &rest)) {
        if (!held_way_step(way, part, err))
            return false;
    }
    return true;
}

static bool make_last(HeldDirectory *held, const HeldWay *way, const char *name, bool *is_new,
                      Error *err)
{
    *is_new = mkdirat(way->at, name, OWN_MODE) == 0;
    if (!*is_new && errno != EEXIST)
        return error_set_errno(err, ERR_IO, errno, "create directory %s", way->path);
    int fd = openat(way->at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, ERR_IO, errno, "open directory %s", way->path);
    held_hold(held, fd, text_format("%s", way->path));
    return true;
}

bool held_make(HeldDirectory *held, const char *path, bool *is_new, Error *err)
{
    CLEANUP(text_freep) char *copy = text_format("%s", path);
    CLEANUP(held_way_done)
    HeldWay way = {.at = open(copy[0] == '/' ? "/" : ".", WAY),
                   .above = -1,
                   .mode = PARENT_MODE,
                   .path = path};
    char *slash = strrchr(copy, '/');
    const char *name = slash != NULL ? slash + 1 : path;

    *held = HELD_NONE;
    if (way.at < 0)
        return error_set_errno(err, ERR_IO, errno, "open the way to %s", path);
    if (slash != NULL)
        *slash = '\0';
    return (slash == NULL || go_down(&way, copy, err)) && make_last(held, &way, name, is_new, err);
}

bool held_make_parents(HeldPath at, Error *err)
{
    CLEANUP(text_freep) char *copy = text_format("%s", at.below);
    CLEANUP(text_freep) char *path = held_text(at);
    char *slash = strrchr(copy, '/');

    if (!is_plain(at.below))
        return error_set_errno(err, ERR_IO, EINVAL, "create directory %s", path);
    if (slash == NULL)
        return true;
    *slash = '\0';
    CLEANUP(held_way_done)
    HeldWay way = {.at = open_below(held_at(at.directory, "."), WAY, 0),
                   .above = -1,
                   .mode = OWN_MODE,
                   .path = path};
    if (way.at < 0)
        return held_fail(err, "create directory", at);
    return go_down(&way, copy, err);
}

bool held_make_directory(HeldPath at, Error *err)
{
    const char *name;
    CLEANUP(fd_done) int parent = held_open_parent(at, O_PATH, &name);

    if (parent < 0 || (mkdirat(parent, name, OWN_MODE) != 0 && errno != EEXIST))
        return held_fail(err, "create directory", at);
    return true;
}

/* A pipe of that name would make us wait forever, a device do who knows what. */
static bool open_regular(HeldPath at, int flags, int *fd, Error *err)
{
    CLEANUP(fd_done) int opened = open_below(at, flags | O_NONBLOCK | O_NOCTTY, 0);
    struct stat found;

    *fd = -1;
    if (opened < 0 || fstat(opened, &found) != 0)
        return held_fail(err, "open", at);
    if (!S_ISREG(found.st_mode)) {
        CLEANUP(text_freep) char *path = held_text(at);
        return error_set(err, ERR_IO, "%s is not a regular file", path);
    }
    *fd = fd_take(&opened);
    return true;
}

bool held_read(HeldPath at, int *fd, Error *err)
{
    return open_regular(at, O_RDONLY, fd, err);
}

bool held_write(HeldPath at, int *fd, Error *err)
{
    return open_regular(at, O_WRONLY, fd, err);
}

bool held_read_whole(HeldPath at, size_t size_max, Buffer *content, Error *err)
{
    CLEANUP(text_freep) char *path = held_text(at);
    CLEANUP(fd_done) int fd = -1;

    return held_read(at, &fd, err) && file_read_rest(fd, path, size_max, content, err);
}

bool held_create(HeldPath at, int *fd, Error *err)
{
    *fd = open_below(at, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (*fd >= 0)
        return true;
    (void)held_fail(err, "create", at);
    err->code = ERR_IO;
    return false;
}

bool held_open_any(HeldPath at, int *fd, Error *err)
{
    *fd = open_below(at, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    return *fd >= 0 || held_fail(err, "open", at);
}

bool held_writer_open(FileWriter *writer, HeldPath at, mode_t mode, Error *err)
{
    CLEANUP(text_freep) char *path = held_text(at);
    const char *name;
    int parent = held_open_parent(at, O_RDONLY, &name);

    *writer = FILE_WRITER_CLOSED;
    if (parent < 0) {
        (void)held_fail(err, "create", at);
        err->code = ERR_IO;
        return false;
    }
    return file_writer_open_in(writer, parent, path, mode, err);
}

bool held_make_link(HeldPath at, const char *target, Error *err)
{
    const char *name;
    CLEANUP(fd_done) int parent = held_open_parent(at, O_PATH, &name);

    return (parent >= 0 && symlinkat(target, parent, name) == 0) ||
           held_fail(err, "create link", at);
}

bool held_is_link_to(HeldPath at, const char *target)
{
    const char *name;
    CLEANUP(fd_done) int parent = held_open_parent(at, O_PATH, &name);
    char found[PATH_MAX];
    const ssize_t size = parent < 0 ? -1 : readlinkat(parent, name, found, sizeof found);

    return size >= 0 && (size_t)size == strlen(target) && memcmp(found, target, (size_t)size) == 0;
}

bool held_rename(HeldPath from, HeldPath to, Error *err)
{
    const char *name, *new_name;
    CLEANUP(fd_done) int source = held_open_parent(from, O_PATH, &name);
    CLEANUP(fd_done) int target = source < 0 ? -1 : held_open_parent(to, O_PATH, &new_name);

    if (source < 0 || target < 0 || renameat(source, name, target, new_name) != 0) {
        int os_errno = errno;
        CLEANUP(text_freep) char *old = held_text(from);
        CLEANUP(text_freep) char *new = held_text(to);
        return error_set_errno(err, ERR_IO, os_errno, "rename %s to %s", old, new);
    }
    return true;
}

bool held_remove(HeldPath at, Error *err)
{
    const char *name;
    CLEANUP(fd_done) int parent = held_open_parent(at, O_PATH, &name);

    return (parent >= 0 && unlinkat(parent, name, 0) == 0) || errno == ENOENT ||
           held_fail(err, "remove", at);
}

bool held_look(HeldPath at, struct stat *found)
{
    const char *name;
    CLEANUP(fd_done) int parent = held_open_parent(at, O_PATH, &name);

    return parent >= 0 && fstatat(parent, name, found, AT_SYMLINK_NOFOLLOW) == 0;
}

bool held_has(HeldPath at)
{
    struct stat found;

    return held_look(at, &found);
}

bool held_sync(HeldPath at, Error *err)
{
    CLEANUP(text_freep) char *path = held_text(at);
    CLEANUP(fd_done) int fd = open_below(at, O_RDONLY | O_DIRECTORY, 0);

    return fd >= 0 ? file_sync_directory_fd(fd, path, err) : held_fail(err, "sync directory", at);
}

bool held_sync_parent(HeldPath at, Error *err)
{
    CLEANUP(text_freep) char *path = held_text(at);
    const char *name;
    CLEANUP(fd_done) int fd = held_open_parent(at, O_RDONLY, &name);

    return fd >= 0 ? file_sync_directory_fd(fd, path, err)
                   : held_fail(err, "sync directory of", at);
}
