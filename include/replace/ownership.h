/*
 * ownership.h - who owns the tablespace to which a data directory's link leads?
 *
 * A copy of a data directory has the original's links, even when the original is not running. What
 * a link leads to counts as the directory's own only when that is proven. Otherwise it stays.
 *
 * If a server was started in a directory, postmaster.opts and postmaster.pid have its path, and in
 * a copy they have the path of the original. If no server was started in it yet, the backup or the
 * restore that made it says where it belongs.
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
