/*
 * crew.h - jobs that several threads work on, in turn.
 */
#pragma once

#include "verify_run.h"

enum { CREW_JOBS_MAX = 128 };

typedef struct CrewPlan {
    size_t count; /* It counts jobs. */
    unsigned threads;
    WorkFunction *work;
    void *const *workers; /* There is one for each thread. It may be NULL. */
    void *const *jobs;    /* It has 2 * threads elements, which are used in turn. */
    void (*prepare)(VerifyRun *run, void *context, size_t index, void *job);
    bool (*take)(VerifyRun *run, void *context, void *job, Error *err);
    void *context;
} CrewPlan;
bool crew_work(VerifyRun *run, const CrewPlan *plan, Error *err) MUST_CHECK;
unsigned crew_threads(const VerifyRun *run); /* 1 to CREW_JOBS_MAX / 2 */
