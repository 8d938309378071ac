/*
 * wal_scan.h - the records that matter, out of archived WAL along a path, over holes and damage.
 *
 * Trailers say which segments hold what is looked for; only those are decompressed and handed over
 * record by record. A record that straddles segments is in no segment's summary: its kind, which is
 * in the trailer of the segment where it begins, decides whether its segments are read.
 *
 * What is missing or damaged does not end the scan, it is reported.
 */
#pragma once

#include "walk/wal_walk.h"

/* WAL of the path that can't be looked at. */
typedef struct WalGap {
    uint32_t timeline;    /* It is the timeline in the first segment's name. */
    uint64_t first, last; /* The gap touches these segments. */
    Lsn from, to;
    /*
     * It is not in the archive. When it is false, the WAL is there but not readable, or does not go
     * on where the segment before it ends (from = to).
     */
    bool is_missing;
    const char *reason; /* When it is not missing, it says why it can't be read. */
} WalGap;

typedef WalkStep WalGapFunction(void *context, const WalGap *gap, Error *err);

typedef struct WalScan {
    /* When its from is 0, it begins with the first segment of the path that is in the archive. */
    WalWalk walk;
    /*
     * It tells whether the segment holds something of interest, by what is complete in it. NULL
     * means always.
     */
    bool (*is_wanted)(void *context, const WalTrailer *trailer);
    /*
     * It tells whether the record that this segment leaves incomplete may be of interest, by its
     * kind and by what else the trailer says. It is not asked when the kind is not known. NULL
     * means that any may.
     */
    bool (*is_tail_wanted)(void *context, const WalTrailer *trailer, uint8_t rmgr, uint8_t info);
    bool keep_all; /* It asks for the bytes of all records (wal_reader.h). */
    /*
     * It gets every record before `to` of the segments that are read, even those that begin before
     * `from`. Records come while their segment is still being verified.
     */
    WalkRecordFunction *on_record;
    WalGapFunction *on_gap;
    void *context;
} WalScan;

typedef struct WalScanEnd {
    bool is_empty;     /* There is no segment to look at. */
    bool is_stopped;   /* A callback ended it. */
    Lsn until;         /* It is the end of the last segment looked at, or of what there is of it. */
    bool is_open;      /* That segment is still being written, and is there in pieces. */
    uint64_t segments; /* There were this many. */
    uint64_t read;     /* This many of them were decompressed. */
    uint64_t gaps;
} WalScanEnd;

/* False: err of a callback, or the archive could not be read for another reason than damage. */
bool wal_scan(const WalScan *scan, WalScanEnd *end, Error *err) MUST_CHECK;

/*
 * Every CREATE TABLESPACE in order: its oid, and the location that replay will use. Here a gap is
 * ERR_CORRUPT. False from on_create is a failure.
 */
typedef bool WalTablespaceFunction(void *context, uint32_t oid, const char *path, Error *err);
bool wal_scan_tablespaces(const WalWalk *walk, WalTablespaceFunction *on_create, void *context,
                          Error *err) MUST_CHECK;
