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
    bool *is_gone;    /* It has one element for each entry, true when the file has vanished. */
    const Scan *scan; /* It says which symbolic links are followed. */
    Cluster *cluster;
    /* What is the same there is shared. When it is NULL, nothing is shared. */
    const BaseBackup *base;
    const UnreadRule *unread;
    /* A page had changed that should not have, so all pages are read from then on. */
    _Atomic bool is_distrusted;
    Compression compression;
    uint32_t page_size; /* It is the server's. */
    uint32_t relation_segment_blocks;
    PageRule rule;           /* Its .insert is 0: see PageNote. */
    _Atomic Lsn insert_seen; /* The server was known to have written WAL up to here. */
    RateLimit rate;
    Progress *progress;
} CopyContext;

typedef struct Worker {
    CopyContext *context;
    PackWriter *packs;
    CodecContext *codec;
    Residency residency;
    uint8_t *raw; /* It has EXTENT_SIZE bytes. */
    /* It has EXTENT_SIZE bytes, for the pages of a range of which not all are stored. */
    uint8_t *gather;
    uint8_t *page; /* It has the server's page size, and serves to read a page again. */
    Buffer stored;
    Buffer table;
    RangeReader *base_reader; /* It reads the base's page tables. It is NULL until it is needed. */
    /*
     * They are about the range that is copied: the hash of each page, which pages are stored (they
     * ascend), and where.
     */
    uint64_t *hashes;  /* It has RANGE_PAGES elements. */
    uint32_t *pages;   /* It has RANGE_PAGES elements. */
    PageEntry *places; /* It has RANGE_PAGES elements. */
    Frame extents[RANGE_SIZE / EXTENT_SIZE];
    uint64_t bytes_read; /* This many bytes of the data directory were read. */
    uint64_t bytes_new;  /* This many raw bytes of its files were stored rather than shared. */
    uint64_t ranges_unread;
    /* This many bytes of files were not read because the WAL does not name them. */
    uint64_t bytes_unnamed;
    bool is_passing_over; /* Not all of the current range is read, so nothing is read ahead. */
    Arena arena;          /* It owns ranges and fragments for the manifest. */
} Worker;

void worker_init(Worker *worker, CopyContext *context, const PackWriterSetup *packs);
void worker_done(Worker *worker);
/* After the last file: give back what only reading needs. What the manifest refers to stays. */
void worker_rest(Worker *worker);

/* WorkFunction. */
bool worker_run(void *worker, void *job, Error *err) MUST_CHECK;
