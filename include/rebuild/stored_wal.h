/*
 * stored_wal.h - is the WAL that a recovery will ask for still what was stored? Planning has read
 * its trailers only.
 *
 * The stored bytes are read and summed, by threads of its own; what comes out of the frames is
 * checked by archive-get when replay gets there. Where a cluster is about to be replaced all of it
 * is waited for before anything is touched; elsewhere it goes on beside the copying of the files,
 * and ends that at once when it finds something: not after hours of replay.
 */
#pragma once

#include "rebuild/restore_plan.h"

typedef struct WalCheck WalCheck;

WalCheck *wal_check_new(const Cluster *cluster, const RestorePlan *plan, unsigned threads,
                        Error *err) MUST_CHECK; /* NULL on failure */
void wal_check_freep(WalCheck **check);         /* for CLEANUP(); ends what is under way */

/* Without waiting: false when something was found so far. check may be NULL. */
bool wal_check_look(WalCheck *check, Error *err) MUST_CHECK;
/* Waits. ERR_CORRUPT when a segment is damaged or gone; ERR_UNREACHABLE. check may be NULL. */
bool wal_check_finish(WalCheck *check, Error *err) MUST_CHECK;
