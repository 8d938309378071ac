/*
 * wal_walk.h - walking archived WAL along a timeline path.
 *
 * Trailers say which segments matter; only those are decompressed. Records that straddle two
 * segments, or a fork, are joined.
 */
#pragma once

#include "catalog/inventory.h"
#include "repo/wal_object.h"

/*
 * Return false to stop (note by yourself that you did); err set means failure. Events come while
 * their segment is still being verified: use them only once the walk has returned true.
 */
typedef bool WalWalkFunction(void *context, const WalEvent *event, Error *err);

typedef struct WalWalk {
    const Cluster *cluster;
    const WalInventory *inventory;
    const TimelinePath *path;
    Lsn from; /* records that begin here or later; the walk begins in this segment */
    Lsn to;   /* 0: to the end of contiguous WAL */
    unsigned threads;
} WalWalk;

typedef struct WalWalkEnd {
    Lsn last_end;          /* end of the last whole record; 0: none */
    Lsn replay_end;        /* where replay of it all ends: last_end, aligned, or behind a switch the
                              end of its segment; as minRecoveryPoint says it */
    uint64_t last_segment; /* last one read; there is none when segments is 0 */
    uint32_t last_timeline;
    uint64_t segments, stored_bytes;
    bool is_broken;   /* WAL is invalid behind last_end, within the segments that are there */
    bool is_hole;     /* the segment behind last_segment is missing, and later WAL of the path
                         exists or existed (absence_of_segment) */
    bool is_open;     /* last_segment is not whole: what there is of it ends at last_end */
    uint64_t local;   /* first segment that is a local file (wal_source.h); 0: all of the archive */
    char reason[128]; /* is_broken */
} WalWalkEnd;

/*
 * Trailers only: fast. on_segment may be NULL and gets every segment's trailer in order. The end of
 * a transaction, a restore point and the like that straddles two segments is in neither's
 * summary: it is read from the segments and added to that of the segment where it ends.
 * A damaged object is no error but the end (is_broken). false from on_segment with err clear stops.
 */
typedef bool WalSegmentFunction(void *context, uint32_t timeline, uint64_t segment,
                                const WalTrailer *trailer, Error *err);
bool wal_walk_trailers(const WalWalk *walk, WalSegmentFunction *on_segment, void *context,
                       WalWalkEnd *end, Error *err) MUST_CHECK;

/*
 * The trailer of one segment of the path; of one that is not whole (*is_open) what a trailer would
 * say of what there is of it, which takes reading that. ERR_NOT_FOUND: there is nothing of it.
 */
bool wal_walk_trailer(const WalWalk *walk, uint64_t segment, WalTrailer *trailer, bool *is_open,
                      Error *err) MUST_CHECK;

/* Every event in order. Reads and verifies each segment. */
bool wal_walk_events(const WalWalk *walk, WalWalkFunction *on_event, void *context, WalWalkEnd *end,
                     Error *err) MUST_CHECK;

/* What an operator asks for; and where the server would stop. */
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
    const char *name;  /* or NAME@2: restore_points.h */
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
    WalWalkEnd end; /* of contiguous WAL: how far one can get if not found */
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
