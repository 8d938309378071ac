/*
 * wal_walk.h - walking archived WAL along a timeline path.
 *
 * Trailers say which segments matter; only those are decompressed. Records that straddle two
 * segments, or a fork, are joined.
 */
#pragma once

#include "wal/wal_object.h"
#include "walk/inventory.h"

/* What a function that is called along a walk, or a scan, answers. */
typedef enum WalkStep {
    WALK_ON,
    WALK_STOP,   /* It has seen enough. The walk ends here, which is not a failure. */
    WALK_FAILED, /* It failed, and err says why: the walk fails, too. */
} WalkStep;

static inline WalkStep walk_step(bool ok)
{
    return ok ? WALK_ON : WALK_FAILED;
}

/*
 * Events and records come while their segment is still being verified: use them only once the walk
 * has returned true.
 */
typedef WalkStep WalWalkFunction(void *context, const WalEvent *event, Error *err);
typedef WalkStep WalkRecordFunction(void *context, const WalRecord *record, Error *err);

typedef struct WalWalk {
    const Cluster *cluster;
    const WalInventory *inventory;
    const TimelinePath *path;
    Lsn from; /* Records that begin here or later are wanted. The walk begins in this segment. */
    Lsn to;   /* 0 means the end of contiguous WAL. */
    unsigned threads;
    bool keep_all; /* With walk_records(), the bytes of each record are there (wal_reader.h). */
} WalWalk;

typedef struct WalWalkEnd {
    Lsn last_end; /* The last complete record ends here. 0 means that there is none. */
    /*
     * Replay of it all ends here: at last_end, aligned, or after a switch at the end of its
     * segment. minRecoveryPoint shows this.
     */
    Lsn replay_end;
    uint64_t last_segment; /* It was read last. When segments is 0, there is none. */
    uint32_t last_timeline;
    uint64_t segments, stored_bytes;
    bool is_broken; /* WAL is invalid after last_end, within the segments that are there. */
    /*
     * The segment after last_segment is missing, and later WAL of the path exists or existed
     * (absence_of_segment).
     */
    bool is_hole;
    bool is_open; /* last_segment is not complete. What there is of it ends at last_end. */
    /*
     * It is the first segment that is a local file (wal_source.h). 0 means that all are from the
     * archive.
     */
    uint64_t local;
    char reason[128]; /* It is set with is_broken. */
} WalWalkEnd;

/*
 * Trailers only: fast. on_segment may be NULL and gets every segment's trailer in order. The end of
 * a transaction, a restore point and the like that straddles two segments is in neither's
 * summary: it is read from the segments and added to that of the segment where it ends.
 * A damaged object is not an error but the end (is_broken).
 */
typedef WalkStep WalSegmentFunction(void *context, uint32_t timeline, uint64_t segment,
                                    const WalTrailer *trailer, Error *err);
bool wal_walk_trailers(const WalWalk *walk, WalSegmentFunction *on_segment, void *context,
                       WalWalkEnd *end, Error *err) MUST_CHECK;

/*
 * The trailer of one segment of the path. For a segment that is not complete (*is_open), it is what
 * a trailer would say about what there is of it, which then has to be read. ERR_NOT_FOUND when
 * there is nothing of it.
 */
bool wal_walk_trailer(const WalWalk *walk, uint64_t segment, WalTrailer *trailer, bool *is_open,
                      Error *err) MUST_CHECK;

/* Every event in order. Reads and verifies each segment. */
bool wal_walk_events(const WalWalk *walk, WalWalkFunction *on_event, void *context, WalWalkEnd *end,
                     Error *err) MUST_CHECK;
