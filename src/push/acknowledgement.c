#include "acknowledgement.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "repo/layout.h"
#include "repo/record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

enum {
    NOTE_SIZE_MAX = 16 << 10,
    SAMPLES = 16,
    SAMPLE_SIZE = 8192,
};

/* Only we may write there: a note that somebody else put would be taken for our word. */
static bool own_directory(const char *path, Error *err)
{
    CLEANUP(fd_done) int fd = -1;
    struct stat found;

    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return error_set_errno(err, ERR_IO, errno, "create %s", path);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &found) != 0)
        return error_set_errno(err, ERR_IO, errno, "open directory %s", path);
    if (!file_is_ours_alone(&found)) {
        return error_set(err, ERR_REFUSED,
                         "%s must belong to the user that runs archive-push, and nobody else may "
                         "write there",
                         path);
    }
    return access(path, W_OK | X_OK) == 0 || error_set_errno(err, ERR_IO, errno, "use %s", path);
}

bool acknowledgements_open(Acknowledgements *notes, const Cluster *cluster, const char *spool,
                           Error *err)
{
    CLEANUP(text_freep) char *repository = text_format("%s/%s", spool, cluster->repo->id);

    notes->cluster = cluster;
    notes->directory = text_format("%s/%s", repository, cluster->name);
    (void)mkdir(spool, 0700); /* whatever is wrong with it shows below */
    return own_directory(repository, err) && own_directory(notes->directory, err);
}

void acknowledgements_done(Acknowledgements *notes)
{
    text_freep(&notes->directory);
}

/*
 * Pages from all over the file. Inode and times are those of one file on one system; a data
 * directory whose whole machine was set back to a snapshot can have them again, and its content is
 * a different one from the first page on.
 */
static bool note_take_sample(const Cluster *cluster, int fd, const char *path, uint64_t size,
                             uint64_t *sample, Error *err)
{
    CLEANUP(buffer_done) Buffer pages = {0};

    buffer_reserve(&pages, (size_t)SAMPLES * SAMPLE_SIZE);
    for (uint64_t i = 0; i < SAMPLES; i++) {
        size_t got;

        if (!file_read_at(fd, pages.data + pages.size, SAMPLE_SIZE, i * (size / SAMPLES), &got,
                          path, err))
            return false;
        pages.size += got;
    }
    *sample = xxh3_of(cluster->repo->hash_seed, pages.data, pages.size);
    return true;
}

static uint64_t nanoseconds_of(const struct timespec *time)
{
    return (uint64_t)time->tv_sec * 1000000000 + (uint64_t)time->tv_nsec;
}

/*
 * All that must still be so when the note is used, in one text: the file, the repository, and the
 * object in it. Nothing else stands in a note, so two of them are compared byte by byte. The object
 * is the very one that was made durable: one that was put back from a copy has the same bytes, and
 * perhaps only in memory.
 */
static bool note_describe(const Cluster *cluster, const char *path, int fd,
                          const struct stat *source, const WalTrailer *trailer, RecordWriter *note,
                          Error *err)
{
    CLEANUP(text_freep) char *object = layout_wal(cluster->name, strrchr(path, '/') + 1);
    char identity[OBJECT_IDENTITY_SIZE];
    char checksum[2 * XXH128_SIZE + 1];
    uint64_t sample;

    if (!storage_identify(cluster->repo->storage, object, identity, err) ||
        !note_take_sample(cluster, fd, path, (uint64_t)source->st_size, &sample, err))
        return false;
    record_begin(note, "acknowledgement", 1);
    record_text(note, "repository", cluster->repo->id);
    record_text(note, "cluster", cluster->name);
    record_u64(note, "system_identifier", cluster->system_identifier);
    record_text(note, "file", strrchr(path, '/') + 1);
    record_u64(note, "device", source->st_dev);
    record_u64(note, "inode", source->st_ino);
    record_u64(note, "size", (uint64_t)source->st_size);
    record_u64(note, "mtime", nanoseconds_of(&source->st_mtim));
    record_u64(note, "ctime", nanoseconds_of(&source->st_ctim));
    record_u64(note, "sample", sample);
    record_text(note, "content", hex_text(trailer->raw_checksum, XXH128_SIZE, checksum));
    record_u64(note, "stored", trailer->stored_size);
    record_text(note, "object", identity);
    record_finish(note);
    return true;
}

static char *note_path(const Acknowledgements *notes, const char *path)
{
    return text_format("%s%s", notes->directory, strrchr(path, '/'));
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           nanoseconds_of(&a->st_mtim) == nanoseconds_of(&b->st_mtim) &&
           nanoseconds_of(&a->st_ctim) == nanoseconds_of(&b->st_ctim);
}

/* Whole or not at all, but not synced: see the header. */
static bool note_publish(const char *path, const Buffer *text, Error *err)
{
    CLEANUP(fd_done) int fd = -1;
    uint64_t number;

    if (!random_u64(&number, err))
        return false;
    CLEANUP(text_freep) char *temp = text_format("%s.tmp-%016" PRIx64, path, number);
    fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, ERR_IO, errno, "create %s", temp);
    if (!file_write_all(fd, text->data, text->size, temp, err) ||
        !FAULT_POINT("acknowledgement.before-publish", err)) {
        (void)unlink(temp);
        return false;
    }
    if (rename(temp, path) != 0) {
        error_set_errno(err, ERR_IO, errno, "rename %s", temp);
        (void)unlink(temp);
        return false;
    }
    return FAULT_POINT("acknowledgement.after-publish", err);
}

bool acknowledgement_write(const Acknowledgements *notes, const char *path,
                           const struct stat *source, const WalTrailer *trailer, Error *err)
{
    CLEANUP(text_freep) char *target = note_path(notes, path);
    CLEANUP(record_writer_done) RecordWriter note = {0};
    CLEANUP(fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat now;

    if (fd < 0 || fstat(fd, &now) != 0)
        return error_set_errno(err, ERR_IO, errno, "look at %s", path);
    if (!is_same_file(source, &now))
        return error_set(err, ERR_IO, "%s was changed after it was pushed", path);
    return note_describe(notes->cluster, path, fd, source, trailer, &note, err) &&
           note_publish(target, &note.text, err);
}

/* What the note would have to say now. */
static bool describe_now(const Cluster *cluster, const char *path, const char *name,
                         RecordWriter *note, WalTrailer *trailer, Error *err)
{
    CLEANUP(fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat source;

    if (fd < 0 || fstat(fd, &source) != 0)
        return error_set_errno(err, ERR_IO, errno, "look at %s", path);
    return wal_object_trailer(cluster, name, trailer, err) &&
           note_describe(cluster, path, fd, &source, trailer, note, err);
}

bool acknowledgement_holds(const Acknowledgements *notes, const char *path, WalTrailer *trailer)
{
    const Cluster *cluster = notes->cluster;
    const char *name = strrchr(path, '/') + 1;
    CLEANUP(text_freep) char *file = note_path(notes, path);
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(record_writer_done) RecordWriter now = {0};
    Error reason = {0};

    if (!file_read_whole(file, NOTE_SIZE_MAX, &text, &reason))
        return false;
    if (!describe_now(cluster, path, name, &now, trailer, &reason)) {
        log_debug("a local acknowledgement can't be checked; the file is pushed",
                  log_str("file", path), log_str("reason", reason.message));
        return false;
    }
    (void)unlink(file); /* right or wrong, it has served */
    if (text.size != now.text.size || memcmp(text.data, now.text.data, text.size) != 0) {
        log_debug("a local acknowledgement is about something else; the file is pushed",
                  log_str("file", path));
        return false;
    }
    return true;
}

void acknowledgements_clean(const Acknowledgements *notes, const char *status_directory)
{
    CLEANUP(directory_done) DIR *directory = opendir(notes->directory);
    const struct dirent *entry;

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        CLEANUP(text_freep)
        char *ready = text_format("%s/%s.ready", status_directory, entry->d_name);

        if (entry->d_name[0] != '.' && !file_exists(ready))
            (void)unlinkat(dirfd(directory), entry->d_name, 0);
    }
}
