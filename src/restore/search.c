#include "search.h"

#include "catalog/windows.h"

#include <stdlib.h>
#include <string.h>

/*
 * Nothing was committed between the last commit and T. With a time target the server itself would
 * fail at the end of the archive (docs/postgres-facts.md 0.5); without any target it would also
 * replay what is archived only later. So it is told the last record that is there now.
 */
static bool take_archive_end(const Search *search, const BackupInfo *backup, const SearchEnd *end,
                             Error *err)
{
    Choice *choice = search->choice;
    WalWalk walk = search_walk(search, backup->header.start, 0);

    choice->target = (Target){.kind = TARGET_LSN, .lsn = end->last_record};
    choice->has_time_fallback = true;
    if (!target_find(&walk, &choice->target, backup->header.start, backup->header.stop,
                     &choice->point, err))
        return false;
    if (choice->point.is_found)
        return true;
    return error_set(err, ERR_INTERNAL, "the archive's last record was not found again");
}

static bool judge_not_found(const Search *search, const BackupInfo *backup, Verdict *verdict,
                            Error *err)
{
    const Target *target = &search->request->target;
    char text[TIME_TEXT_SIZE];
    SearchEnd end;

    *verdict = target->kind == TARGET_LSN ? VERDICT_UNREACHABLE : VERDICT_NOT_SEEN;
    if (target->kind != TARGET_TIME)
        return true;
    if (!search_find_end(search, backup->header.start, &end, err))
        return false;
    if (end.gap != NULL)
        return search_refuse_gap(search, &end, time_text_local(target->time, text), err);
    *verdict = VERDICT_USABLE;
    return take_archive_end(search, backup, &end, err);
}

static bool judge_latest(const Search *search, const BackupInfo *backup, Error *err)
{
    SearchEnd end;

    if (!search_find_end(search, backup->header.start, &end, err))
        return false;
    search->choice->end = end.walk;
    return end.gap == NULL || search_refuse_gap(search, &end, "the latest commit", err);
}

static bool judge_backup(const Search *search, const BackupInfo *backup, Verdict *verdict,
                         Error *err)
{
    const Target *target = &search->request->target;
    Choice *choice = search->choice;
    WalWalk walk = search_walk(search, backup->header.start, 0);
    TimeUs earliest;

    *verdict = VERDICT_TOO_NEW;
    if (target->kind == TARGET_LSN && target->lsn < backup->header.stop)
        return true;
    if (target->kind == TARGET_TIME) {
        if (!window_earliest_time(&walk, backup, &earliest, err))
            return false;
        if (target->time < earliest)
            return true;
    }
    choice->target = *target;
    choice->has_time_fallback = false;
    if (target->kind == TARGET_LATEST && !judge_latest(search, backup, err))
        return false;
    if (!target_find(&walk, target, backup->header.start, backup->header.stop, &choice->point,
                     err)) {
        /* It lies inside this backup: an older one can stop there. */
        if (err->code != ERR_REFUSED)
            return false;
        error_clear(err);
        return true;
    }
    /* The server itself would stop at the first one of the name. */
    if (choice->point.is_found && choice->point.is_numbered)
        choice->target = (Target){.kind = TARGET_LSN, .lsn = choice->point.stop_record};
    *verdict = VERDICT_USABLE;
    return choice->point.is_found || judge_not_found(search, backup, verdict, err);
}

static int newest_first(const void *a, const void *b)
{
    const BackupInfo *first = *(const BackupInfo *const *)a;
    const BackupInfo *second = *(const BackupInfo *const *)b;

    /* From one that a drill failed with only where there is no other. */
    if ((first->suspect != NULL) != (second->suspect != NULL))
        return first->suspect != NULL ? 1 : -1;
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
        bool is_wanted = search->request->backup == NULL ||
                         strcmp(search->request->backup, backup->header.id) == 0;
        bool is_before = search->request->goes_on_from == 0 ||
                         backup->header.stop <= search->request->goes_on_from;
        if (is_wanted && is_before && backup->state == BACKUP_RESTORABLE &&
            backup_is_on_path(backup, &search->path))
            search->candidates[search->count++] = backup;
    }
    qsort(search->candidates, search->count, sizeof(const BackupInfo *), newest_first);
}

bool search_along_path(const Search *search, const BackupInfo **backup, Verdict *verdict,
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

bool search_open_path(Search *search, uint32_t timeline, Error *err)
{
    if (wal_inventory_path(&search->choice->inventory, search->cluster, timeline,
                           &search->choice->arena, &search->path, err)) {
        find_candidates(search);
        return true;
    }
    if (err->code == ERR_NOT_FOUND && timeline != search->request->target_timeline) {
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
