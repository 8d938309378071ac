/*
 * wal_reader.h - records out of the bytes of WAL segments, 13 to 18.
 *
 * Bytes are fed in order, in pieces of any size, over as many segments as wanted; records come out
 * through a callback once they are whole and their CRC and back link hold. A reader begins at the
 * start of any segment: what is left there of an earlier record is skipped.
 *
 * Sources: access/xlogrecord.h, access/xlog_internal.h, xlogreader.c (XLogReadRecord,
 * ValidXLogRecordHeader, DecodeXLogRecord).
 */
#pragma once

#include "base/buffer.h"
#include "postgres/version.h"
#include "postgres/wal_name.h"

enum {
    RMGR_XLOG = 0,
    RMGR_TRANSACTION = 1,
    RMGR_STORAGE = 2,
    RMGR_DATABASE = 4,
    RMGR_TABLESPACE = 5,
    RMGR_LAST = 21, /* It is the server's last one, 13 to 18. Those of extensions are 128 to 255. */
};

/* Whether it is one of these: nearly all records are of others. */
static inline bool rmgr_is_kept(uint8_t rmgr)
{
    enum {
        KEPT = 1 << RMGR_XLOG | 1 << RMGR_TRANSACTION | 1 << RMGR_STORAGE | 1 << RMGR_DATABASE |
               1 << RMGR_TABLESPACE,
    };

    return rmgr < 32 && ((unsigned)KEPT >> rmgr & 1) != 0;
}

typedef struct WalRecord {
    Lsn lsn; /* The first byte of the record is here. */
    /* The record ends here, unaligned. The next one begins at the next multiple of 8, or later. */
    Lsn end;
    Lsn prev; /* It is xl_prev. */
    uint32_t total_size;
    uint32_t xid; /* It is that of the header. */
    uint8_t rmgr;
    uint8_t info;
    uint32_t page_timeline; /* It is that of the page on which the record begins. */
    /*
     * It is the whole record, including its header. It is NULL unless the reader was asked to keep
     * the record (keep_all, or one of the resource managers above) and the record is not larger
     * than 64 MiB.
     */
    const uint8_t *bytes;
    /*
     * It has the first bytes of the record, including the header, and is never NULL. Of a longer
     * record there are at least WAL_RECORD_HEAD bytes, which say all about the blocks that it is
     * about.
     */
    const uint8_t *head;
    uint32_t head_size;
} WalRecord;

/*
 * Header, 33 block references of at most 27 bytes (id, flags, length of data; image: length, hole,
 * info, length of hole; relation file, block), origin, top-level xid, length of the main data.
 */
enum { WAL_RECORD_HEAD = 1024 };

/* False stops the reading, with err. */
typedef bool WalRecordFunction(void *context, const WalRecord *record, Error *err);

typedef struct WalReaderSetup {
    const PgVersion *version;
    uint64_t system_identifier; /* 0 means any. */
    uint32_t segment_size;      /* It is in bytes. */
    Lsn start;                  /* The first byte that is fed is here, at a segment boundary. */
    bool keep_all;
    WalRecordFunction *on_record; /* It may be NULL. */
    void *context;
} WalReaderSetup;

typedef enum WalEnd {
    WAL_END_OPEN,   /* All is valid so far. A record may be incomplete at the end. */
    WAL_END_SWITCH, /* An XLOG_SWITCH was read: the rest of that segment is zeros. */
    WAL_END_BROKEN, /* There is no valid record where one must be: see broken_at. */
} WalEnd;

/* What the reader has seen. Plain data. */
typedef struct WalReaderState {
    WalEnd end;
    Lsn broken_at;  /* With WAL_END_BROKEN, the invalid record or page is here. */
    Lsn noticed_at; /* With WAL_END_BROKEN, the last byte that showed it ends here. */
    /*
     * All bytes after those that showed the break, or after the switch, are zero so far. For a
     * break that nothing follows, it tells whether the bytes that showed it are zero.
     */
    bool rest_is_zero;
    /*
     * The next two are set with WAL_END_BROKEN, and are about the pages after the one that showed
     * the break. A trailer does not have them.
     */
    /* One of them so far is of its place and timeline, so WAL was written there. */
    bool rest_goes_on;
    /*
     * None of them is, and one is of another place: the file was recycled, and nothing more was
     * written.
     */
    bool rest_is_stale;
    /* With WAL_END_BROKEN, it is in the server's words: "invalid record length 0". */
    char reason[128];
    Lsn first_record; /* 0 means that there is none yet. */
    Lsn first_prev;   /* It is the xl_prev of the first record. */
    Lsn last_record;  /* It is the last complete record. */
    Lsn last_end;
    uint64_t record_count;
    /*
     * This many bytes of a record that began before are still missing at the start (xlp_rem_len).
     * It must be tail_total - tail_have of the segment before. If it is more than the segment
     * holds, the record goes on after the segment.
     */
    uint32_t head_size;
    bool starts_with_overwrite; /* The first page says that the earlier record was given up. */
    /* This record has begun and is not complete. 0 means that there is none. */
    Lsn tail_record;
    /*
     * It is the total size of that record. 0 means that it is not known, because the header is cut.
     */
    uint32_t tail_total;
    uint32_t tail_have; /* This many bytes of it were seen. */
    bool tail_has_kind; /* Its rmgr and info are known. */
    uint8_t tail_rmgr, tail_info;
    uint32_t first_page_timeline;
    uint16_t magic;
} WalReaderState;

typedef struct WalReader WalReader;
WalReader *wal_reader_new(const WalReaderSetup *setup);
void wal_reader_freep(WalReader **reader); /* for CLEANUP() */

/*
 * Feed the next bytes. Invalid WAL is not an error: the state says where it ends and feeding goes
 * on (only rest_is_zero is then looked at), until the next segment begins after a switch. False
 * only when the callback said so, or ERR_CORRUPT / ERR_REFUSED when the first page header of a
 * segment is not of this version, system, segment size or address.
 */
bool wal_reader_feed(WalReader *reader, const void *data, size_t size, Error *err) MUST_CHECK;
const WalReaderState *wal_reader_state(const WalReader *reader);

/*
 * What is there of a record that one of the ends cuts: the first bytes, WAL_RECORD_HEAD at most, of
 * the one that is not complete (of tail_have), and of what continues at the start (of head_size).
 */
typedef struct WalCut {
    const uint8_t *bytes; /* They belong to the reader, and are valid until it is fed again. */
    uint32_t size;
} WalCut;
WalCut wal_reader_tail(const WalReader *reader);
WalCut wal_reader_head(const WalReader *reader);

/*
 * One record whose bytes lie together, as most do: at the start of these bytes, with the right
 * checksum. False: there is none. Its back link is not judged, its page's timeline not known (0).
 */
bool wal_record_decode(const uint8_t *bytes, size_t size, Lsn lsn, WalRecord *record);

/* The long header at the start of a segment (XLogLongPageHeaderData). */
typedef struct WalSegmentHeader {
    uint16_t magic;
    uint16_t info;
    /*
     * It is that of the first record on the page, which may be of an ancestor of the timeline in
     * the name.
     */
    uint32_t timeline;
    Lsn address;
    uint32_t remaining; /* This many bytes of the record that is continued here remain. */
    uint64_t system_identifier;
    uint32_t segment_size;
    uint32_t block_size;
} WalSegmentHeader;
enum { WAL_SEGMENT_HEADER_SIZE = 40, WAL_BLOCK_SIZE = 8192 };
/* ERR_CORRUPT when it is none, ERR_VERSION when it is of an unknown server version. */
bool wal_segment_header_decode(const uint8_t *bytes, size_t size, WalSegmentHeader *header,
                               Error *err) MUST_CHECK;
