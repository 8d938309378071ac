/*
 * progress.h - what a long work tells of itself while it runs. cli/ draws it.
 *
 * The engine sets phase and total when it knows them and adds to the counters from any thread;
 * the engine's main loop calls progress_tick() often, which is cheap and calls back at most a few
 * times a second. A total of 0 means: not known, so nothing is guessed.
 */
#pragma once

#include "base/base.h"
#include "base/time.h"

#include <stdatomic.h>

typedef struct Progress Progress;
struct Progress {
    const char *phase;           /* It is a constant: "copy", "rebuild", "replay". */
    _Atomic uint64_t bytes_done; /* This many bytes of the cluster are done. */
    _Atomic uint64_t bytes_total;
    /* This many bytes went into the repository, or came out of it. */
    _Atomic uint64_t bytes_stored;
    TimeUs phase_started;             /* It is a time_monotonic(). */
    void (*draw)(Progress *progress); /* It is NULL when nobody looks. */
    TimeUs drawn_at;
};

/* NULL is fine for all of them: nobody looks. */
void progress_phase(Progress *progress, const char *phase, uint64_t bytes_total);
void progress_tick(Progress *progress);
static inline void progress_add(Progress *progress, uint64_t bytes_done, uint64_t bytes_stored)
{
    if (progress != NULL) {
        atomic_fetch_add_explicit(&progress->bytes_done, bytes_done, memory_order_relaxed);
        atomic_fetch_add_explicit(&progress->bytes_stored, bytes_stored, memory_order_relaxed);
    }
}
