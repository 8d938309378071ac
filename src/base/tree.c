#include "base/tree.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/held.h"
#include "base/interrupt.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Each level holds a descriptor. A cluster has five; what is this deep is a trap. */
enum { DEPTH_MAX = 200, OWNER_ALL = 0700 };

/* A directory that is being walked. */
typedef struct Level {
    int fd;
    Buffer names;    /* It holds the names of all its entries, each with its zero. */
    size_t next;     /* The next name begins here. */
    TreeEntry entry; /* It is the directory itself. It is empty for the root. */
    char *path;
} Level;

typedef struct TreeWalk {
    const TreeVisitor *visitor;
    size_t root_size;
    size_t depth;
    Level levels[DEPTH_MAX];
} TreeWalk;

static void level_done(Level *level)
{
    fd_done(&level->fd);
    buffer_done(&level->names);
    text_freep(&level->path);
}

static void walk_freep(TreeWalk **walk)
{
    while ((*walk)->depth > 0)
        level_done(&(*walk)->levels[--(*walk)->depth]);
    mem_free(*walk);
    *walk = NULL;
}

/* All at once: some file systems lose their place when entries are removed meanwhile. */
static bool read_names(Level *level, Error *err)
{
    CLEANUP(fd_done) int fd = fcntl(level->fd, F_DUPFD_CLOEXEC, 0);
    CLEANUP(directory_done) DIR *list = fd >= 0 ? fdopendir(fd) : NULL;

    if (list == NULL)
        return error_set_errno(err, ERR_IO, errno, "list %s", level->path);
    (void)fd_take(&fd); /* the list's own now */
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(list);
        if (entry == NULL)
            break;
        const char *name = entry->d_name;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
            buffer_append(&level->names, name, strlen(name) + 1);
    }
    return errno == 0 || error_set_errno(err, ERR_IO, errno, "list %s", level->path);
}

/* Takes fd over, whatever comes of it. */
static bool tree_enter(TreeWalk *walk, int fd, const char *path, const TreeEntry *entry, Error *err)
{
    if (walk->depth == DEPTH_MAX) {
        fd_done(&fd);
        return error_set(err, ERR_IO, "%s: more than %d directories inside one another", path,
                         DEPTH_MAX);
    }
    Level *level = &walk->levels[walk->depth++];
    *level = (Level){.fd = fd, .path = text_format("%s", path)};
    if (entry != NULL)
        level->entry = *entry;
    return read_names(level, err);
}

static bool tree_look_at(TreeEntry *entry, bool *is_there, Error *err)
{
    struct statx found;

    *is_there = true;
    if (statx(entry->directory, entry->name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
              STATX_BASIC_STATS, &found) != 0) {
        *is_there = false;
        return errno == ENOENT || error_set_errno(err, ERR_IO, errno, "look at %s", entry->path);
    }
    entry->found = (struct stat){.st_mode = found.stx_mode,
                                 .st_dev = makedev(found.stx_dev_major, found.stx_dev_minor),
                                 .st_ino = found.stx_ino,
                                 .st_nlink = found.stx_nlink,
                                 .st_uid = found.stx_uid,
                                 .st_gid = found.stx_gid,
                                 .st_blocks = (blkcnt_t)found.stx_blocks};
    if ((found.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0) {
        entry->is_mount = (found.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
        return true;
    }
    /* Before Linux 5.8 only another file system can be told. */
    struct stat directory;
    entry->is_mount =
        fstat(entry->directory, &directory) == 0 && directory.st_dev != entry->found.st_dev;
    return true;
}

/* Through the very directory that was looked at, or not at all. */
static bool tree_descend(TreeWalk *walk, const TreeEntry *entry, Error *err)
{
    int fd = openat(entry->directory, entry->name,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct stat opened;

    if (fd < 0 && errno == ENOENT)
        return true;
    if (fd < 0 || fstat(fd, &opened) != 0) {
        int os_errno = errno;
        fd_done(&fd);
        return error_set_errno(err, ERR_IO, os_errno, "open directory %s", entry->path);
    }
    if (opened.st_ino != entry->found.st_ino || opened.st_dev != entry->found.st_dev) {
        fd_done(&fd);
        return error_set(err, ERR_IO, "%s was replaced while it was being read", entry->path);
    }
    return tree_enter(walk, fd, entry->path, entry, err);
}

static bool tree_visit(TreeWalk *walk, const Level *level, const char *name, Error *err)
{
    CLEANUP(text_freep) char *path = text_format("%s/%s", level->path, name);
    TreeEntry entry = {
        .directory = level->fd, .name = name, .path = path, .below = path + walk->root_size + 1};
    bool is_there;

    if (!interrupt_check(err) || !tree_look_at(&entry, &is_there, err))
        return false;
    if (!is_there)
        return true;
    bool descends = S_ISDIR(entry.found.st_mode);
    return walk->visitor->before(walk->visitor->context, &entry, &descends, err) &&
           (!descends || !S_ISDIR(entry.found.st_mode) || tree_descend(walk, &entry, err));
}

/* The directory on top has been gone through. */
static bool tree_leave(TreeWalk *walk, Error *err)
{
    CLEANUP(level_done) Level level = walk->levels[--walk->depth];
    bool ignored = false;

    if (walk->depth == 0 || walk->visitor->after == NULL)
        return true;
    const Level *parent = &walk->levels[walk->depth - 1];
    level.entry.directory = parent->fd;
    level.entry.name = level.path + strlen(parent->path) + 1;
    level.entry.path = level.path;
    level.entry.below = level.path + walk->root_size + 1;
    return walk->visitor->after(walk->visitor->context, &level.entry, &ignored, err);
}

static bool tree_step(TreeWalk *walk, Error *err)
{
    Level *level = &walk->levels[walk->depth - 1];

    if (level->next == level->names.size)
        return tree_leave(walk, err);
    const char *name = (const char *)level->names.data + level->next;
    level->next += strlen(name) + 1;
    return tree_visit(walk, level, name, err);
}

/* The content of what is open. Takes fd over. */
static bool walk_open(int fd, const char *root, const TreeVisitor *visitor, Error *err)
{
    CLEANUP(walk_freep) TreeWalk *walk = mem_alloc(sizeof *walk);

    walk->visitor = visitor;
    walk->root_size = strlen(root);
    if (!tree_enter(walk, fd, root, NULL, err))
        return false;
    while (walk->depth > 0) {
        if (!tree_step(walk, err))
            return false;
    }
    return true;
}

bool tree_walk(const char *root, const TreeVisitor *visitor, Error *err)
{
    int fd = held_open_path(root, strlen(root), O_RDONLY);

    if (fd < 0)
        return error_set_errno(err, ERR_IO, errno, "open directory %s", root);
    return walk_open(fd, root, visitor, err);
}

bool tree_walk_in(const HeldDirectory *directory, const TreeVisitor *visitor, Error *err)
{
    int fd = openat(directory->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return error_set_errno(err, ERR_IO, errno, "open directory %s", directory->path);
    return walk_open(fd, directory->path, visitor, err);
}

/* The directory that holds path, and where its name in it begins; -1 as open(2). */
static int tree_open_parent(const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');

    *name = slash != NULL ? slash + 1 : path;
    return held_open_path(path, (size_t)(*name - path), O_PATH);
}

bool tree_is_mount(const char *path)
{
    const char *name;
    CLEANUP(fd_done) int parent = tree_open_parent(path, &name);
    TreeEntry entry = {.directory = parent, .name = name, .path = path};
    Error unseen = {0}; /* then nothing is known of it */
    bool is_there = false;

    return parent >= 0 && *name != '\0' && tree_look_at(&entry, &is_there, &unseen) && is_there &&
           entry.is_mount;
}

static bool unlink_entry(const TreeEntry *entry, int flags, Error *err)
{
    if (unlinkat(entry->directory, entry->name, flags) == 0 || errno == ENOENT)
        return true;
    return error_set_errno(err, ERR_IO, errno, "remove %s", entry->path);
}

/* One of ours that may not be written to by its mode; what can't be changed shows when it counts.
 */
static void tree_open_up(const TreeEntry *entry)
{
    if ((entry->found.st_mode & OWNER_ALL) != OWNER_ALL)
        (void)!fchmodat(entry->directory, entry->name, OWNER_ALL, 0);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): it is a TreeVisit */
static bool remove_before(void *context, const TreeEntry *entry, bool *descends, Error *err)
{
    (void)context;
    (void)descends;
    if (entry->is_mount) {
        return error_set(err, ERR_REFUSED, "%s is the root of a mount: it is not removed",
                         entry->path);
    }
    if (!S_ISDIR(entry->found.st_mode))
        return unlink_entry(entry, 0, err);
    tree_open_up(entry);
    return true;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): it is a TreeVisit */
static bool remove_after(void *context, const TreeEntry *entry, bool *descends, Error *err)
{
    (void)context;
    (void)descends;
    return unlink_entry(entry, AT_REMOVEDIR, err);
}

static bool remove_directory(const TreeEntry *entry, Error *err)
{
    const TreeVisitor visitor = {.before = remove_before, .after = remove_after};
    tree_open_up(entry);
    int fd = openat(entry->directory, entry->name,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 && errno == ENOENT)
        return true;
    if (fd < 0)
        return error_set_errno(err, ERR_IO, errno, "open directory %s", entry->path);
    return walk_open(fd, entry->path, &visitor, err) && unlink_entry(entry, AT_REMOVEDIR, err);
}

bool tree_remove_entry(const TreeEntry *entry, Error *err)
{
    if (entry->is_mount) {
        return error_set(err, ERR_REFUSED, "%s is the root of a mount: it is not removed",
                         entry->path);
    }
    return S_ISDIR(entry->found.st_mode) ? remove_directory(entry, err)
                                         : unlink_entry(entry, 0, err);
}

bool tree_remove(const char *path, Error *err)
{
    TreeEntry entry = {.path = path};
    CLEANUP(fd_done) int parent = tree_open_parent(path, &entry.name);
    bool is_there;

    if (parent < 0 && errno == ENOENT)
        return true;
    if (parent < 0)
        return error_set_errno(err, ERR_IO, errno, "open the directory of %s", path);
    entry.directory = parent;
    if (!tree_look_at(&entry, &is_there, err))
        return false;
    return !is_there || tree_remove_entry(&entry, err);
}

static int open_nearest(const char *path)
{
    CLEANUP(text_freep) char *place = text_format("%s", path);
    int fd;

    while ((fd = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) {
        char *slash = strrchr(place, '/');
        if (slash == NULL || strcmp(place, "/") == 0)
            return -1;
        slash[slash == place ? 1 : 0] = '\0';
    }
    return fd;
}

bool tree_walk_up(const char *path, TreeVisitAbove *each, void *context, Error *err)
{
    CLEANUP(fd_done) int at = open_nearest(path);
    struct stat found, before = {.st_nlink = 0};

    while (at >= 0) {
        if (fstat(at, &found) != 0)
            return error_set_errno(err, ERR_IO, errno, "look at what is above %s", path);
        if (before.st_nlink > 0 && before.st_ino == found.st_ino && before.st_dev == found.st_dev)
            return true; /* the root is its own parent */
        if (!each(context, at, &found, err))
            return false;
        before = found;
        int up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        fd_done(&at);
        at = up;
    }
    return true;
}
