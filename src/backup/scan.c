#include "scan.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/order.h"
#include "postgres/data_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

enum { LINKED_FILE_MAX = EXTENT_SIZE }; /* of what is none of the server's business */

/* A directory to read; only of those that are links themselves the link is followed. */
typedef struct ScanStep {
    const char *path;
    bool is_link;
} ScanStep;

/* The walk itself: directories still to be read are a queue, so depth costs no stack. */
typedef struct ScanWalk {
    Scan *scan;
    const char *data;
    unsigned major;
    /*
     * It is the directory of temporary statistics, such as pg_stat_tmp. NULL means that there is
     * none.
     */
    const char *statistics;
    int data_fd;
    struct stat data_info;
    ScanStep *queue;
    size_t queued;
    size_t queue_capacity;
} ScanWalk;

static void walk_done(ScanWalk *walk)
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

static TimeUs scan_time_of(struct timespec time)
{
    return (TimeUs)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

void entry_set_stat(ManifestEntry *entry, const struct stat *info)
{
    entry->size = (uint64_t)info->st_size;
    entry->mtime = scan_time_of(info->st_mtim);
    entry->ctime = scan_time_of(info->st_ctim);
    entry->inode = info->st_ino;
}

static ManifestEntry *scan_add_entry(Scan *scan, EntryKind kind, const char *path,
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
        .mode = (uint16_t)(info->st_mode & 0777), /* setuid and its kind are for programs */
        .owner = owner_text(scan, info->st_uid, false),
        .group = owner_text(scan, info->st_gid, true),
    };
    entry_set_stat(entry, info);
    if (kind == ENTRY_FILE || kind == ENTRY_EXTRA)
        scan->bytes += entry->size;
    return entry;
}

static void scan_enqueue(ScanWalk *walk, const char *path, bool is_link)
{
    if (walk->queued == walk->queue_capacity) {
        walk->queue_capacity = walk->queue_capacity == 0 ? 64 : walk->queue_capacity * 2;
        walk->queue = mem_resize(walk->queue, walk->queue_capacity * sizeof walk->queue[0]);
    }
    walk->queue[walk->queued++] = (ScanStep){.path = path, .is_link = is_link};
}

static bool is_oid(const char *name)
{
    size_t digits = strspn(name, "0123456789");

    return digits > 0 && digits <= 10 && name[digits] == '\0' && name[0] != '0';
}

static bool read_link(const ScanWalk *walk, const char *path, char target[PATH_MAX], bool *found,
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

/* Where a tablespace's link leads to, from the root on: the server follows a relative one, too. */
static bool read_location(const ScanWalk *walk, const char *path, char target[PATH_MAX],
                          bool *found, Error *err)
{
    CLEANUP(text_freep) char *link = text_format("%s/%s", walk->data, path);

    if (!read_link(walk, path, target, found, err) || !*found || target[0] == '/')
        return err->code == ERR_NONE;
    if (realpath(link, target) != NULL)
        return true;
    return error_set_errno(err, ERR_REFUSED, errno, "tablespace link %s leads to no directory",
                           link);
}

/*
 * A tablespace may lie inside the data directory (the manual says not to, people do): its content
 * is stored as the tablespace's, and not a second time where the walk meets it. basebackup.c tells
 * by comparing paths; resolved paths also notice a link in between.
 */
static bool note_if_inside(ScanWalk *walk, const char *real_data, const char *path, Error *err)
{
    char target[PATH_MAX];
    bool found;

    if (!read_location(walk, path, target, &found, err))
        return false;
    if (!found)
        return true;

    CLEANUP(text_freep) char *real = realpath(target, NULL);
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

static bool find_inside(ScanWalk *walk, Error *err)
{
    CLEANUP(text_freep) char *real_data = realpath(walk->data, NULL);
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

static bool add_link(ScanWalk *walk, DataPlan plan, const char *path, const char *name,
                     const struct stat *info, Error *err);

/*
 * The link, and below its path the one directory of the location that belongs to this server
 * version: other majors' directories may be beside it.
 */
static bool scan_add_tablespace(ScanWalk *walk, const char *path, const struct stat *info,
                                Error *err)
{
    char target[PATH_MAX], version[TABLESPACE_DIRECTORY_SIZE];
    struct stat inner;
    bool found;

    if (!read_location(walk, path, target, &found, err))
        return false;
    if (!found) {
        walk->scan->skipped_count++;
        return true;
    }
    scan_add_entry(walk->scan, ENTRY_LINK, path, info)->target =
        arena_text(&walk->scan->arena, target);

    const char *content = arena_format(&walk->scan->arena, "%s/%s", path,
                                       tablespace_directory_text(walk->major, version));
    if (fstatat(walk->data_fd, content, &inner, AT_SYMLINK_NOFOLLOW) != 0) {
        /* Just being created or dropped: WAL does it again. */
        if (errno == ENOENT)
            return true;
        return error_set_errno(err, ERR_IO, errno, "look at %s/%s", walk->data, content);
    }
    if (S_ISLNK(inner.st_mode))
        return add_link(walk, PLAN_COPY, content, version, &inner, err);
    if (S_ISDIR(inner.st_mode)) {
        scan_add_entry(walk->scan, ENTRY_DIRECTORY, content, &inner);
        scan_enqueue(walk, content, false);
    }
    return true;
}

static void add_wal_directories(ScanWalk *walk, const struct stat *info)
{
    for (const char *const *name = data_wal_directories(walk->major); *name != NULL; name++)
        (void)scan_add_entry(walk->scan, ENTRY_DIRECTORY, *name, info);
}

static void add_directory(ScanWalk *walk, DataPlan plan, const char *path, const struct stat *info,
                          bool is_link)
{
    (void)scan_add_entry(walk->scan, ENTRY_DIRECTORY, path, info);
    if (plan == PLAN_EMPTY) {
        if (strcmp(path, "pg_wal") == 0)
            add_wal_directories(walk, info);
        return;
    }
    if (!is_inside_location(walk->scan, path))
        scan_enqueue(walk, path, is_link);
}

/* A setting that names base/ is a mistake, and no reason to leave the data out of the backup. */
static bool is_directory_of_statistics(const ScanWalk *walk, const char *path)
{
    CLEANUP(text_freep) char *first = text_format("%.*s", (int)strcspn(path, "/"), path);

    return walk->statistics != NULL && strcmp(path, walk->statistics) == 0 &&
           data_place_of(first) != PLACE_DIRECTORY;
}

/* The entries of one directory are those from `first` on. */
static bool is_listed(const Scan *scan, size_t first, const char *path)
{
    for (size_t i = first; i < scan->count; i++) {
        if (strcmp(scan->entries[i].path, path) == 0)
            return true;
    }
    return false;
}

/* What another user owns must be the server's own to be read by it once it is restored: its mode
 * then lets no one else in, as the server demands of a key. */
static struct stat as_if_ours(const ScanWalk *walk, const struct stat *end)
{
    struct stat info = *end;

    if (end->st_uid != walk->data_info.st_uid) {
        info.st_uid = walk->data_info.st_uid;
        info.st_gid = walk->data_info.st_gid;
        info.st_mode &= ~(mode_t)077;
    }
    return info;
}

static bool note_followed(ScanWalk *walk, const char *path, const struct stat *end, Error *err)
{
    Scan *scan = walk->scan;
    char target[PATH_MAX];
    bool found;

    if (!read_link(walk, path, target, &found, err))
        return false;
    size_t size = (scan->followed_count + 1) * sizeof scan->followed[0];
    scan->followed = mem_resize(scan->followed, size);
    scan->followed[scan->followed_count++] =
        (FollowedLink){.path = path,
                       .target = arena_text(&scan->arena, found ? target : ""),
                       .device = end->st_dev,
                       .inode = end->st_ino};
    log_warn("a symbolic link is followed: a restore makes a plain file or directory of it",
             log_str("file", path), log_str("target", found ? target : ""));
    return true;
}

static bool scan_refuse_link(const ScanWalk *walk, const char *path, const char *why, Error *err)
{
    error_set(err, ERR_REFUSED, "%s/%s is a symbolic link %s", walk->data, path, why);
    return error_hint(err, "the server opens what it leads to: is its file system mounted, and "
                           "can the user that runs pgcairn see it?");
}

static bool leave_link(ScanWalk *walk, const char *path)
{
    walk->scan->skipped_count++;
    log_warn("not copied: a symbolic link of somebody else's", log_str("file", path));
    return true;
}

static bool is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    return strncmp(path, directory, length) == 0 && path[length] == '/';
}

static bool holds_configuration(const Scan *scan, const char *directory)
{
    for (size_t i = 0; i < scan->configuration_count; i++) {
        if (is_below(scan->configuration[i], directory))
            return true;
    }
    return false;
}

static bool add_configured(ScanWalk *walk, const char *path, Error *err)
{
    struct stat end;

    if (fstatat(walk->data_fd, path, &end, 0) != 0)
        return errno == ENOENT || error_set_errno(err, ERR_IO, errno, "look at %s", path);
    if (!S_ISREG(end.st_mode) || end.st_size > LINKED_FILE_MAX)
        return leave_link(walk, path);
    struct stat info = as_if_ours(walk, &end);
    (void)scan_add_entry(walk->scan, ENTRY_FILE, arena_text(&walk->scan->arena, path), &info);
    return note_followed(walk, walk->scan->entries[walk->scan->count - 1].path, &end, err);
}

/* The directories between a link and a file below it, once each. */
static void add_folders(ScanWalk *walk, const char *link, const char *path, const struct stat *end)
{
    for (const char *slash = path + strlen(link); slash != NULL; slash = strchr(slash + 1, '/')) {
        const char *folder = arena_text_part(&walk->scan->arena, path, (size_t)(slash - path));
        if (!is_listed(walk->scan, 0, folder))
            (void)scan_add_entry(walk->scan, ENTRY_DIRECTORY, folder, end);
    }
}

/* include_dir = 'conf.d', and that leads elsewhere: of what is there only what the server reads. */
static bool follow_to_configuration(ScanWalk *walk, const char *link, const struct stat *end,
                                    Error *err)
{
    const Scan *scan = walk->scan;
    struct stat info = as_if_ours(walk, end);

    for (size_t i = 0; i < scan->configuration_count; i++) {
        const char *path = scan->configuration[i];
        if (!is_below(path, link))
            continue;
        add_folders(walk, link, path, &info);
        if (!add_configured(walk, path, err))
            return false;
    }
    return true;
}

/* Where the server opens what has this name, it follows. */
static bool follow_link(ScanWalk *walk, DataPlan plan, const char *path, Error *err)
{
    ServerPlace place = data_place_of(path);
    struct stat end;
    bool is_there = fstatat(walk->data_fd, path, &end, 0) == 0;

    if (!is_there && errno != ENOENT && errno != ENOTDIR && errno != ELOOP && errno != EACCES)
        return error_set_errno(err, ERR_IO, errno, "look at %s/%s", walk->data, path);
    if (place != PLACE_OTHER) {
        bool is_wrong = is_there && place == PLACE_DIRECTORY && !S_ISDIR(end.st_mode);
        if (!is_there || is_wrong) {
            return scan_refuse_link(
                walk, path, is_wrong ? "that does not lead to a directory" : "that leads nowhere",
                err);
        }
        if (place == PLACE_FILE && !S_ISREG(end.st_mode))
            return leave_link(walk, path);
    } else if (is_there && S_ISDIR(end.st_mode) && holds_configuration(walk->scan, path)) {
        return follow_to_configuration(walk, path, &end, err);
    } else if (!is_there || !S_ISREG(end.st_mode) || end.st_size > LINKED_FILE_MAX ||
               faccessat(walk->data_fd, path, R_OK, AT_EACCESS) != 0) {
        return leave_link(walk, path);
    }
    if (!note_followed(walk, path, &end, err))
        return false;
    struct stat info = as_if_ours(walk, &end);
    if (place == PLACE_DIRECTORY) {
        add_directory(walk, plan, path, &info, true);
    } else {
        (void)scan_add_entry(walk->scan, ENTRY_FILE, path, &info);
    }
    return true;
}

static bool add_link(ScanWalk *walk, DataPlan plan, const char *path, const char *name,
                     const struct stat *info, Error *err)
{
    /* A pg_wal on another disk comes back as the plain directory it stands for. */
    if (plan == PLAN_EMPTY) {
        struct stat behind;
        bool found = fstatat(walk->data_fd, path, &behind, 0) == 0 && S_ISDIR(behind.st_mode);
        if (!found && fstat(walk->data_fd, &behind) != 0)
            return error_set_errno(err, ERR_IO, errno, "look at %s", walk->data);
        add_directory(walk, plan, path, &behind, false);
        return true;
    }
    if (strncmp(path, "pg_tblspc/", 10) == 0 && strchr(path + 10, '/') == NULL && is_oid(name))
        return scan_add_tablespace(walk, path, info, err);
    return follow_link(walk, plan, path, err);
}

/*
 * Ours, and about this very directory: restore writes them anew; and the old pg_wal that a restore
 * could keep nowhere else (KEPT_WAL_INSIDE in restore.h).
 */
static bool scan_is_ours(const char *path)
{
    static const char *const names[] = {"pgcairn.restore", "pgcairn.recovery"};
    static const char kept_wal[] = "pgcairn.restore-pg_wal-";

    if (strncmp(path, kept_wal, sizeof kept_wal - 1) == 0)
        return true;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        size_t length = strlen(names[i]);
        if (strncmp(path, names[i], length) == 0 &&
            (path[length] == '\0' || strncmp(path + length, ".tmp-", 5) == 0))
            return true;
    }
    return false;
}

static bool is_owner(int directory)
{
    struct stat info;

    return fstat(directory, &info) == 0 && info.st_uid == geteuid();
}

bool scan_hint_unreadable(int directory, const char *path, Error *err)
{
    if (!is_owner(directory))
        return error_hint(err, "run pgcairn as the user that the server runs as");
    return error_hint(err,
                      "the server can't read it either: give %s to the user that the server runs "
                      "as (chown), or move it away",
                      path);
}

static bool is_by_name(const ScanWalk *walk, const char *path)
{
    for (const char *const *name = data_names_in(""); *name != NULL; name++) {
        if (strcmp(path, *name) == 0)
            return true;
    }
    for (size_t i = 0; i < walk->scan->configuration_count; i++) {
        if (strcmp(walk->scan->configuration[i], path) == 0)
            return true;
    }
    return false;
}

/* Somebody else's (root's notes, a snapshot's directory), where the server opens nothing. */
static bool is_foreign(const ScanWalk *walk, const char *path)
{
    return data_place_of(path) == PLACE_OTHER && !is_by_name(walk, path) &&
           !holds_configuration(walk->scan, path) && is_owner(walk->data_fd);
}

static bool is_unreadable(const ScanWalk *walk, const char *path, const struct stat *info)
{
    bool may_be = info->st_uid != walk->data_info.st_uid || (info->st_mode & S_IRUSR) == 0;

    return may_be && is_foreign(walk, path) &&
           faccessat(walk->data_fd, path, R_OK, AT_EACCESS) != 0 && errno == EACCES;
}

static bool leave_unreadable(ScanWalk *walk, const char *path)
{
    walk->scan->skipped_count++;
    log_warn("not copied: neither the server nor its backup may read it", log_str("file", path));
    return true;
}

static bool add_found(ScanWalk *walk, const char *path, const char *name, const struct stat *info,
                      Error *err)
{
    bool is_directory = S_ISDIR(info->st_mode);
    DataPlan plan = data_plan_of(path, is_directory);

    if (plan == PLAN_SKIP || scan_is_ours(path))
        return true;
    if (is_directory_of_statistics(walk, path))
        plan = PLAN_EMPTY;
    if (S_ISLNK(info->st_mode))
        return add_link(walk, plan, path, name, info, err);
    if (plan != PLAN_EMPTY && is_unreadable(walk, path, info))
        return leave_unreadable(walk, path);
    if (is_directory) {
        add_directory(walk, plan, path, info, false);
    } else if (S_ISREG(info->st_mode)) {
        (void)scan_add_entry(walk->scan, ENTRY_FILE, path, info);
    } else {
        walk->scan->skipped_count++;
        log_warn("not copied: neither a file nor a directory", log_str("file", path));
    }
    return true;
}

static bool relation_of(const ManifestEntry *entry, RelationFileName *file)
{
    const char *slash = strrchr(entry->path, '/');

    return entry->kind == ENTRY_FILE && data_plan_of(entry->path, false) == PLAN_RELATION &&
           relation_file_parse(slash != NULL ? slash + 1 : entry->path, file);
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
    RelationFileName file;

    for (size_t i = first; i < scan->count; i++) {
        if (relation_of(&scan->entries[i], &file) && file.fork == FORK_INIT) {
            unlogged = mem_resize(unlogged, (unlogged_count + 1) * sizeof unlogged[0]);
            unlogged[unlogged_count++] = file.relfilenode;
        }
    }
    if (unlogged == NULL)
        return;

    qsort(unlogged, unlogged_count, sizeof unlogged[0], order_numbers);
    for (size_t i = first; i < scan->count; i++) {
        if (relation_of(&scan->entries[i], &file) && file.fork != FORK_INIT &&
            bsearch(&file.relfilenode, unlogged, unlogged_count, sizeof unlogged[0],
                    order_numbers) != NULL) {
            scan->bytes -= scan->entries[i].size;
        } else {
            scan->entries[kept++] = scan->entries[i];
        }
    }
    scan->count = kept;
    mem_free(unlogged);
}

static const char *scan_join(ScanWalk *walk, const char *directory, const char *name)
{
    return *directory == '\0' ? arena_text(&walk->scan->arena, name)
                              : arena_format(&walk->scan->arena, "%s/%s", directory, name);
}

static bool scan_look_at(ScanWalk *walk, int directory_fd, const char *path, const char *name,
                         Error *err)
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

static bool list_directory(ScanWalk *walk, const char *path, DIR *directory, Error *err)
{
    for (;;) {
        errno = 0;
        const struct dirent *found = readdir(directory);
        if (found == NULL)
            break;
        const char *name = found->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        const char *full = scan_join(walk, path, name);
        if (!scan_look_at(walk, dirfd(directory), full, name, err))
            return false;
    }
    if (errno != 0)
        return error_set_errno(err, ERR_IO, errno, "list %s/%s", walk->data, path);
    return true;
}

static bool look_if_there(ScanWalk *walk, int directory_fd, const char *path, const char *name,
                          Error *err)
{
    struct stat info;

    if (fstatat(directory_fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0)
        return add_found(walk, path, name, &info, err);
    return errno == ENOENT ||
           error_set_errno(err, ERR_IO, errno, "look at %s/%s", walk->data, path);
}

static bool look_by_name(ScanWalk *walk, const char *directory, int directory_fd, size_t first,
                         Error *err)
{
    for (const char *const *name = data_names_in(directory); *name != NULL; name++) {
        const char *path = scan_join(walk, directory, *name);
        if (!is_listed(walk->scan, first, path) &&
            !look_if_there(walk, directory_fd, path, *name, err))
            return false;
    }
    return true;
}

bool scan_read_map(int at, const char *path, RelationMap *map, bool *is_whole, Error *err)
{
    enum { TRIES = 5, PAUSE_MS = 10 };
    uint8_t bytes[RELATION_MAP_SIZE_MAX + 1];

    *is_whole = false;
    /* Written in place until 15: what was read in the middle of that is read again. */
    for (int i = 0; i < TRIES && !*is_whole; i++) {
        CLEANUP(fd_done) int fd = openat(at, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        Error damage = {0}; /* what is wrong with it the server says, too */
        size_t size;
        if (fd < 0) {
            return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ||
                   error_set_errno(err, ERR_IO, errno, "open %s", path);
        }
        if (!file_read_at(fd, bytes, sizeof bytes, 0, &size, path, err))
            return false;
        *is_whole = relation_map_parse(bytes, size, map, &damage);
        if (!*is_whole)
            time_sleep_ms(PAUSE_MS);
    }
    return true;
}

static bool note_map(ScanWalk *walk, const char *directory, int directory_fd, Error *err)
{
    Scan *scan = walk->scan;
    ScannedMap scanned = {.directory = directory};
    bool is_whole;

    if (!scan_read_map(directory_fd, "pg_filenode.map", &scanned.map, &is_whole, err))
        return false;
    if (!is_whole)
        scanned.map.count = 0;
    scan->maps = mem_resize(scan->maps, (scan->map_count + 1) * sizeof scan->maps[0]);
    scan->maps[scan->map_count++] = scanned;
    return true;
}

/* Strike out what has been listed; the numbers that are left are zero. */
static void strike_listed(const Scan *scan, size_t first, RelationMap *left)
{
    RelationFileName file;

    for (size_t i = first; i < scan->count; i++) {
        if (!relation_of(&scan->entries[i], &file) || file.fork != FORK_MAIN || file.segment != 0)
            continue;
        for (uint32_t j = 0; j < left->count; j++)
            left->files[j] = left->files[j] == file.relfilenode ? 0 : left->files[j];
    }
}

static bool look_for_mapped(ScanWalk *walk, const char *directory, int directory_fd, size_t first,
                            Error *err)
{
    RelationMap left = walk->scan->maps[walk->scan->map_count - 1].map;

    strike_listed(walk->scan, first, &left);
    for (uint32_t i = 0; i < left.count; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%u", left.files[i]);
        if (left.files[i] != 0 &&
            !look_if_there(walk, directory_fd, scan_join(walk, directory, name), name, err))
            return false;
    }
    return true;
}

static bool scan_open_directory(ScanWalk *walk, const char *path, DIR *directory, Error *err)
{
    size_t first = walk->scan->count;
    bool has_map = data_holds_relations(path);

    if ((has_map && !note_map(walk, path, dirfd(directory), err)) ||
        !list_directory(walk, path, directory, err) ||
        !look_by_name(walk, path, dirfd(directory), first, err) ||
        (has_map && !look_for_mapped(walk, path, dirfd(directory), first, err)))
        return false;
    drop_unlogged(walk->scan, first);
    return true;
}

static bool scan_directory(ScanWalk *walk, const ScanStep *step, Error *err)
{
    const char *name = *step->path == '\0' ? "." : step->path;
    CLEANUP(directory_done)
    DIR *directory = open_directory(walk->data_fd, name, step->is_link ? 0 : O_NOFOLLOW);

    if (directory == NULL && *step->path != '\0' &&
        (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) {
        walk->scan->skipped_count++;
        return true;
    }
    if (directory == NULL)
        return error_set_errno(err, ERR_IO, errno, "open %s/%s", walk->data, step->path);
    return scan_open_directory(walk, step->path, directory, err);
}

static int scan_compare_entries(const void *left, const void *right)
{
    return strcmp(((const ManifestEntry *)left)->path, ((const ManifestEntry *)right)->path);
}

bool scan_data_directory(Scan *scan, const char *data, unsigned major, const char *statistics,
                         Error *err)
{
    CLEANUP(walk_done)
    ScanWalk walk = {.scan = scan,
                     .data = data,
                     .major = major,
                     .statistics = statistics,
                     .data_fd = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};

    if (walk.data_fd < 0)
        return error_set_errno(err, ERR_IO, errno, "open %s", data);
    if (fstat(walk.data_fd, &walk.data_info) != 0)
        return error_set_errno(err, ERR_IO, errno, "look at %s", data);
    if (!find_inside(&walk, err))
        return false;
    scan_enqueue(&walk, "", false);
    for (size_t i = 0; i < walk.queued; i++) {
        ScanStep step = walk.queue[i];
        if (!scan_directory(&walk, &step, err)) {
            return err->code == ERR_IO ? scan_hint_unreadable(walk.data_fd, step.path, err) : false;
        }
    }
    if (scan->count > 0)
        qsort(scan->entries, scan->count, sizeof scan->entries[0], scan_compare_entries);
    return true;
}

/* Extras are sorted for themselves, at the end. */
static size_t own_count(const Scan *scan)
{
    size_t count = scan->count;

    while (count > 0 && scan->entries[count - 1].kind == ENTRY_EXTRA)
        count--;
    return count;
}

/* The first entry that does not come before the path. */
static size_t scan_lower_bound(const Scan *scan, const char *path)
{
    size_t low = 0, high = own_count(scan);

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(scan->entries[middle].path, path) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

ManifestEntry *scan_find(const Scan *scan, const char *path)
{
    size_t index = scan_lower_bound(scan, path);

    return index < own_count(scan) && strcmp(scan->entries[index].path, path) == 0
               ? &scan->entries[index]
               : NULL;
}

bool scan_has_below(const Scan *scan, const char *directory)
{
    CLEANUP(text_freep) char *prefix = text_format("%s/", directory);
    size_t index = scan_lower_bound(scan, prefix);

    return index < own_count(scan) &&
           strncmp(scan->entries[index].path, prefix, strlen(prefix)) == 0;
}

const FollowedLink *scan_followed(const Scan *scan, const char *path)
{
    for (size_t i = 0; i < scan->followed_count; i++) {
        if (strcmp(scan->followed[i].path, path) == 0)
            return &scan->followed[i];
    }
    return NULL;
}

static bool tablespace_is_known(const TablespaceList *known, const char *oid)
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

    /* By path: what is in a tablespace comes after its link and before the next one. */
    for (size_t i = 0; i < scan->count; i++) {
        const ManifestEntry *entry = &scan->entries[i];
        size_t length = dropped != NULL ? strlen(dropped) : 0;
        bool is_inside = dropped != NULL && strncmp(entry->path, dropped, length) == 0 &&
                         entry->path[length] == '/';

        if (entry->kind == ENTRY_LINK &&
            !tablespace_is_known(known, strrchr(entry->path, '/') + 1)) {
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
        return error_set(err, ERR_IO, "%s is not a file", path);
    (void)scan_add_entry(scan, ENTRY_EXTRA, arena_text(&scan->arena, path), info);
    return true;
}

void scan_done(Scan *scan)
{
    mem_free(scan->entries);
    mem_free(scan->inside);
    mem_free(scan->followed);
    mem_free(scan->maps);
    arena_done(&scan->arena);
    *scan = (Scan){0};
}
