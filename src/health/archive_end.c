#include "look.h"

#include "walk/wal_walk.h"

enum {
    /*
     * The newest commit is looked for in this many trailers at most. It only bounds what can't be
     * measured.
     */
    TRAILERS_MAX = 64,
};

/* The path as far as the archive has the histories that lead along it. */
typedef struct KnownPath {
    TimelinePath path;
    Lsn limit;     /* The first step that was dropped begins here. 0 means that none was. */
    uint32_t lost; /* It is the timeline of that step. */
    bool is_other; /* The archive has a history of it, but with another content. */
} KnownPath;

/* The same timelines, from the same places. */
static bool is_same_path(const TimelinePath *a, const TimelinePath *b, size_t count)
{
    bool same = a->count == count && b->count >= count;

    for (size_t i = 0; same && i < count; i++) {
        same =
            a->steps[i].timeline == b->steps[i].timeline && a->steps[i].begin == b->steps[i].begin;
    }
    return same;
}

/*
 * Whether the archive's history of the last of these steps leads along them. Two servers that were
 * promoted apart give their timelines one number, and recovery follows the one that archived first.
 */
static bool leads_along(const Cluster *cluster, const WalInventory *wal, const TimelinePath *path,
                        size_t count, Arena *arena, KnownPath *known, bool *leads, Error *err)
{
    uint32_t timeline = path->steps[count - 1].timeline;
    TimelinePath archived;
    Error attempt = {0};

    *leads = false;
    if (!wal_inventory_has_history(wal, timeline))
        return true;
    if (timeline_path_load(cluster, timeline, arena, &archived, &attempt)) {
        *leads = is_same_path(&archived, path, count);
        known->is_other = known->is_other || !*leads;
        return true;
    }
    if (attempt.code == ERR_NOT_FOUND || attempt.code == ERR_CORRUPT)
        return true; /* windows tell of it */
    return error_pass(err, &attempt);
}

static bool find_known_path(const Cluster *cluster, const WalInventory *wal,
                            const TimelinePath *path, Arena *arena, KnownPath *known, Error *err)
{
    *known = (KnownPath){.path = {.count = path->count}};
    for (; known->path.count > 1; known->path.count--) {
        bool leads;

        if (!leads_along(cluster, wal, path, known->path.count, arena, known, &leads, err))
            return false;
        if (leads)
            break;
        known->limit = path->steps[known->path.count - 1].begin;
        known->lost = path->steps[known->path.count - 1].timeline;
    }
    known->path.steps = arena_alloc(arena, known->path.count * sizeof(PathStep));
    memcpy(known->path.steps, path->steps, known->path.count * sizeof(PathStep));
    known->path.steps[known->path.count - 1].end = 0;
    return true;
}

/* The newest backup that can be restored and begins before the end of what is looked at. */
static const BackupInfo *find_base(const BackupList *backups, const KnownPath *known)
{
    const BackupInfo *base = NULL;

    for (size_t i = 0; i < backups->count; i++) {
        const BackupInfo *backup = &backups->items[i];

        if (backup->state == BACKUP_RESTORABLE && backup_is_on_path(backup, &known->path) &&
            (known->limit == 0 || backup->header.stop <= known->limit) &&
            (base == NULL || backup->header.stop > base->header.stop))
            base = backup;
    }
    return base;
}

/* Segments of one run that the path takes from its timeline. */
static bool clip_run(const WalRun *run, const TimelinePath *path, uint32_t segment_size,
                     uint64_t *first, uint64_t *last)
{
    *first = run->first;
    *last = run->last;
    while (*first <= *last &&
           path_timeline_of_segment(path, *first, segment_size) != run->timeline) {
        const PathStep *step = path_step_of(path, run->timeline);
        uint64_t begin = step != NULL ? wal_segment_of(step->begin, segment_size) : UINT64_MAX;

        if (begin <= *first)
            return false; /* a later timeline owns it, and all after it */
        *first = begin;
    }
    while (*last > *first && path_timeline_of_segment(path, *last, segment_size) != run->timeline) {
        const PathStep *step = path_step_of(path, run->timeline);
        uint64_t end = wal_segment_of(step->end, segment_size);

        *last = end < *last ? end : *last - 1;
    }
    return *first <= *last;
}

/* Without a backup: where the last gapless stretch of the path begins. False: there is none. */
static bool find_stretch(const WalInventory *wal, const TimelinePath *path, uint32_t segment_size,
                         uint64_t *begin)
{
    uint64_t end = 0;
    bool any = false;

    /* Runs come by timeline, and along a path a later timeline owns later segments. */
    for (size_t i = 0; i < wal->run_count; i++) {
        uint64_t first, last;

        if (!clip_run(&wal->runs[i], path, segment_size, &first, &last))
            continue;
        if (!any || first != end + 1)
            *begin = first;
        end = last;
        any = true;
    }
    return any;
}

/*
 * Whether the archive has a segment of the path after this one. On a timeline that has just begun
 * it has none: what is missing there is not missing yet.
 */
static bool has_later(const WalInventory *wal, const KnownPath *known, uint64_t segment,
                      uint32_t segment_size)
{
    if (known->limit != 0 && segment >= wal_segment_before(known->limit, segment_size))
        return false;
    for (size_t i = 0; i < wal->run_count; i++) {
        uint64_t first, last;

        if (clip_run(&wal->runs[i], &known->path, segment_size, &first, &last) && last > segment)
            return true;
    }
    return false;
}

static const char *archive_end_segment_name(const WalWalk *walk, uint64_t segment,
                                            char text[WAL_NAME_SIZE])
{
    uint32_t segment_size = walk->cluster->wal_segment_size;
    WalName name = {.kind = WAL_SEGMENT,
                    .timeline = path_timeline_of_segment(walk->path, segment, segment_size),
                    .segment = segment};

    return wal_name_text(&name, segment_size, text);
}

/* A record that goes on after the archive's end and may be a commit is not in the archive. */
bool wal_tail_may_be_commit(const WalReaderState *reader)
{
    return reader->tail_record != 0 &&
           (!reader->tail_has_kind || reader->tail_rmgr == RMGR_TRANSACTION);
}

/*
 * Commits lie in the WAL nearly in the order of their times. So what comes after the last segment
 * that holds one is younger than the oldest in it, unless the clock was set back meanwhile.
 */
static void take_newest(const WalSummary *summary, ArchiveEnd *end)
{
    if (end->last_commit != TIME_US_NONE || summary->commit_time_max == TIME_US_NONE)
        return;
    end->commit_end = summary->last_commit_end;
    end->last_commit = summary->commit_time_max;
    end->older_than = summary->commit_time_min;
}

/*
 * Backwards from the last segment: to the one in which the last whole record ends, and to one that
 * holds a commit. A record can be larger than segments are, so the first need not be the last
 * segment.
 */
static bool look_back(const WalWalk *walk, const WalWalkEnd *walked, ArchiveEnd *end, Error *err)
{
    uint32_t segment_size = walk->cluster->wal_segment_size;
    uint64_t first = wal_segment_of(walk->from, segment_size);
    uint64_t holder = walked->last_end != 0 ? wal_segment_before(walked->last_end, segment_size)
                                            : walked->last_segment;
    uint64_t segment = walked->last_segment;

    for (unsigned i = 0; i < TRAILERS_MAX || segment >= holder; i++, segment--) {
        char name[WAL_NAME_SIZE];
        WalTrailer trailer;
        bool is_open;

        if (!wal_walk_trailer(walk, segment, &trailer, &is_open, err)) {
            return error_context(err, "read what is in %s",
                                 archive_end_segment_name(walk, segment, name));
        }
        if (segment == holder && wal_tail_may_be_commit(&trailer.summary.reader))
            end->read_from = trailer.summary.reader.tail_record;
        /* The server may have more of it. */
        if (is_open || trailer.summary.reader.end == WAL_END_BROKEN) {
            end->stored = segment;
            end->read_from = end->durable;
        }
        take_newest(&trailer.summary, end);
        if (segment == first || (segment <= holder && end->last_commit != TIME_US_NONE))
            return true;
    }
    return true;
}

/* There is no commit in the last segments: what comes after them came after the backup. */
static void fall_back_to_base(ArchiveEnd *end)
{
    if (end->last_commit != TIME_US_NONE || end->base == NULL)
        return;
    end->last_commit = end->base->header.commit_time_max;
    end->older_than = end->base->header.started_at;
}

/* What is only in pieces is durable, too, and no whole segment. */
static void note_last(const WalWalk *walk, const WalWalkEnd *walked, ArchiveEnd *end)
{
    uint64_t last = walked->last_segment;

    end->is_open = !wal_inventory_has(walk->inventory, walked->last_timeline, last);
    end->segments = walked->segments - end->is_open;
    end->last_segment = last - end->is_open;
    end->last_timeline =
        path_timeline_of_segment(walk->path, end->last_segment, walk->cluster->wal_segment_size);
}

/* Nothing of what comes after this place can be restored. */
static void archive_end_at(ArchiveEnd *end, Lsn place, uint64_t stored)
{
    end->durable = place;
    end->read_from = place;
    end->stored = stored;
}

typedef struct MinimalLook {
    Lsn from, at;
} MinimalLook;

/* A sign before the beginning, in the same segment, is from before the backup. */
static WalkStep archive_end_look_for_minimal(void *context, uint32_t timeline, uint64_t segment,
                                             const WalTrailer *trailer, Error *err)
{
    MinimalLook *look = context;
    Lsn at = trailer->summary.minimal_at;

    (void)timeline, (void)segment, (void)err;
    if (look->at == 0 && at >= look->from)
        look->at = at;
    return WALK_ON;
}

static bool archive_end_follow(const WalWalk *walk, const KnownPath *known, ArchiveEnd *end,
                               Error *err)
{
    MinimalLook minimal = {.from = walk->from};
    WalWalkEnd walked;

    if (!wal_walk_trailers(walk, archive_end_look_for_minimal, &minimal, &walked, err))
        return false;
    end->is_broken = walked.is_broken;
    memcpy(end->reason, walked.reason, sizeof walked.reason);
    end->is_empty = walked.segments == 0;
    if (end->is_empty)
        return true;
    end->is_hole = !walked.is_broken && has_later(walk->inventory, known, walked.last_segment,
                                                  walk->cluster->wal_segment_size);
    note_last(walk, &walked, end);
    /* Nothing but a piece of one record: what comes before is after the beginning. */
    end->durable = walked.last_end != 0 ? walked.last_end : walk->from;
    end->stored = walked.last_segment + 1;
    end->read_from = wal_segment_start(end->stored, walk->cluster->wal_segment_size);
    if (!look_back(walk, &walked, end, err))
        return false;
    if (known->limit != 0 && end->durable > known->limit) {
        archive_end_at(end, known->limit,
                       wal_segment_of(known->limit, walk->cluster->wal_segment_size));
    }
    if (minimal.at != 0 && end->base != NULL && minimal.at < end->durable) {
        end->minimal_at = minimal.at;
        archive_end_at(end, minimal.at, end->stored);
    }
    return true;
}

bool archive_end_find(const Cluster *cluster, const WalInventory *wal, const BackupList *backups,
                      const TimelinePath *path, ArchiveEnd *end, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    KnownPath known;

    if (!find_known_path(cluster, wal, path, &arena, &known, err))
        return false;
    ArchiveEnd found = {.is_empty = true,
                        .last_commit = TIME_US_NONE,
                        .older_than = TIME_US_NONE,
                        .lost_history = known.lost,
                        .is_other_history = known.is_other};
    WalWalk walk = {
        .cluster = cluster, .inventory = wal, .path = &known.path, .to = known.limit, .threads = 1};
    uint64_t begin = 0;

    found.base = find_base(backups, &known);
    if (found.base != NULL) {
        walk.from = found.base->header.start;
    } else if (find_stretch(wal, &known.path, cluster->wal_segment_size, &begin)) {
        walk.from = wal_segment_start(begin, cluster->wal_segment_size);
    } else {
        *end = found;
        return true;
    }
    if (!archive_end_follow(&walk, &known, &found, err))
        return error_context(err, "follow the archive to its end");
    fall_back_to_base(&found);
    *end = found;
    return true;
}
