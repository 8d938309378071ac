/*
 * lock_begin.h - where a replay can stop so that what a transaction has locked can be read.
 *
 * A server replays AccessExclusiveLocks as well (standbydefs.h, XLOG_STANDBY_LOCK), and its startup
 * process holds them until their transaction ends. Paused just before the commit of a DROP, it
 * holds the lock on the very table that is to be looked at, and whoever reads that waits forever.
 */
#pragma once

#include "walk/wal_walk.h"

typedef struct LockBegin {
    /* Stop before the record that begins here instead. 0 means that this gains nothing. */
    Lsn lsn;
    uint32_t xid; /* The lock there is the first one of this transaction. */
    /*
     * It is the first lock that is held at the stop, even when commits lie between. 0 means that
     * none is known.
     */
    Lsn held;
} LockBegin;

/*
 * For a replay along walk->path that ends before the record at `stop`. Nothing that it is to have
 * is given up: there is no commit and no PREPARE between begin->lsn and there. Not before `floor`.
 * Looks back over a few segments at most. walk->from and ->to are not looked at. ERR_CORRUPT when
 * they can't be read.
 */
bool lock_begin_find(const WalWalk *walk, Lsn floor, Lsn stop, LockBegin *begin,
                     Error *err) MUST_CHECK;
