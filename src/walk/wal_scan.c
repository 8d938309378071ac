#include "walk/wal_scan.h"

#include "walk/wal_chain.h"
#include "walk/walk.h"

typedef struct ScanState {
    const WalScan *scan;
    uint32_t segment_size;
    WalScanEnd end;
    WalReader *reader; /* NULL means that the segment before was not read. */
    WalChain chain;
    bool is_local;         /* The segment is a local file. */
    bool is_carried;       /* A record that is wanted goes on in the next segment. */
    bool is_missing;       /* The segments from `missing` on are missing. */
    uint64_t missing;      /* It is the first of them. */
    uint64_t last;         /* It is the last segment that is looked at. */
    bool has_failed_above; /* A callback said that this is an error. */
} ScanState;

static void scan_state_done(ScanState *state)
{
    wal_reader_freep(&state->reader);
}

static uint32_t scan_timeline_of(const ScanState *state, uint64_t segment)
{
    return path_timeline_of_segment(state->scan->walk.path, segment, state->segment_size);
}

/* Nothing is known any more of what lies before the next segment. */
static void scan_forget(ScanState *state)
{
    wal_reader_freep(&state->reader);
    state->chain = (WalChain){0};
    state->is_carried = false;
}

static bool scan_report_gap(ScanState *state, const WalGap *gap, Error *err)
{
    const WalWalk *walk = &state->scan->walk;

    if (walk->to != 0 && gap->from >= walk->to)
        return true;
    state->end.gaps++;
    WalkStep step = state->scan->on_gap(state->scan->context, gap, err);
    state->end.is_stopped = state->end.is_stopped || step == WALK_STOP;
    return step != WALK_FAILED;
}

static bool report_damage(ScanState *state, uint64_t segment, Lsn from, Lsn to, const char *reason,
                          Error *err)
{
    return scan_report_gap(state,
                           &(WalGap){.timeline = scan_timeline_of(state, segment),
                                     .first = segment,
                                     .last = segment,
                                     .from = from,
                                     .to = to,
                                     .reason = reason},
                           err);
}

/* The segments that were missing end before this one. */
static bool report_missing(ScanState *state, uint64_t segment, Error *err)
{
    if (!state->is_missing)
        return true;
    state->is_missing = false;
    return scan_report_gap(state,
                           &(WalGap){.timeline = scan_timeline_of(state, state->missing),
                                     .first = state->missing,
                                     .last = segment - 1,
                                     .from = wal_segment_start(state->missing, state->segment_size),
                                     .to = wal_segment_start(segment, state->segment_size),
                                     .is_missing = true,
                                     .reason = ""},
                           err);
}

/* *ok is false when it can't be used, which was reported. */
static bool scan_load_trailer(ScanState *state, uint64_t segment, WalTrailer *trailer, bool *ok,
                              Error *err)
{
    const Cluster *cluster = state->scan->walk.cluster;
    Lsn start = wal_segment_start(segment, state->segment_size);
    char name[WAL_NAME_SIZE];
    bool is_open;
    Error attempt = {0};

    walk_segment_name(&state->scan->walk, segment, name);
    *ok = wal_walk_trailer(&state->scan->walk, segment, trailer, &is_open, &attempt);
    if (*ok && (trailer->kind != WAL_SEGMENT || trailer->segment_size != state->segment_size ||
                trailer->system_identifier != cluster->system_identifier)) {
        *ok =
            error_set(&attempt, ERR_CORRUPT, "the stored object is not a segment of this cluster");
    }
    state->end.is_open = *ok && is_open;
    if (state->end.is_open && trailer->summary.reader.last_end != 0)
        state->end.until = trailer->summary.reader.last_end;
    if (*ok)
        return true;
    if (attempt.code != ERR_CORRUPT) {
        *err = attempt;
        return error_context(err, "read what is in %s", name);
    }
    scan_forget(state);
    return report_damage(state, segment, start, start + state->segment_size, attempt.message, err);
}

static bool scan_take_record(void *context, const WalRecord *record, Error *err)
{
    ScanState *state = context;
    const WalScan *scan = state->scan;

    if (state->end.is_stopped || (scan->walk.to != 0 && record->lsn >= scan->walk.to))
        return true;
    WalkStep step = scan->on_record(scan->context, record, err);
    state->end.is_stopped = step == WALK_STOP;
    state->has_failed_above = step == WALK_FAILED;
    return step != WALK_FAILED;
}

static bool scan_take_bytes(void *context, const void *data, size_t size, Error *err)
{
    ScanState *state = context;

    return wal_reader_feed(state->reader, data, size, err);
}

static void begin_reader(ScanState *state, uint64_t segment)
{
    const Cluster *cluster = state->scan->walk.cluster;

    if (state->reader != NULL)
        return;
    state->reader = wal_reader_new(&(WalReaderSetup){
        .version = pg_version_of_major(cluster->major),
        .system_identifier = cluster->system_identifier,
        .segment_size = state->segment_size,
        .start = wal_segment_start(segment, state->segment_size),
        .keep_all = state->scan->keep_all,
        .on_record = scan_take_record,
        .context = state,
    });
}

/*
 * The records of one segment. Should it turn out to be damaged, those that came before were covered
 * by the checksums of their frames and by their own, and the damage is reported.
 */
static bool scan_read_segment(ScanState *state, uint64_t segment, Error *err)
{
    const WalWalk *walk = &state->scan->walk;
    Lsn start = wal_segment_start(segment, state->segment_size);
    Lsn end = start + state->segment_size;
    char name[WAL_NAME_SIZE];
    uint64_t stored_size;
    Error attempt = {0};

    begin_reader(state, segment);
    state->end.read++;
    walk_segment_name(walk, segment, name);
    if (!walk_read_segment(walk, segment, scan_take_bytes, state, &stored_size, &attempt)) {
        scan_forget(state);
        if (attempt.code == ERR_CORRUPT && !state->has_failed_above)
            return report_damage(state, segment, start, end, attempt.message, err);
        *err = attempt;
        if (!state->has_failed_above)
            error_context(err, "read %s", name);
        return false;
    }

    const WalReaderState *reader = wal_reader_state(state->reader);
    if (reader->end != WAL_END_BROKEN)
        return true;
    Lsn broken_at = reader->broken_at;
    CLEANUP(text_freep) char *reason = text_format("%s", reader->reason);
    scan_forget(state);
    return report_damage(state, segment, broken_at, end, reason, err);
}

static bool tail_may_matter(const WalScan *scan, const WalTrailer *trailer)
{
    const WalReaderState *reader = &trailer->summary.reader;

    if (reader->tail_record == 0)
        return false;
    return !reader->tail_has_kind || scan->is_tail_wanted == NULL ||
           scan->is_tail_wanted(scan->context, trailer, reader->tail_rmgr, reader->tail_info);
}

/* What the trailer says is broken, in a segment that need not be read. */
static bool report_broken(ScanState *state, uint64_t segment, const WalReaderState *reader,
                          Error *err)
{
    scan_forget(state);
    return report_damage(state, segment, reader->broken_at,
                         wal_segment_start(segment + 1, state->segment_size), reader->reason, err);
}

static bool scan_look_at_segment(ScanState *state, uint64_t segment, const WalTrailer *trailer,
                                 Error *err)
{
    const WalScan *scan = state->scan;
    const WalReaderState *reader = &trailer->summary.reader;
    Lsn start = wal_segment_start(segment, state->segment_size);

    if (!wal_chain_fits(&state->chain, reader)) {
        scan_forget(state);
        if (state->is_local) { /* of another history */
            state->end.is_stopped = true;
            return true;
        }
        if (!report_damage(state, segment, start, start,
                           "it does not go on where the segment before it ends", err))
            return false;
    }

    bool is_wanted = scan->is_wanted == NULL || scan->is_wanted(scan->context, trailer);
    bool goes_on =
        tail_may_matter(scan, trailer) || (state->is_carried && reader->first_record == 0);
    if (!goes_on && !is_wanted && !state->is_carried) {
        wal_reader_freep(&state->reader);
        wal_chain_add(&state->chain, reader, state->segment_size);
        return reader->end != WAL_END_BROKEN || report_broken(state, segment, reader, err);
    }
    if (!scan_read_segment(state, segment, err))
        return false;
    if (state->reader == NULL)
        return true; /* damaged: nothing is known of what leads to the next one */
    state->is_carried = goes_on;
    wal_chain_add(&state->chain, reader, state->segment_size);
    return true;
}

/* The segment that a timeline left, or its server was writing, and WAL that comes after it all the
 * same: in between some is missing. */
static bool note_rest(ScanState *state, const WalSource *source, Error *err)
{
    const Lsn start = wal_segment_start(source->segment, state->segment_size);

    if (source->fault != NULL || wal_source_is_complete(source, state->segment_size) ||
        source->segment >= state->last)
        return true;
    scan_forget(state);
    return scan_report_gap(state,
                           &(WalGap){.timeline = source->timeline,
                                     .first = source->segment,
                                     .last = source->segment,
                                     .from = start + source->size,
                                     .to = start + state->segment_size,
                                     .is_missing = true,
                                     .reason = ""},
                           err);
}

static bool scan_visit(ScanState *state, uint64_t segment, Error *err)
{
    WalSource source;
    WalTrailer trailer;
    bool ok;

    if (!walk_source(&state->scan->walk, segment, &source, err))
        return false;
    if (source.form == WAL_NOWHERE) {
        if (!state->is_missing)
            state->missing = segment;
        state->is_missing = true;
        scan_forget(state);
        return true;
    }
    state->end.segments++;
    state->end.until = wal_segment_start(segment + 1, state->segment_size);
    state->is_local = source.form == WAL_LOCAL_FILE;
    return report_missing(state, segment, err) &&
           (state->end.is_stopped ||
            (scan_load_trailer(state, segment, &trailer, &ok, err) &&
             (!ok || scan_look_at_segment(state, segment, &trailer, err)))) &&
           (state->end.is_stopped || note_rest(state, &source, err));
}

/* Widen by what this run has of the segments that belong to the path. */
static void extent_widen(WalkExtent *extent, const WalRun *run, const PathStep *step,
                         uint32_t segment_size)
{
    uint64_t first = wal_segment_of(step->begin, segment_size);
    uint64_t last = run->last;

    /* The segment with the fork is the child's. */
    if (step->end != 0 && wal_segment_of(step->end, segment_size) <= last) {
        if (wal_segment_of(step->end, segment_size) == 0)
            return;
        last = wal_segment_of(step->end, segment_size) - 1;
    }
    if (first < run->first)
        first = run->first;
    if (first > last)
        return;
    if (extent->is_empty || first < extent->first)
        extent->first = first;
    if (extent->is_empty || last > extent->last)
        extent->last = last;
    extent->is_empty = false;
}

/* After the last whole segment of the path what is not whole, or is not in the archive. */
static bool scan_extend(const WalWalk *walk, uint32_t segment_size, WalkExtent *extent, Error *err)
{
    WalSource source;

    do {
        if (!walk_source(walk, extent->last + 1, &source, err))
            return false;
        extent->last += source.form != WAL_NOWHERE;
    } while (wal_source_is_complete(&source, segment_size));
    return true;
}

bool walk_whole_extent(const WalWalk *walk, WalkExtent *found, Error *err)
{
    const uint32_t segment_size = walk->cluster->wal_segment_size;
    WalkExtent extent = {.is_empty = true};

    for (size_t i = 0; i < walk->inventory->run_count; i++) {
        const WalRun *run = &walk->inventory->runs[i];
        const PathStep *step = path_step_of(walk->path, run->timeline);

        if (step != NULL)
            extent_widen(&extent, run, step, segment_size);
    }
    if (!extent.is_empty && !scan_extend(walk, segment_size, &extent, err))
        return false;
    if (walk->from != 0 && wal_segment_of(walk->from, segment_size) > extent.first)
        extent.first = wal_segment_of(walk->from, segment_size);
    if (walk->to != 0 && wal_segment_before(walk->to, segment_size) < extent.last)
        extent.last = wal_segment_before(walk->to, segment_size);
    extent.is_empty = extent.is_empty || extent.first > extent.last;
    *found = extent;
    return true;
}

bool wal_scan(const WalScan *scan, WalScanEnd *end, Error *err)
{
    CLEANUP(scan_state_done)
    ScanState state = {.scan = scan, .segment_size = scan->walk.cluster->wal_segment_size};
    WalkExtent extent;

    if (!walk_whole_extent(&scan->walk, &extent, err))
        return false;
    state.last = extent.last;
    state.end.is_empty = extent.is_empty;
    for (uint64_t segment = extent.first;
         !extent.is_empty && segment <= extent.last && !state.end.is_stopped; segment++) {
        if (!scan_visit(&state, segment, err))
            return false;
    }
    if (!extent.is_empty && !state.end.is_stopped && !report_missing(&state, extent.last + 1, err))
        return false;
    *end = state.end;
    return true;
}

typedef struct TablespaceScan {
    const WalWalk *walk;
    const PgVersion *version;
    WalTablespaceFunction *on_create;
    void *context;
} TablespaceScan;

static bool creates_tablespace(void *context, const WalTrailer *trailer)
{
    (void)context;
    return (trailer->summary.changes & WAL_CREATES_TABLESPACE) != 0;
}

static bool may_create_tablespace(void *context, const WalTrailer *trailer, uint8_t rmgr,
                                  uint8_t info)
{
    const TablespaceScan *scan = context;

    (void)trailer;
    return (wal_changes_possible(rmgr, info, scan->version) & WAL_CREATES_TABLESPACE) != 0;
}

static WalkStep pass_tablespace(void *context, const WalRecord *record, Error *err)
{
    TablespaceScan *scan = context;
    const char *path;
    uint32_t oid;

    return walk_step(record->lsn < scan->walk->from || !wal_tablespace_of(record, &oid, &path) ||
                     scan->on_create(scan->context, oid, path, err));
}

static WalkStep refuse_gap(void *context, const WalGap *gap, Error *err)
{
    char lsn[LSN_TEXT_SIZE];

    (void)context;
    error_set(err, ERR_CORRUPT, "WAL is %s at %s%s%s", gap->is_missing ? "missing" : "damaged",
              lsn_text(gap->from, lsn), gap->is_missing ? "" : ": ", gap->reason);
    return WALK_FAILED;
}

bool wal_scan_tablespaces(const WalWalk *walk, WalTablespaceFunction *on_create, void *context,
                          Error *err)
{
    TablespaceScan state = {
        .walk = walk,
        .version = pg_version_of_major(walk->cluster->major),
        .on_create = on_create,
        .context = context,
    };
    WalScan scan = {
        .walk = *walk,
        .is_wanted = creates_tablespace,
        .is_tail_wanted = may_create_tablespace,
        .on_record = pass_tablespace,
        .on_gap = refuse_gap,
        .context = &state,
    };
    WalScanEnd end;

    return wal_scan(&scan, &end, err);
}
