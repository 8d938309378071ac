/*
 * later_target.h - move the target of a recovery forward that has stopped at the one it was given.
 *
 *     advance_plan()     looks and decides, changes nothing
 *     advance_write()    the server is down: its settings and the recovery plan name the new target
 *
 * What was replayed stays: a server that is started again replays on from its last restartpoint.
 * It can't go back, so a target at or before the place where it stands is refused.
 */
#pragma once

#include "restore/restore.h"

/* Where a recovery stands that pgcairn has begun. */
typedef struct AdvanceFrom {
    Lsn replayed; /* It is the end of the last record that was replayed. */
    uint32_t timeline;
} AdvanceFrom;

/*
 * plan->decision, placement.data and restore_command, as restore_plan() has them; *from->timeline
 * is the recovery's target timeline, which is followed unless the request names another one.
 *
 * ERR_REFUSED: no recovery of `restore` is in request->data, the target is not after
 * from->replayed, or the other timeline parts before it. ERR_NOT_FOUND, ERR_CORRUPT as
 * restore_plan().
 */
bool advance_plan(const Cluster *cluster, const RestoreRequest *request, AdvanceFrom *from,
                  RestorePlan *plan, Error *err) MUST_CHECK;

/*
 * Killed in between, the old target or the new one is set: the settings are written at once, and a
 * recovery plan counts only for the settings that it was made for.
 */
bool advance_write(const RestoreRequest *request, RestorePlan *plan, Error *err) MUST_CHECK;
