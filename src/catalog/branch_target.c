#include "catalog/branches.h"

/*
 * Where the search begins, such that a record lies before the fork: what stops there is told from
 * what stops beyond it.
 */
static Lsn branch_search_from(const Branch *branch, const WalInventory *inventory, uint32_t size)
{
    const uint64_t segment = wal_segment_of(branch->gain.from, size);
    const uint32_t timeline = path_timeline_of_segment(&branch->path, segment - 1, size);
    bool has_before = segment > 1 && wal_inventory_has(inventory, timeline, segment - 1);

    return wal_segment_start(segment - has_before, size);
}

static bool is_committed_beyond(const Branch *branch, const TargetPoint *point)
{
    if (!point->is_found)
        return branch->gain.commits > 0; /* all of it is earlier */
    return point->last_before.time != TIME_US_NONE && point->last_before.lsn >= branch->gain.from;
}

bool branch_holds_target(const Branch *branch, const Cluster *cluster,
                         const WalInventory *inventory, const Target *target, unsigned threads,
                         bool *holds, Error *err)
{
    const WalWalk walk = {
        .cluster = cluster, .inventory = inventory, .path = &branch->path, .threads = threads};
    TargetPoint point;
    Error attempt = {0};

    *holds = false;
    if (branch->gain.from == LSN_NEVER || target->kind == TARGET_LATEST ||
        target->kind == TARGET_IMMEDIATE)
        return true;
    if (target_find(&walk, target, branch_search_from(branch, inventory, cluster->wal_segment_size),
                    branch->gain.from, &point, &attempt)) {
        *holds = target->kind == TARGET_TIME
                     ? is_committed_beyond(branch, &point)
                     : point.is_found && point.replay_end > branch->gain.from;
        return true;
    }
    /* It stops before the fork; or the WAL of the branch does not get that far, or is damaged. */
    if (attempt.code == ERR_REFUSED || attempt.code == ERR_CORRUPT)
        return true;
    *err = attempt;
    return error_context(err, "look for the target on timeline %u", branch->timeline);
}
