#include "look.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "postgres/wal_changes.h"
#include "wal/wal_object.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

enum { PART_SIZE = 256 << 10 };

/* How the reading of one segment ended. */
typedef enum SegmentOutcome {
    SEGMENT_WHOLE,   /* Go on with the next segment. */
    SEGMENT_FOUND,   /* The commit is in it. */
    SEGMENT_ENDS,    /* WAL ends in it. */
    SEGMENT_ABSENT,  /* There is no such file, or an older one that was renamed to be used later. */
    SEGMENT_CHANGED, /* The server removed it while it was being read. */
} SegmentOutcome;

typedef struct Looking {
    const CommitSearch *search;
    const PgVersion *version;
    WalReader *reader;
    CommitFound *found;
    Buffer part;
    uint64_t bytes;
} Looking;

static void looking_done(Looking *looking)
{
    wal_reader_freep(&looking->reader);
    buffer_done(&looking->part);
}

/* What a client got an answer for. A rollback of an ordinary transaction is not a loss. */
static bool commit_is_promise(const WalRecord *record, const PgVersion *version, PromiseKind *kind,
                              WalEvent *event)
{
    if (wal_event_of(record, version, event)) {
        *kind = event->kind == EVENT_COMMIT ? PROMISE_COMMIT : PROMISE_ROLLBACK_PREPARED;
        return event->kind == EVENT_COMMIT || (event->kind == EVENT_ABORT && event->is_prepared);
    }
    *kind = PROMISE_PREPARE;
    *event = (WalEvent){.lsn = record->lsn, .end = record->end};
    return wal_prepare_of(record, &event->xid, &event->time);
}

static bool commit_take_record(void *context, const WalRecord *record, Error *err)
{
    Looking *looking = context;
    PromiseKind kind;
    WalEvent event;

    (void)err;
    if (looking->found->is_found)
        return true;
    looking->found->seen_to = record->end;
    /* One that begins before may end after: then it is as little in the archive. */
    if (record->end <= looking->search->durable ||
        !commit_is_promise(record, looking->version, &kind, &event))
        return true;
    looking->found->is_found = true;
    looking->found->kind = kind;
    looking->found->commit = event;
    return true;
}

static bool commit_take_bytes(void *context, const void *data, size_t size, Error *err)
{
    Looking *looking = context;

    return looking->found->is_found || wal_reader_feed(looking->reader, data, size, err);
}

static bool is_broken(const Looking *looking)
{
    return wal_reader_state(looking->reader)->end == WAL_END_BROKEN;
}

/*
 * A file that is no longer there under its name was perhaps renamed and written over while it was
 * read: the server recycles what is archived (RemoveXlogFile in xlog.c), and renames before it
 * writes. What is still there was not touched.
 */
static bool is_still_there(const Looking *looking, const char *name, bool *is, Error *err)
{
    CLEANUP(buffer_done) Buffer byte = {0};

    return looking->search->read(looking->search->context, name, 0, 1, &byte, is, err);
}

/*
 * The first part decides whether these are the bytes that the name promises: a segment that is
 * kept for later carries its new name before it is written anew.
 */
bool wal_file_begins_at(const Cluster *cluster, const Buffer *bytes, Lsn start, uint32_t timeline)
{
    WalSegmentHeader header;
    Error ignored = {0}; /* zeros, or what is not WAL of this place */

    return wal_segment_header_decode(bytes->data, bytes->size, &header, &ignored) &&
           header.address == start && header.timeline <= timeline &&
           header.segment_size == cluster->wal_segment_size &&
           header.system_identifier == cluster->system_identifier;
}

static bool begins_here(const Looking *looking, Lsn start, uint32_t timeline)
{
    return wal_file_begins_at(looking->search->cluster, &looking->part, start, timeline);
}

static bool read_parts(Looking *looking, const char *name, uint64_t segment, uint32_t timeline,
                       SegmentOutcome *outcome, Error *err)
{
    const CommitSearch *search = looking->search;
    uint32_t segment_size = search->cluster->wal_segment_size;
    uint32_t offset = 0;

    *outcome = SEGMENT_WHOLE;
    while (offset < segment_size) {
        bool is_there;

        if (!interrupt_check(err) ||
            !search->read(search->context, name, offset, PART_SIZE, &looking->part, &is_there, err))
            return false;
        if (!is_there || looking->part.size == 0) {
            *outcome = offset == 0 ? SEGMENT_ABSENT : SEGMENT_CHANGED;
            return true;
        }
        if (offset == 0 &&
            !begins_here(looking, wal_segment_start(segment, segment_size), timeline)) {
            *outcome = SEGMENT_ABSENT;
            return true;
        }
        if (!commit_take_bytes(looking, looking->part.data, looking->part.size, err))
            return false;
        looking->bytes += looking->part.size;
        offset += (uint32_t)looking->part.size;
        if (looking->found->is_found || is_broken(looking)) {
            *outcome = looking->found->is_found ? SEGMENT_FOUND : SEGMENT_ENDS;
            return true;
        }
    }
    return true;
}

static bool look_into(Looking *looking, const char *name, uint64_t segment, uint32_t timeline,
                      SegmentOutcome *outcome, Error *err)
{
    bool is_there;

    if (segment < looking->search->stored && looking->search->cluster->repo != NULL) {
        WalTrailer trailer;

        if (!wal_object_read(looking->search->cluster, name, 1, commit_take_bytes, looking,
                             &trailer, err))
            return error_context(err, "read %s", name);
        *outcome = looking->found->is_found ? SEGMENT_FOUND
                   : is_broken(looking)     ? SEGMENT_ENDS
                                            : SEGMENT_WHOLE;
        return true;
    }
    if (!read_parts(looking, name, segment, timeline, outcome, err))
        return false;
    if (*outcome == SEGMENT_ABSENT || *outcome == SEGMENT_CHANGED)
        return true;
    if (!is_still_there(looking, name, &is_there, err))
        return false;
    /* A commit was whole and had the right checksum and place: it is one, whatever came then. */
    if (!is_there && *outcome != SEGMENT_FOUND)
        *outcome = SEGMENT_CHANGED;
    return true;
}

/* Whether a segment of the path after this one lies in the directory, with the WAL of its name. */
static bool later_exists(const Looking *looking, uint64_t segment, bool *exists, Error *err)
{
    const CommitSearch *search = looking->search;
    uint32_t segment_size = search->cluster->wal_segment_size;
    CLEANUP(directory_done) DIR *directory = opendir(search->directory);
    const struct dirent *entry;
    Looking probe = {.search = search};

    *exists = false;
    if (directory == NULL)
        return error_set(err, ERR_IO, "can't list %s", search->directory);
    while (!*exists && (entry = readdir(directory)) != NULL) {
        Error ignored = {0}; /* another name */
        WalName name;
        bool is_there;

        if (!wal_name_parse(entry->d_name, segment_size, &name, &ignored) ||
            name.kind != WAL_SEGMENT || name.segment <= segment ||
            path_timeline_of_segment(search->path, name.segment, segment_size) != name.timeline)
            continue;
        if (!search->read(search->context, entry->d_name, 0, WAL_SEGMENT_HEADER_SIZE, &probe.part,
                          &is_there, err)) {
            buffer_done(&probe.part);
            return false;
        }
        *exists = is_there &&
                  begins_here(&probe, wal_segment_start(name.segment, segment_size), name.timeline);
    }
    buffer_done(&probe.part);
    return true;
}

/*
 * Whether reading came as far as the server has written for sure. WAL that is invalid before that
 * is damaged, and may hide commits. A record that was not flushed to its end shows after what was.
 */
static bool search_has_reached(const Looking *looking, SegmentOutcome outcome, Lsn start,
                               Lsn written)
{
    /* At most the header of the segment's first page is written, and nothing in it. */
    if (outcome == SEGMENT_ABSENT)
        return written <= start + WAL_SEGMENT_HEADER_SIZE;
    return written < wal_reader_state(looking->reader)->noticed_at;
}

/* Reading ended in this segment without a commit. Was that all there is? */
static bool judge_end(Looking *looking, const char *name, uint64_t segment, SegmentOutcome outcome,
                      Error *err)
{
    const CommitSearch *search = looking->search;
    CommitFound *found = looking->found;
    Lsn start = wal_segment_start(segment, search->cluster->wal_segment_size);
    bool is_later = false;

    if (outcome == SEGMENT_CHANGED) {
        (void)snprintf(found->reason, sizeof found->reason,
                       "the server took %s away while it was read", name);
        return true;
    }
    if (search->flushed != 0) {
        found->is_complete = search_has_reached(looking, outcome, start, search->flushed);
    } else if (search->directory != NULL) {
        if (!later_exists(looking, segment, &is_later, err))
            return false;
        found->is_complete =
            !is_later && search_has_reached(looking, outcome, start, search->checkpoint);
    }
    if (found->is_complete)
        return true;
    if (outcome == SEGMENT_ABSENT) {
        (void)snprintf(found->reason, sizeof found->reason,
                       "%s is neither in the archive nor in pg_wal any more", name);
    } else {
        (void)snprintf(found->reason, sizeof found->reason, "WAL in pg_wal is invalid in %s: %s",
                       name, wal_reader_state(looking->reader)->reason);
    }
    return true;
}

bool commit_search(const CommitSearch *search, CommitFound *found, Error *err)
{
    uint32_t segment_size = search->cluster->wal_segment_size;
    uint64_t segment = wal_segment_of(search->read_from, segment_size);
    CLEANUP(looking_done)
    Looking looking = {
        .search = search, .version = pg_version_of_major(search->cluster->major), .found = found};

    *found = (CommitFound){0};
    looking.reader = wal_reader_new(&(WalReaderSetup){
        .version = looking.version,
        .system_identifier = search->cluster->system_identifier,
        .segment_size = segment_size,
        .start = wal_segment_start(segment, segment_size),
        .on_record = commit_take_record,
        .context = &looking,
    });
    for (;; segment++) {
        uint32_t timeline = path_timeline_of_segment(search->path, segment, segment_size);
        WalName name = {.kind = WAL_SEGMENT, .timeline = timeline, .segment = segment};
        char text[WAL_NAME_SIZE];
        SegmentOutcome outcome;

        if (!look_into(&looking, wal_name_text(&name, segment_size, text), segment, timeline,
                       &outcome, err))
            return false;
        found->timeline = timeline;
        if (outcome == SEGMENT_FOUND)
            return true;
        if (outcome != SEGMENT_WHOLE)
            return judge_end(&looking, text, segment, outcome, err);
        if (looking.bytes >= search->bytes_max) {
            (void)snprintf(found->reason, sizeof found->reason,
                           "no commit in the first %" PRIu64 " MiB after the archive's end",
                           looking.bytes >> 20);
            return true;
        }
    }
}
