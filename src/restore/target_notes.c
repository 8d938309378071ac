#include "target_notes.h"

#include "preflight.h"

#include "base/buffer.h"
#include "walk/restore_points.h"

#include <inttypes.h>

enum { POINTS_SHOWN = 8 };

static WalWalk whole_walk(const Cluster *cluster, const RestoreRequest *request,
                          const Choice *choice)
{
    return (WalWalk){.cluster = cluster,
                     .inventory = &choice->inventory,
                     .path = &choice->whole_path,
                     .threads = request->jobs > 0 ? request->jobs : 1};
}

/* "@1 at 0/3000028 of T, @2 ..." */
static void print_points(const RestorePointList *points, Buffer *text)
{
    char lsn[LSN_TEXT_SIZE], time[TIME_TEXT_SIZE];

    for (size_t i = 0; i < points->count && i < POINTS_SHOWN; i++) {
        buffer_print(text, "%s@%zu at %s of %s", i > 0 ? ", " : "", i + 1,
                     lsn_text(points->items[i].lsn, lsn),
                     time_text_local(points->items[i].time, time));
    }
    if (points->count > POINTS_SHOWN)
        buffer_print(text, " and %zu more (`pgcairn log` has them)", points->count - POINTS_SHOWN);
}

/* Which of them this is, from 1; 0: none. */
static size_t note_number(const RestorePointList *points, Lsn lsn)
{
    for (size_t i = 0; i < points->count; i++) {
        if (points->items[i].lsn == lsn)
            return i + 1;
    }
    return 0;
}

static void warn_of_name(const Cluster *cluster, const RestoreRequest *request,
                         const Choice *choice, RestorePlan *plan)
{
    CLEANUP(restore_points_done) RestorePointList points = {0};
    CLEANUP(buffer_done) Buffer text = {0};
    const char *name = request->target.name;
    WalWalk walk = whole_walk(cluster, request, choice);
    Error unread = {0}; /* the target was found; there is less to say */
    size_t size;
    uint64_t number;

    if (choice->point.is_numbered && restore_point_number(name, &size, &number))
        name = arena_text_part(&plan->arena, name, size);
    if (!restore_points_find(&walk, name, &points, &unread) || points.count < 2)
        return;
    print_points(&points, &text);
    plan_warn(plan,
              "%zu restore points are called \"%s\": %s; this is @%zu, --target-name='%s@N' or "
              "--target-lsn takes another",
              points.count, name, (const char *)text.data,
              note_number(&points, choice->point.stop_record), name);
}

static void warn_of_early(const TargetPoint *point, RestorePlan *plan)
{
    const WalEvent *last = &point->early_last;
    char lsn[LSN_TEXT_SIZE], time[TIME_TEXT_SIZE];

    if (point->early_count == 0)
        return;
    plan_warn(plan,
              "%" PRIu64
              " commits that come later in the WAL say that they were made by then (sessions at "
              "once, or a clock that was set back): they are not in it, since the server stops at "
              "the first that is later; the last of them is transaction %" PRIu32
              " of %s: --target-xid=%" PRIu32 " or --target-lsn=%s reaches it",
              point->early_count, last->xid, time_text_local(last->time, time), last->xid,
              lsn_text(last->lsn, lsn));
}

/* The backup before this one on the path; NULL: there is none. */
static const BackupInfo *backup_before(const Choice *choice)
{
    const BackupInfo *found = NULL;

    for (size_t i = 0; i < choice->backups.count; i++) {
        const BackupInfo *backup = &choice->backups.items[i];

        if (backup->state == BACKUP_RESTORABLE &&
            backup->header.start < choice->backup->header.start &&
            backup_is_on_path(backup, &choice->whole_path) &&
            (found == NULL || backup->header.start > found->header.start))
            found = backup;
    }
    return found;
}

/* Where WAL without a hole begins that leads to the backup, but not before the one before it. */
static Lsn begin_before(const Cluster *cluster, const Choice *choice, const BackupInfo *before)
{
    const uint32_t size = cluster->wal_segment_size;
    const Lsn start = choice->backup->header.start;
    const uint64_t segment = wal_segment_of(start, size);
    const uint32_t timeline = path_timeline_of_segment(&choice->whole_path, segment, size);

    if (before != NULL)
        return before->header.start;
    for (size_t i = 0; i < choice->inventory.run_count; i++) {
        const WalRun *run = &choice->inventory.runs[i];

        if (run->timeline == timeline && run->first <= segment && segment <= run->last)
            return wal_segment_start(run->first, size);
    }
    return start;
}

/* What was committed before the backup is in it, whatever the target says. */
static void warn_of_late(const Cluster *cluster, const RestoreRequest *request,
                         const Choice *choice, RestorePlan *plan)
{
    const BackupInfo *before = backup_before(choice);
    WalWalk walk = whole_walk(cluster, request, choice);
    char time[TIME_TEXT_SIZE];
    Error unread = {0};
    TimeUs latest;

    walk.from = begin_before(cluster, choice, before);
    walk.to = choice->backup->header.start;
    if (walk.from >= walk.to || !commit_time_max(&walk, &latest, &unread) ||
        latest == TIME_US_NONE || latest <= request->target.time)
        return;
    plan_warn(plan,
              "this backup already holds commits that are later than the target, the last of %s: "
              "a clock was set back before it%s%s%s",
              time_text_local(latest, time), before != NULL ? "; --backup=" : "",
              before != NULL ? before->header.id : "",
              before != NULL ? " stops before the first of them that it replays" : "");
}

void plan_warn_of_target(const Cluster *cluster, const RestoreRequest *request,
                         const Choice *choice, RestorePlan *plan)
{
    if (request->target.kind == TARGET_NAME)
        warn_of_name(cluster, request, choice, plan);
    if (request->target.kind != TARGET_TIME)
        return;
    warn_of_early(&choice->point, plan);
    warn_of_late(cluster, request, choice, plan);
}
