/*
 * crew.h - jobs that several threads work on, in turn.
 */
#pragma once

#include "verify_run.h"

enum { CREW_JOBS_MAX = 128 };

typedef struct CrewPlan {
    size_t count; /* of jobs */
    unsigned threads;
    WorkFunction *work;
    void *const *workers; /* one a thread, or NULL */
    void *const *jobs;    /* 2 * threads of them, used in turn */
    void (*prepare)(VerifyRun *run, void *context, size_t index, void *job);
    bool (*take)(VerifyRun *run, void *context, void *job, Error *err);
    void *context;
} CrewPlan;
bool crew_work(VerifyRun *run, const CrewPlan *plan, Error *err) MUST_CHECK;
unsigned crew_threads(const VerifyRun *run); /* 1 to CREW_JOBS_MAX / 2 */
