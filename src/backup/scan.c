#include "scan.h"

#include "base/file.h"
#include "base/log.h"
#include "postgres/data_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

/* The walk itself: directories still to be read are a queue, so depth costs no stack. */
typedef struct Walk {
    Scan *scan;
    const char *data;
    unsigned major;
    const char *statistics; /* temporary ones, as pg_stat_tmp; NULL: none */
    int data_fd;
    const char **queue;
    size_t queued;
    size_t queue_capacity;
} Walk;

static void walk_done(Walk *walk)
{
    fd_done(&walk->data_fd);
    mem_free(walk->queue);
}

/* errno says why it is NULL. */
static DIR *open_directory(int at, const char *path, int flags)
{
    int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;

    if (fd >= 0 && directory == NULL) {
        int os_errno = errno;
        (void)close(fd);
        errno = os_errno;
    }
    return directory;
}

static void free_text(char **text)
{
    free(*text);
}

/* -------- entries */

static const char *owner_text(Scan *scan, uint32_t id, bool is_group)
{
    for (size_t i = 0; i < scan->owner_count; i++) {
        if (scan->owners[i].id == id && scan->owners[i].is_group == is_group)
            return scan->owners[i].name;
    }

    const struct passwd *user = is_group ? NULL : getpwuid(id);
    const struct group *group = is_group ? getgrgid(id) : NULL;
    const char *name = user != NULL ? user->pw_name : group != NULL ? group->gr_name : NULL;
    const char *kept =
        name != NULL ? arena_text(&scan->arena, name) : arena_format(&scan->arena, "%u", id);
    if (scan->owner_count < SCAN_OWNERS_KEPT) {
        scan->owners[scan->owner_count++] =
            (ScanOwner){.id = id, .is_group = is_group, .name = kept};
    }
    return kept;
}

static TimeUs time_of(struct timespec time)
{
    return (TimeUs)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

void entry_set_stat(ManifestEntry *entry, const struct stat *info)
{
    entry->size = (uint64_t)info->st_size;
    entry->mtime = time_of(info->st_mtim);
    entry->ctime = time_of(info->st_ctim);
    entry->inode = info->st_ino;
}

static ManifestEntry *add_entry(Scan *scan, EntryKind kind, const char *path,
                                const struct stat *info)
{
    if (scan->count == scan->capacity) {
        scan->capacity = scan->capacity == 0 ? 1024 : scan->capacity + scan->capacity / 2;
        scan->entries = mem_resize(scan->entries, scan->capacity * sizeof scan->entries[0]);
    }

    ManifestEntry *entry = &scan->entries[scan->count++];
    *entry = (ManifestEntry){
        .kind = kind,
        .path = path,
        .mode = (uint16_t)(info->st_mode & 07777),
        .owner = owner_text(scan, info->st_uid, false),
        .group = owner_text(scan, info->st_gid, true),
    };
    entry_set_stat(entry, info);
    if (kind == ENTRY_FILE || kind == ENTRY_EXTRA)
        scan->bytes += entry->size;
    return entry;
}

static void enqueue(Walk *walk, const char *path)
{
    if (walk->queued == walk->queue_capacity) {
        walk->queue_capacity = walk->queue_capacity == 0 ? 64 : walk->queue_capacity * 2;
        walk->queue = mem_resize(walk->queue, walk->queue_capacity * sizeof walk->queue[0]);
    }
    walk->queue[walk->queued++] = path;
}

/* -------- tablespaces */

static bool is_oid(const char *name)
{
    size_t digits = strspn(name, "0123456789");

    return digits > 0 && digits <= 10 && name[digits] == '\0' && name[0] != '0';
}

static bool read_link(const Walk *walk, const char *path, char target[PATH_MAX], bool *found,
                      Error *err)
{
    ssize_t size = readlinkat(walk->data_fd, path, target, PATH_MAX);

    *found = size >= 0;
    /* EINVAL: no link any more. */
    if (size < 0 && errno != ENOENT && errno != EINVAL)
        return error_set_errno(err, ERR_IO, errno, "read link %s/%s", walk->data, path);
    if (size == PATH_MAX)
        return error_set(err, ERR_IO, "link %s/%s is too long", walk->data, path);
    if (size >= 0)
        target[size] = '\0';
    return true;
}

/*
 * A tablespace may lie inside the data directory (the manual says not to, people do): its content
 * is stored as the tablespace's, and not a second time where the walk meets it. basebackup.c tells
 * by comparing paths; resolved paths also notice a link in between.
 */
static bool note_if_inside(Walk *walk, const char *real_data, const char *path, Error *err)
{
    char target[PATH_MAX];
    bool found;

    if (!read_link(walk, path, target, &found, err))
        return false;
    if (!found)
        return true;

    CLEANUP(free_text) char *real = realpath(target, NULL);
    size_t length = strlen(real_data);
    if (real == NULL || strncmp(real, real_data, length) != 0 || real[length] != '/')
        return true;

    Scan *scan = walk->scan;
    scan->inside = mem_resize(scan->inside, (scan->inside_count + 1) * sizeof scan->inside[0]);
    scan->inside[scan->inside_count++] = arena_text(&scan->arena, real + length + 1);
    log_warn("tablespace inside the data directory", log_str("file", path),
             log_str("location", target));
    return true;
}

static bool find_inside(Walk *walk, Error *err)
{
    CLEANUP(free_text) char *real_data = realpath(walk->data, NULL);
    CLEANUP(directory_done) DIR *directory = open_directory(walk->data_fd, "pg_tblspc", 0);

    if (real_data == NULL || directory == NULL)
        return error_set_errno(err, ERR_IO, errno, "read %s/pg_tblspc", walk->data);
    for (;;) {
        errno = 0;
        const struct dirent *found = readdir(directory);
        if (found == NULL)
            break;
        if (!is_oid(found->d_name))
            continue;
        CLEANUP(text_freep) char *path = text_format("pg_tblspc/%s", found->d_name);
        if (!note_if_inside(walk, real_data, path, err))
            return false;
    }
    if (errno != 0)
        return error_set_errno(err, ERR_IO, errno, "list %s/pg_tblspc", walk->data);
    return true;
}

static bool is_inside_location(const Scan *scan, const char *path)
{
    for (size_t i = 0; i < scan->inside_count; i++) {
        if (strcmp(scan->inside[i], path) == 0)
            return true;
    }
    return false;
}

/*
 * The link, and below its path the one directory of the location that belongs to this server
 * version: other majors' directories may be beside it.
 */
static bool add_tablespace(Walk *walk, const char *path, const struct stat *info, Error *err)
{
    char target[PATH_MAX], version[TABLESPACE_DIRECTORY_SIZE];
    struct stat inner;
    bool found;

    if (!read_link(walk, path, target, &found, err))
        return false;
    if (!found) {
        walk->scan->skipped_count++;
        return true;
    }
    if (target[0] != '/') {
        return error_set(err, ERR_REFUSED, "tablespace link %s/%s points to the relative path %s",
                         walk->data, path, target);
    }
    add_entry(walk->scan, ENTRY_LINK, path, info)->target = arena_text(&walk->scan->arena, target);

    const char *content = arena_format(&walk->scan->arena, "%s/%s", path,
                                       tablespace_directory_text(walk->major, version));
    if (fstatat(walk->data_fd, content, &inner, AT_SYMLINK_NOFOLLOW) != 0) {
        /* Just being created or dropped: WAL does it again. */
        if (errno == ENOENT)
            return true;
        return error_set_errno(err, ERR_IO, errno, "look at %s/%s", walk->data, content);
    }
    if (S_ISDIR(inner.st_mode)) {
        add_entry(walk->scan, ENTRY_DIRECTORY, content, &inner);
        enqueue(walk, content);
    }
    return true;
}

/* -------- one entry of a directory */

static void add_wal_directories(Walk *walk, const struct stat *info)
{
    for (const char *const *name = data_wal_directories(walk->major); *name != NULL; name++)
        (void)add_entry(walk->scan, ENTRY_DIRECTORY, *name, info);
}

static void add_directory(Walk *walk, DataPlan plan, const char *path, const struct stat *info)
{
    (void)add_entry(walk->scan, ENTRY_DIRECTORY, path, info);
    if (plan == PLAN_EMPTY) {
        if (strcmp(path, "pg_wal") == 0)
            add_wal_directories(walk, info);
        return;
    }
    if (!is_inside_location(walk->scan, path))
        enqueue(walk, path);
}

/* Without these a restored cluster does not start, or starts and is wrong. */
static bool is_vital(const char *path, size_t length)
{
    static const char *const names[] = {"base",         "global",    "pg_xact",
                                        "pg_multixact", "pg_tblspc", "pg_commit_ts",
                                        "pg_logical",   "pg_stat",   "pg_twophase"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strncmp(path, names[i], length) == 0 && names[i][length] == '\0')
            return true;
    }
    return false;
}

/* A setting that names base/ is a mistake, and no reason to leave the data out of the backup. */
static bool is_directory_of_statistics(const Walk *walk, const char *path)
{
    return walk->statistics != NULL && strcmp(path, walk->statistics) == 0 &&
           !is_vital(path, strcspn(path, "/"));
}

static bool add_link(Walk *walk, DataPlan plan, const char *path, const char *name,
                     const struct stat *info, Error *err)
{
    /* A pg_wal on another disk comes back as the plain directory it stands for. */
    if (plan == PLAN_EMPTY) {
        struct stat behind;
        bool found = fstatat(walk->data_fd, path, &behind, 0) == 0 && S_ISDIR(behind.st_mode);
        if (!found && fstat(walk->data_fd, &behind) != 0)
            return error_set_errno(err, ERR_IO, errno, "look at %s", walk->data);
        add_directory(walk, plan, path, &behind);
        return true;
    }
    if (strncmp(path, "pg_tblspc/", 10) == 0 && strchr(path + 10, '/') == NULL && is_oid(name))
        return add_tablespace(walk, path, info, err);
    if (is_vital(path, strlen(path))) {
        error_set(err, ERR_REFUSED, "%s/%s is a symbolic link", walk->data, path);
        return error_hint(err, "use a tablespace, or mount the file system at this place");
    }
    walk->scan->skipped_count++;
    log_warn("not copied: a symbolic link of somebody else's", log_str("file", path));
    return true;
}

/* Ours, and about this very directory: restore writes them anew. */
static bool is_ours(const char *path)
{
    return strncmp(path, "pgcairn.restore", 15) == 0 || strncmp(path, "pgcairn.recovery", 16) == 0;
}

static bool add_found(Walk *walk, const char *path, const char *name, const struct stat *info,
                      Error *err)
{
    bool is_directory = S_ISDIR(info->st_mode);
    DataPlan plan = data_plan_of(path, is_directory);

    if (plan == PLAN_SKIP || is_ours(path))
        return true;
    if (is_directory_of_statistics(walk, path))
        plan = PLAN_EMPTY;
    if (S_ISLNK(info->st_mode))
        return add_link(walk, plan, path, name, info, err);
    if (is_directory) {
        add_directory(walk, plan, path, info);
    } else if (S_ISREG(info->st_mode)) {
        (void)add_entry(walk->scan, ENTRY_FILE, path, info);
    } else {
        walk->scan->skipped_count++;
        log_warn("not copied: no file, no directory", log_str("file", path));
    }
    return true;
}

/* -------- unlogged relations */

static bool relation_of(const ManifestEntry *entry, RelationFile *file)
{
    const char *slash = strrchr(entry->path, '/');

    return entry->kind == ENTRY_FILE && data_plan_of(entry->path, false) == PLAN_RELATION &&
           relation_file_parse(slash != NULL ? slash + 1 : entry->path, file);
}

static int compare_numbers(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

/*
 * Of a relation that has an init fork only that fork is kept: the server removes the others when
 * recovery ends and copies the init fork (storage/file/reinit.c). The entries of one directory are
 * those from `first` on.
 */
static void drop_unlogged(Scan *scan, size_t first)
{
    uint32_t *unlogged = NULL;
    size_t unlogged_count = 0, kept = first;
    RelationFile file;

    for (size_t i = first; i < scan->count; i++) {
        if (relation_of(&scan->entries[i], &file) && file.fork == FORK_INIT) {
            unlogged = mem_resize(unlogged, (unlogged_count + 1) * sizeof unlogged[0]);
            unlogged[unlogged_count++] = file.relfilenode;
        }
    }
    if (unlogged == NULL)
        return;

    qsort(unlogged, unlogged_count, sizeof unlogged[0], compare_numbers);
    for (size_t i = first; i < scan->count; i++) {
        if (relation_of(&scan->entries[i], &file) && file.fork != FORK_INIT &&
            bsearch(&file.relfilenode, unlogged, unlogged_count, sizeof unlogged[0],
                    compare_numbers) != NULL) {
            scan->bytes -= scan->entries[i].size;
        } else {
            scan->entries[kept++] = scan->entries[i];
        }
    }
    scan->count = kept;
    mem_free(unlogged);
}

/* -------- directories */

static bool look_at(Walk *walk, int directory_fd, const char *path, const char *name, Error *err)
{
    struct stat info;

    if (fstatat(directory_fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT)
            return error_set_errno(err, ERR_IO, errno, "look at %s/%s", walk->data, path);
        walk->scan->skipped_count++;
        return true;
    }
    return add_found(walk, path, name, &info, err);
}

static bool list_directory(Walk *walk, const char *path, DIR *directory, Error *err)
{
    for (;;) {
        errno = 0;
        const struct dirent *found = readdir(directory);
        if (found == NULL)
            break;
        const char *name = found->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        const char *full = *path == '\0' ? arena_text(&walk->scan->arena, name)
                                         : arena_format(&walk->scan->arena, "%s/%s", path, name);
        if (!look_at(walk, dirfd(directory), full, name, err))
            return false;
    }
    if (errno != 0)
        return error_set_errno(err, ERR_IO, errno, "list %s/%s", walk->data, path);
    return true;
}

static bool scan_directory(Walk *walk, const char *path, Error *err)
{
    size_t first = walk->scan->count;
    const char *name = *path == '\0' ? "." : path;
    CLEANUP(directory_done)
    DIR *directory = open_directory(walk->data_fd, name, O_NOFOLLOW);

    if (directory == NULL && *path != '\0' &&
        (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) {
        walk->scan->skipped_count++;
        return true;
    }
    if (directory == NULL)
        return error_set_errno(err, ERR_IO, errno, "open %s/%s", walk->data, path);
    if (!list_directory(walk, path, directory, err))
        return false;
    drop_unlogged(walk->scan, first);
    return true;
}

static int compare_entries(const void *left, const void *right)
{
    return strcmp(((const ManifestEntry *)left)->path, ((const ManifestEntry *)right)->path);
}

bool scan_data_directory(Scan *scan, const char *data, unsigned major, const char *statistics,
                         Error *err)
{
    CLEANUP(walk_done)
    Walk walk = {.scan = scan,
                 .data = data,
                 .major = major,
                 .statistics = statistics,
                 .data_fd = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};

    if (walk.data_fd < 0)
        return error_set_errno(err, ERR_IO, errno, "open %s", data);
    if (!find_inside(&walk, err))
        return false;
    enqueue(&walk, "");
    for (size_t i = 0; i < walk.queued; i++) {
        if (!scan_directory(&walk, walk.queue[i], err)) {
            return err->code == ERR_IO
                       ? error_hint(err, "run pgcairn as the user that the server runs as")
                       : false;
        }
    }
    if (scan->count > 0)
        qsort(scan->entries, scan->count, sizeof scan->entries[0], compare_entries);
    return true;
}

static bool knows(const TablespaceList *known, const char *oid)
{
    for (size_t i = 0; i < known->count; i++) {
        if (strtoul(oid, NULL, 10) == known->items[i].oid)
            return true;
    }
    return false;
}

/*
 * The server lists its tablespaces when a backup starts, the scan comes a little later. What was
 * created in between is in the WAL from its first byte on, and nothing says where a restore would
 * have to put it.
 */
void scan_drop_new_tablespaces(Scan *scan, const TablespaceList *known)
{
    const char *dropped = NULL;
    size_t kept = 0;

    /* By path: what is in a tablespace comes behind its link and before the next one. */
    for (size_t i = 0; i < scan->count; i++) {
        const ManifestEntry *entry = &scan->entries[i];
        size_t length = dropped != NULL ? strlen(dropped) : 0;
        bool is_inside = dropped != NULL && strncmp(entry->path, dropped, length) == 0 &&
                         entry->path[length] == '/';

        if (entry->kind == ENTRY_LINK && !knows(known, strrchr(entry->path, '/') + 1)) {
            dropped = entry->path;
            log_info("tablespace created during the backup: it comes from WAL",
                     log_str("file", dropped));
        } else if (!is_inside) {
            scan->entries[kept++] = *entry;
        } else if (entry->kind == ENTRY_FILE) {
            scan->bytes -= entry->size;
        }
    }
    scan->count = kept;
}

bool scan_add_extra(Scan *scan, const char *path, const struct stat *info, Error *err)
{
    if (!S_ISREG(info->st_mode))
        return error_set(err, ERR_IO, "%s is no file", path);
    (void)add_entry(scan, ENTRY_EXTRA, arena_text(&scan->arena, path), info);
    return true;
}

void scan_done(Scan *scan)
{
    mem_free(scan->entries);
    mem_free(scan->inside);
    arena_done(&scan->arena);
    *scan = (Scan){0};
}
