#include "fork_check.h"

#include "base/file.h"
#include "left_segment.h"
#include "walk/wal_follows.h"

#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

enum { PART_SIZE = 64 << 10 };

/* The first segment of the timeline, as the server has it. */
typedef struct First {
    const Cluster *cluster;
    const TimelinePath *path;
    WalName name;
    Lsn begin;
    char *file;
    int fd;
} First;

static void first_done(First *first)
{
    fd_done(&first->fd);
    text_freep(&first->file);
}

/* Until its first record is whole. False: it is not the WAL of its name, which says nothing. */
static bool read_begin(const First *first, WalReaderState *state)
{
    const uint32_t segment_size = first->cluster->wal_segment_size;
    CLEANUP(buffer_done) Buffer part = {0};
    CLEANUP(wal_reader_freep)
    WalReader *reader = wal_reader_new(&(WalReaderSetup){
        .version = pg_version_of_major(first->cluster->major),
        .system_identifier = first->cluster->system_identifier,
        .segment_size = segment_size,
        .start = wal_segment_start(first->name.segment, segment_size),
    });
    Error ignored = {0};
    size_t got = PART_SIZE;

    buffer_reserve(&part, PART_SIZE);
    *state = *wal_reader_state(reader);
    for (uint64_t at = 0; got == PART_SIZE && state->record_count == 0 &&
                          state->end == WAL_END_OPEN && at < segment_size;
         at += got) {
        if (!file_read_at(first->fd, part.data, PART_SIZE, at, &got, first->file, &ignored) ||
            !wal_reader_feed(reader, part.data, got, &ignored))
            return false;
        *state = *wal_reader_state(reader);
    }
    return state->magic != 0;
}

static bool fork_refuse(const First *first, const char *file, const char *name, Error *err)
{
    char place[LSN_TEXT_SIZE];

    error_set(err, ERR_REFUSED,
              "timeline %" PRIu32 " left other WAL than the archive of \"%s\" has: before the fork "
              "at %s this server's %s differs from %s there",
              first->name.timeline, first->cluster->name, lsn_text(first->begin, place), file,
              name);
    return error_hint(err, "two servers archive as one cluster: stop the wrong one's archiving, or "
                           "give it its own --cluster; nothing was stored");
}

/* The parent's segment, up to the fork. *is_there false: the archive does not have it. */
static bool check_parent(const First *first, bool *is_there, Error *err)
{
    const uint32_t segment_size = first->cluster->wal_segment_size;
    const Lsn start = wal_segment_start(first->name.segment, segment_size);
    const WalName parent = {.kind = WAL_SEGMENT,
                            .timeline = path_step_at(first->path, first->begin - 1)->timeline,
                            .segment = first->name.segment};
    char name[WAL_NAME_SIZE];
    WalTrailer trailer;
    Error attempt = {0};

    *is_there = false;
    if (first->begin == start)
        return true;
    wal_name_text(&parent, segment_size, name);
    if (left_segment_look(first->cluster, name, first->file, first->fd, first->begin - start,
                          &trailer, is_there, &attempt))
        return true;
    if (attempt.code == ERR_EXISTS)
        return fork_refuse(first, first->file, name, err);
    return error_pass(err, &attempt);
}

/* The last segment that the archive has of the way to the fork, before the fork's own. */
static bool find_last(const First *first, const WalInventory *wal, WalName *last)
{
    const uint32_t size = first->cluster->wal_segment_size;
    bool found = false;

    *last = (WalName){.kind = WAL_SEGMENT};
    for (size_t i = 0; i < wal->run_count; i++) {
        const WalRun *run = &wal->runs[i];
        uint64_t segment = run->last < first->name.segment ? run->last : first->name.segment - 1;

        if (run->first >= first->name.segment || path_step_of(first->path, run->timeline) == NULL)
            continue;
        while (segment > run->first &&
               path_timeline_of_segment(first->path, segment, size) != run->timeline)
            segment--;
        if (path_timeline_of_segment(first->path, segment, size) != run->timeline ||
            (found && segment <= last->segment))
            continue;
        last->timeline = run->timeline;
        last->segment = segment;
        found = true;
    }
    return found;
}

/* The server's own file of it, if it still has the WAL of that place, must be the archive's. */
static bool fork_check_file(const First *first, const char *folder, const WalName *last, Error *err)
{
    const uint32_t size = first->cluster->wal_segment_size;
    char name[WAL_NAME_SIZE];
    CLEANUP(text_freep)
    char *file = text_format("%s/%s", folder, wal_name_text(last, size, name));
    CLEANUP(fd_done) int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    uint8_t head[WAL_SEGMENT_HEADER_SIZE];
    WalSegmentHeader header;
    WalTrailer trailer;
    Error attempt = {0};
    bool is_there;
    size_t got;

    if (fd < 0 ||
        left_segment_look(first->cluster, name, file, fd, size, &trailer, &is_there, &attempt))
        return true;
    if (attempt.code == ERR_INTERRUPTED || attempt.code == ERR_UNREACHABLE)
        return error_pass(err, &attempt);
    if (attempt.code != ERR_EXISTS)
        return true;
    /* Asked after the reading: one that was recycled meanwhile has another first page by now. */
    error_clear(&attempt);
    if (!file_read_at(fd, head, sizeof head, 0, &got, file, &attempt) ||
        !wal_segment_header_decode(head, got, &header, &attempt) ||
        header.address != wal_segment_start(last->segment, size))
        return true;
    return fork_refuse(first, file, name, err);
}

/* The archive has nothing of the fork or right before it: the last that it has is looked at. */
static bool check_last(const First *first, const char *folder, Error *err)
{
    CLEANUP(wal_inventory_done) WalInventory wal = {0};
    WalName last;

    return wal_inventory_load(&wal, first->cluster, err) &&
           (!find_last(first, &wal, &last) || fork_check_file(first, folder, &last, err));
}

static bool check_before(const First *first, const char *folder, const WalReaderState *state,
                         Error *err)
{
    WalBefore before;

    if (!wal_before_load(first->cluster, &first->name, first->path, &before, err))
        return false;
    if (!before.is_known)
        return check_last(first, folder, err);
    return wal_follows(first->cluster, &first->name, state, &before, err) &&
           wal_before_is_of(first->cluster, &before, folder, err);
}

bool fork_check(const Cluster *cluster, const char *folder, const TimelinePath *path, Error *err)
{
    const PathStep *last = &path->steps[path->count - 1];
    CLEANUP(first_done)
    First first = {.cluster = cluster,
                   .path = path,
                   .name = {.kind = WAL_SEGMENT,
                            .timeline = last->timeline,
                            .segment = wal_segment_of(last->begin, cluster->wal_segment_size)},
                   .begin = last->begin};
    char name[WAL_NAME_SIZE];
    WalReaderState state;
    bool is_there;

    wal_name_text(&first.name, cluster->wal_segment_size, name);
    first.file = text_format("%s/%s", folder, name);
    first.fd = open(first.file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (first.fd < 0 || last->begin == 0 || !read_begin(&first, &state))
        return true;
    return check_parent(&first, &is_there, err) &&
           (is_there || check_before(&first, folder, &state, err));
}
