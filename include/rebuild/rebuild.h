/*
 * rebuild.h - the files of a backup, each byte verified, written by several threads.
 *
 * global/pg_control is not among them: restore/run.c writes it when all else is durable.
 */
#pragma once

#include "base/progress.h"
#include "pack/manifest.h"
#include "rebuild/placement.h"

typedef struct WalCheck WalCheck; /* stored_wal.h */

typedef struct RebuildRequest {
    const Cluster *cluster;
    const Placement *placement; /* its directories are there, and held (skeleton.h) */
    const Manifest *manifest;
    unsigned jobs;   /* threads; 0 is taken as 1 */
    bool is_synced;  /* each file is fsynced (where syncfs does not serve, see durability.h) */
    WalCheck *check; /* what it finds ends the work; NULL: none */
    Progress *progress;
} RebuildRequest;

typedef struct RebuildReport {
    uint64_t files, bytes, bytes_read;
} RebuildReport;

bool rebuild_files(const RebuildRequest *request, RebuildReport *report, Error *err) MUST_CHECK;

/* Nothing is written: whether it can be done. Of the placement nothing need be there. */
bool rebuild_check(const RebuildRequest *request, Error *err) MUST_CHECK;
