#include "choice.h"

#include "catalog/absence.h"

#include <stdlib.h>

enum { TIMELINES_SHOWN = 8 };

void choice_done(Choice *choice)
{
    wal_inventory_done(&choice->inventory);
    backup_list_done(&choice->backups);
    arena_done(&choice->arena);
}

/* Along one timeline path. */
typedef struct Search {
    const Cluster *cluster;
    const RestoreWish *wish;
    Choice *choice;
    TimelinePath path;
    const BackupInfo **candidates; /* on the path, restorable, the newest first */
    size_t count;
} Search;

static WalWalk walk_from(const Search *search, Lsn from, Lsn to)
{
    return (WalWalk){.cluster = search->cluster,
                     .inventory = &search->choice->inventory,
                     .path = &search->path,
                     .from = from,
                     .to = to,
                     .threads = search->wish->jobs > 0 ? search->wish->jobs : 1};
}

/* ---- where the archive ends -------------------------------------------------------------------
 */

typedef struct ArchiveEnd {
    WalWalkEnd walk;
    Lsn last_record; /* start of the last whole record */
    Lsn tail_record; /* begun in the segment before and perhaps complete now */
    TimeUs time_max; /* of commits and aborts up to there */
    const char *gap; /* why it does not go on: a hole, a missing timeline, damage; NULL: it is
                        complete, nothing is behind it */
} ArchiveEnd;

static bool note_segment(void *context, uint32_t timeline, uint64_t segment,
                         const WalTrailer *trailer, Error *err)
{
    ArchiveEnd *end = context;
    const WalReaderState *reader = &trailer->summary.reader;

    (void)timeline, (void)segment, (void)err;
    /* A segment may hold nothing but the rest of a record that began before it. */
    if (reader->last_record != 0) {
        end->last_record = reader->last_record;
    } else if (end->tail_record != 0 && reader->tail_record == 0) {
        end->last_record = end->tail_record;
    }
    if (reader->last_record != 0 || reader->tail_record != 0)
        end->tail_record = reader->tail_record;
    if (trailer->summary.end_time_max != TIME_US_NONE &&
        (end->time_max == TIME_US_NONE || trailer->summary.end_time_max > end->time_max))
        end->time_max = trailer->summary.end_time_max;
    return true;
}

/* What the archive's next segment would be on this path, and why it is not there. */
static const char *gap_behind(const Search *search, const WalWalkEnd *walk)
{
    uint32_t size = search->cluster->wal_segment_size;
    char text[WAL_NAME_SIZE], lsn[LSN_TEXT_SIZE];
    WalName next = {.kind = WAL_SEGMENT, .segment = walk->last_segment + 1};

    if (walk->is_broken) {
        return arena_format(&search->choice->arena, "WAL is damaged at %s (%s)",
                            lsn_text(walk->last_end, lsn), walk->reason);
    }
    next.timeline = path_timeline_of_segment(&search->path, next.segment, size);
    wal_name_text(&next, size, text);
    switch (absence_of_segment(&search->choice->inventory, &search->path, &next, size, 0)) {
    case ABSENCE_PROVEN:
        return NULL;
    case ABSENCE_HOLE:
        return arena_format(&search->choice->arena,
                            "segment %s is missing although later WAL is there", text);
    case ABSENCE_FORK:
    case ABSENCE_HISTORY:
        return arena_format(&search->choice->arena,
                            "segment %s, where timeline %u goes on, is "
                            "missing",
                            text, next.timeline);
    }
    return "the archive's end is not known";
}

static bool find_end(const Search *search, Lsn from, ArchiveEnd *end, Error *err)
{
    WalWalk walk = walk_from(search, from, 0);

    *end = (ArchiveEnd){.time_max = TIME_US_NONE};
    if (!wal_walk_trailers(&walk, note_segment, end, &end->walk, err))
        return false;
    end->gap = gap_behind(search, &end->walk);
    return true;
}

static bool refuse_gap(const Search *search, const ArchiveEnd *end, const char *target, Error *err)
{
    char lsn[LSN_TEXT_SIZE], time[TIME_TEXT_SIZE], parent[64] = "";

    error_set(err, ERR_CORRUPT,
              "%s: recovery can't get to %s; the newest commit before it is of %s", end->gap,
              target, end->time_max == TIME_US_NONE ? "(none)" : time_text(end->time_max, time));
    if (search->path.count > 1) {
        (void)snprintf(parent, sizeof parent, "; --target-timeline=%u follows the one before",
                       search->path.steps[search->path.count - 2].timeline);
    }
    return error_hint(
        err,
        "to accept that what was committed behind it is lost: --target-lsn=%s reaches "
        "the last record before it%s",
        lsn_text(end->last_record, lsn), parent);
}

/* ---- times inside a backup --------------------------------------------------------------------
 */

typedef struct InsideBackup {
    Lsn stop;
    TimeUs time_max;
    bool is_over;
} InsideBackup;

static bool note_inside(void *context, const WalEvent *event, Error *err)
{
    InsideBackup *inside = context;

    (void)err;
    if (event->lsn >= inside->stop) {
        inside->is_over = true;
        return false;
    }
    if ((event->kind == EVENT_COMMIT || event->kind == EVENT_ABORT) &&
        event->time != TIME_US_NONE &&
        (inside->time_max == TIME_US_NONE || event->time > inside->time_max))
        inside->time_max = event->time;
    return true;
}

/*
 * The earliest target time of a backup. Every commit and abort between start and stop is replayed
 * before it is consistent, and a target before one of them stops the server too early ("requested
 * recovery stop point is before consistent recovery point", or, where the server notices it late,
 * it silently holds commits later than asked: pg-facts 0.4). Without any inside, what lies before
 * its start can't be later than its stop.
 */
static bool earliest_time(const Search *search, const BackupInfo *backup, TimeUs *earliest,
                          Error *err)
{
    WalWalk walk = walk_from(search, backup->header.start, 0);
    InsideBackup inside = {.stop = backup->header.stop, .time_max = TIME_US_NONE};
    WalWalkEnd end = {0};

    if (!wal_walk_events(&walk, note_inside, &inside, &end, err) && err->code != ERR_NONE)
        return error_context(err, "look into backup %s", backup->header.id);
    *earliest = inside.time_max != TIME_US_NONE ? inside.time_max : backup->header.stopped_at;
    return true;
}

/* ---- one backup -------------------------------------------------------------------------------
 */

typedef enum Verdict {
    VERDICT_USABLE,
    VERDICT_TOO_NEW,     /* the target lies before what this backup can reach: try an older one */
    VERDICT_NOT_SEEN,    /* the target is not behind this backup: an older one may have it */
    VERDICT_UNREACHABLE, /* no backup on this path helps */
} Verdict;

static Lsn start_of(const BackupInfo *backup)
{
    return backup->header.start;
}

/*
 * Nothing was committed between the last commit and T. With a time target the server itself would
 * fail at the end of the archive (pg-facts 0.5); without any target it would also replay what is
 * archived only later. So it is told the last record that is there now.
 */
static bool take_archive_end(const Search *search, const BackupInfo *backup, const ArchiveEnd *end,
                             Error *err)
{
    Choice *choice = search->choice;
    WalWalk walk = walk_from(search, start_of(backup), 0);

    choice->target = (Target){.kind = TARGET_LSN, .lsn = end->last_record};
    choice->has_time_fallback = true;
    if (!target_find(&walk, &choice->target, start_of(backup), backup->header.stop, &choice->point,
                     err))
        return false;
    if (choice->point.is_found)
        return true;
    return error_set(err, ERR_INTERNAL, "the archive's last record was not found again");
}

static bool judge_not_found(const Search *search, const BackupInfo *backup, Verdict *verdict,
                            Error *err)
{
    const Target *target = &search->wish->target;
    char text[TIME_TEXT_SIZE];
    ArchiveEnd end;

    *verdict = target->kind == TARGET_LSN ? VERDICT_UNREACHABLE : VERDICT_NOT_SEEN;
    if (target->kind != TARGET_TIME)
        return true;
    if (!find_end(search, start_of(backup), &end, err))
        return false;
    if (end.gap != NULL)
        return refuse_gap(search, &end, time_text(target->time, text), err);
    *verdict = VERDICT_USABLE;
    return take_archive_end(search, backup, &end, err);
}

static bool judge_latest(const Search *search, const BackupInfo *backup, Error *err)
{
    ArchiveEnd end;

    if (!find_end(search, start_of(backup), &end, err))
        return false;
    search->choice->end = end.walk;
    return end.gap == NULL || refuse_gap(search, &end, "the latest commit", err);
}

static bool judge_backup(const Search *search, const BackupInfo *backup, Verdict *verdict,
                         Error *err)
{
    const Target *target = &search->wish->target;
    Choice *choice = search->choice;
    WalWalk walk = walk_from(search, start_of(backup), 0);
    TimeUs earliest;

    *verdict = VERDICT_TOO_NEW;
    if (target->kind == TARGET_LSN && target->lsn < backup->header.stop)
        return true;
    if (target->kind == TARGET_TIME) {
        if (!earliest_time(search, backup, &earliest, err))
            return false;
        if (target->time < earliest)
            return true;
    }
    choice->target = *target;
    choice->has_time_fallback = false;
    if (target->kind == TARGET_LATEST && !judge_latest(search, backup, err))
        return false;
    if (!target_find(&walk, target, start_of(backup), backup->header.stop, &choice->point, err)) {
        /* It lies inside this backup: an older one can stop there. */
        if (err->code != ERR_REFUSED)
            return false;
        error_clear(err);
        return true;
    }
    *verdict = VERDICT_USABLE;
    return choice->point.is_found || judge_not_found(search, backup, verdict, err);
}

/* ---- one path ---------------------------------------------------------------------------------
 */

static int newest_first(const void *a, const void *b)
{
    const BackupInfo *first = *(const BackupInfo *const *)a;
    const BackupInfo *second = *(const BackupInfo *const *)b;

    if (first->header.stop != second->header.stop)
        return first->header.stop > second->header.stop ? -1 : 1;
    return strcmp(second->header.id, first->header.id);
}

static void find_candidates(Search *search)
{
    const BackupList *backups = &search->choice->backups;

    search->candidates =
        arena_alloc(&search->choice->arena, (backups->count + 1) * sizeof(const BackupInfo *));
    search->count = 0;
    for (size_t i = 0; i < backups->count; i++) {
        const BackupInfo *backup = &backups->items[i];
        bool is_wished =
            search->wish->backup == NULL || strcmp(search->wish->backup, backup->header.id) == 0;
        if (is_wished && backup->state == BACKUP_RESTORABLE &&
            backup_is_on_path(backup, &search->path))
            search->candidates[search->count++] = backup;
    }
    qsort(search->candidates, search->count, sizeof(const BackupInfo *), newest_first);
}

/* *backup is NULL when none on this path reaches the target. */
static bool search_path(const Search *search, const BackupInfo **backup, Verdict *verdict,
                        Error *err)
{
    *backup = NULL;
    *verdict = VERDICT_TOO_NEW;
    for (size_t i = 0; i < search->count; i++) {
        if (!judge_backup(search, search->candidates[i], verdict, err))
            return false;
        if (*verdict == VERDICT_USABLE) {
            *backup = search->candidates[i];
            return true;
        }
        if (*verdict == VERDICT_UNREACHABLE)
            return true;
    }
    return true;
}

/* ---- all timelines ----------------------------------------------------------------------------
 */

static int descending(const void *a, const void *b)
{
    uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;

    return first > second ? -1 : first < second ? 1 : 0;
}

/* Every timeline that anything in the repository belongs to, the newest first. */
static uint32_t *all_timelines(Choice *choice, size_t *count)
{
    const WalInventory *inventory = &choice->inventory;
    size_t most = inventory->run_count + inventory->history_count + choice->backups.count;
    uint32_t *timelines = arena_alloc(&choice->arena, (most + 1) * sizeof *timelines);
    size_t found = 0, kept = 0;

    for (size_t i = 0; i < inventory->run_count; i++)
        timelines[found++] = inventory->runs[i].timeline;
    for (size_t i = 0; i < inventory->history_count; i++)
        timelines[found++] = inventory->histories[i];
    for (size_t i = 0; i < choice->backups.count; i++) {
        if (choice->backups.items[i].state != BACKUP_DAMAGED)
            timelines[found++] = choice->backups.items[i].header.timeline;
    }
    qsort(timelines, found, sizeof *timelines, descending);
    for (size_t i = 0; i < found; i++) {
        if (kept == 0 || timelines[kept - 1] != timelines[i])
            timelines[kept++] = timelines[i];
    }
    *count = kept;
    return timelines;
}

static bool open_path(Search *search, uint32_t timeline, Error *err)
{
    if (timeline_path_load(search->cluster, timeline, &search->choice->arena, &search->path, err)) {
        find_candidates(search);
        return true;
    }
    if (err->code == ERR_NOT_FOUND && timeline != search->wish->target_timeline) {
        error_clear(err);
        error_set(err, ERR_CORRUPT,
                  "timeline %u is in the repository, and its history, which says where it left its "
                  "parent, is not",
                  timeline);
    }
    if (err->code == ERR_CORRUPT) {
        error_hint(err,
                   "look for %08X.history in pg_wal of a server that was on timeline %u and "
                   "put it in with archive-push; --target-timeline=N restores an older "
                   "timeline without what was committed on this one",
                   timeline, timeline);
    }
    return error_context(err, "timeline %u", timeline);
}

/* Text of the timelines other than `except` on which the target can be reached; "" if none. */
static const char *other_timelines(Search *search, const uint32_t *timelines, size_t count,
                                   uint32_t except)
{
    const char *text = "";
    size_t shown = 0;
    Choice *choice = search->choice;
    Target target = choice->target;
    TargetPoint point = choice->point;

    for (size_t i = 0; i < count && shown < TIMELINES_SHOWN; i++) {
        const BackupInfo *backup;
        Verdict verdict;
        Error ignored = {0}; /* what can't be looked at is not offered */
        if (timelines[i] == except || !open_path(search, timelines[i], &ignored) ||
            !search_path(search, &backup, &verdict, &ignored) || backup == NULL ||
            choice->has_time_fallback)
            continue;
        text = arena_format(&choice->arena, "%s%s%u", text, shown > 0 ? ", " : "", timelines[i]);
        shown++;
    }
    choice->target = target;
    choice->point = point;
    return text;
}

static const char *target_text(const Target *target, Arena *arena)
{
    char time[TIME_TEXT_SIZE], lsn[LSN_TEXT_SIZE];

    switch (target->kind) {
    case TARGET_LATEST:
        return "the latest commit";
    case TARGET_IMMEDIATE:
        return "the end of a backup";
    case TARGET_TIME:
        return arena_format(arena, "time %s", time_text_postgres(target->time, time));
    case TARGET_XID:
        return arena_format(arena, "transaction %u", target->xid);
    case TARGET_LSN:
        return arena_format(arena, "LSN %s", lsn_text(target->lsn, lsn));
    case TARGET_NAME:
        return arena_format(arena, "restore point \"%s\"", target->name);
    }
    return "the target";
}

/* The oldest candidate can't go back that far: say how far it can. */
static bool refuse_too_early(const Search *search, Error *err)
{
    const BackupInfo *oldest = search->candidates[search->count - 1];
    const Target *target = &search->wish->target;
    char time[TIME_TEXT_SIZE], lsn[LSN_TEXT_SIZE];
    TimeUs earliest;

    if (target->kind == TARGET_TIME) {
        if (!earliest_time(search, oldest, &earliest, err))
            return false;
        error_set(err, ERR_REFUSED,
                  "%s lies before the end of backup %s; the earliest possible is %s",
                  target_text(target, &search->choice->arena), oldest->header.id,
                  time_text_postgres(earliest + (target->is_exclusive ? 1 : 0), time));
    } else {
        error_set(err, ERR_REFUSED,
                  "%s lies before the end of backup %s; the earliest possible is %s",
                  target_text(target, &search->choice->arena), oldest->header.id,
                  lsn_text(oldest->header.stop, lsn));
    }
    if (search->wish->backup != NULL)
        return error_hint(err, "leave out --backup, or choose an older one");
    return false;
}

static bool refuse_not_seen(Search *search, const uint32_t *timelines, size_t count, Error *err)
{
    uint32_t timeline = path_last_timeline(&search->path);
    const BackupInfo *oldest = search->candidates[search->count - 1];
    char time[TIME_TEXT_SIZE], lsn[LSN_TEXT_SIZE];
    ArchiveEnd end;
    const char *text = target_text(&search->wish->target, &search->choice->arena);

    if (!find_end(search, start_of(oldest), &end, err))
        return false;
    const char *others = other_timelines(search, timelines, count, timeline);
    error_set(
        err, end.gap != NULL ? ERR_CORRUPT : ERR_NOT_FOUND,
        "%s is not in the archive on timeline %u, which reaches to %s (newest commit: %s)%s%s",
        text, timeline, lsn_text(end.walk.last_end, lsn),
        end.time_max == TIME_US_NONE ? "none" : time_text(end.time_max, time),
        end.gap != NULL ? ": " : "", end.gap != NULL ? end.gap : "");
    if (*others != '\0')
        return error_hint(err, "it is on timeline %s: choose with --target-timeline", others);
    return error_hint(err, "`pgcairn list` shows what can be reached");
}

static bool check_wished_backup(const Choice *choice, const char *id, Error *err)
{
    const BackupInfo *backup = backup_list_find(&choice->backups, id);

    if (backup == NULL) {
        error_set(err, ERR_NOT_FOUND, "there is no backup \"%s\"", id);
        return error_hint(err, "`pgcairn list` shows the backups there are");
    }
    switch (backup->state) {
    case BACKUP_RESTORABLE:
        return true;
    case BACKUP_WAITING:
        return error_set(err, ERR_REFUSED, "backup %s can't be restored (yet): %s", id,
                         backup->reason);
    case BACKUP_DAMAGED:
        return error_set(err, ERR_CORRUPT, "backup %s is damaged: %s", id, backup->reason);
    }
    return false;
}

static bool any_damaged(const BackupList *backups)
{
    for (size_t i = 0; i < backups->count; i++) {
        if (backups->items[i].state == BACKUP_DAMAGED)
            return true;
    }
    return false;
}

static bool refuse_no_candidate(const Choice *choice, const RestoreWish *wish, Error *err)
{
    if (wish->target_timeline != 0) {
        error_set(err, ERR_NOT_FOUND, "no restorable backup%s%s leads to timeline %u",
                  wish->backup != NULL ? " " : "", wish->backup != NULL ? wish->backup : "",
                  wish->target_timeline);
        return error_hint(err, "`pgcairn list` shows the timelines and their backups");
    }
    if (choice->backups.count == 0) {
        error_set(err, ERR_NOT_FOUND, "there is no backup");
        return error_hint(err, "`pgcairn backup` takes one");
    }
    const BackupInfo *last = &choice->backups.items[choice->backups.count - 1];
    /* One that is damaged is not "no such backup": somebody has to look at the repository. */
    error_set(err, any_damaged(&choice->backups) ? ERR_CORRUPT : ERR_NOT_FOUND,
              "none of the %zu backups can be restored; %s: %s", choice->backups.count,
              last->header.id, last->reason);
    return error_hint(err, "`pgcairn list` says what each of them lacks");
}

static bool refuse_older(const Search *search, uint32_t newest, uint32_t older, Error *err)
{
    error_set(err, any_damaged(&search->choice->backups) ? ERR_CORRUPT : ERR_NOT_FOUND,
              "no restorable backup leads to timeline %u, the newest; some lead to timeline %u",
              newest, older);
    return error_hint(err,
                      "--target-timeline=%u restores that one, without what was committed on "
                      "timeline %u",
                      older, newest);
}

/*
 * The newest timeline, as the server's own "latest" is. An older one lacks what was committed on
 * the newest and holds what that one gave up: it is never taken instead unless it, or a backup from
 * which the newest can't be reached, was asked for. Nor is one with a history that can't be read
 * passed over: it may be the one that counts.
 */
static bool find_path(Search *search, const uint32_t *timelines, size_t count, Error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!open_path(search, timelines[i], err))
            return false;
        if (search->count > 0) {
            return i == 0 || search->wish->backup != NULL ||
                   refuse_older(search, timelines[0], timelines[i], err);
        }
    }
    return refuse_no_candidate(search->choice, search->wish, err);
}

static bool load(const Cluster *cluster, const RestoreWish *wish, Choice *choice, Error *err)
{
    if (!wal_inventory_load(&choice->inventory, cluster, err) ||
        !backup_list_load(&choice->backups, cluster, &choice->inventory, err))
        return false;
    return wish->backup == NULL || check_wished_backup(choice, wish->backup, err);
}

/* ---- the path as the server is told it ----------------------------------------------------------
 */

static bool stops_before(const Choice *choice, Lsn fork)
{
    switch (choice->target.kind) {
    case TARGET_LATEST:
        return false;
    case TARGET_IMMEDIATE:
        return choice->backup->header.stop <= fork;
    case TARGET_TIME:
    case TARGET_XID:
    case TARGET_LSN:
    case TARGET_NAME:
        break;
    }
    /* The record itself: one behind the fork that stops replay before it is not on the parent. */
    return choice->point.stop_record < fork;
}

/*
 * A target before the last fork is reached along the parent. Along the child the server would read
 * the parent's records out of the child's first segment, and then fail to open when a transaction
 * was prepared there: it looks for it in the parent's segment, which it has not restored
 * (xlogutils.c, XLogReadDetermineTimeline, by twophase.c: "requested WAL segment ... has already
 * been removed"). And the history of the timeline that it begins would have switches that go back.
 * The parent's segment may not be there, if it never became whole: then the child's must do.
 */
static void shorten_path(Choice *choice, uint32_t segment_size)
{
    TimelinePath *path = &choice->path;

    while (path->count > 1) {
        Lsn fork = path->steps[path->count - 1].begin;
        uint32_t parent = path->steps[path->count - 2].timeline;

        if (!stops_before(choice, fork) || choice->backup->header.timeline > parent)
            return;
        for (uint64_t segment = wal_segment_of(fork, segment_size);
             segment <= choice->point.segment; segment++) {
            if (!wal_inventory_has(&choice->inventory, parent, segment))
                return;
        }
        path->count--;
        path->steps[path->count - 1].end = 0;
    }
}

/*
 * A timeline of which nothing but its history is archived yet, as for a while after every recovery
 * to a point in time. What lies before the fork is all there, on the parent: a target there can be
 * reached, above all the better one that the operator now wishes to have chosen. Sets
 * choice->backup, and clears err; false, err as it was, when that does not help.
 */
static bool search_before_fork(Search *search, Error *err)
{
    Choice *choice = search->choice;
    TimelinePath path = search->path, parent = {.count = path.count - 1};
    const PathStep *last = &path.steps[path.count - 1];
    Error attempt = {0}; /* the one there is says more */
    Verdict verdict;

    if (path.count < 2 || search->wish->target.kind == TARGET_LATEST ||
        wal_inventory_has_later(&choice->inventory, last->timeline, 0))
        return false;
    parent.steps = arena_alloc(&choice->arena, parent.count * sizeof *parent.steps);
    memcpy(parent.steps, path.steps, parent.count * sizeof *parent.steps);
    parent.steps[parent.count - 1].end = 0;
    /* The candidates stay: what leads to the fork also leads to what is before it. */
    search->path = parent;
    if (search_path(search, &choice->backup, &verdict, &attempt) && choice->backup != NULL &&
        !choice->has_time_fallback && stops_before(choice, last->begin)) {
        error_clear(err);
        return true;
    }
    search->path = path;
    choice->backup = NULL;
    return false;
}

bool choice_make(const Cluster *cluster, const RestoreWish *wish, Choice *choice, Error *err)
{
    Search search = {.cluster = cluster, .wish = wish, .choice = choice};
    size_t count;
    Verdict verdict;

    *choice = (Choice){0};
    if (!load(cluster, wish, choice, err))
        return false;
    const uint32_t *timelines = all_timelines(choice, &count);
    const uint32_t only[] = {wish->target_timeline};
    bool is_pinned = wish->target_timeline != 0;
    if (!find_path(&search, is_pinned ? only : timelines, is_pinned ? 1 : count, err))
        return false;
    if (!search_path(&search, &choice->backup, &verdict, err) &&
        (err->code != ERR_CORRUPT || !search_before_fork(&search, err)))
        return false;
    if (choice->backup == NULL)
        (void)search_before_fork(&search, err);
    choice->path = search.path;
    if (choice->backup != NULL) {
        shorten_path(choice, cluster->wal_segment_size);
        return true;
    }
    if (verdict == VERDICT_TOO_NEW)
        return refuse_too_early(&search, err);
    return refuse_not_seen(&search, timelines, count, err);
}
