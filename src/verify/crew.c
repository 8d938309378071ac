#include "crew.h"

#include "base/interrupt.h"

#include <assert.h>

enum { TICK_MS = 200 };

unsigned crew_threads(const VerifyRun *run)
{
    unsigned jobs = run->request->jobs > 0 ? run->request->jobs : 1;

    return jobs < CREW_JOBS_MAX / 2 ? jobs : CREW_JOBS_MAX / 2;
}

typedef struct Idle {
    void *jobs[CREW_JOBS_MAX];
    size_t count;
} Idle;

static bool take_next(VerifyRun *run, const CrewPlan *plan, WorkQueue *queue, Idle *idle,
                      Error *err)
{
    void *job;

    while (!work_queue_wait(queue, TICK_MS))
        progress_tick(run->request->progress);
    if (!work_queue_next(queue, &job, err))
        return false;
    assert(job != NULL);
    progress_tick(run->request->progress);
    idle->jobs[idle->count++] = job;
    return plan->take(run, plan->context, job, err);
}

bool crew_work(VerifyRun *run, const CrewPlan *plan, Error *err)
{
    CLEANUP(work_queue_freep) WorkQueue *queue = NULL;
    Idle idle = {.count = 2 * (size_t)plan->threads};
    size_t submitted = 0;
    size_t done = 0;

    assert(idle.count <= CREW_JOBS_MAX);
    memcpy(idle.jobs, plan->jobs, idle.count * sizeof idle.jobs[0]);
    queue = work_queue_new(&(WorkQueueSetup){.threads = plan->threads,
                                             .capacity = idle.count,
                                             .order = WORK_IN_ORDER,
                                             .run = plan->work,
                                             .workers = plan->workers},
                           err);
    if (queue == NULL)
        return false;
    while (done < plan->count) {
        if (!interrupt_check(err))
            return false;
        if (idle.count > 0 && submitted < plan->count) {
            void *job = idle.jobs[--idle.count];

            plan->prepare(run, plan->context, submitted++, job);
            if (!work_queue_submit(queue, job, err))
                return false;
            continue;
        }
        if (!take_next(run, plan, queue, &idle, err))
            return false;
        done++;
    }
    return true;
}
