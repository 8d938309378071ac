/*
 * pack_job.h - one pack read back by a worker: every frame, every page, the whole object's digest.
 */
#pragma once

#include "pack/pack_scan.h"
#include "verify_run.h"

enum { PACK_PROBLEMS_KEPT = 50 };

typedef struct PackProblem {
    FindingSeverity severity;
    bool is_newer;                       /* It is of a newer version, as far as can be told. */
    const char *what, *expected, *found; /* They are in the job's arena. */
} PackProblem;

/* The job owns its arrays; the main thread takes `frames` over. */
typedef struct PackJob {
    const Cluster *cluster;
    Progress *progress;
    size_t pack; /* It is an index into the run's packs. */
    PackInfo info;
    /* The fields below are results. */
    bool is_readable; /* Header, trailer and directory are whole. */
    Error error;      /* It says why the pack is not readable. */
    bool is_other;    /* Its SHA-256 is not the manifest's. */
    uint8_t sha256[SHA256_SIZE];
    FrameFact *frames;
    size_t frame_count, frame_capacity;
    uint64_t frames_seen, bytes_raw;
    PackProblem problems[PACK_PROBLEMS_KEPT];
    size_t problem_count; /* It counts all problems. Only the first ones are kept. */
    Arena arena;
} PackJob;

void pack_job_begin(PackJob *job, const VerifyRun *run, size_t pack);
void pack_job_done(PackJob *job); /* for CLEANUP() */

/* What a thread keeps from frame to frame. */
typedef struct PackWorker PackWorker;
/* is_stored_only: frames are not decompressed, and the job gets no facts of them. */
PackWorker *pack_worker_new(bool is_stored_only);
void pack_worker_freep(PackWorker **worker);

/* A WorkFunction. */
bool pack_job_run(void *worker, void *job, Error *err);
