#include "posix.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/owner.h"
#include "base/shell_word.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { ROOT_MODE = 0750, SEQUENTIAL_SIZE = 1 << 20 };

/* What an open file is. What is not a regular file is not an object. */
static bool look_at_object(int fd, const char *path, struct stat *found, Error *err)
{
    if (fstat(fd, found) != 0) {
        error_set_errno(err, ERR_IO, errno, "look at %s", path);
        return posix_explain(err);
    }
    return S_ISREG(found->st_mode) ||
           error_set(err, ERR_NOT_FOUND, "%s is not a regular file", path);
}

/* The object for reading, and what it is. *fd is left alone on failure. */
static bool open_object(const PosixStorage *posix, const char *name, int *fd, struct stat *found,
                        Error *err)
{
    CLEANUP(text_freep) char *path = posix_path(posix, name);
    const int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK; /* a pipe would block */
    int opened = posix_open_object(posix, name, flags);

    if (opened < 0 && posix_is_missing(errno)) {
        if (!posix_look_again(posix, name, err))
            return false;
        opened = posix_open_object(posix, name, flags);
    }
    if (opened < 0 && posix_is_missing(errno))
        return error_set_errno(err, ERR_NOT_FOUND, errno, "open %s", path);
    if (opened < 0) {
        error_set_errno(err, ERR_IO, errno, "open %s", path);
        return posix_explain(err);
    }
    if (!look_at_object(opened, path, found, err)) {
        fd_done(&opened);
        return false;
    }
    *fd = opened;
    return true;
}

/* In a directory of root's, say: it is to be of whoever asks for it. install(1) takes numbers, too.
 */
static void hint_to_make(const char *root, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(text_freep) char *word = shell_word(root);
    Account account = {0};
    Error unknown = {0};

    if (!account_find(geteuid(), getegid(), &arena, &account, &unknown))
        return;
    (void)!error_hint(err, "let root make it: `install -d -o %s -g %u -m 0750 %s`", account.name,
                      (unsigned)account.gid, word);
}

static bool posix_create(Storage *storage, Error *err)
{
    const PosixStorage *posix = (PosixStorage *)storage;
    Error missing = {0}; /* then it is made; whatever else is wrong shows below */
    bool was_there = posix_root_is_there(posix, &missing);

    if (file_make_directories(posix->root, ROOT_MODE, err))
        return posix_root_is_there(posix, err);
    /* It cannot be synced by whoever may not read its parent: whoever gave it to us made it
     * durable. */
    if (!was_there && err->os_errno == EACCES)
        hint_to_make(posix->root, err);
    if (!was_there || err->os_errno != EACCES)
        return posix_explain(err);
    error_clear(err);
    return true;
}

static bool is_known_durable(PosixStorage *posix, const char *folder, size_t size)
{
    bool is_known = false;

    pthread_mutex_lock(&posix->mutex);
    for (size_t i = 0; i < DURABLE_FOLDERS_MAX && !is_known; i++) {
        const char *known = posix->durable_folders[i];
        is_known = known != NULL && strlen(known) == size && memcmp(known, folder, size) == 0;
    }
    pthread_mutex_unlock(&posix->mutex);
    return is_known;
}

static void remember_durable(PosixStorage *posix, const char *folder, size_t size)
{
    pthread_mutex_lock(&posix->mutex);
    text_freep(&posix->durable_folders[posix->durable_next]);
    posix->durable_folders[posix->durable_next] = text_format("%.*s", (int)size, folder);
    posix->durable_next = (posix->durable_next + 1) % DURABLE_FOLDERS_MAX;
    pthread_mutex_unlock(&posix->mutex);
}

/* Sync every folder that holds one of the folders of name: the root, and so on down. */
static bool sync_folders(PosixStorage *posix, const char *name, Error *err)
{
    const char *last = strrchr(name, '/');

    if (last == NULL)
        return true;
    if (!posix_sync_folder(posix, "", 0, err))
        return posix_explain(err);
    for (const char *slash = strchr(name, '/'); slash != last; slash = strchr(slash + 1, '/')) {
        if (!posix_sync_folder(posix, name, (size_t)(slash - name), err))
            return posix_explain(err);
    }
    remember_durable(posix, name, (size_t)(last - name));
    return true;
}

/*
 * Who may do what in the repository, the mode of its root says: its group's rights hold below it,
 * so that a repository can be shared by a group (chmod 2770). Others have none anywhere.
 */
static bool find_mode(const PosixStorage *posix, mode_t *group, Error *err)
{
    struct stat found;

    if (stat(posix->root, &found) != 0) {
        error_set_errno(err, ERR_IO, errno, "look at %s", posix->root);
        return posix_explain(err);
    }
    *group = found.st_mode & S_IRWXG;
    return true;
}

static bool make_folder(const PosixStorage *posix, const char *name, mode_t mode, bool *is_new,
                        Error *err)
{
    const char *last;
    CLEANUP(fd_done) int parent = posix_open_parent(posix, name, O_PATH, &last);

    if (parent >= 0 && mkdirat(parent, last, mode) == 0) {
        *is_new = true;
        return true;
    }
    if (parent >= 0 && errno == EEXIST)
        return true;
    error_set_errno(err, ERR_IO, errno, "create folder %s/%s", posix->root, name);
    return posix_explain(err);
}

/*
 * Make the folders that hold name, and sync every folder that holds one of them. Also when all
 * were there: another process may have made one a moment ago, and until it is durable neither is
 * anything that we put there and acknowledge (law 1). That costs some 50 us a folder when there
 * is nothing to do, and is done once for each folder.
 */
static bool make_folders(PosixStorage *posix, const char *name, mode_t group, Error *err)
{
    const char *end = strrchr(name, '/');
    bool is_new = false;

    if (end == NULL)
        return true;
    for (const char *slash = strchr(name, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        CLEANUP(text_freep) char *folder = text_format("%.*s", (int)(slash - name), name);
        if (!make_folder(posix, folder, S_IRWXU | group, &is_new, err))
            return false;
    }
    if (!FAULT_POINT("posix.after-make-folders", err))
        return false;
    if (!is_new && is_known_durable(posix, name, (size_t)(end - name)))
        return true;
    return sync_folders(posix, name, err);
}

typedef struct PosixWriter {
    ObjectWriter writer;
    PosixStorage *posix;
    char *name;
    WriteMode mode;
    FileWriter file;
} PosixWriter;

static bool posix_writer_write(ObjectWriter *writer, const void *data, size_t size, Error *err)
{
    return file_writer_write(&((PosixWriter *)writer)->file, data, size, err) || posix_explain(err);
}

static bool posix_writer_settle(ObjectWriter *writer, Error *err)
{
    return file_writer_settle(&((PosixWriter *)writer)->file, err) || posix_explain(err);
}

static bool posix_writer_commit(ObjectWriter *writer, Error *err)
{
    PosixWriter *out = (PosixWriter *)writer;

    if (out->mode == WRITE_NEW)
        return file_writer_commit(&out->file, err) || posix_explain(err);
    bool is_done = file_writer_replace(&out->file, err);
    open_files_forget(&out->posix->files, out->name); /* the name may mean the new file already */
    return is_done || posix_explain(err);
}

static void posix_writer_free(ObjectWriter *writer)
{
    PosixWriter *out = (PosixWriter *)writer;

    file_writer_done(&out->file);
    mem_free(out->name);
    mem_free(out);
}

static const ObjectWriterOps posix_writer_ops = {
    .write = posix_writer_write,
    .settle = posix_writer_settle,
    .commit = posix_writer_commit,
    .free = posix_writer_free,
};

static bool posix_write(Storage *storage, const char *name, WriteMode mode, ObjectWriter **writer,
                        Error *err)
{
    PosixStorage *posix = (PosixStorage *)storage;
    CLEANUP(text_freep) char *path = posix_path(posix, name);
    CLEANUP(file_writer_done) FileWriter file = FILE_WRITER_CLOSED;

    mode_t group = 0;

    /*
     * Without this look a new repository would be started below the mount point of one that is not
     * mounted.
     */
    if (!posix_root_is_there(posix, err) || !find_mode(posix, &group, err) ||
        !make_folders(posix, name, group, err))
        return false;
    const char *last;
    int folder = posix_open_parent(posix, name, O_RDONLY, &last);
    if (folder < 0) {
        error_set_errno(err, ERR_IO, errno, "open the folder of %s", path);
        return posix_explain(err);
    }
    /* Written once, never again: nobody needs the right to write. */
    if (!file_writer_open_in(&file, folder, path, S_IRUSR | S_IWUSR | (group & S_IRGRP), err))
        return posix_explain(err);

    PosixWriter *out = mem_alloc(sizeof(*out));
    *out = (PosixWriter){.writer = {&posix_writer_ops},
                         .posix = posix,
                         .name = text_format("%s", name),
                         .mode = mode,
                         .file = file};
    file = FILE_WRITER_CLOSED;
    *writer = &out->writer;
    return true;
}

/* size bytes of an open object; that they are there was known. */
static bool read_exactly(int fd, const char *path, uint64_t offset, size_t size, void *to,
                         Error *err)
{
    size_t got = 0;

    if (!file_read_at(fd, to, size, offset, &got, path, err))
        return posix_explain(err);
    if (got < size)
        return error_set(err, ERR_CORRUPT, "%s ends %zu bytes too early", path, size - got);
    return true;
}

static bool posix_read(Storage *storage, const char *name, const Range *range, Buffer *content,
                       uint64_t *object_size, Error *err)
{
    PosixStorage *posix = (PosixStorage *)storage;
    CLEANUP(text_freep) char *path = posix_path(posix, name);
    CLEANUP(fd_done) int fd = -1;
    struct stat found = {0};

    if (!open_object(posix, name, &fd, &found, err))
        return false;
    uint64_t whole = (uint64_t)found.st_size;
    uint64_t wanted = range->size < whole ? range->size : whole;
    uint64_t offset = range->from_end ? whole - wanted : range->offset;
    uint64_t left = offset < whole ? whole - offset : 0;
    size_t part = (size_t)(wanted < left ? wanted : left);

    if (object_size != NULL)
        *object_size = whole;
    if (part == 0)
        return true;
    if (part > SEQUENTIAL_SIZE)
        (void)posix_fadvise(fd, (off_t)offset, (off_t)part, POSIX_FADV_SEQUENTIAL);
    buffer_reserve(content, content->size + part);
    if (!read_exactly(fd, path, offset, part, content->data + content->size, err))
        return false;
    content->size += part;
    return true;
}

/* The name is gone, or another file has it: what is open must not be read any more. */
static bool is_removed(int fd)
{
    struct stat found = {0};

    return fstat(fd, &found) != 0 || found.st_nlink == 0;
}

static bool posix_read_range(Storage *storage, const char *name, uint64_t offset, size_t size,
                             void *to, Error *err)
{
    PosixStorage *posix = (PosixStorage *)storage;
    CLEANUP(text_freep) char *path = posix_path(posix, name);
    int fd = open_files_take(&posix->files, name);
    struct stat found = {0};

    if (fd >= 0 && is_removed(fd)) {
        open_files_forget(&posix->files, name);
        open_files_give_back(&posix->files, fd);
        fd = -1;
    }
    if (fd < 0) {
        if (!open_object(posix, name, &fd, &found, err))
            return false;
        open_files_add(&posix->files, name, fd);
    }
    bool is_done = read_exactly(fd, path, offset, size, to, err);
    if (!is_done) /* ESTALE, say: another try opens it anew */
        open_files_forget(&posix->files, name);
    open_files_give_back(&posix->files, fd);
    return is_done;
}

static bool stat_object(const PosixStorage *posix, const char *name, struct stat *found, Error *err)
{
    CLEANUP(text_freep) char *path = posix_path(posix, name);
    CLEANUP(fd_done) int fd = posix_open_object(posix, name, O_PATH);

    if (fd < 0 && posix_is_missing(errno)) {
        if (!posix_look_again(posix, name, err))
            return false;
        fd = posix_open_object(posix, name, O_PATH);
    }
    if (fd < 0 && posix_is_missing(errno))
        return error_set_errno(err, ERR_NOT_FOUND, errno, "look at %s", path);
    if (fd < 0 || fstat(fd, found) != 0) {
        error_set_errno(err, ERR_IO, errno, "look at %s", path);
        return posix_explain(err);
    }
    return S_ISREG(found->st_mode) ||
           error_set(err, ERR_NOT_FOUND, "%s is not a regular file", path);
}

static bool posix_stat(Storage *storage, const char *name, uint64_t *size, TimeUs *stored_at,
                       Error *err)
{
    struct stat found = {0};

    if (!stat_object((PosixStorage *)storage, name, &found, err))
        return false;
    *size = (uint64_t)found.st_size;
    *stored_at = (TimeUs)found.st_mtim.tv_sec * 1000000 + found.st_mtim.tv_nsec / 1000;
    return true;
}

/* Nobody can set the time of the last change of an inode, nor choose an inode's number. */
static bool posix_identify(Storage *storage, const char *name, char identity[OBJECT_IDENTITY_SIZE],
                           Error *err)
{
    struct stat found = {0};

    if (!stat_object((PosixStorage *)storage, name, &found, err))
        return false;
    snprintf(identity, OBJECT_IDENTITY_SIZE, "%" PRIx64 "-%" PRIx64 "-%" PRIx64 ".%09lx",
             (uint64_t)found.st_dev, (uint64_t)found.st_ino, (uint64_t)found.st_ctim.tv_sec,
             (unsigned long)found.st_ctim.tv_nsec);
    return true;
}

static bool posix_remove(Storage *storage, const char *name, Error *err)
{
    PosixStorage *posix = (PosixStorage *)storage;
    CLEANUP(text_freep) char *path = posix_path(posix, name);

    if (!FAULT_POINT("posix.before-remove", err))
        return false;
    open_files_forget(&posix->files, name);
    const char *last;
    CLEANUP(fd_done) int folder = posix_open_parent(posix, name, O_PATH, &last);
    if (folder < 0 || unlinkat(folder, last, 0) != 0) {
        if (errno == EISDIR) /* a folder is not an object */
            return true;
        if (!posix_is_missing(errno)) {
            error_set_errno(err, ERR_IO, errno, "remove %s", path);
            return posix_explain(err);
        }
        if (!posix_look_again(posix, name, err))
            return false;
    }
    if (!FAULT_POINT("posix.after-remove", err))
        return false;
    /* Also when it was gone already: who removed it may not have come this far. */
    if (posix_sync_parent(posix, name, err))
        return true;
    if (!posix_is_missing(err->os_errno))
        return posix_explain(err);
    error_clear(err); /* no folder, nothing in it */
    return true;
}

static bool posix_sync(Storage *storage, const char *name, Error *err)
{
    PosixStorage *posix = (PosixStorage *)storage;
    CLEANUP(text_freep) char *path = posix_path(posix, name);
    CLEANUP(fd_done) int fd = -1;
    struct stat found = {0};

    if (!open_object(posix, name, &fd, &found, err))
        return false;
    if (fsync(fd) != 0) {
        error_set_errno(err, ERR_IO, errno, "sync %s", path);
        return posix_explain(err);
    }
    if (!posix_sync_parent(posix, name, err))
        return posix_explain(err);
    return sync_folders(posix, name, err);
}

static bool posix_room(Storage *storage, StorageRoom *room, Error *err)
{
    const PosixStorage *posix = (const PosixStorage *)storage;
    CLEANUP(fd_done) int root = open(posix->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct statvfs system;

    if (root < 0)
        return posix_root_is_there(posix, err); /* says why not */
    if (fstatvfs(root, &system) != 0) {
        error_set_errno(err, ERR_IO, errno, "ask for free space at %s", posix->root);
        return posix_explain(err);
    }
    *room = (StorageRoom){.free_bytes = (uint64_t)system.f_bavail * system.f_frsize,
                          .size_bytes = (uint64_t)system.f_blocks * system.f_frsize};
    return true;
}

static void posix_free(Storage *storage)
{
    PosixStorage *posix = (PosixStorage *)storage;

    for (size_t i = 0; i < DURABLE_FOLDERS_MAX; i++)
        text_freep(&posix->durable_folders[i]);
    open_files_done(&posix->files);
    pthread_mutex_destroy(&posix->mutex);
    mem_free(posix->root);
    mem_free(posix);
}

static const StorageOps posix_ops = {
    .kind = "posix",
    .create = posix_create,
    .write = posix_write,
    .read = posix_read,
    .read_range = posix_read_range,
    .list = posix_list,
    .stat = posix_stat,
    .remove = posix_remove,
    .remove_unfinished = posix_remove_unfinished,
    .identify = posix_identify,
    .sync = posix_sync,
    .room = posix_room,
    .free = posix_free,
};

Storage *storage_posix_new(const char *path)
{
    PosixStorage *posix = mem_alloc(sizeof(*posix));
    size_t size = strlen(path);

    while (size > 1 && path[size - 1] == '/')
        size--;
    posix->storage.ops = &posix_ops;
    posix->storage.can =
        CAN_CREATE_NEW | CAN_READ_SUFFIX | CAN_LIST_AFTER | CAN_LIST_FOLDERS | CAN_TELL_ROOM;
    posix->root = text_format("%.*s", (int)size, path);
    pthread_mutex_init(&posix->mutex, NULL);
    open_files_init(&posix->files);
    return &posix->storage;
}
