#include "catalog/target.h"
#include "base/buffer.h"
#include "catalog/windows.h"
#include "walk/restore_points.h"
#include "walk/walk.h"

#include <inttypes.h>

/* A segment with commits, so that the commits around the target are found without a search. */
typedef struct CommitNote {
    uint64_t segment;
} CommitNote;

/* The search for the record at which the server stops. */
typedef struct TargetSearch {
    WalWalk walk; /* It begins at redo. */
    const Target *target;
    const PgVersion *version;
    Lsn redo, backup_stop;
    WalWalkEnd end;

    /* The fields below come from trailers. */
    Buffer notes;       /* It holds CommitNote. */
    uint64_t candidate; /* It is the first segment that may hold the record. */
    bool has_candidate;
    uint64_t minimal; /* It is the first segment with a sign of wal_level=minimal. */
    bool has_minimal;
    /*
     * With TARGET_TIME it is the last segment, from the candidate on, with a commit that is within
     * the target by its time.
     */
    uint64_t last_early;

    /* The fields below come from records. */
    bool is_found;
    bool is_first; /* The record found was the first one seen, so what is before it is not known. */
    bool has_previous;
    WalRecord record;
    Lsn previous_end; /* Replay stands here before the record. */
    WalEvent last_before, first_after;
} TargetSearch;

static void search_done(TargetSearch *search)
{
    buffer_done(&search->notes);
}

static bool is_end_of_transaction(const WalEvent *event)
{
    return event->kind == EVENT_COMMIT || event->kind == EVENT_ABORT;
}

/* Replay stops after the record, not before it. */
static bool stops_after(const Target *target)
{
    return target->kind == TARGET_NAME ||
           ((target->kind == TARGET_XID || target->kind == TARGET_LSN) && !target->is_exclusive);
}

static bool time_stops(const Target *target, TimeUs time)
{
    return target->is_exclusive ? time >= target->time : time > target->time;
}

/* event: NULL when the record is none. */
static bool record_stops(const Target *target, const WalRecord *record, const WalEvent *event)
{
    switch (target->kind) {
    case TARGET_LSN:
        return record->lsn >= target->lsn;
    case TARGET_TIME:
        return event != NULL && is_end_of_transaction(event) && time_stops(target, event->time);
    case TARGET_XID:
        return event != NULL && is_end_of_transaction(event) && event->xid == target->xid;
    case TARGET_NAME:
        return event != NULL && event->kind == EVENT_RESTORE_POINT &&
               strcmp(event->name, target->name) == 0;
    case TARGET_LATEST:
    case TARGET_IMMEDIATE:
        return false;
    }
    return false;
}

static bool names_hold(const WalSummary *summary, const char *name)
{
    for (uint32_t i = 0; i < summary->restore_point_count; i++) {
        if (i == WAL_RESTORE_POINTS_KEPT || strcmp(summary->restore_points[i].name, name) == 0)
            return true; /* or more than the trailer keeps: look */
    }
    return false;
}

/* May the record be in a segment with this summary? Never wrongly false. */
static bool segment_may_stop(const Target *target, const WalSummary *summary)
{
    switch (target->kind) {
    case TARGET_LSN:
        /* The record that begins after L may end in the segment after it. */
        return summary->reader.last_record >= target->lsn ||
               summary->reader.tail_record >= target->lsn;
    case TARGET_TIME:
        return summary->end_time_max != TIME_US_NONE && time_stops(target, summary->end_time_max);
    case TARGET_XID:
        return summary->commit_count + summary->abort_count > 0;
    case TARGET_NAME:
        return names_hold(summary, target->name);
    case TARGET_LATEST:
    case TARGET_IMMEDIATE:
        return false;
    }
    return false;
}

/* Within the target, by its time. */
static bool is_early(const Target *target, TimeUs time)
{
    return target->kind == TARGET_TIME && time != TIME_US_NONE && !time_stops(target, time);
}

static WalkStep target_look_at_trailer(void *context, uint32_t timeline, uint64_t segment,
                                       const WalTrailer *trailer, Error *err)
{
    TargetSearch *search = context;

    (void)timeline, (void)err;
    if (trailer->summary.commit_count > 0)
        buffer_append(&search->notes, &(CommitNote){.segment = segment}, sizeof(CommitNote));
    if (!search->has_candidate && segment_may_stop(search->target, &trailer->summary)) {
        search->candidate = segment;
        search->has_candidate = true;
    }
    if (search->has_candidate && is_early(search->target, trailer->summary.commit_time_min))
        search->last_early = segment;
    if (!search->has_minimal && trailer->summary.minimal_at != 0) {
        search->minimal = segment;
        search->has_minimal = true;
    }
    return WALK_ON;
}

static WalkStep target_look_at_record(void *context, const WalRecord *record, Error *err)
{
    TargetSearch *search = context;
    uint32_t segment_size = search->walk.cluster->wal_segment_size;
    WalEvent found;
    const WalEvent *event = wal_event_of(record, search->version, &found) ? &found : NULL;
    bool is_commit = event != NULL && event->kind == EVENT_COMMIT;

    (void)err;
    if (!search->is_found && record_stops(search->target, record, event)) {
        search->is_found = true;
        search->is_first = !search->has_previous;
        search->record = *record;
        search->record.bytes = NULL;
        if (is_commit && stops_after(search->target)) {
            search->last_before = found;
        } else if (is_commit) {
            search->first_after = found;
        }
        return WALK_ON;
    }
    if (is_commit && search->is_found) {
        if (search->first_after.time == TIME_US_NONE)
            search->first_after = found;
        return WALK_STOP;
    }
    if (search->is_found) { /* the next commit may be far away: the notes know where */
        bool is_near = wal_segment_of(record->lsn, segment_size) ==
                       wal_segment_of(search->record.lsn, segment_size);
        return search->first_after.time == TIME_US_NONE && is_near ? WALK_ON : WALK_STOP;
    }
    if (is_commit)
        search->last_before = found;
    search->has_previous = true;
    search->previous_end = walk_replay_end(record, segment_size);
    return WALK_ON;
}

static bool target_scan(TargetSearch *search, Lsn from, Error *err)
{
    WalWalk walk = search->walk;
    WalWalkEnd end;

    walk.from = from;
    /* Not into a segment whose trailer says already that nothing can be read there. */
    if (search->end.segments > 0) {
        walk.to = wal_segment_start(search->end.last_segment + 1, walk.cluster->wal_segment_size);
    }
    search->is_found = false;
    search->has_previous = false;
    search->last_before = (WalEvent){.time = TIME_US_NONE};
    search->first_after = (WalEvent){.time = TIME_US_NONE};
    return walk_records(&walk, target_look_at_record, search, &end, err);
}

/*
 * From the segment before the candidate on: what is replayed before the record, and a record that
 * straddles into the candidate, are there. If not (a record can be larger than a segment), all of
 * it is read.
 */
static bool find_record(TargetSearch *search, Error *err)
{
    uint32_t segment_size = search->walk.cluster->wal_segment_size;
    Lsn from = wal_segment_start(search->candidate - 1, segment_size);

    if (from < search->redo)
        from = search->redo;
    if (!target_scan(search, from, err))
        return false;
    if (from > search->redo && (!search->is_found || search->is_first))
        return target_scan(search, search->redo, err);
    return true;
}

typedef struct CommitRequest {
    bool want_first;
    WalEvent event;
} CommitRequest;

static WalkStep target_take_commit(void *context, const WalEvent *event, Error *err)
{
    CommitRequest *request = context;

    (void)err;
    if (event->kind != EVENT_COMMIT)
        return WALK_ON;
    request->event = *event;
    return request->want_first ? WALK_STOP : WALK_ON;
}

/* The first or last commit that begins in [from, to). */
static bool find_commit(const TargetSearch *search, Lsn from, Lsn to, bool want_first,
                        WalEvent *event, Error *err)
{
    CommitRequest request = {.want_first = want_first, .event.time = TIME_US_NONE};
    WalWalk walk = search->walk;
    WalWalkEnd end;

    walk.from = from > search->redo ? from : search->redo;
    walk.to = to;
    if (!wal_walk_events(&walk, target_take_commit, &request, &end, err))
        return false;
    *event = request.event;
    return true;
}

/* The last segment with commits up to this one, or with want_first the first from it on. */
static bool noted_segment(const TargetSearch *search, uint64_t segment, bool want_first,
                          uint64_t *noted)
{
    size_t count = search->notes.size / sizeof(CommitNote);
    bool any = false;

    for (size_t i = 0; i < count; i++) {
        CommitNote note;

        memcpy(&note, search->notes.data + i * sizeof note, sizeof note);
        if (want_first && note.segment >= segment) {
            *noted = note.segment;
            return true;
        }
        if (!want_first && note.segment <= segment) {
            *noted = note.segment;
            any = true;
        }
    }
    return any;
}

/* A noted commit may have begun in the segment before the noted one. */
static bool find_last_before(TargetSearch *search, Lsn before, Error *err)
{
    uint32_t segment_size = search->walk.cluster->wal_segment_size;
    uint64_t segment = wal_segment_of(before, segment_size);
    uint64_t noted;

    while (search->last_before.time == TIME_US_NONE &&
           noted_segment(search, segment, false, &noted)) {
        if (!find_commit(search, wal_segment_start(noted - 1, segment_size), before, false,
                         &search->last_before, err))
            return false;
        segment = noted - 1;
    }
    return true;
}

/* In the segments from `segment` on; what a scan has seen need not be looked at again. */
static bool find_first_after(TargetSearch *search, Lsn after, uint64_t segment, Error *err)
{
    uint32_t segment_size = search->walk.cluster->wal_segment_size;
    uint64_t noted;

    while (search->first_after.time == TIME_US_NONE &&
           noted_segment(search, segment, true, &noted)) {
        Lsn from = wal_segment_start(noted - 1, segment_size);

        if (!find_commit(search, from > after ? from : after,
                         wal_segment_start(noted + 1, segment_size), true, &search->first_after,
                         err))
            return false;
        segment = noted + 1;
    }
    return true;
}

typedef struct EarlyCommits {
    const Target *target;
    Lsn stop;
    uint64_t count;
    WalEvent last;
} EarlyCommits;

static WalkStep take_early(void *context, const WalEvent *event, Error *err)
{
    EarlyCommits *early = context;

    (void)err;
    if (event->kind != EVENT_COMMIT || event->lsn <= early->stop ||
        !is_early(early->target, event->time))
        return WALK_ON;
    early->count++;
    early->last = *event;
    return WALK_ON;
}

/* The server stops at the first record that is later, and never sees what comes after it. */
static void count_early(const TargetSearch *search, TargetPoint *point)
{
    uint32_t segment_size = search->walk.cluster->wal_segment_size;
    EarlyCommits early = {.target = search->target, .stop = search->record.lsn};
    WalWalk walk = search->walk;
    WalWalkEnd end;
    Error unread = {0}; /* the target can be reached all the same */

    if (search->target->kind != TARGET_TIME || search->last_early == 0)
        return;
    walk.from = search->record.lsn;
    walk.to = wal_segment_start(search->last_early + 1, segment_size);
    if (walk.to <= walk.from || !wal_walk_events(&walk, take_early, &early, &end, &unread))
        return;
    point->early_count = early.count;
    point->early_last = early.last;
}

/* Every end of a transaction inside the backup must be replayed for it to be consistent. */
static bool earliest_time(const TargetSearch *search, TimeUs *earliest, Error *err)
{
    WalWalk inside = search->walk;

    inside.to = search->backup_stop;
    if (!window_latest_end(&inside, earliest, err))
        return false;
    *earliest += search->target->is_exclusive ? 1 : 0;
    return true;
}

static bool refuse_inside_backup(const TargetSearch *search, Error *err)
{
    const Target *target = search->target;
    char text[3][TIME_TEXT_SIZE];
    TimeUs earliest;

    if (target->kind == TARGET_TIME) {
        if (!earliest_time(search, &earliest, err))
            return false;
        error_set(err, ERR_REFUSED,
                  "%s lies before the end of the backup; the earliest time it can be recovered to "
                  "is %s",
                  time_text_local(target->time, text[0]), time_text_local(earliest, text[1]));
    } else if (target->kind == TARGET_XID) {
        error_set(err, ERR_REFUSED,
                  "transaction %" PRIu32 " ended at %s, before the end of the backup at %s",
                  target->xid, lsn_text(search->record.lsn, text[0]),
                  lsn_text(search->backup_stop, text[1]));
    } else if (target->kind == TARGET_NAME) {
        error_set(err, ERR_REFUSED,
                  "the first restore point \"%s\" is at %s, before the end of the backup at %s",
                  target->name, lsn_text(search->record.lsn, text[0]),
                  lsn_text(search->backup_stop, text[1]));
    } else {
        error_set(err, ERR_REFUSED, "%s lies before the end of the backup at %s",
                  lsn_text(target->lsn, text[0]), lsn_text(search->backup_stop, text[1]));
    }
    return error_hint(err, "choose an older backup, or a later target");
}

/* The server becomes consistent once it has replayed up to backup_stop; stopping earlier it fails.
 */
static bool take_record_found(TargetSearch *search, TargetPoint *point, Error *err)
{
    uint32_t segment_size = search->walk.cluster->wal_segment_size;
    bool after = stops_after(search->target);
    Lsn replay_end = after ? walk_replay_end(&search->record, segment_size) : search->previous_end;

    if (search->is_first || (after ? replay_end : search->record.lsn) < search->backup_stop)
        return refuse_inside_backup(search, err);
    if (!find_last_before(search, search->record.lsn, err) ||
        !find_first_after(search, search->record.lsn + (after ? 1 : 0),
                          wal_segment_of(search->record.lsn, segment_size) + 1, err))
        return false;
    point->is_found = true;
    point->stop_record = search->record.lsn;
    point->replay_end = replay_end;
    point->segment = wal_segment_before(search->record.end, segment_size);
    count_early(search, point);
    return true;
}

/* Replay of all there is. */
static bool take_end_of_archive(TargetSearch *search, TargetPoint *point, Error *err)
{
    point->replay_end = search->end.replay_end;
    point->segment = search->end.last_segment;
    return find_last_before(search, search->end.replay_end, err);
}

static bool take_end_of_backup(TargetSearch *search, TargetPoint *point, Error *err)
{
    uint32_t segment_size = search->walk.cluster->wal_segment_size;

    point->is_found = true;
    point->replay_end = search->backup_stop;
    point->segment = wal_segment_before(search->backup_stop, segment_size);
    return find_last_before(search, search->backup_stop, err) &&
           find_first_after(search, search->backup_stop, point->segment, err);
}

static bool target_check_end(const TargetSearch *search, Error *err)
{
    char text[2][LSN_TEXT_SIZE];

    if (search->end.replay_end >= search->backup_stop)
        return true;
    return error_set(err, ERR_CORRUPT, "WAL ends at %s, before the end of the backup at %s%s%s",
                     lsn_text(search->end.last_end, text[0]),
                     lsn_text(search->backup_stop, text[1]), search->end.is_broken ? ": " : "",
                     search->end.reason);
}

/* Its trailer says that something later than the target was committed there. */
static bool refuse_wrong_trailer(const TargetSearch *search, Error *err)
{
    char name[WAL_NAME_SIZE];

    return error_set(err, ERR_CORRUPT, "the trailer of %s does not agree with what is in it",
                     walk_segment_name(&search->walk, search->candidate, name));
}

static bool target_decide(TargetSearch *search, TargetPoint *point, Error *err)
{
    switch (search->target->kind) {
    case TARGET_LATEST:
        point->is_found = true;
        return take_end_of_archive(search, point, err);
    case TARGET_IMMEDIATE:
        return take_end_of_backup(search, point, err);
    case TARGET_TIME:
    case TARGET_XID:
    case TARGET_LSN:
    case TARGET_NAME:
        break;
    }
    if (search->has_candidate && !find_record(search, err))
        return false;
    if (search->is_found)
        return take_record_found(search, point, err);
    if (search->target->kind == TARGET_TIME && search->has_candidate)
        return refuse_wrong_trailer(search, err);
    point->ends_archive =
        search->target->kind == TARGET_TIME && !search->end.is_hole && !search->end.is_broken;
    return take_end_of_archive(search, point, err);
}

typedef struct Minimal {
    Lsn lsn; /* 0 means that there is none. */
} Minimal;

static WalkStep target_look_for_minimal(void *context, const WalEvent *event, Error *err)
{
    Minimal *minimal = context;

    (void)err;
    if (event->parameters.wal_level == WAL_LEVEL_MINIMAL)
        minimal->lsn = event->lsn;
    return minimal->lsn != 0 ? WALK_STOP : WALK_ON;
}

/*
 * What is loaded under wal_level=minimal may be in no WAL at all. From 14 on the server refuses to
 * go on there; 13 says "data may be missing" in its log and, with hot_standby off, opens the
 * database without it (CheckRequiredParameterValues).
 */
static bool target_check_wal_level(const TargetSearch *search, const TargetPoint *point, Error *err)
{
    Lsn from = wal_segment_start(search->minimal - 1, search->walk.cluster->wal_segment_size);
    WalWalk walk = search->walk;
    Minimal minimal = {0};
    WalWalkEnd end;
    char lsn[LSN_TEXT_SIZE];

    if (!search->has_minimal || !(point->is_found || point->ends_archive))
        return true;
    walk.from = from > search->redo ? from : search->redo;
    walk.to = point->replay_end;
    if (!wal_walk_events(&walk, target_look_for_minimal, &minimal, &end, err))
        return false;
    if (minimal.lsn == 0)
        return true;
    error_set(
        err, ERR_CORRUPT,
        "from %s on WAL was written with wal_level=minimal: data of that time is missing in it",
        lsn_text(minimal.lsn, lsn));
    return error_hint(err, "choose a target before it, or a backup that was taken later");
}

bool target_find(const WalWalk *walk, const Target *target, Lsn redo, Lsn backup_stop,
                 TargetPoint *point, Error *err)
{
    CLEANUP(search_done)
    TargetSearch search = {
        .walk = *walk,
        .target = target,
        .version = pg_version_of_major(walk->cluster->major),
        .redo = redo,
        .backup_stop = backup_stop,
        .last_before.time = TIME_US_NONE,
        .first_after.time = TIME_US_NONE,
    };
    TargetPoint decided = {0};
    Target numbered = {.kind = TARGET_LSN};

    if (target->kind == TARGET_NAME && !restore_points_pick(walk, target->name, &numbered.lsn, err))
        return false;
    if (numbered.lsn != 0)
        search.target = &numbered;
    decided.is_numbered = numbered.lsn != 0;
    search.walk.from = redo;
    search.walk.to = 0;
    if (!wal_walk_trailers(&search.walk, target_look_at_trailer, &search, &search.end, err) ||
        !target_check_end(&search, err) || !target_decide(&search, &decided, err) ||
        !target_check_wal_level(&search, &decided, err))
        return false;
    decided.last_before = search.last_before;
    decided.first_after = search.first_after;
    decided.end = search.end;
    *point = decided;
    return true;
}
