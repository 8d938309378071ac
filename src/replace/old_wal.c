#include "replace/old_wal.h"

#include "base/file.h"
#include "postgres/wal_reader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OLD_WAL_FILES_MAX = 1 << 20, FILES_FIRST = 64 };

static bool has_mark(const char *directory, const char *file, const char *mark)
{
    CLEANUP(text_freep)
    char *path = text_format("%s/archive_status/%s.%s", directory, file, mark);

    return file_exists(path);
}

/* Whether the first page says that these are the bytes its name promises (a recycled segment keeps
 * the old address until it is written again). */
static bool judge_segment(const char *path, const WalName *name, const Cluster *cluster,
                          bool *is_other, Error *err)
{
    uint8_t bytes[WAL_SEGMENT_HEADER_SIZE];
    WalSegmentHeader header;
    size_t got;
    struct stat status;
    Error ignored = {0}; /* a page that is none: not a valid segment, and that is the answer */
    CLEANUP(fd_done) int fd = -1;

    *is_other = false;
    if (!file_open(path, &fd, err))
        return false;
    if (fstat(fd, &status) != 0 || !file_read_at(fd, bytes, sizeof bytes, 0, &got, path, &ignored))
        return error_set_errno(err, ERR_IO, errno, "read %s", path);
    if (status.st_size != (off_t)cluster->wal_segment_size ||
        !wal_segment_header_decode(bytes, got, &header, &ignored))
        return false;
    *is_other = header.system_identifier != cluster->system_identifier;
    return !*is_other && header.segment_size == cluster->wal_segment_size &&
           header.timeline <= name->timeline &&
           header.address == wal_segment_start(name->segment, cluster->wal_segment_size);
}

static int by_name(const void *a, const void *b)
{
    const OldSegment *first = a, *second = b;

    if ((first->name.kind == WAL_SEGMENT) != (second->name.kind == WAL_SEGMENT))
        return first->name.kind == WAL_SEGMENT ? -1 : 1;
    return strcmp(first->file, second->file);
}

bool old_wal_archives(const OldWal *wal, uint32_t timeline)
{
    for (size_t i = 0; i < wal->archiving_count; i++) {
        if (wal->archiving[i] == timeline)
            return true;
    }
    return false;
}

static void note_archiving(OldWal *wal, uint32_t timeline, Arena *arena)
{
    if (old_wal_archives(wal, timeline))
        return;
    uint32_t *archiving = arena_alloc(arena, (wal->archiving_count + 1) * sizeof *archiving);
    if (wal->archiving_count > 0)
        memcpy(archiving, wal->archiving, wal->archiving_count * sizeof *archiving);
    archiving[wal->archiving_count++] = timeline;
    wal->archiving = archiving;
}

static void add_segment(OldWal *wal, const OldSegment *segment, Arena *arena)
{
    if (wal->count == wal->capacity) {
        wal->capacity = wal->capacity == 0 ? FILES_FIRST : 2 * wal->capacity;
        OldSegment *items = arena_alloc(arena, wal->capacity * sizeof *items);
        if (wal->count > 0)
            memcpy(items, wal->items, wal->count * sizeof *items);
        wal->items = items;
    }
    wal->items[wal->count++] = *segment;
}

static void add_history(OldWal *wal, const OldSegment *file, Arena *arena)
{
    if (old_wal_history(wal, file->name.timeline) != NULL)
        return;
    OldHistory *histories = arena_alloc(arena, (wal->history_count + 1) * sizeof *histories);
    if (wal->history_count > 0)
        memcpy(histories, wal->histories, wal->history_count * sizeof *histories);
    histories[wal->history_count++] =
        (OldHistory){.path = file->path, .timeline = file->name.timeline};
    wal->histories = histories;
}

static bool has_name(const OldWal *wal, const char *file)
{
    for (size_t i = 0; i < wal->count; i++) {
        if (strcmp(wal->items[i].file, file) == 0)
            return true;
    }
    return false;
}

static bool take_file(OldWal *wal, const char *directory, const char *file, const Cluster *cluster,
                      Arena *arena, Error *err)
{
    WalName name;
    Error no_name = {0}; /* not a WAL file */
    bool is_other;

    if (!wal_name_parse(file, cluster->wal_segment_size, &name, &no_name))
        return true;
    OldSegment segment = {.path = arena_format(arena, "%s/%s", directory, file),
                          .file = arena_text(arena, file),
                          .name = name,
                          .is_ready = has_mark(directory, file, "ready"),
                          .is_done = has_mark(directory, file, "done")};
    if (segment.is_ready || segment.is_done)
        note_archiving(wal, name.timeline, arena);
    if (name.kind == WAL_HISTORY)
        add_history(wal, &segment, arena);
    if (name.kind == WAL_SEGMENT) {
        bool is_valid = judge_segment(segment.path, &name, cluster, &is_other, err);
        if (err->code != ERR_NONE)
            return false;
        wal->others += is_other ? 1 : 0;
        if (!is_valid)
            return true;
    } else if (!segment.is_ready) {
        return true;
    }
    add_segment(wal, &segment, arena);
    return true;
}

static bool take_files(const char *directory, const Cluster *cluster, Arena *arena, OldWal *wal,
                       Error *err)
{
    CLEANUP(directory_done) DIR *list = opendir(directory);
    const size_t before = wal->count;
    OldWal known = *wal;

    if (list == NULL && errno == ENOENT)
        return true;
    if (list == NULL)
        return error_set_errno(err, ERR_IO, errno, "list %s", directory);
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(list);
        if (entry == NULL)
            break;
        if (wal->count - before > OLD_WAL_FILES_MAX)
            return error_set(err, ERR_IO, "too many files in %s", directory);
        if (!has_name(&known, entry->d_name) &&
            !take_file(wal, directory, entry->d_name, cluster, arena, err))
            return false;
    }
    if (errno != 0)
        return error_set_errno(err, ERR_IO, errno, "list %s", directory);
    return true;
}

bool old_wal_add(const char *directory, const Cluster *cluster, Arena *arena, OldWal *wal,
                 Error *err)
{
    if (!take_files(directory, cluster, arena, wal, err))
        return false;
    if (wal->count > 0)
        qsort(wal->items, wal->count, sizeof *wal->items, by_name);
    return true;
}

bool old_wal_load(const char *directory, const Cluster *cluster, Arena *arena, OldWal *wal,
                  Error *err)
{
    *wal = (OldWal){0};
    return old_wal_add(directory, cluster, arena, wal, err);
}

const OldHistory *old_wal_history(const OldWal *wal, uint32_t timeline)
{
    for (size_t i = 0; i < wal->history_count; i++) {
        if (wal->histories[i].timeline == timeline)
            return &wal->histories[i];
    }
    return NULL;
}

const OldSegment *old_wal_find(const OldWal *wal, uint32_t timeline, uint64_t segment)
{
    for (size_t i = 0; i < wal->count; i++) {
        const WalName *name = &wal->items[i].name;
        if (name->kind == WAL_SEGMENT && name->timeline == timeline && name->segment == segment)
            return &wal->items[i];
    }
    return NULL;
}
