/*
 * wal_builder.h - WAL made by hand, for tests: pages and records with right CRCs and back links,
 * over as many segments as wanted.
 *
 *     CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, 1 << 20, 0x100000, 1);
 *     Lsn commit = wal_builder_commit(&wal, 700, 1000);
 *     wal_builder_switch(&wal);
 *
 * bytes.data is the WAL from .start on; the last segment is as long as what was written.
 */
#pragma once

#include "base/buffer.h"
#include "postgres/wal_summary.h"

enum { BUILDER_SYSTEM = 42 };

typedef struct WalBuilder {
    const PgVersion *version;
    uint64_t system_identifier;
    uint32_t segment_size;
    uint32_t timeline; /* of the pages from here on; may be raised at any time */
    Lsn start;
    Lsn at;          /* end of what was written */
    Lsn prev;        /* last record */
    bool overwrites; /* the next page header says that the record before it was given up */
    Buffer bytes;
} WalBuilder;

WalBuilder wal_builder_begin(unsigned major, uint32_t segment_size, Lsn start, uint32_t timeline);
/*
 * The WAL from the start of the segment that holds `at` on, as a child timeline that forks there
 * begins it: the parent's pages up to at, then its own.
 */
WalBuilder wal_builder_fork(const WalBuilder *parent, Lsn at, Lsn prev, uint32_t timeline);
void wal_builder_done(WalBuilder *builder);

/* Append a record with this main data; returns where it begins. */
Lsn wal_builder_record(WalBuilder *builder, uint8_t rmgr, uint8_t info, uint32_t xid,
                       const void *data, size_t size);
/* The same with all that follows the header given: block references, then data. */
Lsn wal_builder_body(WalBuilder *builder, uint8_t rmgr, uint8_t info, const void *body,
                     size_t size);
/* A heap record about a block of relation 1663/5/RELATION, with `size` bytes of main data. */
Lsn wal_builder_reference(WalBuilder *builder, uint32_t relation, uint32_t block, size_t size);
/* A heap record of `size` bytes of data, none of them zero. */
Lsn wal_builder_filler(WalBuilder *builder, size_t size);
/* Fillers until exactly `left` bytes (a multiple of 8, less than 8000) are missing to `end`, the
 * end of a segment. */
void wal_builder_fill_to(WalBuilder *builder, Lsn end, size_t left);
/* Times are PostgreSQL's: microseconds since 2000. */
Lsn wal_builder_commit(WalBuilder *builder, uint32_t xid, int64_t time);
Lsn wal_builder_abort(WalBuilder *builder, uint32_t xid, int64_t time);
Lsn wal_builder_prepare(WalBuilder *builder, uint32_t xid, int64_t time);
Lsn wal_builder_commit_prepared(WalBuilder *builder, uint32_t xid, int64_t time);
Lsn wal_builder_restore_point(WalBuilder *builder, const char *name, int64_t time);
Lsn wal_builder_backup_end(WalBuilder *builder, Lsn start);
/* XLOG_SWITCH, then zeros to the end of the segment. */
Lsn wal_builder_switch(WalBuilder *builder);
/* Zeros to the end of the segment, without a switch record: as a padded partial segment is. */
void wal_builder_pad(WalBuilder *builder);
/*
 * Give up a record of `size` bytes of data that began and never ended: what fits on the page is in
 * the WAL, the next one begins with the overwrite flag and a record that says so.
 */
Lsn wal_builder_overwrite(WalBuilder *builder, size_t size);

/* The bytes of one segment; the caller knows that they are there. */
const uint8_t *wal_builder_segment(const WalBuilder *builder, uint64_t segment);
