/*
 * copy.h - the copying itself: workers, their packs, and what the main thread does meanwhile.
 *
 *     copy_files → copy_control → (the server's backup stops) → copy_finish
 *
 * The Copy owns what the manifest's entries refer to (ranges, fragments, packs): it must live until
 * the manifest is saved.
 */
#pragma once

#include "backup_run.h"
#include "worker.h"

/* What is shared, and what is taken for unchanged. */
typedef struct CopySource {
    const BaseBackup *base;
    const UnreadRule *unread;
} CopySource;

typedef struct Copy {
    BackupRun *run;
    Cluster cluster;
    CopyContext context;
    Worker *workers;
    void **worker_pointers;
    size_t worker_count;
    CopyPlan plan;
    /* After copy_finish() it has the packs of all workers, then those of the base. */
    PackInfo *packs;
    size_t pack_count;
    size_t own_count;      /* This backup stored this many of them. */
    uint64_t bytes_stored; /* They are in this backup's own packs. */
    uint64_t bytes_new, bytes_read, ranges_unread, bytes_unnamed;
    TimeUs asked_at; /* The server was last asked for its insert position then. */
} Copy;

/*
 * Everything of run->scan but pg_control; what the base has of it is shared. ERR_CORRUPT at the
 * first bad page when the request says so; with the policy to warn, bad pages are counted in the
 * report.
 */
bool copy_files(Copy *copy, BackupRun *run, const CopySource *source, Error *err) MUST_CHECK;

/* global/pg_control, with a CRC that is right. */
bool copy_control(Copy *copy, Error *err) MUST_CHECK;

/*
 * Commit the open packs, number them and those of the base that are referred to, check that each is
 * there with its size; entries that have vanished leave run->scan.
 */
bool copy_finish(Copy *copy, Error *err) MUST_CHECK;
void copy_done(Copy *copy); /* for CLEANUP() */
