/*
 * walk.h - the two ways over a path's WAL that everything here is made of: segment by segment by
 * their trailers, and record by record.
 */
#pragma once

#include "walk/wal_source.h"
#include "walk/wal_walk.h"

/* Which segments a walk goes over. */
typedef struct WalkExtent {
    uint64_t first, last;
    bool is_empty; /* Even the first segment is missing. */
    bool is_hole;  /* Later WAL exists after `last`. */
    bool is_open;  /* WAL ends in the middle of `last`. */
    /* It is the first segment that is read from a local file. 0 means that there is none. */
    uint64_t local;
} WalkExtent;
bool walk_extent(const WalWalk *walk, WalkExtent *extent, Error *err) MUST_CHECK;
/* From the first to the last that is there, holes between them or not; from and to bound it. */
bool walk_whole_extent(const WalWalk *walk, WalkExtent *extent, Error *err) MUST_CHECK;

/* Where the bytes of a segment of the path come from. */
bool walk_source(const WalWalk *walk, uint64_t segment, WalSource *source, Error *err) MUST_CHECK;

/* All bytes of a segment of the path, verified: of one that is not whole as far as they go. */
bool walk_read_segment(const WalWalk *walk, uint64_t segment, WalSink *sink, void *context,
                       uint64_t *stored_size, Error *err) MUST_CHECK;

const char *walk_segment_name(const WalWalk *walk, uint64_t segment, char text[WAL_NAME_SIZE]);

/* One segment seen by its trailer. */
typedef struct SegmentVisit {
    uint32_t timeline;
    uint64_t segment;
    const WalTrailer *trailer;
    Lsn replay_end; /* Replay of all before this segment ends here, as in WalWalkEnd. */
    Lsn straddling; /* It is a record that ends here, began before, and may be an event, or 0. */
} SegmentVisit;

typedef WalkStep SegmentVisitFunction(void *context, const SegmentVisit *visit, Error *err);
bool walk_segments(const WalWalk *walk, SegmentVisitFunction *on_segment, void *context,
                   WalWalkEnd *end, Error *err) MUST_CHECK;

/* The event that the record at `lsn` is; *found is false when it is none. */
bool walk_event_at(const WalWalk *walk, Lsn lsn, WalEvent *event, bool *found,
                   Error *err) MUST_CHECK;

/*
 * Every record that begins in [from, to), through CRC and back link, out of verified objects.
 * A damaged object is ERR_CORRUPT.
 */
bool walk_records(const WalWalk *walk, WalkRecordFunction *on_record, void *context,
                  WalWalkEnd *end, Error *err) MUST_CHECK;

/* Where replay stands after a record: its end rounded up to 8, or after a switch the end of the
 * segment (xlogreader.c, XLogDecodeNextRecord). */
Lsn walk_replay_end(const WalRecord *record, uint32_t segment_size);
