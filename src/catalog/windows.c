#include "catalog/windows.h"

#include "walk/walk.h"

enum { STRADDLING_MAX = 64 };

/* The largest commit time over the trailers of one stretch. */
typedef struct TimeSearch {
    TimeUs max;
    /* These records may be commits, straddle two segments, and come after the maximum so far. */
    Lsn straddling[STRADDLING_MAX];
    size_t count;
    /* It is the first segment with a sign of wal_level=minimal, and the walk ends with it. */
    uint64_t minimal;
    /* It is the first sign in that segment. 0 means that there is no such segment. */
    Lsn minimal_at;
    bool is_first_cleared; /* The sign in the first segment is older than the walk. */
} TimeSearch;

static WalkStep window_look_at_segment(void *context, const SegmentVisit *visit, Error *err)
{
    TimeSearch *search = context;
    TimeUs max = visit->trailer->summary.commit_time_max;

    (void)err;
    if (visit->trailer->summary.minimal_at != 0 && !search->is_first_cleared) {
        search->minimal = visit->segment;
        search->minimal_at = visit->trailer->summary.minimal_at;
        return WALK_STOP;
    }
    search->is_first_cleared = false;
    if (visit->straddling != 0) {
        if (search->count == STRADDLING_MAX) { /* the oldest can matter the least */
            memmove(search->straddling, search->straddling + 1,
                    (STRADDLING_MAX - 1) * sizeof search->straddling[0]);
            search->count--;
        }
        search->straddling[search->count++] = visit->straddling;
    }
    if (max != TIME_US_NONE && (search->max == TIME_US_NONE || max > search->max)) {
        search->max = max;
        search->count = 0;
    }
    return WALK_ON;
}

/*
 * Only straddling commits after the segment with the maximum are read, each of which costs two
 * segments: an earlier one would have to be of a clock that was set back since, and leaving it
 * out says less than can be reached, never more.
 */
static bool join_last(const WalWalk *walk, TimeSearch *search, Error *err)
{
    for (size_t i = 0; i < search->count; i++) {
        WalEvent event;
        bool found;

        if (!walk_event_at(walk, search->straddling[i], &event, &found, err))
            return false;
        if (found && event.kind == EVENT_COMMIT &&
            (search->max == TIME_US_NONE || event.time > search->max))
            search->max = event.time;
    }
    return true;
}

/* What comes before the first record that says wal_level=minimal. */
typedef struct MinimalSearch {
    Lsn lsn; /* That record is here. 0 means that there is none. */
    TimeUs max;
} MinimalSearch;

static WalkStep window_look_at_event(void *context, const WalEvent *event, Error *err)
{
    MinimalSearch *search = context;

    (void)err;
    if (event->kind == EVENT_COMMIT && (search->max == TIME_US_NONE || event->time > search->max))
        search->max = event->time;
    if (event->parameters.wal_level == WAL_LEVEL_MINIMAL)
        search->lsn = event->lsn;
    return search->lsn != 0 ? WALK_STOP : WALK_ON;
}

/* Only a segment with a sign is read. */
static bool find_minimal(const WalWalk *walk, const TimeSearch *found, MinimalSearch *minimal,
                         Error *err)
{
    uint32_t segment_size = walk->cluster->wal_segment_size;
    Lsn start = wal_segment_start(found->minimal, segment_size);
    WalWalk inside = *walk;
    WalWalkEnd end;

    inside.from = start > walk->from ? start : walk->from;
    inside.to = wal_segment_start(found->minimal + 1, segment_size);
    *minimal = (MinimalSearch){.max = TIME_US_NONE};
    if (!wal_walk_events(&inside, window_look_at_event, minimal, &end, err))
        return false;
    if (minimal->lsn == 0 && found->minimal_at >= walk->from)
        minimal->lsn = found->minimal_at; /* damage is in the way */
    return true;
}

/*
 * The walk over the trailers, which ends at WAL of wal_level=minimal. A trailer knows its first
 * sign only, and in the first segment that can be older than the walk: then all of it is read.
 */
static bool search_stretch(const WalWalk *walk, TimeSearch *search, MinimalSearch *minimal,
                           WalWalkEnd *end, Error *err)
{
    *minimal = (MinimalSearch){.max = TIME_US_NONE};
    *search = (TimeSearch){.max = TIME_US_NONE};
    if (!walk_segments(walk, window_look_at_segment, search, end, err))
        return false;
    if (search->minimal_at == 0)
        return true;
    if (!find_minimal(walk, search, minimal, err))
        return false;
    if (minimal->lsn == 0) {
        *search = (TimeSearch){.max = TIME_US_NONE, .is_first_cleared = true};
        if (!walk_segments(walk, window_look_at_segment, search, end, err))
            return false;
        if (search->minimal_at == 0)
            return true;
        if (!find_minimal(walk, search, minimal, err))
            return false;
    }
    if (minimal->max != TIME_US_NONE && (search->max == TIME_US_NONE || minimal->max > search->max))
        search->max = minimal->max;
    end->last_end = minimal->lsn;
    return true;
}

/* A gap that retention has made: what is after it belongs to later backups. */
static bool gap_is_removed(const WalWalk *walk, uint64_t segment)
{
    const uint32_t size = walk->cluster->wal_segment_size;
    uint64_t last;

    return wal_marked_removed(&walk->inventory->marks, size,
                              path_timeline_of_segment(walk->path, segment, size), segment, &last);
}

/* What one backup opens along a path. */
static bool open_window(const WalWalk *walk, const BackupInfo *backup, RecoveryWindow *window,
                        Error *err)
{
    TimeSearch search;
    MinimalSearch minimal;
    Error attempt = {0};
    WalWalkEnd end;

    if (!search_stretch(walk, &search, &minimal, &end, err))
        return false;
    /* Should such a record be in a damaged segment, the time without it is true all the same. */
    if (!join_last(walk, &search, &attempt) && attempt.code != ERR_CORRUPT)
        return error_pass(err, &attempt);
    TimeUs earliest = backup->header.stopped_at;
    attempt = (Error){0};
    if (!window_earliest_time(walk, backup, &earliest, &attempt) && attempt.code != ERR_CORRUPT)
        return error_pass(err, &attempt);
    const bool is_removed = gap_is_removed(walk, end.last_segment + 1);
    *window = (RecoveryWindow){
        .timeline = path_last_timeline(walk->path),
        .backup = backup->header.id,
        .from = backup->header.stop,
        .from_time = earliest,
        .until = end.last_end,
        .until_time = search.max,
        .last_segment = end.last_segment,
        .ends_in_hole = end.is_hole && !is_removed,
        .ends_removed = end.is_hole && is_removed,
        .ends_damaged = end.is_broken,
        .ends_minimal = minimal.lsn != 0,
    };
    return true;
}

/* The windows of one path, appended to the list. Backups come sorted by timeline and stop. */
static bool add_windows(WindowList *list, WalWalk walk, const BackupList *backups, Error *err)
{
    size_t first = list->count;

    for (size_t i = 0; i < backups->count; i++) {
        const BackupInfo *backup = &backups->items[i];
        RecoveryWindow *window = &list->items[list->count];

        if (backup->state != BACKUP_RESTORABLE || !backup_is_on_path(backup, walk.path))
            continue;
        if (list->count > first && backup->header.start < window[-1].until)
            continue; /* the stretch is open already, by an older backup */
        walk.from = backup->header.start;
        if (!open_window(&walk, backup, window, err))
            return error_context(err, "follow the WAL of backup %s", backup->header.id);
        if (window->until < window->from)
            continue; /* damaged inside the backup: it opens nothing */
        window->backup = arena_text(&list->arena, window->backup);
        list->count++;
    }
    return true;
}

/* A timeline with WAL in the archive, and its windows. */
typedef struct PathWindows {
    TimelinePath path;
    size_t first, count; /* They say which windows of the list are of this path. */
} PathWindows;

/* Its history is missing or damaged: no server can be told to recover along it. */
static bool window_load_path(TimelinePath *path, bool *is_usable, const Cluster *cluster,
                             uint32_t timeline, Arena *arena, Error *err)
{
    Error attempt = {0};

    *is_usable = timeline_path_load(cluster, timeline, arena, path, &attempt);
    if (*is_usable || attempt.code == ERR_NOT_FOUND || attempt.code == ERR_CORRUPT)
        return true;
    return error_pass(err, &attempt);
}

/*
 * Whether this branch has all of the window, and its timeline is left only where the window ends:
 * it was promoted or recovered from the very end, and goes on.
 */
static bool window_continues(const PathWindows *branch, const WindowList *list,
                             const RecoveryWindow *window)
{
    const PathStep *step = path_step_of(&branch->path, window->timeline);

    if (step == NULL || step->end == 0 || step->end < window->until)
        return false;
    for (size_t i = branch->first; i < branch->first + branch->count; i++) {
        if (list->items[i].from <= window->from && list->items[i].until >= window->until)
            return true;
    }
    return false;
}

static void remove_continued(WindowList *list, const PathWindows *branches, size_t branch_count)
{
    size_t kept = 0;
    bool *gone = arena_alloc(&list->arena, list->count + 1);

    for (size_t i = 0; i < list->count; i++) {
        for (size_t j = 0; j < branch_count; j++)
            gone[i] = gone[i] || window_continues(&branches[j], list, &list->items[i]);
    }
    for (size_t i = 0; i < list->count; i++) {
        if (!gone[i])
            list->items[kept++] = list->items[i];
    }
    list->count = kept;
}

/* The lower one of those above `after`; next 0: none so far. */
static uint32_t window_is_nearer(uint32_t next, uint32_t timeline, uint32_t after)
{
    return timeline > after && (next == 0 || timeline < next) ? timeline : next;
}

/* The lowest timeline above `after` that has WAL, in whatever form; 0: there is none. */
static uint32_t next_timeline(const WalInventory *inventory, uint32_t after)
{
    uint32_t next = 0;

    for (size_t i = 0; i < inventory->run_count; i++)
        next = window_is_nearer(next, inventory->runs[i].timeline, after);
    for (size_t i = 0; i < inventory->pieces.count; i++)
        next = window_is_nearer(next, inventory->pieces.items[i].timeline, after);
    for (size_t i = 0; i < inventory->partial_count; i++)
        next = window_is_nearer(next, inventory->partials[i].timeline, after);
    return next;
}

static size_t count_timelines(const WalInventory *inventory)
{
    size_t count = 0;

    for (uint32_t timeline = 0; (timeline = next_timeline(inventory, timeline)) != 0;)
        count++;
    return count;
}

/*
 * All timelines that have WAL. One that has but a history, as after a promotion before the first
 * segment is whole, adds nothing to what its parent's window says.
 */
static bool add_branches(WindowList *list, WalWalk walk, const BackupList *backups, Arena *arena,
                         Error *err)
{
    PathWindows *branches =
        arena_alloc(arena, (count_timelines(walk.inventory) + 1) * sizeof(PathWindows));
    size_t count = 0;

    for (uint32_t timeline = next_timeline(walk.inventory, 0); timeline != 0;
         timeline = next_timeline(walk.inventory, timeline)) {
        PathWindows *branch = &branches[count];
        bool is_usable;

        if (!window_load_path(&branch->path, &is_usable, walk.cluster, timeline, arena, err))
            return false;
        if (!is_usable) {
            list->unreadable = timeline;
            continue;
        }
        walk.path = &branch->path;
        branch->first = list->count;
        if (!add_windows(list, walk, backups, err))
            return false;
        branch->count = list->count - branch->first;
        count++;
    }
    remove_continued(list, branches, count);
    return true;
}

bool window_list_load(WindowList *list, const Cluster *cluster, const WalInventory *inventory,
                      const BackupList *backups, Error *err)
{
    CLEANUP(arena_done) Arena paths = {0};
    CLEANUP(window_list_done) WindowList loaded = {0};
    WalWalk walk = {.cluster = cluster, .inventory = inventory, .threads = 1};

    loaded.items = arena_alloc(&loaded.arena, (count_timelines(inventory) * backups->count + 1) *
                                                  sizeof(RecoveryWindow));
    if (!add_branches(&loaded, walk, backups, &paths, err))
        return false;
    *list = loaded;
    loaded = (WindowList){0};
    return true;
}

const RecoveryWindow *window_furthest(const WindowList *list)
{
    const RecoveryWindow *last = NULL;

    for (size_t i = 0; i < list->count; i++) {
        const RecoveryWindow *window = &list->items[i];

        if (last == NULL || window->until_time > last->until_time ||
            (window->until_time == last->until_time && window->until > last->until))
            last = window;
    }
    return last;
}

void window_list_done(WindowList *list)
{
    arena_done(&list->arena);
    *list = (WindowList){0};
}
