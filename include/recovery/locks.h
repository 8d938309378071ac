/*
 * locks.h - what nobody can read while replay is paused: relations whose AccessExclusiveLock was
 * replayed, and whose transaction had not ended at the place where it stands.
 */
#pragma once

#include "base/error.h"
#include "base/memory.h"

typedef struct LockedRelations {
    /*
     * It is, for example, "orders, orders_pkey in database postgres; ...", or "" when none is
     * locked.
     */
    const char *names;
    size_t count;
    Arena arena;
} LockedRelations;

/*
 * Asks the paused server of this data directory; conninfo as in WatchSetup. Names of relations in a
 * database that can't be connected to are given by their numbers.
 */
bool recovery_locks(const char *data, const char *conninfo, LockedRelations *locked,
                    Error *err) MUST_CHECK;
void locked_relations_done(LockedRelations *locked); /* for CLEANUP() */
