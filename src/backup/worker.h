/*
 * worker.h - what one thread of a backup does: read files and ranges, judge pages, hash, compress,
 * append to its own pack.
 *
 * A job owns the entries that it names while it is out; the context is read-only but for its two
 * atomic numbers. So there is no lock.
 */
#pragma once

#include "base/progress.h"
#include "copy_plan.h"
#include "pack/page_table.h"
#include "postgres/page.h"
#include "rate.h"
#include "residency.h"
#include "scan.h"

#include <stdatomic.h>

/* Shared by the workers. */
typedef struct CopyContext {
    const char *data;
    int data_fd;
    ManifestEntry *entries;
    bool *is_gone;    /* one for each entry: vanished */
    const Scan *scan; /* which symbolic links are followed */
    Cluster *cluster;
    Compression compression;
    uint32_t page_size; /* the server's */
    uint32_t relation_segment_blocks;
    PageRule rule;           /* .insert is 0: see PageNote */
    _Atomic Lsn insert_seen; /* the server was known to write WAL here */
    RateLimit rate;
    Progress *progress;
} CopyContext;

typedef struct Worker {
    CopyContext *context;
    PackWriter *packs;
    CodecContext *codec;
    Residency residency;
    uint8_t *raw;  /* EXTENT_SIZE */
    uint8_t *page; /* the server's page size: for reading one again */
    Buffer stored;
    Buffer table;
    uint32_t *pages;   /* 0, 1, 2, ...: every page of a range is stored */
    uint64_t *hashes;  /* RANGE_PAGES */
    PageEntry *places; /* RANGE_PAGES */
    Frame extents[RANGE_SIZE / EXTENT_SIZE];
    Arena arena; /* ranges and fragments, for the manifest */
} Worker;

void worker_init(Worker *worker, CopyContext *context, const PackWriterSetup *packs);
void worker_done(Worker *worker);
/* After the last file: give back what only reading needs. What the manifest refers to stays. */
void worker_rest(Worker *worker);

/* WorkFunction. */
bool worker_run(void *worker, void *job, Error *err) MUST_CHECK;

/* Append size bytes at raw as one frame; for what is stored outside of jobs too. */
bool worker_store(Worker *worker, FrameKind kind, const char *path, uint32_t range, const void *raw,
                  size_t size, Frame *frame, Error *err) MUST_CHECK;
/* A whole small file from memory: hash, CRC, frame. */
bool worker_store_small(Worker *worker, ManifestEntry *entry, const void *raw, size_t size,
                        Error *err) MUST_CHECK;
