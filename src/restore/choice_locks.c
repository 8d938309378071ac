#include "choice.h"

#include "walk/lock_begin.h"

/* Replay ends before a record, wherever that is: it may as well end a little earlier. */
static bool stops_before_a_record(const Choice *choice)
{
    const Target *target = &choice->target;

    return choice->point.is_found &&
           (target->kind == TARGET_TIME || (target->kind == TARGET_XID && target->is_exclusive));
}

/* Neither before the backup is consistent nor before the path's last fork. */
static Lsn find_floor(const Choice *choice)
{
    const Lsn fork = choice->path.steps[choice->path.count - 1].begin;

    return fork > choice->backup->header.stop ? fork : choice->backup->header.stop;
}

/* What can't be read, or can't be obtained, is not a reason to refuse: the target itself can be
 * reached. */
bool choice_avoid_locks(const Cluster *cluster, const RestoreRequest *request, Choice *choice,
                        Error *err)
{
    const ManifestHeader *header = &choice->backup->header;
    WalWalk walk = {.cluster = cluster,
                    .inventory = &choice->inventory,
                    .path = &choice->path,
                    .threads = request->jobs > 0 ? request->jobs : 1};
    Error attempt = {0};
    LockBegin begin;
    TargetPoint point;

    if (!request->will_pause || !stops_before_a_record(choice))
        return true;
    if (!lock_begin_find(&walk, find_floor(choice), choice->point.stop_record, &begin, &attempt)) {
        if (attempt.code == ERR_CORRUPT || attempt.code == ERR_NOT_FOUND)
            return true;
        *err = attempt;
        return error_context(err, "look for locks before the target");
    }
    choice->locks_held = begin.held;
    const Target target = {.kind = TARGET_LSN, .lsn = begin.lsn, .is_exclusive = true};
    if (begin.lsn == 0 ||
        !target_find(&walk, &target, header->start, header->stop, &point, &attempt) ||
        !point.is_found)
        return true;
    choice->target = target;
    choice->point = point;
    choice->locked_xid = begin.xid;
    choice->locks_held = begin.held < begin.lsn ? begin.held : 0;
    return true;
}
