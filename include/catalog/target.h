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
    const char *name;  /* The name that was asked for, or NAME@2: restore_points.h. */
    bool is_exclusive; /* time, xid, lsn */
} Target;

typedef struct TargetPoint {
    bool is_found; /* there is a record at which the server stops; LATEST, IMMEDIATE: always */
    bool
        ends_archive; /* TARGET_TIME, not found: nothing later than T was committed, and the archive
                         is complete to its end: replaying all of it is what was asked for */
    bool is_numbered; /* TARGET_NAME: NAME@2, so that the server has to be told stop_record */
    Lsn stop_record;  /* start of the record that ends replay */
    Lsn replay_end;   /* last LSN that will be replayed: what minRecoveryPoint will say */
    uint64_t segment; /* last segment needed */
    WalEvent last_before, first_after; /* commits around it; .time TIME_US_NONE: none seen */
    uint64_t early_count; /* TARGET_TIME: commits after stop_record that are not later than the
                             target by their time: they are not replayed */
    WalEvent early_last;
    WalWalkEnd end; /* Where contiguous WAL ends: how far one can get when it is not found. */
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
