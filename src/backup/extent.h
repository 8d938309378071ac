/*
 * extent.h - what a worker does with up to 1 MiB of one file: read it, judge its pages, compress
 * it, append it to the pack that is open.
 */
#pragma once

#include "pages.h"
#include "worker.h"

/* One file that is open, and what its pages are. */
typedef struct WorkerSource {
    int fd;
    uint32_t entry;
    const char *path;
    bool is_relation;
    bool is_main_fork;
    uint32_t first_block; /* The file begins with this block of its relation fork. */
    CopyJob *job;
} WorkerSource;

PageJudge extent_judge_of(const Worker *worker, const WorkerSource *source);

/*
 * Up to `want` bytes at offset into worker->raw, judged. The next extent is asked for before this
 * one is worked on, so that the disk is busy while we compress; unless worker->is_passing_over.
 */
bool extent_read(Worker *worker, const WorkerSource *source, PageJudge *judge, uint64_t offset,
                 size_t want, size_t *got, Error *err) MUST_CHECK;

/* Append size bytes at raw as one frame; for what is stored outside of jobs too. */
bool extent_store(Worker *worker, FrameKind kind, const char *path, uint32_t range, const void *raw,
                  size_t size, Frame *frame, Error *err) MUST_CHECK;

/* A whole small file from memory: hash, CRC, frame; the base's frame where that has the same. */
bool extent_store_small(Worker *worker, ManifestEntry *entry, const void *raw, size_t size,
                        Error *err) MUST_CHECK;
