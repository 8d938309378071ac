/*
 * rebuild.h - the files of a backup, each byte verified, written by several threads.
 *
 * global/pg_control is not among them: restore/run.c writes it when all else is durable.
 */
#pragma once

#include "base/progress.h"
#include "pack/manifest.h"
#include "rebuild/delta.h"
#include "rebuild/placement.h"

typedef struct WalCheck WalCheck; /* stored_wal.h */

typedef struct RebuildRequest {
    const Cluster *cluster;
    const Placement *placement; /* Its directories are there, and held (skeleton.h). */
    const Manifest *manifest;
    /* Files that are there already are kept or make way. NULL means that there are none. */
    Delta *delta;
    unsigned jobs;   /* It counts threads. 0 is taken as 1. */
    bool is_synced;  /* Each file is fsynced, where syncfs does not serve: see durability.h. */
    WalCheck *check; /* What it finds ends the work. NULL means that there is no check. */
    Progress *progress;
} RebuildRequest;

/* What was done, added to what it was. */
typedef struct RebuildReport {
    uint64_t files, bytes; /* They count what is there now. */
    uint64_t bytes_read;   /* Both steps together read this much from the repository. */
    uint64_t bytes_written;
    /* The fields below are set with a delta. */
    uint64_t files_kept; /* Not one byte of these files was written. */
    /* They are pages of files that are larger than one frame of a pack. */
    uint64_t pages_compared, pages_written;
} RebuildReport;

bool rebuild_files(const RebuildRequest *request, RebuildReport *report, Error *err) MUST_CHECK;

/*
 * The first step of a delta, which writes nothing: compares what is there, and reads and verifies
 * all that rebuild_files() will need of the backup. Of the placement nothing need be there.
 */
bool rebuild_compare(const RebuildRequest *request, RebuildReport *report, Error *err) MUST_CHECK;
