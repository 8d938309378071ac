/*
 * worker.h - what one thread of a backup does: read files and ranges, judge pages, hash, compress,
 * append to its own pack.
 *
 * A job owns the entries that it names while it is out; the context is read-only but for its two
 * atomic numbers. So there is no lock.
 */
#pragma once

#include "base/progress.h"
#include "base/rate.h"
#include "base_backup.h"
#include "copy_plan.h"
#include "pack/page_table.h"
#include "pack/range_reader.h"
#include "postgres/page.h"
#include "residency.h"
#include "scan.h"
#include "unread_wal.h"

#include <stdatomic.h>

/* Shared by the workers. */
typedef struct CopyContext {
    const char *data;
    int data_fd;
    ManifestEntry *entries;
    bool *is_gone;    /* one for each entry: vanished */
    const Scan *scan; /* which symbolic links are followed */
    Cluster *cluster;
    const BaseBackup *base; /* what is the same there is shared; NULL: nothing is */
    const UnreadRule *unread;
    _Atomic bool is_distrusted; /* a page had changed that should not have: all are read */
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
    uint8_t *raw;    /* EXTENT_SIZE */
    uint8_t *gather; /* EXTENT_SIZE: pages that are stored of a range, where not all are */
    uint8_t *page;   /* the server's page size: for reading one again */
    Buffer stored;
    Buffer table;
    RangeReader *base_reader; /* of the base's page tables; NULL until it is needed */
    /* Of the range that is copied: of each page, and which pages are stored, ascending, and where.
     */
    uint64_t *hashes;  /* RANGE_PAGES */
    uint32_t *pages;   /* RANGE_PAGES */
    PageEntry *places; /* RANGE_PAGES */
    Frame extents[RANGE_SIZE / EXTENT_SIZE];
    uint64_t bytes_read; /* of the data directory */
    uint64_t bytes_new;  /* of its files, raw, that were stored and not shared */
    uint64_t ranges_unread;
    uint64_t bytes_unnamed; /* of files, that the WAL does not name, and that were not read */
    bool is_passing_over;   /* of the range that is read not all is: nothing is read ahead */
    Arena arena;            /* ranges and fragments, for the manifest */
} Worker;

void worker_init(Worker *worker, CopyContext *context, const PackWriterSetup *packs);
void worker_done(Worker *worker);
/* After the last file: give back what only reading needs. What the manifest refers to stays. */
void worker_rest(Worker *worker);

/* WorkFunction. */
bool worker_run(void *worker, void *job, Error *err) MUST_CHECK;
