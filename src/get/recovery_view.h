/*
 * recovery_view.h - what archive-get knows about the recovery that asks: its timeline, and how far
 * it needs to read.
 */
#pragma once

#include "get/get.h"
#include "postgres/history.h"

typedef struct RecoveryView {
    uint32_t timeline;      /* that the recovery leads to */
    bool is_pinned;         /* the settings in the data directory say it as a number */
    bool takes_newest;      /* nobody planned this recovery, and it goes to the end of the newest
                               timeline that is there, whoever began that */
    uint32_t current;       /* that the data directory is on; 0: not known */
    Lsn reached;            /* where recovery must get to on it at least */
    uint64_t bound_segment; /* last one that the target needs; 0: not known, all are needed */
    uint64_t archive_end;   /* last one that the archive had when restore looked; 0: not known */
    TimelinePath path;      /* once has_path */
    bool has_path;
    const char *data; /* of the request, or NULL */
    Arena arena;
} RecoveryView;

/*
 * By the request, by restore's plan file, by the settings in the data directory, in this order;
 * without any of them the timeline of the name itself.
 */
bool recovery_view_load(const Cluster *cluster, const GetRequest *request, const WalName *name,
                        RecoveryView *view, Error *err) MUST_CHECK;

/*
 * Load view->path, from the archive or (as the server does) from pg_wal. ERR_CORRUPT when its
 * history is in neither.
 */
bool recovery_view_path(const Cluster *cluster, RecoveryView *view, Error *err) MUST_CHECK;
void recovery_view_done(RecoveryView *view); /* for CLEANUP() */
