/*
 * space.h - is there room for what a restore writes, on each file system it writes to?
 */
#pragma once

#include "rebuild/restore_plan.h"

/* What a restore needs on one file system. */
typedef struct SpaceNeed {
    const char *place; /* It is an existing directory on that file system. */
    /* The restore writes this many bytes. WAL counts while it is being replayed. */
    uint64_t bytes;
    uint64_t free; /* Users other than root may use this many bytes. */
    /* What is removed or overwritten before the space is needed frees this many bytes. */
    uint64_t freed;
} SpaceNeed;

/* Of each file system, in the order in which it is written to; in the arena. ERR_IO. */
bool space_list(const RestorePlan *plan, Arena *arena, SpaceNeed **needed, size_t *count,
                Error *err) MUST_CHECK;

/* ERR_REFUSED naming the place, what is needed and what is free. */
bool space_check(const RestorePlan *plan, Error *err) MUST_CHECK;
