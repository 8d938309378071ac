#include "branch_wal.h"

#include "walk/prepared.h"
#include "walk/walk.h"

/* Damage says nothing of what is around it. */
static bool branch_passes_over(Error *attempt, Error *err)
{
    if (attempt->code == ERR_CORRUPT || attempt->code == ERR_NOT_FOUND)
        return true;
    return error_pass(err, attempt);
}

static void add_time(BranchGain *gain, TimeUs time)
{
    if (time == TIME_US_NONE)
        return;
    if (gain->first == TIME_US_NONE || time < gain->first)
        gain->first = time;
    if (gain->last == TIME_US_NONE || time > gain->last)
        gain->last = time;
}

static WalkStep branch_count_event(void *context, const WalEvent *event, Error *err)
{
    BranchGain *gain = context;

    (void)err;
    if (event->kind == EVENT_COMMIT) {
        gain->commits++;
        add_time(gain, event->time);
    }
    return WALK_ON;
}

/* Whether the record that this segment leaves incomplete ends a transaction, or prepares one. */
static bool tail_is_transaction(const WalTrailer *trailer)
{
    const WalReaderState *reader = &trailer->summary.reader;

    return reader->tail_record != 0 &&
           (!reader->tail_has_kind || reader->tail_rmgr == RMGR_TRANSACTION);
}

typedef struct Counting {
    BranchGain *gain;
    /*
     * It is the first segment that may hold a PREPARE, from that of the last commit on. 0 means
     * that there is none.
     */
    uint64_t prepares;
} Counting;

/* Whether a record that begins in the segment may be a PREPARE. */
static bool may_prepare(const WalTrailer *trailer)
{
    return (trailer->summary.changes & WAL_PREPARES) != 0 || tail_is_transaction(trailer);
}

static void note_prepares(Counting *counting, uint64_t segment, const WalTrailer *trailer)
{
    if (trailer->summary.commit_count > 0)
        counting->prepares = 0;
    if (counting->prepares == 0 && may_prepare(trailer))
        counting->prepares = segment;
}

static WalkStep branch_count_segment(void *context, uint32_t timeline, uint64_t segment,
                                     const WalTrailer *trailer, Error *err)
{
    Counting *counting = context;
    BranchGain *gain = counting->gain;

    (void)timeline, (void)err;
    gain->commits += trailer->summary.commit_count;
    add_time(gain, trailer->summary.commit_time_min);
    add_time(gain, trailer->summary.commit_time_max);
    note_prepares(counting, segment, trailer);
    return WALK_ON;
}

/* The events that begin in the segment of `from`, from there on; also one that ends in the next. */
static bool read_events(const WalWalk *walk, Lsn from, const WalTrailer *trailer,
                        WalWalkFunction *on_event, void *context, Error *err)
{
    const uint32_t size = walk->cluster->wal_segment_size;
    WalWalk inside = *walk;
    WalWalkEnd end;

    inside.from = from;
    inside.to =
        wal_segment_start(wal_segment_of(from, size) + 1, size) + tail_is_transaction(trailer);
    return wal_walk_events(&inside, on_event, context, &end, err);
}

/* The records of the segment with the fork that begin beyond it. */
static bool count_first(const WalWalk *walk, Counting *counting, Error *err)
{
    BranchGain *gain = counting->gain;
    const uint64_t segment = wal_segment_of(gain->from, walk->cluster->wal_segment_size);
    BranchGain counted = *gain;
    WalTrailer trailer;
    bool is_open;
    Error attempt = {0};

    if (!wal_walk_trailer(walk, segment, &trailer, &is_open, &attempt) ||
        !read_events(walk, gain->from, &trailer, branch_count_event, &counted, &attempt))
        return branch_passes_over(&attempt, err);
    *gain = counted;
    note_prepares(counting, segment, &trailer);
    return true;
}

typedef struct PreparedReading {
    Prepared open;
    const PgVersion *version;
} PreparedReading;

static void prepared_reading_done(PreparedReading *reading)
{
    prepared_done(&reading->open);
}

static WalkStep take_prepared(void *context, const WalRecord *record, Error *err)
{
    PreparedReading *reading = context;
    TimeUs time;

    (void)err;
    (void)prepared_add(&reading->open, record, reading->version, &time);
    return WALK_ON;
}

static bool count_prepared(const WalWalk *walk, const Counting *counting, Error *err)
{
    CLEANUP(prepared_reading_done)
    PreparedReading reading = {.version = pg_version_of_major(walk->cluster->major)};
    BranchGain *gain = counting->gain;
    const Lsn from = wal_segment_start(counting->prepares, walk->cluster->wal_segment_size);
    WalWalk beyond = *walk;
    WalWalkEnd end;
    Error attempt = {0};

    if (counting->prepares == 0)
        return true;
    beyond.from = from > gain->from ? from : gain->from;
    beyond.to = 0;
    if (!walk_records(&beyond, take_prepared, &reading, &end, &attempt) &&
        !branch_passes_over(&attempt, err))
        return false;
    gain->prepared = prepared_count(&reading.open);
    gain->prepared_last = prepared_last(&reading.open);
    return true;
}

bool branch_count(const WalWalk *walk, BranchGain *gain, Error *err)
{
    const uint32_t size = walk->cluster->wal_segment_size;
    const bool is_inside = gain->from % size != 0;
    Counting counting = {.gain = gain};
    WalWalk beyond = *walk;
    WalkExtent extent;

    beyond.from = gain->from;
    beyond.to = 0;
    if (!walk_whole_extent(&beyond, &extent, err))
        return false;
    if (extent.is_empty)
        return true;
    if (is_inside && !count_first(walk, &counting, err))
        return false;
    for (uint64_t segment = wal_segment_of(gain->from, size) + is_inside; segment <= extent.last;
         segment++) {
        WalSource source;
        WalWalkEnd end;

        if (!walk_source(walk, segment, &source, err))
            return false;
        if (source.form == WAL_NOWHERE)
            continue;
        beyond.from = wal_segment_start(segment, size);
        if (!wal_walk_trailers(&beyond, branch_count_segment, &counting, &end, err))
            return false;
        /* The one that ends the stretch can't be read, or does not go on where it should. */
        if (end.segments > 0)
            segment = end.last_segment;
    }
    return count_prepared(walk, &counting, err);
}

bool branch_end(const WalWalk *walk, Lsn *end, Error *err)
{
    WalWalk whole = *walk;
    WalkExtent extent;
    WalTrailer trailer;
    bool is_open;
    Error attempt = {0};

    whole.from = whole.to = 0;
    *end = 0;
    if (!walk_whole_extent(&whole, &extent, err))
        return false;
    if (extent.is_empty)
        return true;
    if (!wal_walk_trailer(walk, extent.last, &trailer, &is_open, &attempt))
        return branch_passes_over(&attempt, err);
    *end = trailer.summary.reader.last_end != 0
               ? trailer.summary.reader.last_end
               : wal_segment_start(extent.last, walk->cluster->wal_segment_size);
    return true;
}

static WalkStep branch_take_commit(void *context, const WalEvent *event, Error *err)
{
    (void)err;
    if (event->kind == EVENT_COMMIT) {
        *(BranchCommit *)context =
            (BranchCommit){.time = event->time, .lsn = event->lsn, .xid = event->xid};
    }
    return WALK_ON;
}

static bool look_for_commit(const WalWalk *walk, uint64_t segment, BranchCommit *commit, Error *err)
{
    const Lsn start = wal_segment_start(segment, walk->cluster->wal_segment_size);
    BranchCommit found = {.time = TIME_US_NONE};
    WalTrailer trailer;
    bool is_open;
    Error attempt = {0};

    if (!wal_walk_trailer(walk, segment, &trailer, &is_open, &attempt))
        return branch_passes_over(&attempt, err);
    if (trailer.summary.commit_count == 0 && !tail_is_transaction(&trailer))
        return true;
    if (!read_events(walk, start, &trailer, branch_take_commit, &found, &attempt))
        return branch_passes_over(&attempt, err);
    *commit = found;
    return true;
}

bool branch_last_commit(const WalWalk *walk, BranchCommit *commit, Error *err)
{
    WalWalk whole = *walk;
    WalkExtent extent;

    whole.from = whole.to = 0;
    if (!walk_whole_extent(&whole, &extent, err))
        return false;
    *commit = (BranchCommit){.time = TIME_US_NONE};
    for (uint64_t segment = extent.last; !extent.is_empty && commit->time == TIME_US_NONE;
         segment--) {
        if (!look_for_commit(walk, segment, commit, err))
            return false;
        if (segment == extent.first)
            return true;
    }
    return true;
}

typedef struct Beginning {
    uint32_t timeline;
    TimeUs time;
} Beginning;

static WalkStep take_beginning(void *context, const WalEvent *event, Error *err)
{
    Beginning *beginning = context;

    (void)err;
    if (event->kind != EVENT_TIMELINE || event->timeline != beginning->timeline)
        return WALK_ON;
    beginning->time = event->time;
    return WALK_STOP;
}

bool branch_begins(const WalWalk *walk, TimeUs *begins, Error *err)
{
    const PathStep *step = &walk->path->steps[walk->path->count - 1];
    const uint64_t segment = wal_segment_of(step->begin, walk->cluster->wal_segment_size);
    Beginning beginning = {.timeline = step->timeline, .time = TIME_US_NONE};
    WalTrailer trailer;
    bool is_open;
    Error attempt = {0};

    *begins = TIME_US_NONE;
    if (step->begin == 0)
        return true;
    if (!wal_walk_trailer(walk, segment, &trailer, &is_open, &attempt) ||
        !read_events(walk, step->begin, &trailer, take_beginning, &beginning, &attempt))
        return branch_passes_over(&attempt, err);
    *begins = beginning.time;
    return true;
}
