#include "look.h"

#include "base/bytes.h"
#include "base/interrupt.h"
#include "walk/wal_walk.h"

#include <inttypes.h>

enum {
    SAMPLE_SIZE = 256 << 10,
    PART_SIZE = 256 << 10,
    FEW_BYTES = 16 << 10, /* A segment that has just begun has no more than this. */
    /* It is the offset of xl_prev in XLogRecord, after xl_tot_len and xl_xid. */
    PREV_AT = 8,
};

/* The server's WAL of a place beside what the archive holds under that name. */
typedef enum Likeness {
    LIKE_UNSEEN, /* One of the two is not there. */
    LIKE_SAME,
    LIKE_OTHER,
} Likeness;

static const char *fork_segment_name(const WalForkSearch *search, uint64_t segment,
                                     char text[WAL_NAME_SIZE])
{
    uint32_t size = search->cluster->wal_segment_size;
    WalName name = {.kind = WAL_SEGMENT,
                    .timeline = path_timeline_of_segment(search->path, segment, size),
                    .segment = segment};

    return wal_name_text(&name, size, text);
}

static WalWalk walk_of(const WalForkSearch *search)
{
    return (WalWalk){
        .cluster = search->cluster, .inventory = search->wal, .path = search->path, .threads = 1};
}

static uint32_t fork_timeline_of(const WalForkSearch *search, uint64_t segment)
{
    return path_timeline_of_segment(search->path, segment, search->cluster->wal_segment_size);
}

static bool is_whole(const WalForkSearch *search, uint64_t segment)
{
    return wal_inventory_has(search->wal, fork_timeline_of(search, segment), segment);
}

/* How much of the segment can be compared: an offset. */
static uint32_t limit_of(const WalForkSearch *search, uint64_t segment)
{
    uint32_t size = search->cluster->wal_segment_size;
    Lsn start = wal_segment_start(segment, size);

    if (search->written == 0 || search->written >= start + size)
        return size;
    return search->written > start ? (uint32_t)(search->written - start) : 0;
}

/*
 * Looked at once more after the reading: the server gives a segment's name away before it writes
 * over its bytes (RemoveXlogFile in xlog.c), and one kept for later has its new name before it is
 * written anew.
 */
static bool is_own(const WalForkSearch *search, uint64_t segment, bool *is, Error *err)
{
    CLEANUP(buffer_done) Buffer head = {0};
    char text[WAL_NAME_SIZE];

    if (!search->read(search->context, fork_segment_name(search, segment, text), 0,
                      WAL_SEGMENT_HEADER_SIZE, &head, is, err))
        return false;
    *is = *is && wal_file_begins_at(search->cluster, &head,
                                    wal_segment_start(segment, search->cluster->wal_segment_size),
                                    fork_timeline_of(search, segment));
    return true;
}

static bool own_part(const WalForkSearch *search, uint64_t segment, uint32_t from, uint32_t size,
                     Buffer *bytes, bool *is_there, Error *err)
{
    char text[WAL_NAME_SIZE];

    if (!search->read(search->context, fork_segment_name(search, segment, text), from, size, bytes,
                      is_there, err))
        return false;
    *is_there = *is_there && bytes->size == size;
    return !*is_there || is_own(search, segment, is_there, err);
}

/* A stretch of what is archived that holds the byte before `to`. */
static bool archived_part(const WalForkSearch *search, uint64_t segment, uint32_t to, Buffer *bytes,
                          uint64_t *begin, bool *is_there, Error *err)
{
    const WalPiece *piece =
        wal_pieces_at(&search->wal->pieces, fork_timeline_of(search, segment), segment, to - 1);
    char text[WAL_NAME_SIZE];

    *is_there = true;
    if (is_whole(search, segment)) {
        return wal_object_read_frame(search->cluster, fork_segment_name(search, segment, text),
                                     to - 1, begin, bytes, err);
    }
    *is_there = piece != NULL;
    if (piece == NULL)
        return true;
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    *begin = piece->from;
    return wal_piece_read(search->cluster, piece, codec, bytes, err);
}

/*
 * A sample: the last bytes before `end`. Two servers that have parted write other records, at other
 * places, with other times.
 */
static bool compare_before(const WalForkSearch *search, Lsn end, Likeness *likeness, Error *err)
{
    CLEANUP(buffer_done) Buffer archived = {0};
    CLEANUP(buffer_done) Buffer own = {0};
    uint32_t segment_size = search->cluster->wal_segment_size;
    uint64_t segment = wal_segment_before(end, segment_size);
    uint32_t to = (uint32_t)(end - wal_segment_start(segment, segment_size));
    uint64_t begin = 0;
    bool is_there;

    *likeness = LIKE_UNSEEN;
    if (to <= WAL_SEGMENT_HEADER_SIZE)
        return true;
    if (!archived_part(search, segment, to, &archived, &begin, &is_there, err))
        return false;
    uint32_t from = to > SAMPLE_SIZE ? to - SAMPLE_SIZE : 0;
    if (from < begin)
        from = (uint32_t)begin;
    if (!is_there || to - begin > archived.size)
        return true;
    if (!own_part(search, segment, from, to - from, &own, &is_there, err))
        return false;
    if (is_there) {
        *likeness = memcmp(archived.data + (from - begin), own.data, to - from) == 0 ? LIKE_SAME
                                                                                     : LIKE_OTHER;
    }
    return true;
}

/* A whole segment by its last record; what is after a switch is zeros on every server. */
static bool fork_compare_segment(const WalForkSearch *search, uint64_t segment, Likeness *likeness,
                                 Error *err)
{
    const WalWalk walk = walk_of(search);
    uint32_t segment_size = search->cluster->wal_segment_size;
    Lsn start = wal_segment_start(segment, segment_size);
    Lsn limit = start + limit_of(search, segment);
    WalTrailer trailer;
    bool is_open;

    *likeness = LIKE_UNSEEN;
    if (limit == start || !is_whole(search, segment))
        return true;
    if (!wal_walk_trailer(&walk, segment, &trailer, &is_open, err))
        return false;
    Lsn end = trailer.summary.reader.last_end > start ? trailer.summary.reader.last_end
                                                      : start + segment_size;
    return compare_before(search, end < limit ? end : limit, likeness, err);
}

typedef struct ForkComparison {
    const WalForkSearch *search;
    uint64_t segment;
    uint32_t offset, limit;
    Buffer own;
    bool is_gone, is_other;
    uint32_t first; /* With is_other, the first byte that differs is here. */
} ForkComparison;

static void comparing_done(ForkComparison *comparing)
{
    buffer_done(&comparing->own);
}

static void note_difference(ForkComparison *comparing, const uint8_t *archived, uint32_t size)
{
    for (uint32_t i = 0; i < size && !comparing->is_other; i++) {
        comparing->is_other = archived[i] != comparing->own.data[i];
        comparing->first = comparing->offset + i;
    }
}

/* The archive's bytes, in order; they are read to their end in any case, so that they are proven.
 */
static bool fork_compare_part(void *context, const void *data, size_t size, Error *err)
{
    ForkComparison *comparing = context;
    const WalForkSearch *search = comparing->search;
    char text[WAL_NAME_SIZE];

    for (size_t done = 0; done < size;) {
        uint32_t part = size - done < PART_SIZE ? (uint32_t)(size - done) : PART_SIZE;
        uint32_t left =
            comparing->limit > comparing->offset ? comparing->limit - comparing->offset : 0;
        uint32_t wanted = part < left ? part : left;

        if (!interrupt_check(err))
            return false;
        if (wanted > 0 && !comparing->is_gone && !comparing->is_other) {
            bool is_there;
            if (!search->read(search->context, fork_segment_name(search, comparing->segment, text),
                              comparing->offset, wanted, &comparing->own, &is_there, err))
                return false;
            comparing->is_gone = !is_there || comparing->own.size != wanted;
            if (!comparing->is_gone)
                note_difference(comparing, (const uint8_t *)data + done, wanted);
        }
        comparing->offset += part;
        done += part;
    }
    return true;
}

/* Byte by byte. *is_other false: it is the same after all, or gone meanwhile. */
static bool fork_compare_whole(const WalForkSearch *search, uint64_t segment, bool *is_other,
                               uint32_t *first, Error *err)
{
    CLEANUP(comparing_done)
    ForkComparison comparing = {
        .search = search, .segment = segment, .limit = limit_of(search, segment)};
    char text[WAL_NAME_SIZE];
    WalTrailer trailer;
    uint32_t reach;
    bool is_there;

    if (is_whole(search, segment)
            ? !wal_object_read(search->cluster, fork_segment_name(search, segment, text), 1,
                               fork_compare_part, &comparing, &trailer, err)
            : !wal_pieces_read(search->cluster, &search->wal->pieces,
                               fork_timeline_of(search, segment), segment, fork_compare_part,
                               &comparing, &reach, err))
        return false;
    *is_other = false;
    if (comparing.is_gone || !comparing.is_other)
        return true;
    if (!is_own(search, segment, &is_there, err))
        return false;
    *is_other = is_there;
    *first = comparing.first;
    return true;
}

/*
 * Back from a segment that differs, in growing steps and then halving them: what differs does so
 * from the fork on, and pg_wal has all of it or has lost the beginning. *before: how the segment
 * before the first one that differs compares.
 */
static bool find_first(const WalForkSearch *search, uint64_t *segment, Likeness *before, Error *err)
{
    uint64_t other = *segment, low = 0;
    Likeness likeness = LIKE_UNSEEN;

    for (uint64_t step = 1; other > 0; step *= 2) {
        low = other > step ? other - step : 0;
        if (!fork_compare_segment(search, low, &likeness, err))
            return false;
        if (likeness != LIKE_OTHER)
            break;
        other = low;
    }
    *before = likeness;
    while (other - low > 1) {
        uint64_t middle = low + (other - low) / 2;
        if (!fork_compare_segment(search, middle, &likeness, err))
            return false;
        if (likeness == LIKE_OTHER) {
            other = middle;
        } else {
            low = middle;
            *before = likeness;
        }
    }
    *segment = other;
    return true;
}

/* The back link of the segment's first record, on the server, leads where the archive's does. */
static bool begins_alike(const WalForkSearch *search, uint64_t segment, bool *does, Error *err)
{
    const WalWalk walk = walk_of(search);
    CLEANUP(buffer_done) Buffer own = {0};
    WalTrailer trailer;
    bool is_open;

    *does = false;
    if (!wal_walk_trailer(&walk, segment, &trailer, &is_open, err))
        return false;
    const WalReaderState *reader = &trailer.summary.reader;
    if (reader->first_record == 0)
        return true;
    uint32_t at = (uint32_t)(reader->first_record % search->cluster->wal_segment_size);
    if (!own_part(search, segment, at + PREV_AT, 8, &own, does, err))
        return false;
    *does = *does && get_le64(own.data) == reader->first_prev;
    return true;
}

/* The record in which they part may have begun in the segment before. */
static bool note_fork(const WalForkSearch *search, uint64_t segment, uint32_t first,
                      Likeness before, WalFork *fork, Error *err)
{
    const WalWalk walk = walk_of(search);
    uint32_t segment_size = search->cluster->wal_segment_size;
    bool has_before = segment > 0 && is_whole(search, segment - 1);
    bool is_alike = before == LIKE_SAME || !has_before;
    WalTrailer trailer;
    bool is_open;

    fork->is_found = true;
    fork->lsn = wal_segment_start(segment, segment_size) + first;
    fork->read_from = fork->lsn;
    fork->stored = segment;
    if (has_before) {
        if (!wal_walk_trailer(&walk, segment - 1, &trailer, &is_open, err))
            return false;
        if (wal_tail_may_be_commit(&trailer.summary.reader))
            fork->read_from = trailer.summary.reader.tail_record;
    }
    if (!is_alike && !begins_alike(search, segment, &is_alike, err))
        return false;
    fork->is_older = !is_alike;
    return true;
}

/*
 * The segment that the server has yet to archive, and the archive has already: by another route, or
 * it is another one's. One that it can't archive is looked at whole.
 */
static bool compare_waiting(const WalForkSearch *search, Likeness *likeness, Error *err)
{
    const WalName *waiting = search->waiting;
    bool is_other;
    uint32_t first;

    *likeness = LIKE_UNSEEN;
    if (waiting == NULL || fork_timeline_of(search, waiting->segment) != waiting->timeline ||
        !is_whole(search, waiting->segment))
        return true;
    if (!search->waiting_fails)
        return fork_compare_segment(search, waiting->segment, likeness, err);
    if (!fork_compare_whole(search, waiting->segment, &is_other, &first, err))
        return false;
    *likeness = is_other ? LIKE_OTHER : LIKE_UNSEEN;
    return true;
}

/* Of a server that does not tell how far it has written: its last segment that the archive has. */
static bool compare_last(const WalForkSearch *search, uint64_t *segment, Likeness *likeness,
                         Error *err)
{
    bool is;

    *segment = wal_segment_of(search->checkpoint, search->cluster->wal_segment_size);
    for (;; ++*segment) {
        if (!is_own(search, *segment + 1, &is, err))
            return false;
        if (!is || !is_whole(search, *segment + 1))
            return fork_compare_segment(search, *segment, likeness, err);
    }
}

/* The last records of both, and what comes before if those are few. */
static bool compare_end(const WalForkSearch *search, uint64_t *segment, Likeness *likeness,
                        Error *err)
{
    uint32_t segment_size = search->cluster->wal_segment_size;
    Lsn durable = search->end->durable;
    bool is_behind = search->written != 0 && search->written < durable;
    Lsn at = is_behind ? search->written : durable;

    *segment = wal_segment_before(at, segment_size);
    if (is_behind ? !fork_compare_segment(search, *segment, likeness, err)
                  : !compare_before(search, at, likeness, err))
        return false;
    if (*likeness == LIKE_OTHER || *segment == 0 ||
        at - wal_segment_start(*segment, segment_size) > FEW_BYTES)
        return true;
    Likeness last = *likeness;
    if (!fork_compare_segment(search, *segment - 1, likeness, err))
        return false;
    if (*likeness == LIKE_OTHER) {
        --*segment;
    } else if (*likeness == LIKE_UNSEEN) {
        *likeness = last;
    }
    return true;
}

/* *segment: one that differs; *is there one. */
static bool fork_notice(const WalForkSearch *search, bool *is, uint64_t *segment, WalFork *fork,
                        Error *err)
{
    const ArchiveEnd *end = search->end;
    uint32_t segment_size = search->cluster->wal_segment_size;
    Likeness likeness;

    if (!compare_end(search, segment, &likeness, err))
        return false;
    fork->is_compared = likeness != LIKE_UNSEEN;
    /* The last records of an idle server may be the same on two of them: no commit is. */
    if (likeness != LIKE_OTHER && end->commit_end != 0 &&
        (search->written == 0 || end->commit_end <= search->written)) {
        *segment = wal_segment_before(end->commit_end, segment_size);
        if (!compare_before(search, end->commit_end, &likeness, err))
            return false;
    }
    if (likeness == LIKE_UNSEEN && search->written == 0 && search->checkpoint != 0 &&
        !compare_last(search, segment, &likeness, err))
        return false;
    *is = likeness == LIKE_OTHER;
    if (!compare_waiting(search, &likeness, err))
        return false;
    if (likeness == LIKE_OTHER && (!*is || search->waiting->segment < *segment)) {
        *is = true;
        *segment = search->waiting->segment;
    }
    return true;
}

bool wal_fork_find(const WalForkSearch *search, WalFork *fork, Error *err)
{
    Likeness before;
    uint64_t segment;
    uint32_t first;
    bool is;

    *fork = (WalFork){0};
    if (!fork_notice(search, &is, &segment, fork, err))
        return false;
    if (!is)
        return true;
    if (!find_first(search, &segment, &before, err) ||
        !fork_compare_whole(search, segment, &is, &first, err))
        return false;
    return !is || note_fork(search, segment, first, before, fork, err);
}
