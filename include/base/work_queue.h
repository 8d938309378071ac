/*
 * work_queue.h - a bounded queue of jobs run by a fixed number of threads.
 *
 * A job owns everything it touches: inputs, outputs, buffers. A worker may have a state of its
 * own besides (a compressor, a pack being written). Nothing else is shared, so neither needs a
 * lock. The queue holds at most `capacity` jobs that were submitted and not yet taken back, which
 * bounds memory. The first job that fails stops the queue.
 *
 *     submit, submit, ... next, submit, next, ... finish
 *
 * Finished jobs come back through work_queue_next(): in the order of submission, or as they end.
 */
#pragma once

#include "base/error.h"

typedef struct WorkQueue WorkQueue;

/* Runs on a worker thread. On failure sets err and returns false. */
typedef bool WorkFunction(void *worker, void *job, Error *err);

typedef enum WorkOrder { WORK_IN_ORDER, WORK_AS_DONE } WorkOrder;

typedef struct WorkQueueSetup {
    size_t threads;  /* It is at least 1. */
    size_t capacity; /* It is at least as large as threads. */
    WorkOrder order; /* Finished jobs come back in this order. */
    WorkFunction *run;
    /* It has `threads` pointers, and each thread gets one. When it is NULL, all get NULL. */
    void *const *workers;
} WorkQueueSetup;

/* Free with work_queue_free(). NULL on failure. */
WorkQueue *work_queue_new(const WorkQueueSetup *setup, Error *err) MUST_CHECK;

/* Whether a submit would not block. */
bool work_queue_has_room(WorkQueue *queue);

/*
 * Hand over a job; the job must stay valid until it came back or the queue is freed. There must be
 * room: take jobs back with work_queue_next() first (asserted).
 * False when an earlier job failed: stop submitting and return; err says what that job said.
 */
bool work_queue_submit(WorkQueue *queue, void *job, Error *err) MUST_CHECK;

/*
 * Wait until work_queue_next() would not block, at most timeout_ms: for a main thread that has
 * something else to do now and then. False when the time was over.
 */
bool work_queue_wait(WorkQueue *queue, uint64_t timeout_ms);

/*
 * Run the oldest waiting job here, on the caller's thread: for a main thread that would otherwise
 * sleep while there is work. The job gets `worker`, as jobs on the threads get theirs. False when
 * no job waits. work_queue_next() says how the job ended, as for any other.
 */
bool work_queue_help(WorkQueue *queue, void *worker);

/*
 * The next finished job; waits for it. *job is NULL when none is outstanding.
 * False, with its error, when a job failed.
 */
bool work_queue_next(WorkQueue *queue, void **job, Error *err) MUST_CHECK;

/* Wait until all submitted jobs have run, forgetting what they bring. False if one failed. */
bool work_queue_finish(WorkQueue *queue, Error *err) MUST_CHECK;

/* Forget waiting jobs, let running ones end, join the threads. NULL is fine. */
void work_queue_free(WorkQueue *queue);
void work_queue_freep(WorkQueue **queue);
