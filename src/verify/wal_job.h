/*
 * wal_job.h - one WAL object read back by a worker: frames, digest, and what the WAL in it says.
 */
#pragma once

#include "verify_run.h"

enum { WAL_TEXT_MAX = 1 << 20 };

typedef struct WalJob {
    const Cluster *cluster;
    const Identity *identities;
    size_t identity_count;
    Progress *progress;
    const ObjectInfo *object;
    WalName name;
    bool is_believed;    /* trailer is what is remembered of it; not when it turns out to be another
                            cluster's */
    TimeUs verified_at;  /* is_believed */
    bool is_stored_only; /* nothing is decompressed: summary is what the trailer says */
    /* results */
    Error error; /* code ERR_NONE: whole */
    WalTrailer trailer;
    WalSummary summary; /* of the content; segments only */
    bool is_summary_other;
    uint32_t first_difference; /* is_summary_other: byte in the trailer */
    Error list_error; /* code ERR_NONE: its list of changed blocks is whole, or not there */
    /* The first time that the WAL goes over to a timeline. */
    Lsn switch_lsn; /* 0: nowhere */
    uint32_t switch_to, switch_from;
} WalJob;

/* A WorkFunction, without a worker's state. */
bool wal_job_run(void *worker, void *job, Error *err);
