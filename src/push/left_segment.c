#include "left_segment.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "postgres/history.h"
#include "postgres/wal_reader.h"
#include "repo/layout.h"

enum { PART_SIZE = 1 << 20, HISTORY_SIZE_MAX = 1 << 20 };

/* What can't be read proves nothing. */
static bool says_so(const char *path, uint32_t child, uint32_t timeline, Lsn at)
{
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(arena_done) Arena arena = {0};
    Error ignored = {0};
    TimelinePath line;

    if (!file_read_whole(path, HISTORY_SIZE_MAX, &text, &ignored) ||
        memchr(text.data, '\0', text.size) != NULL)
        return false;
    buffer_append(&text, "", 1);
    if (!timeline_path_parse(child, (const char *)text.data, &arena, &line, &ignored))
        return false;
    const PathStep *step = path_step_of(&line, timeline);
    return step != NULL && step->end == at;
}

bool left_segment_is(const char *path, const WalName *name, uint32_t segment_size, Lsn at)
{
    const Lsn begin = wal_segment_start(name->segment, segment_size);
    CLEANUP(text_freep) char *folder = file_folder(path);
    CLEANUP(directory_done) DIR *directory = opendir(folder);
    const struct dirent *entry;
    bool is_left = false;

    if (name->kind != WAL_SEGMENT || at <= begin || at >= begin + segment_size)
        return false;
    while (!is_left && directory != NULL && (entry = readdir(directory)) != NULL) {
        Error ignored = {0}; /* another name */
        WalName history;

        if (!wal_name_parse(entry->d_name, segment_size, &history, &ignored) ||
            history.kind != WAL_HISTORY || history.timeline <= name->timeline)
            continue;
        CLEANUP(text_freep) char *file = text_format("%s/%s", folder, entry->d_name);
        is_left = says_so(file, history.timeline, name->timeline, at);
    }
    return is_left;
}

bool left_segment_find(const Cluster *cluster, const char *path, int fd, const WalName *name,
                       Lsn *left_at, Error *err)
{
    const uint32_t segment_size = cluster->wal_segment_size;
    CLEANUP(buffer_done) Buffer part = {0};
    CLEANUP(wal_reader_freep)
    WalReader *reader = wal_reader_new(&(WalReaderSetup){
        .version = pg_version_of_major(cluster->major),
        .system_identifier = cluster->system_identifier,
        .segment_size = segment_size,
        .start = wal_segment_start(name->segment, segment_size),
    });
    const WalReaderState *state = wal_reader_state(reader);
    size_t got = 0;

    *left_at = 0;
    buffer_reserve(&part, PART_SIZE);
    for (uint64_t offset = 0; offset < segment_size && state->end != WAL_END_BROKEN;
         offset += got) {
        if (!interrupt_check(err) ||
            !file_read_at(fd, part.data, PART_SIZE, offset, &got, path, err) ||
            !wal_reader_feed(reader, part.data, got, err))
            return false;
        if (got == 0)
            return true;
    }
    if (state->end == WAL_END_BROKEN && left_segment_is(path, name, segment_size, state->broken_at))
        *left_at = state->broken_at;
    return true;
}

/* The object as it is read, against the file. */
typedef struct LeftComparison {
    const char *path;
    int fd;
    uint64_t offset, size; /* This part must be the same. */
    bool is_other;
    Buffer part;
} LeftComparison;

static bool left_segment_compare(void *context, const void *data, size_t size, Error *err)
{
    LeftComparison *comparing = context;
    uint64_t left = comparing->size - comparing->offset;
    size_t want = size < left ? size : (size_t)left;
    size_t got;

    if (want == 0)
        return true;
    buffer_reserve(&comparing->part, want);
    if (!file_read_at(comparing->fd, comparing->part.data, want, comparing->offset, &got,
                      comparing->path, err))
        return false;
    comparing->is_other |= got != want || memcmp(comparing->part.data, data, want) != 0;
    comparing->offset += want;
    return true;
}

bool left_segment_look(const Cluster *cluster, const char *name, const char *path, int fd,
                       uint64_t size, WalTrailer *trailer, bool *is_stored, Error *err)
{
    CLEANUP(text_freep) char *object = layout_wal(cluster->name, name);
    LeftComparison comparing = {.path = path, .fd = fd, .size = size};
    Error attempt = {0};
    bool ok =
        wal_object_read(cluster, name, 1, left_segment_compare, &comparing, trailer, &attempt);

    buffer_done(&comparing.part);
    *is_stored = ok;
    if (!ok && (attempt.code == ERR_NOT_FOUND || attempt.code == ERR_CORRUPT))
        return true;
    if (!ok)
        return error_pass(err, &attempt);
    if (comparing.is_other || comparing.offset != size)
        return error_set(err, ERR_EXISTS, "%s is in the archive already, with other WAL", name);
    return storage_sync(cluster->repo->storage, object, err);
}
