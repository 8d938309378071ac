/*
 * recovery_view.h - what archive-get knows about the recovery that asks: its timeline, and how far
 * it needs to read.
 */
#pragma once

#include "get/get.h"
#include "postgres/history.h"

typedef struct RecoveryView {
    uint32_t timeline; /* The recovery leads to this timeline. */
    bool is_pinned;    /* The settings in the data directory give it as a number. */
    /*
     * Nobody planned this recovery, so it goes to the end of the newest timeline that is there,
     * whoever began that.
     */
    bool takes_newest;
    uint32_t current; /* The data directory is on this timeline. 0 means that it is not known. */
    Lsn reached;      /* Recovery must get at least this far on it. */
    /*
     * It is the last segment that the target needs. 0 means that this is not known and all are
     * needed.
     */
    uint64_t bound_segment;
    /*
     * It is the last segment that the archive had when restore looked. 0 means that it is not
     * known.
     */
    uint64_t archive_end;
    TimelinePath path; /* It is set with has_path. */
    bool has_path;
    const char *data; /* It is the request's, or NULL. */
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
