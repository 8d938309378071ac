#include "posix.h"

#include "base/file.h"
#include "storage_names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* Deeper than any object of ours; symbolic links that lead in a circle end here. */
enum { DEPTH_MAX = 16 };

typedef struct Walk {
    const PosixStorage *posix;
    const char *prefix;
    ObjectList *list;
} Walk;

static bool begins_with(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

static bool walk_folder(const Walk *walk, const char *folder, unsigned depth, Error *err);

/*
 * Whether an entry is a folder, an object or neither. One that was removed since the folder was
 * read is neither; a symbolic link to nothing hides whatever should be there.
 */
static bool look_at_entry(DIR *directory, const struct dirent *entry, const char *path,
                          struct stat *found, Error *err)
{
    if (fstatat(dirfd(directory), entry->d_name, found, 0) == 0)
        return true;
    if (errno == ENOENT && entry->d_type != DT_LNK) {
        found->st_mode = 0;
        return true;
    }
    error_set_errno(err, ERR_IO, errno, "look at %s", path);
    return posix_explain(err);
}

static bool walk_entry(const Walk *walk, DIR *directory, const struct dirent *entry,
                       const char *folder, unsigned depth, Error *err)
{
    CLEANUP(text_freep)
    char *name = text_format("%s%s%s", folder, folder[0] != '\0' ? "/" : "", entry->d_name);
    CLEANUP(text_freep) char *as_folder = text_format("%s/", name);
    bool is_match = begins_with(name, walk->prefix);
    bool leads_on = begins_with(as_folder, walk->prefix) || begins_with(walk->prefix, as_folder);
    struct stat found = {0};

    if (!is_match && !leads_on)
        return true;
    if (entry->d_type == DT_DIR) {
        found.st_mode = S_IFDIR;
    } else {
        CLEANUP(text_freep) char *path = posix_path(walk->posix, name);
        if (!look_at_entry(directory, entry, path, &found, err))
            return false;
    }
    if (S_ISDIR(found.st_mode))
        return !leads_on || walk_folder(walk, name, depth + 1, err);
    if (S_ISREG(found.st_mode) && is_match) {
        object_list_add(walk->list, name, (uint64_t)found.st_size,
                        (TimeUs)found.st_mtim.tv_sec * 1000000 + found.st_mtim.tv_nsec / 1000);
    }
    return true;
}

/* NULL with errno. */
static DIR *open_folder(const PosixStorage *posix, const char *folder)
{
    CLEANUP(fd_done) int fd = posix_open_folder(posix, folder, strlen(folder), O_RDONLY);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);

    if (directory != NULL)
        (void)fd_take(&fd); /* the list's own now */
    return directory;
}

static bool walk_folder(const Walk *walk, const char *folder, unsigned depth, Error *err)
{
    CLEANUP(text_freep) char *path = posix_path(walk->posix, folder);
    CLEANUP(directory_done) DIR *directory = open_folder(walk->posix, folder);

    if (depth > DEPTH_MAX)
        return error_set(err, ERR_IO, "folders below %s are nested too deeply", path);
    if (directory == NULL && posix_is_missing(errno)) {
        if (!posix_look_again(walk->posix, folder, err))
            return false;
        directory = open_folder(walk->posix, folder);
    }
    if (directory == NULL && posix_is_missing(errno))
        return true; /* proven: then nothing is in it */
    if (directory == NULL) {
        error_set_errno(err, ERR_IO, errno, "open folder %s", path);
        return posix_explain(err);
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL)
            break;
        /* No object can be called so: temporary files, lost+found, .nfs..., .snapshot. */
        if (!name_part_is_valid(entry->d_name, strlen(entry->d_name)))
            continue;
        if (!walk_entry(walk, directory, entry, folder, depth, err))
            return false;
    }
    if (errno == 0)
        return true;
    error_set_errno(err, ERR_IO, errno, "read folder %s", path);
    return posix_explain(err);
}

bool posix_list(Storage *storage, const char *prefix, ObjectList *list, Error *err)
{
    Walk walk = {.posix = (const PosixStorage *)storage, .prefix = prefix, .list = list};
    const char *slash = strrchr(prefix, '/');
    size_t folder_size = slash != NULL ? (size_t)(slash - prefix) : 0;
    CLEANUP(text_freep) char *folder = text_format("%.*s", (int)folder_size, prefix);

    return walk_folder(&walk, folder, 0, err) || error_context(err, "list %s", storage->address);
}
