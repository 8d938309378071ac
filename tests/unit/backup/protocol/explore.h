/*
 * explore.h - all schedules of a small case.
 *
 * Depth first, each path from the beginning (the code can't be rewound). What comes to the same is
 * done once:
 *
 *     of two calls that have nothing to do with each other one order is enough (sleep sets);
 *     a state that was reached before is not gone on from: turns_state() and world_state() tell it,
 *     a number of 64 bits (two states of the same number would be taken for one);
 *     a call that no later call of another actor has to do with, in the whole of the case, is done
 *     at once: what each actor reads and changes is found out on the way, and when that grows
 *     everything begins anew;
 *     who dies dies before a call that changes something: before a read it would be the same.
 *
 * What bounds it: the actors' rounds, how many may be killed, and that the clock moves between two
 * runs of expire alone, each time by more than a grace: whoever stands still meanwhile has slept
 * through it.
 */
#pragma once

#include "world.h"

typedef struct SmallActor {
    ActorKind kind;
    unsigned rounds;
} SmallActor;

typedef struct SmallCase {
    const char *name;
    SmallActor actors[TURN_ACTORS];
    size_t count;
    unsigned kills;
    bool is_long; /* minutes, or more */
    unsigned omitted;
} SmallCase;

typedef struct Explored {
    uint64_t paths, states, calls, restarts; /* paths and calls of all attempts */
    char failure[512];                       /* "": none; else what, and by which schedule */
} Explored;

void explore(const SmallCase *small, Explored *explored);
