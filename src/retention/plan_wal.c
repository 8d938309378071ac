#include "plan_wal.h"

#include <assert.h>

const char *wal_reason_text(WalReason reason)
{
    switch (reason) {
    case WAL_GOES:
        return "no backup needs it";
    case WAL_OF_WINDOW:
        return "window";
    case WAL_OF_BACKUP:
        return "of a backup that is kept";
    case WAL_OF_LEAVING:
        return "of a backup that goes first";
    case WAL_OF_LEASE:
        return "in use";
    case WAL_OF_FORK:
        return "a timeline was left in it";
    case WAL_IS_LAST:
        return "the last of its timeline";
    case WAL_OF_BRANCH:
        return "no policy, or no backup of this history can be restored";
    }
    return "";
}

/* Segments of one timeline that stay. */
typedef struct KeptRange {
    uint32_t timeline;
    uint64_t first, last;
    WalReason reason;
    const char *backup;
} KeptRange;

typedef struct KeptRanges {
    const RetentionInput *input;
    KeptRange *items;
    size_t count, capacity;
    Arena *arena;
} KeptRanges;

static void ranges_add(KeptRanges *ranges, const KeptRange *range)
{
    if (ranges->count == ranges->capacity) {
        KeptRange *items = ranges->items;

        ranges->capacity = ranges->capacity * 2 + 64;
        ranges->items = arena_alloc(ranges->arena, ranges->capacity * sizeof *items);
        if (ranges->count > 0)
            memcpy(ranges->items, items, ranges->count * sizeof *items);
    }
    ranges->items[ranges->count++] = *range;
}

/* Which bytes of a path stay, and why. */
typedef struct KeptStretch {
    Lsn from, to; /* When `to` is 0, the stretch goes to the end. */
    WalReason reason;
    const char *backup;
} KeptStretch;

/*
 * On each timeline of the path, its segments of [from, to). The one in which a timeline is left is
 * both of it and of the next: both stay, since which of them a recovery reads depends on the path
 * that it was given.
 */
static void ranges_add_path(KeptRanges *ranges, const TimelinePath *path,
                            const KeptStretch *stretch)
{
    const uint32_t size = ranges->input->segment_size;

    for (size_t i = 0; i < path->count; i++) {
        const PathStep *step = &path->steps[i];
        const Lsn from = stretch->from > step->begin ? stretch->from : step->begin;
        Lsn to = step->end;

        if (path_step_is_empty(step) || (stretch->to != 0 && (to == 0 || stretch->to < to)))
            to = stretch->to;
        if (path_step_is_empty(step) || (to != 0 && from >= to))
            continue;
        ranges_add(ranges, &(KeptRange){.timeline = step->timeline,
                                        .first = wal_segment_of(from, size),
                                        .last = to == 0 ? UINT64_MAX : wal_segment_before(to, size),
                                        .reason = stretch->reason,
                                        .backup = stretch->backup});
    }
}

/* The oldest that the window, the minimum, or being the newest keeps on this path: from there on
 * each instant can be reached. */
static const RetentionBackup *find_window_base(const RetentionPlan *plan, const TimelinePath *path)
{
    const unsigned rules = KEPT_BY_WINDOW | KEPT_BY_MINIMUM | KEPT_AS_NEWEST;
    const RetentionBackup *base = NULL;

    for (size_t i = 0; i < plan->backup_count; i++) {
        const PlannedBackup *planned = &plan->backups[i];

        if (planned->backup->state == BACKUP_RESTORABLE && (planned->rules & rules) != 0 &&
            retention_is_on_path(planned->backup, path) &&
            (base == NULL || planned->backup->start < base->start))
            base = planned->backup;
    }
    return base;
}

static void keep_branch(KeptRanges *ranges, const RetentionPlan *plan, size_t i)
{
    const TimelinePath *path = &ranges->input->branches[i].path;
    const RetentionBackup *base = NULL;

    if (!retention_branch_is_live(ranges->input, i))
        return;
    if (retention_policy_is_set(&ranges->input->policy))
        base = find_window_base(plan, path);
    ranges_add_path(ranges, path,
                    &(KeptStretch){.from = base != NULL ? base->start : 0,
                                   .reason = base != NULL ? WAL_OF_WINDOW : WAL_OF_BRANCH,
                                   .backup = base != NULL ? base->id : NULL});
}

/* Nothing of it is taken away before it itself has gone; what waits for WAL may need any of it. */
static bool keeps_all_after(const PlannedBackup *planned)
{
    return planned->rules == 0 || planned->backup->is_condemned || planned->backup->is_given_up ||
           planned->backup->is_leased || planned->backup->state != BACKUP_RESTORABLE;
}

/* To the end of each history that goes on from it. */
static void keep_from(KeptRanges *ranges, const RetentionBackup *backup)
{
    const RetentionInput *input = ranges->input;
    const KeptStretch stretch = {
        .from = backup->start, .reason = WAL_OF_LEAVING, .backup = backup->id};

    ranges_add_path(ranges, &backup->path, &stretch);
    for (size_t i = 0; i < input->branch_count; i++) {
        if (retention_is_on_path(backup, &input->branches[i].path))
            ranges_add_path(ranges, &input->branches[i].path, &stretch);
    }
}

static void keep_backup(KeptRanges *ranges, const PlannedBackup *planned)
{
    const RetentionBackup *backup = planned->backup;

    if (backup->path.count == 0)
        return; /* nothing is known of it: the plan has an obstacle */
    if (keeps_all_after(planned)) {
        keep_from(ranges, backup);
        return;
    }
    ranges_add_path(ranges, &backup->path,
                    &(KeptStretch){.from = backup->start,
                                   .to = backup->stop,
                                   .reason = WAL_OF_BACKUP,
                                   .backup = backup->id});
}

/* Where a live history leaves a timeline: without that segment nobody can tell the two apart. */
static void keep_forks(KeptRanges *ranges, size_t i)
{
    const TimelinePath *path = &ranges->input->branches[i].path;
    const uint32_t size = ranges->input->segment_size;

    if (!retention_branch_is_live(ranges->input, i))
        return;
    for (size_t at = 0; at + 1 < path->count; at++) {
        const PathStep *step = &path->steps[at];

        if (path_step_is_empty(step))
            continue;
        ranges_add(ranges, &(KeptRange){.timeline = step->timeline,
                                        .first = wal_segment_before(step->end, size),
                                        .last = wal_segment_of(step->end, size),
                                        .reason = WAL_OF_FORK});
    }
}

/* Of a writer at work, from where it began on whatever history it is. */
static void keep_need(KeptRanges *ranges, const RetentionNeed *need)
{
    ranges_add(ranges,
               &(KeptRange){.timeline = need->timeline,
                            .first = wal_segment_of(need->start, ranges->input->segment_size),
                            .last = UINT64_MAX,
                            .reason = WAL_OF_LEASE});
}

static void keep_last(KeptRanges *ranges, size_t run)
{
    const RetentionInput *input = ranges->input;
    const WalRun *last = &input->runs[run];

    if (run + 1 < input->run_count && input->runs[run + 1].timeline == last->timeline)
        return;
    ranges_add(ranges, &(KeptRange){.timeline = last->timeline,
                                    .first = last->last,
                                    .last = last->last,
                                    .reason = WAL_IS_LAST});
}

/* Timelines of no branch: nothing is known of them, and nothing of them goes. */
static bool is_of_branch(const RetentionInput *input, uint32_t timeline)
{
    for (size_t i = 0; i < input->branch_count; i++) {
        if (path_step_of(&input->branches[i].path, timeline) != NULL)
            return true;
    }
    return false;
}

static void keep_run_of_none(KeptRanges *ranges, const WalRun *run)
{
    if (!is_of_branch(ranges->input, run->timeline)) {
        ranges_add(
            ranges,
            &(KeptRange){.timeline = run->timeline, .last = UINT64_MAX, .reason = WAL_OF_BRANCH});
    }
}

static void ranges_fill(KeptRanges *ranges, const RetentionPlan *plan)
{
    const RetentionInput *input = ranges->input;

    for (size_t i = 0; i < input->branch_count; i++)
        keep_branch(ranges, plan, i);
    for (size_t i = 0; i < plan->backup_count; i++)
        keep_backup(ranges, &plan->backups[i]);
    for (size_t i = 0; i < input->branch_count; i++)
        keep_forks(ranges, i);
    for (size_t i = 0; i < input->need_count; i++)
        keep_need(ranges, &input->needs[i]);
    for (size_t i = 0; i < input->run_count; i++) {
        keep_last(ranges, i);
        keep_run_of_none(ranges, &input->runs[i]);
    }
}

static int ranges_by_timeline(const void *a, const void *b)
{
    const KeptRange *one = a;
    const KeptRange *other = b;

    if (one->timeline != other->timeline)
        return one->timeline < other->timeline ? -1 : 1;
    if (one->reason != other->reason)
        return one->reason < other->reason ? -1 : 1;
    return one->first != other->first ? (one->first < other->first ? -1 : 1) : 0;
}

static size_t ranges_begin(const KeptRanges *ranges, uint32_t timeline)
{
    size_t low = 0;
    size_t high = ranges->count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (ranges->items[middle].timeline < timeline) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* From `segment` on: what it is kept by, and up to where that holds. */
static KeptRange range_at(const KeptRanges *ranges, const WalRun *run, uint64_t segment)
{
    KeptRange found = {.timeline = run->timeline, .first = segment, .last = run->last};

    for (size_t i = ranges_begin(ranges, run->timeline);
         i < ranges->count && ranges->items[i].timeline == run->timeline; i++) {
        const KeptRange *range = &ranges->items[i];

        if (range->first > segment && range->first <= found.last) {
            found.last = range->first - 1;
        } else if (range->first <= segment && range->last >= segment) {
            found.reason = range->reason;
            found.backup = range->backup;
            if (range->last < found.last)
                found.last = range->last;
            return found;
        }
    }
    return found;
}

static bool is_dead_branch(const RetentionInput *input, uint32_t timeline)
{
    for (size_t i = 0; i < input->branch_count; i++) {
        if (retention_branch_is_live(input, i) &&
            path_step_of(&input->branches[i].path, timeline) != NULL)
            return false;
    }
    return true;
}

static uint64_t bytes_of(const WalRun *run, uint64_t first, uint64_t last)
{
    uint64_t bytes = 0;

    for (uint64_t segment = first; run->stored != NULL && segment <= last; segment++)
        bytes += run->stored[segment - run->first].size;
    return bytes;
}

static void plan_stretch(const RetentionInput *input, RetentionPlan *plan, const WalRun *run,
                         const KeptRange *range)
{
    RetainedWal *before = plan->wal_count > 0 ? &plan->wal[plan->wal_count - 1] : NULL;
    const uint64_t bytes = bytes_of(run, range->first, range->last);

    if (before != NULL && before->timeline == run->timeline && before->last + 1 == range->first &&
        before->reason == range->reason && before->backup == range->backup) {
        before->last = range->last;
        before->bytes += bytes;
        return;
    }
    assert(plan->wal != NULL);
    plan->wal[plan->wal_count++] = (RetainedWal){
        .timeline = run->timeline,
        .first = range->first,
        .last = range->last,
        .bytes = bytes,
        .reason = range->reason,
        .backup = range->backup,
        .is_dead = range->reason == WAL_GOES && is_dead_branch(input, run->timeline),
    };
}

void retention_plan_wal(const RetentionInput *input, RetentionPlan *plan)
{
    CLEANUP(arena_done) Arena scratch = {0};
    KeptRanges ranges = {.input = input, .arena = &scratch};

    ranges_fill(&ranges, plan);
    if (ranges.count > 1)
        qsort(ranges.items, ranges.count, sizeof ranges.items[0], ranges_by_timeline);
    /* Each range begins or ends a stretch at most once. */
    plan->wal =
        arena_alloc(&plan->arena, (input->run_count + 2 * ranges.count + 1) * sizeof plan->wal[0]);
    for (size_t i = 0; i < input->run_count; i++) {
        const WalRun *run = &input->runs[i];

        for (uint64_t segment = run->first; segment <= run->last;) {
            const KeptRange range = range_at(&ranges, run, segment);

            plan_stretch(input, plan, run, &range);
            segment = range.last + 1;
        }
    }
}
