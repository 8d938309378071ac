/*
 * target.h - where a recovery is to stop: what an operator asks for, and where the server would.
 */
#pragma once

#include "walk/wal_walk.h"

typedef enum TargetKind {
    TARGET_LATEST,
    TARGET_IMMEDIATE,
    TARGET_TIME,
    TARGET_XID,
    TARGET_LSN,
    TARGET_NAME,
} TargetKind;

typedef struct Target {
    TargetKind kind;
    TimeUs time;
    uint32_t xid;
    Lsn lsn;
    const char *name;  /* It is the name that was asked for, or NAME@2: restore_points.h. */
    bool is_exclusive; /* It is used with time, xid and lsn. */
} Target;

typedef struct TargetPoint {
    bool is_found; /* The server stops at a record. This is always so for LATEST and IMMEDIATE. */
    bool
        /*
         * With TARGET_TIME, when it is not found: nothing was committed later than the target, and
         * the archive is complete to its end, so replaying all of it is what was asked for.
         */
        ends_archive;
    /* With TARGET_NAME, the name is NAME@2, so the server has to be told stop_record. */
    bool is_numbered;
    Lsn stop_record; /* The record that ends replay starts here. */
    /* It is the last LSN that will be replayed, which minRecoveryPoint will show. */
    Lsn replay_end;
    uint64_t segment; /* It is the last segment that is needed. */
    /* They are the commits around it. A .time of TIME_US_NONE means that none was seen. */
    WalEvent last_before, first_after;
    /*
     * With TARGET_TIME, this many commits after stop_record are not later than the target by their
     * time. They are not replayed.
     */
    uint64_t early_count;
    WalEvent early_last;
    /* It is where contiguous WAL ends. When the target is not found, no restore gets further. */
    WalWalkEnd end;
} TargetPoint;

/*
 * Where a recovery along walk->path that begins at redo, the start LSN of a backup, would stop:
 * server's rules (xlogrecovery.c, recoveryStopsBefore, recoveryStopsAfter), which look at every
 * record from redo on. walk->from and ->to are not looked at.
 *
 * ERR_REFUSED when the server would stop before backup_stop, and therefore fail: an end of a
 * transaction later than a target time, the first restore point of that name, that transaction
 * or LSN lie inside the backup. A time for which nothing is later inside the backup, but something
 * is before its start, can't be seen here: compare it with the backup's times.
 * ERR_CORRUPT when WAL that must be looked at is damaged or does not reach backup_stop, or was
 * written with wal_level=minimal somewhere before the target.
 */
bool target_find(const WalWalk *walk, const Target *target, Lsn redo, Lsn backup_stop,
                 TargetPoint *point, Error *err) MUST_CHECK;
