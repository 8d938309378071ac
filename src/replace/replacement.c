#include "replace/replacement.h"

#include "rebuild/space.h"
#include "replace/data_state.h"
#include "replace/old_wal.h"

#include "base/file.h"
#include "base/tree.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *obstacle_of(RestorePlan *plan, const char *path)
{
    CLEANUP(text_freep) char *parent = text_format("%s", path);
    char *slash = strrchr(parent, '/');

    slash[slash == parent ? 1 : 0] = '\0';
    if (tree_is_mount(path))
        return arena_format(&plan->arena, "%s is the root of a mount", path);
    if (access(parent, W_OK | X_OK) != 0)
        return arena_format(&plan->arena, "%s can't be written: %s", parent, strerror(errno));
    return NULL;
}

const char *replacement_obstacle(RestorePlan *plan)
{
    const char *obstacle = obstacle_of(plan, plan->placement.data);

    for (size_t i = 0; obstacle == NULL && i < plan->old.version_count; i++)
        obstacle = obstacle_of(plan, plan->old.versions[i]);
    return obstacle;
}

/* Where a link leads is not ours to rename: another cluster's, or a whole file system. */
static bool follow_wal_link(RestorePlan *plan, const char **real, Error *err)
{
    CLEANUP(text_freep) char *directory = text_format("%s/pg_wal", plan->placement.data);
    struct stat status;

    *real = NULL;
    if (lstat(directory, &status) != 0 || !S_ISLNK(status.st_mode) || stat(directory, &status) != 0)
        return true;
    if (!path_resolve(directory, &plan->arena, real, err))
        return false;
    plan_warn(plan, "pg_wal was a link to %s, which stays as it is: it will be a directory of %s",
              *real, plan->placement.data);
    return true;
}

static bool has_wal(const Cluster *cluster, const RestorePlan *plan, bool *has, Error *err)
{
    CLEANUP(text_freep) char *directory = text_format("%s/pg_wal", plan->placement.data);
    CLEANUP(arena_done) Arena arena = {0};
    OldWal wal;

    if (!old_wal_load(directory, cluster, &arena, &wal, err))
        return false;
    *has = wal.count > 0 || wal.others > 0;
    return true;
}

/*
 * It may hold what exists nowhere else: it is kept, but for --discard-wal. Beside the directory; in
 * it where nothing can be put beside, under a name that no removal takes.
 */
static bool plan_wal(const Cluster *cluster, const RestoreRequest *request, const char *obstacle,
                     RestorePlan *plan, Error *err)
{
    const char *real;
    bool has;

    if (!follow_wal_link(plan, &real, err))
        return false;
    if (plan->old.choice == OCCUPIED_MOVE_ASIDE || request->discard_wal || plan->old.has_new_wal)
        return true;
    if (!has_wal(cluster, plan, &has, err) || !has)
        return err->code == ERR_NONE;
    plan->old.wal_kept = real != NULL ? real
                         : obstacle != NULL && obstacle_of(plan, plan->placement.data) != NULL
                             ? arena_format(&plan->arena, "%s/" KEPT_WAL_INSIDE "%s",
                                            plan->placement.data, plan->old.stamp)
                             : arena_format(&plan->arena, "%s.pgcairn-pg_wal-%s",
                                            plan->placement.data, plan->old.stamp);
    return true;
}

static bool keep_old(RestorePlan *plan, const char *obstacle, Error *err)
{
    plan->old.replacement = KEEPS_OLD;
    plan->old.moved_to =
        arena_format(&plan->arena, "%s.pgcairn-%s", plan->placement.data, plan->old.stamp);
    if (obstacle == NULL)
        return space_check(plan, err);
    error_set(err, ERR_REFUSED, "%s: the old directory can't be kept under another name", obstacle);
    return error_hint(err,
                      "--delta overwrites what is in it where it differs from the backup, once "
                      "all that is needed of that has been read; its WAL is kept");
}

static bool overwrite_old(RestorePlan *plan, const char *why, Error *err)
{
    Placement *placement = &plan->placement;

    plan->old.replacement = OVERWRITES_OLD;
    plan->old.overwrites_why = why;
    for (size_t i = 0; i < placement->tablespace_count; i++) {
        PlannedTablespace *tablespace = &placement->tablespaces[i];
        for (size_t n = 0; n < plan->old.version_count; n++)
            tablespace->is_gone_over |= strcmp(tablespace->version, plan->old.versions[n]) == 0;
    }
    return space_check(plan, err);
}

/* With room for both, the new one is there before the old one goes. */
static bool replacement_remove_old(RestorePlan *plan, const char *obstacle, Error *err)
{
    Error no_room = {0};

    plan->old.replacement = REMOVES_OLD_LAST;
    if (plan->old.state == DATA_CLUSTER && obstacle == NULL && space_check(plan, &no_room)) {
        plan->old.moved_to =
            arena_format(&plan->arena, "%s.pgcairn-%s", plan->placement.data, plan->old.stamp);
        return true;
    }
    return overwrite_old(plan, obstacle != NULL ? obstacle : "there is no room for both", err);
}

bool replacement_plan(const Cluster *cluster, const RestoreRequest *request, RestorePlan *plan,
                      Error *err)
{
    if (!plan->old.is_occupied || plan->old.choice == OCCUPIED_REFUSE)
        return space_check(plan, err);
    const char *obstacle = replacement_obstacle(plan);
    if (!plan_wal(cluster, request, obstacle, plan, err))
        return false;
    if (plan->old.choice == OCCUPIED_MOVE_ASIDE)
        return keep_old(plan, obstacle, err);
    return plan->old.choice == OCCUPIED_DELTA ? overwrite_old(plan, NULL, err)
                                              : replacement_remove_old(plan, obstacle, err);
}
