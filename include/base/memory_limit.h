/*
 * memory_limit.h - how much memory we may have, on a machine or in a container.
 */
#pragma once

#include "base/memory.h"

/* Bytes: of the machine, or of a control group that we are in if that is less. 0: not known. */
uint64_t memory_limit(void);

/*
 * Bytes that there are now without anything being written out for it: what the kernel estimates
 * (MemAvailable in /proc/meminfo, proc(5)), never more than the limit. 0: not known.
 */
uint64_t memory_available(void);
uint64_t memory_available_of(const char *meminfo); /* Pure. */

/*
 * Where limits stand, for what /proc/self/cgroup says (cgroups(7)): of the group and of each one
 * above it, in versions 1 and 2. NULL-terminated, in the arena. Pure.
 */
const char *const *memory_limit_files(const char *cgroups, Arena *arena);
