#include "get_parts.h"

#include "base/file.h"
#include "catalog/branches.h"

#include <inttypes.h>

typedef struct Archived {
    WalInventory wal;
    BackupList backups;
    BranchList branches;
} Archived;

static void archived_done(Archived *archived)
{
    branch_list_done(&archived->branches);
    backup_list_done(&archived->backups);
    wal_inventory_done(&archived->wal);
}

static bool branch_load_archived(const Cluster *cluster, Archived *archived, Error *err)
{
    return wal_inventory_load(&archived->wal, cluster, err) &&
           backup_list_load(&archived->backups, cluster, &archived->wal, err) &&
           branch_list_load(&archived->branches, cluster, &archived->wal, &archived->backups, err);
}

/* The newest, and there is another one. */
static bool is_newest_of_many(const BranchList *list, uint32_t timeline)
{
    return list->count > 1 && branch_list_newest(list)->timeline == timeline;
}

/*
 * Only what this data directory can still follow is a choice: the server refuses a timeline that is
 * not a child of its history (xlogrecovery.c), or was left before where recovery must get to.
 */
static void pass_over_unreachable(const RecoveryView *view, BranchList *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const PathStep *step = path_step_of(&list->items[i].path, view->current);

        list->items[i].is_passed = step == NULL || (step->end != 0 && step->end < view->reached);
    }
}

static bool branch_refuse_archived(const BranchAnswer *answer, uint32_t timeline, Error *err)
{
    const uint32_t other = answer->other->timeline;
    char lsn[LSN_TEXT_SIZE];

    error_set(err, ERR_REFUSED,
              "this recovery would go along timeline %" PRIu32 ", the newest, and timeline %" PRIu32
              " has %s beyond %s, where they part",
              timeline, other, branch_answer_text(answer), lsn_text(answer->other->gain.from, lsn));
    return error_hint(err,
                      "say which one is meant: recovery_target_timeline = '%" PRIu32
                      "' or '%" PRIu32
                      "' in the server's configuration, then start it again; `pgcairn list` shows "
                      "both",
                      other, timeline);
}

/* An archive that can't be looked at whole (a history is missing) has its say elsewhere. */
static bool branch_judge_archived(const Get *get, Error *err)
{
    CLEANUP(archived_done) Archived archived = {0};
    Error attempt = {0};
    BranchAnswer answer = {.reason = BRANCH_FITS};
    const bool is_asked = branch_load_archived(get->cluster, &archived, &attempt) &&
                          is_newest_of_many(&archived.branches, get->name.timeline);

    if (is_asked)
        pass_over_unreachable(&get->view, &archived.branches);
    if (is_asked &&
        branch_judge_default(&archived.branches, get->cluster, &archived.wal, &archived.backups,
                             NULL, &answer, &attempt) &&
        answer.reason != BRANCH_FITS && answer.other != NULL)
        return branch_refuse_archived(&answer, get->name.timeline, err);
    if (attempt.code != ERR_UNREACHABLE && attempt.code != ERR_INTERRUPTED)
        return true;
    return error_pass(err, &attempt);
}

bool get_check_branch(Get *get, Error *err)
{
    const char *data = get->request->data;

    if (get->name.kind != WAL_HISTORY || data == NULL || get->request->timeline != 0 ||
        archive_get_is_standby(data) || !file_exists_in(data, "recovery.signal"))
        return true;
    if (!recovery_view_load(get->cluster, get->request, &get->name, &get->view, err))
        return false;
    return !get->view.takes_newest || get->name.timeline <= get->view.current ||
           get->name.timeline != get->view.timeline || branch_judge_archived(get, err);
}
