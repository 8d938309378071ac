#include "posix.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As posix_list.c has it. */
enum { DEPTH_MAX = 16, SUFFIX_LENGTH = 16 };

typedef struct Sweep {
    const PosixStorage *posix;
    TimeUs before;
    Unfinished *found;
} Sweep;

/* "NAME.tmp-" and 16 hex digits: FileWriter's alone (base/file.c). */
bool posix_is_unfinished(const char *base)
{
    const char *mark = strstr(base, ".tmp-");

    return mark != NULL && mark != base && strlen(mark + 5) == SUFFIX_LENGTH &&
           strspn(mark + 5, "0123456789abcdef") == SUFFIX_LENGTH;
}

/* Its time is that of the last write: one that is being written is young. */
static bool sweep_file(const Sweep *sweep, int folder, const char *base, const struct stat *found,
                       Error *err)
{
    const TimeUs written = (TimeUs)found->st_mtim.tv_sec * 1000000 + found->st_mtim.tv_nsec / 1000;

    if (!S_ISREG(found->st_mode) || !posix_is_unfinished(base) || written >= sweep->before)
        return true;
    if (unlinkat(folder, base, 0) != 0) {
        if (posix_is_missing(errno))
            return true;
        error_set_errno(err, ERR_IO, errno, "remove %s", base);
        return posix_explain(err);
    }
    sweep->found->count++;
    sweep->found->bytes += (uint64_t)found->st_size;
    return true;
}

static bool sweep_folder(const Sweep *sweep, const char *name, unsigned depth, Error *err);

static bool sweep_entry(const Sweep *sweep, int folder, const char *name, const char *base,
                        unsigned depth, Error *err)
{
    CLEANUP(text_freep) char *below = text_format("%s/%s", name, base);
    struct stat found = {0};

    if (strcmp(base, ".") == 0 || strcmp(base, "..") == 0 ||
        fstatat(folder, base, &found, AT_SYMLINK_NOFOLLOW) != 0)
        return true; /* gone by now: it was finished, or given up */
    return S_ISDIR(found.st_mode) ? sweep_folder(sweep, below, depth + 1, err)
                                  : sweep_file(sweep, folder, base, &found, err);
}

/* What can't be read is left as it is: nothing depends on it. */
static bool sweep_folder(const Sweep *sweep, const char *name, unsigned depth, Error *err)
{
    CLEANUP(fd_done) int fd = posix_open_folder(sweep->posix, name, strlen(name), O_RDONLY);
    CLEANUP(directory_done) DIR *directory = fd < 0 ? NULL : fdopendir(fd);

    if (directory == NULL || depth > DEPTH_MAX)
        return true;
    (void)fd_take(&fd); /* the directory's own now */
    for (;;) {
        const struct dirent *entry = readdir(directory);

        if (entry == NULL)
            return true;
        if (!interrupt_check(err) ||
            !sweep_entry(sweep, dirfd(directory), name, entry->d_name, depth, err))
            return false;
    }
}

bool posix_remove_unfinished(Storage *storage, const char *folder, TimeUs before, Unfinished *found,
                             Error *err)
{
    const Sweep sweep = {.posix = (const PosixStorage *)storage, .before = before, .found = found};

    return sweep_folder(&sweep, folder, 0, err) ||
           error_context(err, "remove what is not finished below %s", folder);
}
