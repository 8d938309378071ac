/*
 * wal_builder.h - WAL as a server writes it, for targets that read WAL: pages, long headers,
 * records over page ends, CRCs and back links are right, except where a caller wants them odd.
 */
#pragma once

#include "base/buffer.h"
#include "postgres/wal_reader.h"

enum {
    BUILT_SEGMENT_SIZE = 1 << 20,
    BUILT_RECORDS_MAX = 512,
    BUILT_HEADER_SIZE = 24, /* of a record */
};
#define BUILT_SYSTEM UINT64_C(7300000000000000001)

/* A record that the reader must find, as long as nothing odd has come. */
typedef struct BuiltRecord {
    Lsn lsn, end, prev;
    uint32_t total, xid;
    uint8_t rmgr, info;
} BuiltRecord;

/* What is wrong with a record or with the pages that come next. All zero: nothing. */
typedef struct Oddity {
    uint32_t prev_xor;
    uint32_t total_add;
    uint8_t crc_xor;
    uint16_t page_info_xor; /* of pages that begin within the record */
    uint32_t remaining_add; /* of these pages */
    uint32_t timeline_add;  /* likewise */
} Oddity;

typedef struct WalBuilder {
    const PgVersion *version;
    Lsn start;
    uint32_t timeline;
    Buffer bytes;
    Lsn prev; /* of the next record */
    BuiltRecord records[BUILT_RECORDS_MAX];
    size_t count;
    bool is_odd;      /* something was wrong: records need not be found */
    bool is_switched; /* the last record is a switch, and the segment filled up with zeros */
    Oddity oddity;    /* for the next record */
} WalBuilder;

void wal_builder_begin(WalBuilder *builder, const PgVersion *version, Lsn start,
                       uint32_t head_size);
/* body: what follows the header. */
void wal_builder_record(WalBuilder *builder, uint8_t rmgr, uint8_t info, uint32_t xid,
                        const void *body, uint32_t size);
/* XLOG_SWITCH and zeros to the end of the segment. */
void wal_builder_switch(WalBuilder *builder);
/* A record that a crash cut at the end of its page; the page after it gives it up. */
void wal_builder_overwritten(WalBuilder *builder, uint32_t size);
Lsn wal_builder_at(const WalBuilder *builder);
void wal_builder_done(WalBuilder *builder); /* for CLEANUP() */
