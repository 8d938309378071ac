#include "walk/restore_points.h"

#include "walk/wal_scan.h"

#include <ctype.h>

enum { NUMBER_DIGITS_MAX = 6 };

typedef struct PointScan {
    const char *name; /* NULL means any name. */
    const PgVersion *version;
    Buffer found; /* It holds RestorePoint. */
    Arena arena;
} PointScan;

static void point_scan_done(PointScan *scan)
{
    buffer_done(&scan->found);
    arena_done(&scan->arena);
}

static bool may_hold(void *context, const WalTrailer *trailer)
{
    const PointScan *scan = context;
    const WalSummary *summary = &trailer->summary;

    for (uint32_t i = 0; i < summary->restore_point_count; i++) {
        if (scan->name == NULL || i == WAL_RESTORE_POINTS_KEPT ||
            strcmp(summary->restore_points[i].name, scan->name) == 0)
            return true; /* or more than the trailer keeps: look */
    }
    return false;
}

static bool may_be_cut(void *context, const WalTrailer *trailer, uint8_t rmgr, uint8_t info)
{
    (void)context, (void)trailer, (void)info;
    return rmgr == RMGR_XLOG;
}

static WalkStep points_take_record(void *context, const WalRecord *record, Error *err)
{
    PointScan *scan = context;
    WalEvent event;

    (void)err;
    if (record->rmgr != RMGR_XLOG || !wal_event_of(record, scan->version, &event) ||
        event.kind != EVENT_RESTORE_POINT ||
        (scan->name != NULL && strcmp(event.name, scan->name) != 0))
        return WALK_ON;
    RestorePoint point = {
        .lsn = event.lsn, .time = event.time, .name = arena_text(&scan->arena, event.name)};
    buffer_append(&scan->found, &point, sizeof point);
    return WALK_ON;
}

static WalkStep points_pass_gap(void *context, const WalGap *gap, Error *err)
{
    (void)context, (void)gap, (void)err;
    return WALK_ON;
}

bool restore_points_find(const WalWalk *walk, const char *name, RestorePointList *list, Error *err)
{
    CLEANUP(point_scan_done)
    PointScan points = {.name = name, .version = pg_version_of_major(walk->cluster->major)};
    WalScan scan = {.walk = *walk,
                    .is_wanted = may_hold,
                    .is_tail_wanted = may_be_cut,
                    .on_record = points_take_record,
                    .on_gap = points_pass_gap,
                    .context = &points};
    WalScanEnd end;

    scan.walk.from = 0;
    scan.walk.to = 0;
    if (!wal_scan(&scan, &end, err))
        return false;
    *list = (RestorePointList){.count = points.found.size / sizeof(RestorePoint),
                               .arena = points.arena};
    points.arena = (Arena){0};
    list->items = arena_alloc(&list->arena, points.found.size + 1);
    if (points.found.size > 0)
        memcpy(list->items, points.found.data, points.found.size);
    return true;
}

void restore_points_done(RestorePointList *list)
{
    arena_done(&list->arena);
    *list = (RestorePointList){0};
}

bool restore_point_number(const char *text, size_t *name_size, uint64_t *number)
{
    const char *at = strrchr(text, '@');

    if (at == NULL || at == text || at[1] < '1' || at[1] > '9' ||
        strspn(at + 1, "0123456789") != strlen(at + 1) || strlen(at + 1) > NUMBER_DIGITS_MAX)
        return false;
    *name_size = (size_t)(at - text);
    *number = strtoull(at + 1, NULL, 10);
    return true;
}

bool restore_points_pick(const WalWalk *walk, const char *text, Lsn *lsn, Error *err)
{
    CLEANUP(restore_points_done) RestorePointList whole = {0};
    CLEANUP(restore_points_done) RestorePointList named = {0};
    size_t size;
    uint64_t number;

    *lsn = 0;
    if (!restore_point_number(text, &size, &number))
        return true;
    CLEANUP(text_freep) char *name = text_format("%.*s", (int)size, text);
    if (!restore_points_find(walk, text, &whole, err) ||
        !restore_points_find(walk, name, &named, err))
        return false;
    if (whole.count == 0 && number <= named.count)
        *lsn = named.items[number - 1].lsn;
    return true;
}

typedef struct LargestTime {
    TimeUs time;
    uint64_t last_segment; /* It was looked at by its records, not by its trailer. */
} LargestTime;

static void take_time(LargestTime *largest, TimeUs time)
{
    if (time != TIME_US_NONE && (largest->time == TIME_US_NONE || time > largest->time))
        largest->time = time;
}

static WalkStep points_look_at_trailer(void *context, uint32_t timeline, uint64_t segment,
                                       const WalTrailer *trailer, Error *err)
{
    LargestTime *largest = context;

    (void)timeline, (void)err;
    if (segment < largest->last_segment)
        take_time(largest, trailer->summary.commit_time_max);
    return WALK_ON;
}

static WalkStep points_look_at_event(void *context, const WalEvent *event, Error *err)
{
    LargestTime *largest = context;

    (void)err;
    if (event->kind == EVENT_COMMIT)
        take_time(largest, event->time);
    return WALK_ON;
}

bool commit_time_max(const WalWalk *walk, TimeUs *time, Error *err)
{
    const uint32_t size = walk->cluster->wal_segment_size;
    LargestTime largest = {.time = TIME_US_NONE, .last_segment = wal_segment_of(walk->to, size)};
    WalWalk last = *walk;
    WalWalkEnd end;

    if (walk->from < wal_segment_start(largest.last_segment, size)) {
        last.from = wal_segment_start(largest.last_segment, size);
        if (!wal_walk_trailers(walk, points_look_at_trailer, &largest, &end, err))
            return false;
    }
    if (last.from < last.to && !wal_walk_events(&last, points_look_at_event, &largest, &end, err))
        return false;
    *time = largest.time;
    return true;
}
