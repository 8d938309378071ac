#include "search.h"

enum { TIMELINES_SHOWN = 8 };

/* Text of the timelines other than `except` on which the target can be reached; "" if none. */
static const char *other_timelines(Search *search, uint32_t except)
{
    const char *text = "";
    size_t shown = 0;
    Choice *choice = search->choice;
    const BranchList *branches = &choice->branches;
    Target target = choice->target;
    TargetPoint point = choice->point;

    for (size_t i = branches->timeline_count; i-- > 0 && shown < TIMELINES_SHOWN;) {
        uint32_t timeline = branches->timelines[i];
        const BackupInfo *backup;
        Verdict verdict;
        Error ignored = {0}; /* what can't be looked at is not offered */
        if (timeline == except || !search_open_path(search, timeline, &ignored) ||
            !search_along_path(search, &backup, &verdict, &ignored) || backup == NULL ||
            choice->has_time_fallback)
            continue;
        text = arena_format(&choice->arena, "%s%s%u", text, shown > 0 ? ", " : "", timeline);
        shown++;
    }
    choice->target = target;
    choice->point = point;
    return text;
}

const char *search_target_text(const Target *target, Arena *arena)
{
    char time[TIME_TEXT_SIZE], lsn[LSN_TEXT_SIZE];

    switch (target->kind) {
    case TARGET_LATEST:
        return "the latest commit";
    case TARGET_IMMEDIATE:
        return "the end of a backup";
    case TARGET_TIME:
        return arena_format(arena, "time %s", time_text_local(target->time, time));
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
bool refuse_too_early(const Search *search, Error *err)
{
    const BackupInfo *oldest = search->candidates[search->count - 1];
    const Target *target = &search->request->target;
    const Cluster *cluster = search->cluster;
    char time[TIME_TEXT_SIZE], lsn[LSN_TEXT_SIZE];
    TimeUs earliest;

    if (target->kind == TARGET_TIME) {
        const WalWalk walk = search_walk(search, oldest->header.start, oldest->header.stop);
        if (!window_earliest_time(&walk, oldest, &earliest, err))
            return false;
        error_set(err, ERR_REFUSED,
                  "%s lies before the end of backup %s; the earliest possible is %s",
                  search_target_text(target, &search->choice->arena), oldest->header.id,
                  time_text_local(earliest + (target->is_exclusive ? 1 : 0), time));
    } else {
        error_set(err, ERR_REFUSED,
                  "%s lies before the end of backup %s; the earliest possible is %s",
                  search_target_text(target, &search->choice->arena), oldest->header.id,
                  lsn_text(oldest->header.stop, lsn));
    }
    if (search->request->backup != NULL)
        return error_hint(err, "leave out --backup, or choose an older one");
    if (cluster->predecessor[0] != '\0') {
        return error_hint(err,
                          "before its upgrade this cluster was \"%s\": --cluster=%s has what "
                          "is older; the server's programs must be of that version then (--pg-bin)",
                          cluster->predecessor, cluster->predecessor);
    }
    return error_hint(err,
                      "--target=immediate --backup=%s restores to that place; `pgcairn list` "
                      "shows what else can be reached",
                      oldest->header.id);
}

/*
 * Of a position it is known after which gap it lies: that of the newest backup before it. Anything
 * else may be in the first gap of all.
 */
static const BackupInfo *backup_before_gap(const Search *search)
{
    const Target *target = &search->request->target;

    for (size_t i = 0; target->kind == TARGET_LSN && i < search->count; i++) {
        if (search->candidates[i]->header.stop <= target->lsn)
            return search->candidates[i];
    }
    return search->candidates[search->count - 1];
}

bool refuse_not_seen(Search *search, Error *err)
{
    const Cluster *cluster = search->cluster;
    uint32_t timeline = path_last_timeline(&search->path);
    const BackupInfo *before = backup_before_gap(search);
    char time[TIME_TEXT_SIZE], lsn[LSN_TEXT_SIZE];
    SearchEnd end;
    const char *text = search_target_text(&search->request->target, &search->choice->arena);

    if (!search_find_end(search, before->header.start, &end, err))
        return false;
    const char *behind = end.gap != NULL ? search_after_gap(search, &end) : "";
    const char *others = other_timelines(search, timeline);
    error_set(
        err, end.gap != NULL ? ERR_CORRUPT : ERR_NOT_FOUND,
        "%s is not in the archive on timeline %u, which reaches to %s (newest commit: %s)%s%s",
        text, timeline, lsn_text(end.walk.last_end, lsn),
        end.commit_max == TIME_US_NONE ? "none" : time_text_local(end.commit_max, time),
        end.gap != NULL ? ": " : "", end.gap != NULL ? end.gap : "");
    if (*others != '\0')
        return error_hint(err, "it is on timeline %s: choose with --target-timeline", others);
    if (*behind == '\0' && cluster->successor[0] != '\0') {
        return error_hint(err, "this cluster was upgraded and goes on as \"%s\": --cluster=%s",
                          cluster->successor, cluster->successor);
    }
    if (*behind != '\0') {
        return error_hint(err, "what comes after it can be reached %s; see `pgcairn list`", behind);
    }
    return error_hint(err, "`pgcairn list` shows what can be reached");
}

/* Of what verify found it may be that it was mended since; of what is missing it may not. */
static const char *damage_way_out(const BackupInfo *backup)
{
    return backup->has_header
               ? "`pgcairn list` shows the others; `pgcairn verify` reads it again and tells what "
                 "is "
                 "wrong; --allow-damaged restores what can be read of it all the same"
               : "`pgcairn list` shows the others; `pgcairn verify` tells what is wrong";
}

bool choice_check_backup(const Choice *choice, const char *id, Error *err)
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
        error_set(err, ERR_CORRUPT, "backup %s is damaged: %s", id, backup->reason);
        return error_hint(err, "%s", damage_way_out(backup));
    case BACKUP_NEWER:
        error_set(err, ERR_VERSION, "backup %s can't be read: %s", id, backup->reason);
        return error_hint(err,
                          "use a newer pgcairn, or one of the other backups of `pgcairn list`");
    }
    return false;
}

bool refuse_unknown(Choice *choice, uint32_t timeline, Error *err)
{
    error_set(err, ERR_NOT_FOUND, "there is no timeline %u; there %s %s", timeline,
              choice->branches.timeline_count == 1 ? "is" : "are",
              choice->branches.timeline_count == 0
                  ? "none"
                  : branch_list_timelines(&choice->branches, &choice->arena));
    return error_hint(err, "`pgcairn list` shows the timelines and their backups");
}

static bool any_damaged(const BackupList *backups)
{
    for (size_t i = 0; i < backups->count; i++) {
        if (backup_is_out(&backups->items[i]))
            return true;
    }
    return false;
}

bool refuse_no_candidate(const Choice *choice, const RestoreRequest *request, Error *err)
{
    if (request->target_timeline != 0) {
        error_set(err, ERR_NOT_FOUND, "no restorable backup%s%s leads to timeline %u",
                  request->backup != NULL ? " " : "",
                  request->backup != NULL ? request->backup : "", request->target_timeline);
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
    return error_hint(err,
                      "`pgcairn list` says what each of them lacks; once it is mended, `pgcairn "
                      "verify` takes back what it found");
}

bool refuse_older(const Search *search, uint32_t newest, uint32_t older, Error *err)
{
    error_set(err, any_damaged(&search->choice->backups) ? ERR_CORRUPT : ERR_NOT_FOUND,
              "no restorable backup leads to timeline %u, the newest; some lead to timeline %u",
              newest, older);
    return error_hint(err,
                      "--target-timeline=%u restores that one, without what was committed on "
                      "timeline %u",
                      older, newest);
}
