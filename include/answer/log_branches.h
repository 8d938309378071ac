/*
 * log_branches.h - which stretches of WAL a look at all branches has to read, each of them once.
 *
 * The newest timeline's path comes first. An older timeline that goes on beyond the place where
 * others left it has WAL that is on no other path: its own is read from there on.
 */
#pragma once

#include "walk/inventory.h"

typedef struct LogBranch {
    uint32_t timeline; /* It is the branch's tip, as given to --timeline and --target-timeline. */
    TimelinePath path;
    Lsn from; /* WAL before this position is on an earlier branch's path. 0 means that none is. */
} LogBranch;

typedef struct LogBranches {
    LogBranch *items; /* The newest timeline comes first. */
    size_t count;
    uint32_t *timelines; /* The archive knows of these timelines, in ascending order. */
    size_t timeline_count;
    Arena arena;
} LogBranches;

/* The timelines, and no branch yet. Of an empty archive it is timeline 1. */
void log_branches_timelines(const WalInventory *inventory, LogBranches *branches);

/* Loads a path: by the archive, or in tests. */
typedef bool LogPathFunction(void *context, uint32_t timeline, Arena *arena, TimelinePath *path,
                             Error *err);

/* The branches of these timelines. The error of a path that can't be loaded. */
bool log_branches_find(LogPathFunction *load, void *context, LogBranches *branches,
                       Error *err) MUST_CHECK;
void log_branches_done(LogBranches *branches); /* for CLEANUP() */
