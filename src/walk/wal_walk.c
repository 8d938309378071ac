#include "walk/wal_chain.h"
#include "walk/walk.h"

#include <inttypes.h>

enum {
    XLOG_SWITCH = 0x40,
    PAGE_HEADER_SIZE = 24,
};

static Lsn segment_end_of(Lsn lsn, uint32_t segment_size)
{
    return wal_segment_start(wal_segment_before(lsn, segment_size) + 1, segment_size);
}

Lsn walk_replay_end(const WalRecord *record, uint32_t segment_size)
{
    if (record->rmgr == RMGR_XLOG && (record->info & 0xF0) == XLOG_SWITCH)
        return segment_end_of(record->end, segment_size);
    return lsn_align_up(record->end);
}

const char *walk_segment_name(const WalWalk *walk, uint64_t segment, char text[WAL_NAME_SIZE])
{
    uint32_t segment_size = walk->cluster->wal_segment_size;
    WalName name = {
        .kind = WAL_SEGMENT,
        .timeline = path_timeline_of_segment(walk->path, segment, segment_size),
        .segment = segment,
    };

    return wal_name_text(&name, segment_size, text);
}

bool walk_source(const WalWalk *walk, uint64_t segment, WalSource *source, Error *err)
{
    return wal_source_on_path(walk->cluster, walk->inventory, walk->path, segment, source, err);
}

/* As far as there is WAL without a gap; *next is the segment after it. */
static bool walk_extend(const WalWalk *walk, WalkExtent *extent, uint64_t *next, Error *err)
{
    const uint32_t segment_size = walk->cluster->wal_segment_size;
    const uint64_t limit = walk->to == 0 ? UINT64_MAX : wal_segment_before(walk->to, segment_size);
    WalSource source;
    uint32_t timeline;
    uint64_t last;

    for (*next = extent->first; !extent->is_open && *next <= limit; *next = extent->last + 1) {
        if (wal_inventory_reach(walk->inventory, walk->path, wal_segment_start(*next, segment_size),
                                segment_size, &last, &timeline)) {
            extent->last = last;
            extent->is_empty = false;
            continue;
        }
        if (!walk_source(walk, *next, &source, err))
            return false;
        if (source.form == WAL_NOWHERE)
            return true;
        extent->last = *next;
        extent->is_empty = false;
        extent->is_open = !wal_source_is_complete(&source, segment_size);
        if (extent->local == 0 && source.form == WAL_LOCAL_FILE)
            extent->local = *next;
    }
    return true;
}

static bool find_hole(const WalWalk *walk, uint64_t segment, bool *is_hole, Error *err)
{
    const WalName name = {
        .kind = WAL_SEGMENT,
        .timeline = path_timeline_of_segment(walk->path, segment, walk->cluster->wal_segment_size),
        .segment = segment,
    };
    Absence absence;

    if (!wal_source_absence(walk->cluster, walk->inventory, walk->path, &name, 0, &absence, err))
        return false;
    *is_hole = absence != ABSENCE_PROVEN;
    return true;
}

bool walk_extent(const WalWalk *walk, WalkExtent *extent, Error *err)
{
    const uint32_t segment_size = walk->cluster->wal_segment_size;
    WalkExtent found = {.first = wal_segment_of(walk->from, segment_size), .is_empty = true};
    uint64_t next;

    if (!walk_extend(walk, &found, &next, err))
        return false;
    if (found.is_empty)
        found.last = found.first;
    if (walk->to != 0 && !found.is_empty &&
        wal_segment_before(walk->to, segment_size) <= found.last) {
        found.is_open = found.is_open && wal_segment_before(walk->to, segment_size) == found.last;
        found.last = wal_segment_before(walk->to, segment_size);
        found.is_empty = found.last < found.first;
    } else if (!find_hole(walk, next, &found.is_hole, err)) {
        return false;
    }
    *extent = found;
    return true;
}

/* The place after `size` bytes of a record that continue at the start of a segment. */
static Lsn behind_head(Lsn start, uint32_t size)
{
    Lsn at = start + WAL_SEGMENT_HEADER_SIZE;
    uint64_t left = size;

    for (;;) {
        uint64_t in_page = WAL_BLOCK_SIZE - at % WAL_BLOCK_SIZE;

        if (left <= in_page)
            return at + left;
        left -= in_page;
        at += in_page + PAGE_HEADER_SIZE;
    }
}

static void end_broken(WalWalkEnd *end, const char *reason)
{
    end->is_broken = true;
    snprintf(end->reason, sizeof end->reason, "%.*s", (int)sizeof end->reason - 1, reason);
}

/* What the walk's extent says about its end, once all of it was seen. */
static void end_of_extent(WalWalkEnd *end, const WalkExtent *extent, bool is_stopped)
{
    end->is_hole = extent->is_hole && !end->is_broken && !is_stopped;
    end->is_open = extent->is_open && end->segments > 0 && end->last_segment == extent->last;
    end->local = end->segments > 0 && end->last_segment >= extent->local ? extent->local : 0;
}

/* Sum up what this segment adds to the end. */
static void end_add(WalWalkEnd *end, const WalChain *chain, const WalReaderState *state,
                    uint64_t segment, uint32_t segment_size)
{
    if (wal_chain_completes(chain, state, segment_size) && state->end != WAL_END_BROKEN) {
        end->last_end = behind_head(wal_segment_start(segment, segment_size), state->head_size);
        end->replay_end = lsn_align_up(end->last_end);
    }
    if (state->record_count > 0) {
        end->last_end = state->last_end;
        end->replay_end = state->end == WAL_END_SWITCH ? segment_end_of(end->last_end, segment_size)
                                                       : lsn_align_up(end->last_end);
    }
    if (state->end == WAL_END_BROKEN)
        end_broken(end, state->reason);
}

typedef struct SegmentWalk {
    const WalWalk *walk;
    WalkExtent extent;
    WalChain chain;
    WalWalkEnd end;
    bool is_stopped;
} SegmentWalk;

static bool is_remembered(const WalWalk *walk, uint64_t segment, WalTrailer *trailer)
{
    const WalInventory *inventory = walk->inventory;
    const uint32_t timeline =
        path_timeline_of_segment(walk->path, segment, walk->cluster->wal_segment_size);
    const WalStored *stored = wal_inventory_stored(inventory, timeline, segment);
    TimeUs verified_at;

    return stored != NULL && inventory->known != NULL &&
           wal_knowledge_find(inventory->known, timeline, segment, stored, trailer, &verified_at);
}

static bool trailer_of(const WalWalk *walk, const WalSource *source, WalTrailer *trailer,
                       Error *err)
{
    char name[WAL_NAME_SIZE];

    if (source->form == WAL_NOWHERE)
        return error_set(err, ERR_NOT_FOUND, "it is not in the archive");
    if (source->fault != NULL && source->size == 0)
        return error_set(err, ERR_CORRUPT, "%s", source->fault);
    if (wal_source_is_open(source)) {
        *trailer = *source->trailer;
        return true;
    }
    return is_remembered(walk, source->segment, trailer) ||
           wal_object_trailer(walk->cluster, walk_segment_name(walk, source->segment, name),
                              trailer, err);
}

bool wal_walk_trailer(const WalWalk *walk, uint64_t segment, WalTrailer *trailer, bool *is_open,
                      Error *err)
{
    WalSource source;

    if (!walk_source(walk, segment, &source, err))
        return false;
    *is_open = wal_source_is_open(&source);
    return trailer_of(walk, &source, trailer, err);
}

bool walk_read_segment(const WalWalk *walk, uint64_t segment, WalSink *sink, void *context,
                       uint64_t *stored_size, Error *err)
{
    WalSource source;

    if (!walk_source(walk, segment, &source, err))
        return false;
    if (source.fault != NULL && source.size == 0)
        return error_set(err, ERR_CORRUPT, "%s", source.fault);
    return wal_source_read(walk->cluster, walk->inventory, &source, walk->threads, sink, context,
                           stored_size, err);
}

/* A trailer can be whole where the WAL before it is not: who has read all of it knows. */
static bool check_marks(const SegmentWalk *state, uint64_t segment, Error *err)
{
    const uint32_t size = state->walk->cluster->wal_segment_size;
    CLEANUP(arena_done) Arena arena = {0};
    const Mark *damage = wal_inventory_damage(
        state->walk->inventory, path_timeline_of_segment(state->walk->path, segment, size), segment,
        size);

    return damage == NULL || error_set(err, ERR_CORRUPT, "%s", mark_text(damage, &arena));
}

/* *ok is false when the walk ends here, which the end says. */
static bool segments_load_trailer(SegmentWalk *state, uint64_t segment, WalTrailer *trailer,
                                  bool *ok, Error *err)
{
    const Cluster *cluster = state->walk->cluster;
    char name[WAL_NAME_SIZE];
    bool is_open;
    Error attempt = {0};

    walk_segment_name(state->walk, segment, name);
    *ok = check_marks(state, segment, &attempt) &&
          wal_walk_trailer(state->walk, segment, trailer, &is_open, &attempt);
    if (!*ok && attempt.code != ERR_CORRUPT) {
        *err = attempt;
        return error_context(err, "read what is in %s", name);
    }
    if (*ok &&
        (trailer->kind != WAL_SEGMENT || trailer->segment_size != cluster->wal_segment_size ||
         trailer->system_identifier != cluster->system_identifier)) {
        *ok = false;
        error_set(&attempt, ERR_CORRUPT, "the stored object is not a segment of this cluster");
    }
    if (!*ok) {
        CLEANUP(text_freep) char *reason = text_format("%s: %s", name, attempt.message);
        end_broken(&state->end, reason);
    }
    return true;
}

static bool visit_segment(SegmentWalk *state, uint64_t segment, SegmentVisitFunction *on_segment,
                          void *context, bool *go_on, Error *err)
{
    uint32_t segment_size = state->walk->cluster->wal_segment_size;
    uint32_t timeline = path_timeline_of_segment(state->walk->path, segment, segment_size);
    WalTrailer trailer;

    if (!segments_load_trailer(state, segment, &trailer, go_on, err))
        return false;
    if (*go_on && !wal_chain_fits(&state->chain, &trailer.summary.reader)) {
        /* A local file that is of another history says nothing about this one. */
        if (state->extent.local == 0 || segment < state->extent.local)
            end_broken(&state->end, "the next segment does not go on where this one ends");
        *go_on = false;
    }
    if (!*go_on)
        return true;

    const WalReaderState *reader = &trailer.summary.reader;
    bool joins =
        state->chain.pending_matters && wal_chain_completes(&state->chain, reader, segment_size);
    SegmentVisit visit = {
        .timeline = timeline,
        .segment = segment,
        .trailer = &trailer,
        .replay_end = state->end.replay_end,
        .straddling = joins ? state->chain.pending : 0,
    };
    end_add(&state->end, &state->chain, reader, segment, segment_size);
    wal_chain_add(&state->chain, reader, segment_size);
    state->end.segments++;
    state->end.stored_bytes += trailer.stored_size;
    state->end.last_segment = segment;
    state->end.last_timeline = timeline;
    *go_on = reader->end != WAL_END_BROKEN;
    WalkStep step = on_segment != NULL ? on_segment(context, &visit, err) : WALK_ON;
    state->is_stopped = step == WALK_STOP;
    *go_on = *go_on && step == WALK_ON;
    return step != WALK_FAILED;
}

bool walk_segments(const WalWalk *walk, SegmentVisitFunction *on_segment, void *context,
                   WalWalkEnd *end, Error *err)
{
    SegmentWalk state = {.walk = walk};
    const WalkExtent *extent = &state.extent;

    if (!walk_extent(walk, &state.extent, err))
        return false;
    bool go_on = !extent->is_empty;

    for (uint64_t segment = extent->first; go_on && segment <= extent->last; segment++) {
        if (!visit_segment(&state, segment, on_segment, context, &go_on, err))
            return false;
    }
    end_of_extent(&state.end, extent, state.is_stopped);
    *end = state.end;
    return true;
}

typedef struct TrailerWalk {
    const WalWalk *walk;
    WalSegmentFunction *on_segment;
    void *context;
} TrailerWalk;

static WalkStep join_and_pass_on(void *context, const SegmentVisit *visit, Error *err)
{
    TrailerWalk *state = context;
    WalTrailer trailer = *visit->trailer;
    WalEvent event;
    bool found = false;

    if (visit->straddling != 0 &&
        !walk_event_at(state->walk, visit->straddling, &event, &found, err))
        return WALK_FAILED;
    if (found)
        wal_summary_prepend(&trailer.summary, &event);
    return state->on_segment(state->context, visit->timeline, visit->segment, &trailer, err);
}

bool wal_walk_trailers(const WalWalk *walk, WalSegmentFunction *on_segment, void *context,
                       WalWalkEnd *end, Error *err)
{
    TrailerWalk state = {.walk = walk, .on_segment = on_segment, .context = context};

    return walk_segments(walk, on_segment == NULL ? NULL : join_and_pass_on, &state, end, err);
}

typedef struct RecordWalk {
    const WalWalk *walk;
    WalReader *reader;
    WalkRecordFunction *on_record;
    void *context;
    WalWalkEnd end;
    bool is_stopped;
} RecordWalk;

static void record_walk_done(RecordWalk *state)
{
    wal_reader_freep(&state->reader);
}

static bool records_take_record(void *context, const WalRecord *record, Error *err)
{
    RecordWalk *state = context;

    if (state->walk->to != 0 && record->lsn >= state->walk->to)
        state->is_stopped = true;
    if (state->is_stopped)
        return true;
    state->end.last_end = record->end;
    state->end.replay_end = walk_replay_end(record, state->walk->cluster->wal_segment_size);
    if (record->lsn < state->walk->from)
        return true;
    WalkStep step = state->on_record(state->context, record, err);
    state->is_stopped = step == WALK_STOP;
    return step != WALK_FAILED;
}

/* Once stopped, the rest of the segment still comes, so that it is verified to its end. */
static bool records_take_bytes(void *context, const void *data, size_t size, Error *err)
{
    RecordWalk *state = context;

    return state->is_stopped || wal_reader_feed(state->reader, data, size, err);
}

static bool records_read_segment(RecordWalk *state, uint64_t segment, Error *err)
{
    const WalWalk *walk = state->walk;
    uint32_t segment_size = walk->cluster->wal_segment_size;
    char name[WAL_NAME_SIZE];
    uint64_t stored_size;

    if (!walk_read_segment(walk, segment, records_take_bytes, state, &stored_size, err))
        return error_context(err, "read %s", walk_segment_name(walk, segment, name));
    state->end.segments++;
    state->end.stored_bytes += stored_size;
    state->end.last_segment = segment;
    state->end.last_timeline = path_timeline_of_segment(walk->path, segment, segment_size);
    return true;
}

bool walk_records(const WalWalk *walk, WalkRecordFunction *on_record, void *context,
                  WalWalkEnd *end, Error *err)
{
    CLEANUP(record_walk_done)
    RecordWalk state = {.walk = walk, .on_record = on_record, .context = context};
    const WalReaderState *reader;
    WalkExtent extent;

    if (!walk_extent(walk, &extent, err))
        return false;
    state.reader = wal_reader_new(&(WalReaderSetup){
        .version = pg_version_of_major(walk->cluster->major),
        .system_identifier = walk->cluster->system_identifier,
        .segment_size = walk->cluster->wal_segment_size,
        .start = wal_segment_start(extent.first, walk->cluster->wal_segment_size),
        .keep_all = walk->keep_all,
        .on_record = records_take_record,
        .context = &state,
    });
    reader = wal_reader_state(state.reader);
    for (uint64_t segment = extent.first; !extent.is_empty && segment <= extent.last; segment++) {
        if (!records_read_segment(&state, segment, err))
            return false;
        if (state.is_stopped || reader->end == WAL_END_BROKEN)
            break;
    }
    if (!state.is_stopped && reader->end == WAL_END_BROKEN)
        end_broken(&state.end, reader->reason);
    end_of_extent(&state.end, &extent, state.is_stopped);
    *end = state.end;
    return true;
}

typedef struct EventWalk {
    const PgVersion *version;
    WalWalkFunction *on_event;
    void *context;
} EventWalk;

static WalkStep pass_event(void *context, const WalRecord *record, Error *err)
{
    EventWalk *state = context;
    WalEvent event;

    return wal_event_of(record, state->version, &event)
               ? state->on_event(state->context, &event, err)
               : WALK_ON;
}

bool wal_walk_events(const WalWalk *walk, WalWalkFunction *on_event, void *context, WalWalkEnd *end,
                     Error *err)
{
    EventWalk state = {
        .version = pg_version_of_major(walk->cluster->major),
        .on_event = on_event,
        .context = context,
    };

    return walk_records(walk, pass_event, &state, end, err);
}

typedef struct OneRecord {
    const PgVersion *version;
    Lsn lsn;
    WalEvent *event;
    bool found;
} OneRecord;

static WalkStep take_one(void *context, const WalRecord *record, Error *err)
{
    OneRecord *one = context;

    (void)err;
    one->found = record->lsn == one->lsn && wal_event_of(record, one->version, one->event);
    return WALK_STOP;
}

bool walk_event_at(const WalWalk *walk, Lsn lsn, WalEvent *event, bool *found, Error *err)
{
    OneRecord one = {
        .version = pg_version_of_major(walk->cluster->major),
        .lsn = lsn,
        .event = event,
    };
    WalWalk from_there = *walk;
    WalWalkEnd end;

    from_there.from = lsn;
    from_there.to = 0;
    if (!walk_records(&from_there, take_one, &one, &end, err))
        return false;
    *found = one.found;
    return true;
}
