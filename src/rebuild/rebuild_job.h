/*
 * rebuild_job.h - what one thread of a rebuild does at a time: a batch of small files that lie
 * close together in one pack, or one range of a large one.
 */
#pragma once

#include "delta_file.h"
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
    Delta *delta; /* What is there already counts. When it is NULL, nothing does. */
    bool is_synced;
    bool is_check; /* All that is needed is read and verified, and nothing is written. */
} RebuildShared;

typedef struct RebuildWorker {
    const RebuildShared *shared;
    RangeReader *reader;
    WriteBehind *behind;
    Buffer stored;
    uint8_t *raw; /* It has EXTENT_SIZE bytes, as the largest file of one frame. */
} RebuildWorker;

/* A file of several ranges while they come back in any order. */
typedef struct RebuildLarge {
    const ManifestEntry *entry;
    /*
     * The file is written in full. When it is false, what is there is compared, and written where
     * it differs.
     */
    bool is_new;
    uint32_t *crcs; /* They are set for a new file. */
    /* It is set for a file that was compared before. NULL means that it was not. */
    const DeltaFile *known;
    /* It is set for a file that is being compared now, when the result is to be remembered. */
    DeltaFile *record;
    bool is_changed;           /* Some of its pages differ. */
    struct RebuildLarge *next; /* It is the next one in a list, see rebuild.c. */
    uint32_t missing;
} RebuildLarge;

/* What there was of a backup, and what was missing. */
typedef struct RebuildTally {
    uint64_t files_kept; /* These small files were there already. */
    uint64_t pages_compared, pages_differ;
    uint64_t bytes_written;
} RebuildTally;

typedef struct RebuildJob {
    const ManifestEntry **batch; /* The job is these small files, or one range of `large`. */
    size_t batch_count;
    RebuildLarge *large; /* The job is `range` of this large file. It is NULL for small files. */
    uint32_t range;
    RangeContent content;
    RebuildTally tally; /* It is what came of the job. */
} RebuildJob;

/* NULL on failure. */
RebuildWorker *rebuild_workers_new(const RebuildShared *shared, unsigned count,
                                   Error *err) MUST_CHECK;
void rebuild_workers_free(RebuildWorker *workers, unsigned count);

/* A WorkQueue's run: context is a RebuildWorker, pointer a RebuildJob. */
bool rebuild_job_run(void *context, void *pointer, Error *err) MUST_CHECK;

/* The same for one range: range_job.c. */
bool range_job_run(RebuildWorker *worker, RebuildJob *job, Error *err) MUST_CHECK;

/* Mode, owner and time of an entry. */
FileAttributes rebuild_attributes(const ManifestEntry *entry);
/* Of a file whose content is right: set where they are not; synced if that is asked for. */
bool rebuild_settle(const RebuildShared *shared, const ManifestEntry *entry, Error *err) MUST_CHECK;
