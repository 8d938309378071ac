#include "catalog/windows.h"

/*
 * The times of what ended between a backup's start and its stop, out of trailers where these can
 * tell. Starting and stopping a backup switches the segment (xlog.c, do_pg_backup_start and
 * do_pg_backup_stop), so that nearly always all that ended in these segments ended inside the
 * backup.
 */
typedef struct Earliest {
    const WalWalk *walk; /* It goes from start to stop. */
    /* It is the latest time in those segments that tell it. TIME_US_NONE means that none does. */
    TimeUs max;
    /* They are segments with ends of transactions inside and outside. */
    uint64_t mixed[2];
    TimeUs mixed_max[2];
    size_t mixed_count;
    bool is_unclear; /* There are more of them than fit into `mixed`. */
} Earliest;

static void take_later(TimeUs *max, TimeUs time)
{
    if (time != TIME_US_NONE && (*max == TIME_US_NONE || time > *max))
        *max = time;
}

static WalkStep earliest_look_at_segment(void *context, uint32_t timeline, uint64_t segment,
                                         const WalTrailer *trailer, Error *err)
{
    Earliest *earliest = context;
    const WalSummary *summary = &trailer->summary;

    (void)timeline, (void)err;
    if (summary->end_time_max == TIME_US_NONE)
        return WALK_ON;
    if (summary->first_end_lsn >= earliest->walk->from &&
        summary->last_end_lsn < earliest->walk->to) {
        take_later(&earliest->max, summary->end_time_max);
        return WALK_ON;
    }
    if (earliest->mixed_count == ARRAY_SIZE(earliest->mixed)) {
        earliest->is_unclear = true;
        return WALK_ON;
    }
    earliest->mixed[earliest->mixed_count] = segment;
    earliest->mixed_max[earliest->mixed_count++] = summary->end_time_max;
    return WALK_ON;
}

static WalkStep earliest_take_end(void *context, const WalEvent *event, Error *err)
{
    Earliest *earliest = context;

    (void)err;
    if (event->kind == EVENT_COMMIT || event->kind == EVENT_ABORT)
        take_later(&earliest->max, event->time);
    return WALK_ON;
}

/* What begins in the segment before, too: it may end in this one. */
static bool earliest_read_segment(Earliest *earliest, uint64_t segment, Error *err)
{
    const uint32_t size = earliest->walk->cluster->wal_segment_size;
    const Lsn from = wal_segment_start(segment - 1, size);
    const Lsn to = wal_segment_start(segment + 1, size);
    WalWalk inside = *earliest->walk;
    WalWalkEnd end;

    if (from > inside.from)
        inside.from = from;
    if (to < inside.to)
        inside.to = to;
    return wal_walk_events(&inside, earliest_take_end, earliest, &end, err);
}

bool window_latest_end(const WalWalk *inside, TimeUs *latest, Error *err)
{
    Earliest state = {.walk = inside, .max = TIME_US_NONE};
    WalWalkEnd end;

    if (!wal_walk_trailers(inside, earliest_look_at_segment, &state, &end, err))
        return false;
    if (state.is_unclear && !wal_walk_events(inside, earliest_take_end, &state, &end, err))
        return false;
    for (size_t i = 0; i < state.mixed_count; i++) {
        if ((state.max == TIME_US_NONE || state.mixed_max[i] > state.max) &&
            !earliest_read_segment(&state, state.mixed[i], err))
            return false;
    }
    *latest = state.max;
    return true;
}

bool window_earliest_time(const WalWalk *walk, const BackupInfo *backup, TimeUs *earliest,
                          Error *err)
{
    WalWalk inside = *walk;
    TimeUs latest;

    inside.from = backup->header.start;
    inside.to = backup->header.stop;
    if (!window_latest_end(&inside, &latest, err))
        return error_context(err, "look into backup %s", backup->header.id);
    *earliest = latest != TIME_US_NONE ? latest : backup->header.stopped_at;
    return true;
}
