/*
 * ownership.h - whose tablespace is it that a data directory's link leads to?
 *
 * A copy of a data directory has the original's links, and the original need not run. What a link
 * leads to is taken for the directory's own only when that is proven; else it stays.
 *
 * A directory that a server was started in is at home there: postmaster.opts and postmaster.pid
 * have its path, and a copy has the path of the original in them. Of one that no server was started
 * in yet the backup or the restore that made it says where it belongs.
 */
#pragma once

#include "rebuild/restore_plan.h"

typedef enum Ownership {
    OWNED,
    NOT_PROVEN,
    OF_ANOTHER, /* A cluster owns it whose data directory was found, or another user does. */
} Ownership;

/*
 * location: where a link of plan->placement.data leads, resolved; version: the directory in it.
 * *whose: the other data directory, or what else is known; in the plan's arena; NULL when OWNED.
 */
Ownership ownership_of(RestorePlan *plan, const char *location, const char *version,
                       const char **whose);
