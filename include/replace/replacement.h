/*
 * replacement.h - how the old directory makes way, so that at each instant a whole one is there or
 * can be obtained (law 8).
 */
#pragma once

#include "rebuild/restore_plan.h"

/*
 * An old data directory can be renamed, so that another one takes its place: *why says what stands
 * against it, NULL when nothing does.
 */
const char *replacement_obstacle(RestorePlan *plan);

/*
 * Last of all that is planned: fills plan->old.replacement, moved_to and wal_kept, and looks
 * whether there is room. ERR_REFUSED.
 */
bool replacement_plan(const Cluster *cluster, const RestoreRequest *request, RestorePlan *plan,
                      Error *err) MUST_CHECK;
