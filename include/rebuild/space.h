/*
 * space.h - is there room for what a restore writes, on each file system it writes to?
 */
#pragma once

#include "rebuild/restore_plan.h"

/* What a restore needs on one file system. */
typedef struct SpaceNeed {
    const char *place; /* an existing directory there */
    uint64_t bytes;    /* that it writes, with WAL while it is replayed */
    uint64_t free;     /* that a user who is not root may use */
    uint64_t freed;    /* by what is removed or overwritten before it is needed */
} SpaceNeed;

/* Of each file system, in the order in which it is written to; in the arena. ERR_IO. */
bool space_list(const RestorePlan *plan, Arena *arena, SpaceNeed **needed, size_t *count,
                Error *err) MUST_CHECK;

/* ERR_REFUSED naming the place, what is needed and what is free. */
bool space_check(const RestorePlan *plan, Error *err) MUST_CHECK;
