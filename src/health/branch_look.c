/*
 * branch_look.c - which history a restore would follow that is told nothing, and whether that is
 * the one that the server is on.
 */
#include "look.h"

/* How far it has come at least; what it may commit next is beyond that. */
static Lsn server_reached(const ServerLook *server)
{
    return server->answers ? server->flushed : server->control.checkpoint;
}

bool health_is_own_window(const Health *health, const RecoveryWindow *window)
{
    if (!health->has_end)
        return true;
    const PathStep *step = path_step_of(&health->path, window->timeline);
    return step != NULL && (step->end == 0 || window->until <= step->end);
}

const RecoveryWindow *health_window(const Health *health)
{
    const RecoveryWindow *own = NULL;

    for (size_t i = 0; health->has_end && i < health->windows.count; i++) {
        const RecoveryWindow *window = &health->windows.items[i];

        if (health_is_own_window(health, window) && (own == NULL || window->until >= own->until))
            own = window;
    }
    return own != NULL ? own : window_furthest(&health->windows);
}

bool branches_look(Health *health, Error *err)
{
    BranchList *branches = &health->branches;
    const ServerBranch server = {
        .path = health->path,
        .reached = server_reached(&health->server),
        .commit_time = TIME_US_NONE,
    };

    if (!branch_list_load(branches, &health->cluster, &health->wal, &health->backups, err))
        return false;
    /* One history, and the server on it: no WAL need be read for it. */
    if (branches->count == 0 ||
        (branches->count == 1 &&
         (!health->has_end || paths_part(&health->path, &branches->items[0].path) == LSN_NEVER)))
        return true;
    return branch_judge_default(branches, &health->cluster, &health->wal, &health->backups,
                                health->has_end ? &server : NULL, &health->branch_answer, err);
}
