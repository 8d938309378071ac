/*
 * rebuild_job.h - what one thread of a rebuild does at a time: a batch of small files that lie
 * close together in one pack, or one range of a large one.
 */
#pragma once

#include "pack/range_reader.h"
#include "rebuild/restored_file.h"
#include "write_behind.h"

#include "base/progress.h"
#include "rebuild/placement.h"

typedef struct RebuildShared {
    const Cluster *cluster;
    const Placement *placement;
    const Manifest *manifest;
    Progress *progress;
    bool is_synced;
    bool is_check; /* all is read and compared, nothing is written */
} RebuildShared;

typedef struct RebuildWorker {
    const RebuildShared *shared;
    RangeReader *reader;
    WriteBehind *behind;
    Buffer stored;
    uint8_t *raw; /* EXTENT_SIZE: the largest file of one frame */
} RebuildWorker;

/* A file of several ranges while they come back in any order. */
typedef struct RebuildLarge {
    const ManifestEntry *entry;
    uint32_t *crcs;
    uint32_t missing;
} RebuildLarge;

typedef struct RebuildJob {
    const ManifestEntry **batch; /* small files, or ... */
    size_t batch_count;
    RebuildLarge *large; /* ... one range of a large one */
    uint32_t range;
    RangeContent content;
} RebuildJob;

/* NULL on failure. */
RebuildWorker *rebuild_workers_new(const RebuildShared *shared, unsigned count,
                                   Error *err) MUST_CHECK;
void rebuild_workers_free(RebuildWorker *workers, unsigned count);

/* A WorkQueue's run: context is a RebuildWorker, pointer a RebuildJob. */
bool rebuild_job_run(void *context, void *pointer, Error *err) MUST_CHECK;

/* Mode, owner and time of an entry. */
FileAttributes rebuild_attributes(const ManifestEntry *entry);
