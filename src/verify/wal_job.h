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
    /*
     * `trailer` has what is remembered of it. It is false when that turns out to be another
     * cluster's.
     */
    bool is_believed;
    TimeUs verified_at;  /* It is set when is_believed. */
    bool is_stored_only; /* Nothing is decompressed, and summary has what the trailer says. */
    /* The fields below are results. */
    Error error; /* The object is whole when its code is ERR_NONE. */
    WalTrailer trailer;
    WalSummary summary; /* It is that of the content. Only segments have it. */
    bool is_summary_other;
    /* With is_summary_other, it is the first byte of the trailer that differs. */
    uint32_t first_difference;
    /* When its code is ERR_NONE, the list of changed blocks is whole, or there is none. */
    Error list_error;
    /* It is the first place where the WAL goes over to another timeline. */
    Lsn switch_lsn; /* 0 means that it does not. */
    uint32_t switch_to, switch_from;
} WalJob;

/* A WorkFunction, without a worker's state. */
bool wal_job_run(void *worker, void *job, Error *err);
