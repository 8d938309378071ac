#include "rebuild/empty_directory.h"

#include "base/file.h"
#include "rebuild/restore_plan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

/* What belongs to a file system, and the marker of a restore that was killed while it wrote it. */
static bool is_nothing(const char *name)
{
    static const char unborn_marker[] = RESTORE_MARKER_FILE ".tmp-";

    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lost+found") == 0 ||
           strncmp(name, unborn_marker, sizeof unborn_marker - 1) == 0;
}

bool directory_is_empty_fd(int fd, const char *path, bool *is_empty, Error *err)
{
    CLEANUP(fd_done) int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(directory_done) DIR *list = own >= 0 ? fdopendir(own) : NULL;

    *is_empty = true;
    if (list == NULL)
        return error_set_errno(err, ERR_IO, errno, "list %s", path);
    (void)fd_take(&own); /* the list's own now */
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(list);
        if (entry == NULL)
            break;
        if (!is_nothing(entry->d_name))
            *is_empty = false;
    }
    return errno == 0 || error_set_errno(err, ERR_IO, errno, "list %s", path);
}

bool directory_is_empty(const char *path, bool *is_empty, Error *err)
{
    CLEANUP(fd_done) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    *is_empty = true;
    if (fd < 0)
        return errno == ENOENT || error_set_errno(err, ERR_IO, errno, "list %s", path);
    return directory_is_empty_fd(fd, path, is_empty, err);
}
