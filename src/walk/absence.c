#include "walk/absence.h"

static bool knows_timeline(const WalInventory *inventory, uint32_t timeline)
{
    return wal_inventory_has_history(inventory, timeline) ||
           wal_inventory_has_any(inventory, timeline);
}

/*
 * A timeline that is not on the path. The server follows the path's timelines only, so whoever
 * asks follows another path than the one we were given, and about that one nothing can be proven
 * as soon as the archive knows the timeline. If it does not, neither WAL nor a history led
 * there: there is nothing to miss.
 */
static Absence off_path(const WalInventory *inventory, const WalName *name)
{
    if (wal_inventory_has_later(inventory, name->timeline, name->segment))
        return ABSENCE_HOLE;
    return knows_timeline(inventory, name->timeline) ? ABSENCE_FORK : ABSENCE_PROVEN;
}

/*
 * The timeline that owns this segment on the path, and the segment is not there.
 *
 * In the segment where it forks from its parent the server asks for the parent's next, newest
 * timeline first (xlogrecovery.c, XLogFileReadAnyTLI), and that goes on with what the parent did
 * after the fork. The same when nothing at all of the timeline is there: recovery would end on
 * its parent's branch.
 *
 * A timeline that the path leaves again had WAL up to that point, whether or not any of it is in
 * the archive: the child's history says so. Its end is not where the archive happens to end.
 */
static Absence of_owner(const WalInventory *inventory, const PathStep *step, bool is_first,
                        uint64_t segment, uint32_t segment_size)
{
    if (!is_first && (segment == wal_segment_of(step->begin, segment_size) ||
                      !wal_inventory_has_any(inventory, step->timeline)))
        return ABSENCE_FORK;
    if (step->end != 0 || wal_inventory_has_later(inventory, step->timeline, segment))
        return ABSENCE_HOLE;
    return ABSENCE_PROVEN;
}

/*
 * A segment that a later timeline of the path owns. The server asked for that one first and was
 * told; only in the segment where the path leaves this timeline has it any business here.
 */
static Absence of_ancestor(const WalInventory *inventory, const PathStep *step, uint32_t owner,
                           uint64_t segment, uint32_t segment_size)
{
    if (wal_segment_start(segment, segment_size) >= step->end)
        return ABSENCE_PROVEN;
    return wal_inventory_has(inventory, owner, segment) ? ABSENCE_PROVEN : ABSENCE_FORK;
}

Absence absence_of_segment(const WalInventory *inventory, const TimelinePath *path,
                           const WalName *name, uint32_t segment_size, uint64_t bound_segment)
{
    const PathStep *step = path_step_of(path, name->timeline);
    uint32_t owner = path_timeline_of_segment(path, name->segment, segment_size);

    /* Recovery asks for neither .partial nor .backup files: nothing hangs on them. */
    if (name->kind == WAL_HISTORY)
        return absence_of_history(inventory, name->timeline);
    if (name->kind != WAL_SEGMENT)
        return ABSENCE_PROVEN;
    if (bound_segment != 0 && name->segment > bound_segment)
        return ABSENCE_PROVEN;
    if (step == NULL)
        return off_path(inventory, name);
    if (step->timeline == owner)
        return of_owner(inventory, step, step == path->steps, name->segment, segment_size);
    if (wal_segment_of(step->begin, segment_size) > name->segment)
        return ABSENCE_PROVEN; /* it begins later: the server asks for an ancestor's */
    return of_ancestor(inventory, step, owner, name->segment, segment_size);
}

/*
 * The server probes N+1, N+2, ... and takes the first that is "not there" for free: a wrong answer
 * makes it give out a timeline twice (timeline.c, findNewestTimeLine), or follow the wrong one.
 */
Absence absence_of_history(const WalInventory *inventory, uint32_t timeline)
{
    if (timeline == 1)
        return ABSENCE_PROVEN; /* never written; servers ask for it all the same */
    return inventory->timeline_max >= timeline ? ABSENCE_HISTORY : ABSENCE_PROVEN;
}

bool segment_belongs_to_path(const TimelinePath *path, const WalName *name, uint32_t segment_size)
{
    const PathStep *step = path_step_of(path, name->timeline);

    if (step == NULL)
        return false; /* a branch that this recovery does not follow */
    return step->end == 0 || wal_segment_start(name->segment, segment_size) < step->end;
}
