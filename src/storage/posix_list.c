#include "posix.h"

#include "base/file.h"
#include "base/text.h"
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
    const ListRequest *request;
    ObjectList *list;
} Walk;

/* Of a folder, while it is read. */
typedef struct Entry {
    /*
     * It is the whole name. That of a folder ends with the "/" that comes next in its objects'
     * names.
     */
    const char *key;
    size_t base; /* The entry's own name begins here in the key. */
    bool is_folder;
    bool is_link;
} Entry;

typedef struct Folder {
    const char *name; /* It is "" for the root. */
    DIR *directory;
    Arena arena;
    Entry *entries;
    size_t count;
    size_t capacity;
} Folder;

static void folder_done(Folder *folder)
{
    directory_done(&folder->directory);
    mem_free(folder->entries);
    arena_done(&folder->arena);
}

static bool walk_folder(const Walk *walk, const char *name, unsigned depth, Error *err);

static bool is_enough(const Walk *walk)
{
    return walk->request->limit > 0 && walk->list->count >= walk->request->limit;
}

/* Whether an object of this name, or one below a folder of this name with its "/", is wanted. */
static bool entry_is_wanted(const Walk *walk, const char *key, bool is_folder)
{
    const char *after = walk->request->after;

    return text_begins_with(key, walk->request->prefix) &&
           (after == NULL || strcmp(key, after) > 0 || (is_folder && text_begins_with(after, key)));
}

/*
 * What an entry is. One that was removed since the folder was read is nothing; a symbolic link to
 * nothing hides whatever should be there.
 */
static bool look_at_entry(const Walk *walk, const Folder *folder, const char *base, bool is_link,
                          struct stat *found, Error *err)
{
    if (fstatat(dirfd(folder->directory), base, found, 0) == 0)
        return true;
    if (errno == ENOENT && !is_link) {
        found->st_mode = 0;
        return true;
    }
    CLEANUP(text_freep)
    char *path = text_format("%s/%s%s%s", walk->posix->root, folder->name,
                             folder->name[0] != '\0' ? "/" : "", base);
    error_set_errno(err, ERR_IO, errno, "look at %s", path);
    return posix_explain(err);
}

/* Only what may be a folder, and may not, is looked at now: the order needs to know. */
static bool find_kind(const Walk *walk, const Folder *folder, const struct dirent *entry,
                      bool *is_folder, bool *is_other, Error *err)
{
    struct stat found = {0};

    *is_folder = entry->d_type == DT_DIR;
    *is_other = false;
    if (entry->d_type == DT_DIR || entry->d_type == DT_REG)
        return true;
    if (!look_at_entry(walk, folder, entry->d_name, entry->d_type == DT_LNK, &found, err))
        return false;
    *is_folder = S_ISDIR(found.st_mode);
    *is_other = !S_ISDIR(found.st_mode) && !S_ISREG(found.st_mode);
    return true;
}

static void add_entry(Folder *folder, const Entry *entry)
{
    if (folder->count == folder->capacity) {
        folder->capacity = folder->capacity == 0 ? 64 : 2 * folder->capacity;
        folder->entries = mem_resize(folder->entries, folder->capacity * sizeof *folder->entries);
    }
    folder->entries[folder->count] = *entry;
    folder->entries[folder->count++].key = arena_text(&folder->arena, entry->key);
}

static bool take_entry(const Walk *walk, Folder *folder, const struct dirent *entry, Error *err)
{
    CLEANUP(text_freep)
    char *key =
        text_format("%s%s%s/", folder->name, folder->name[0] != '\0' ? "/" : "", entry->d_name);
    const size_t length = strlen(key) - 1;
    const size_t base = length - strlen(entry->d_name);
    bool is_folder, is_other;

    /* With its "/" as a folder, without it as an object: neither may be wanted. */
    const bool may_lead_on = entry_is_wanted(walk, key, true);
    key[length] = '\0';
    if (!may_lead_on && !entry_is_wanted(walk, key, false))
        return true;
    if (!find_kind(walk, folder, entry, &is_folder, &is_other, err))
        return false;
    if (is_folder)
        key[length] = '/';
    if (!is_other && entry_is_wanted(walk, key, is_folder)) {
        add_entry(folder, &(Entry){.key = key,
                                   .base = base,
                                   .is_folder = is_folder,
                                   .is_link = entry->d_type == DT_LNK});
    }
    return true;
}

static bool read_entries(const Walk *walk, Folder *folder, Error *err)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(folder->directory);
        if (entry == NULL)
            break;
        /* No object can be called so: temporary files, lost+found, .nfs..., .snapshot. */
        if (name_part_is_valid(entry->d_name, strlen(entry->d_name)) &&
            !take_entry(walk, folder, entry, err))
            return false;
    }
    if (errno == 0)
        return true;
    CLEANUP(text_freep) char *path = posix_path(walk->posix, folder->name);
    error_set_errno(err, ERR_IO, errno, "read folder %s", path);
    return posix_explain(err);
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const Entry *)a)->key, ((const Entry *)b)->key);
}

/* A file is looked at only here, when it is wanted and its turn has come. */
static bool list_file(const Walk *walk, const Folder *folder, const Entry *entry, Error *err)
{
    struct stat found = {0};

    if (!look_at_entry(walk, folder, entry->key + entry->base, entry->is_link, &found, err))
        return false;
    if (S_ISREG(found.st_mode)) {
        object_list_add(walk->list, entry->key, (uint64_t)found.st_size,
                        (TimeUs)found.st_mtim.tv_sec * 1000000 + found.st_mtim.tv_nsec / 1000);
    }
    return true;
}

/*
 * A folder counts when there is an object in it: empty ones stay when all was removed. Its time is
 * that of the last change of its inode, which every name that comes or goes sets and nobody can
 * set back; looked at first, so that what changes meanwhile shows the next time.
 */
static bool list_folder(const Walk *walk, const Folder *parent, const Entry *entry,
                        const char *name, unsigned depth, Error *err)
{
    CLEANUP(object_list_done) ObjectList first = {0};
    const ListRequest request = {.prefix = entry->key, .limit = 1};
    const Walk below = {.posix = walk->posix, .request = &request, .list = &first};
    CLEANUP(text_freep)
    char *base =
        text_format("%.*s", (int)strlen(entry->key + entry->base) - 1, entry->key + entry->base);
    struct stat found = {0};

    if (!look_at_entry(walk, parent, base, entry->is_link, &found, err) ||
        !walk_folder(&below, name, depth, err))
        return false;
    if (first.count > 0) {
        object_list_add(walk->list, entry->key, 0,
                        (TimeUs)found.st_ctim.tv_sec * 1000000 + found.st_ctim.tv_nsec / 1000);
    }
    return true;
}

static bool list_entry(const Walk *walk, const Folder *folder, const Entry *entry, unsigned depth,
                       Error *err)
{
    const ListRequest *request = walk->request;

    if (!entry->is_folder)
        return request->folders_only || list_file(walk, folder, entry, err);
    CLEANUP(text_freep)
    char *name = text_format("%.*s", (int)strlen(entry->key) - 1, entry->key);
    if (request->folders_only)
        return list_folder(walk, folder, entry, name, depth + 1, err);
    return walk_folder(walk, name, depth + 1, err);
}

/* In the order of the names; a folder that is read while it changes may give one twice. */
static bool list_entries(const Walk *walk, Folder *folder, unsigned depth, Error *err)
{
    if (folder->count > 1)
        qsort(folder->entries, folder->count, sizeof *folder->entries, compare_entries);
    for (size_t i = 0; i < folder->count && !is_enough(walk); i++) {
        const Entry *entry = &folder->entries[i];

        if (i > 0 && strcmp(folder->entries[i - 1].key, entry->key) == 0)
            continue;
        if (!list_entry(walk, folder, entry, depth, err))
            return false;
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

static bool walk_folder(const Walk *walk, const char *name, unsigned depth, Error *err)
{
    CLEANUP(text_freep) char *path = posix_path(walk->posix, name);
    CLEANUP(folder_done) Folder folder = {.name = name};

    if (depth > DEPTH_MAX)
        return error_set(err, ERR_IO, "folders below %s are nested too deeply", path);
    folder.directory = open_folder(walk->posix, name);
    if (folder.directory == NULL && posix_is_missing(errno)) {
        if (!posix_look_again(walk->posix, name, err))
            return false;
        folder.directory = open_folder(walk->posix, name);
    }
    if (folder.directory == NULL && posix_is_missing(errno))
        return true; /* proven: then nothing is in it */
    if (folder.directory == NULL) {
        error_set_errno(err, ERR_IO, errno, "open folder %s", path);
        return posix_explain(err);
    }
    return read_entries(walk, &folder, err) && list_entries(walk, &folder, depth, err);
}

bool posix_list(Storage *storage, const ListRequest *request, ObjectList *list, Error *err)
{
    const Walk walk = {.posix = (const PosixStorage *)storage, .request = request, .list = list};
    const char *slash = strrchr(request->prefix, '/');
    size_t folder_size = slash != NULL ? (size_t)(slash - request->prefix) : 0;
    CLEANUP(text_freep) char *folder = text_format("%.*s", (int)folder_size, request->prefix);

    return walk_folder(&walk, folder, 0, err) || error_context(err, "list %s", storage->address);
}
