/*
 * wal_name.h - places in the write-ahead log and the names of its files.
 *
 * Source: access/xlog_internal.h (XLogFileName and its kin); pg manual, chapter 30.
 */
#pragma once

#include "base/error.h"

/* A byte position in the WAL. 0 is not a place (InvalidXLogRecPtr). */
typedef uint64_t Lsn;

enum { LSN_TEXT_SIZE = 20 };
const char *lsn_text(
    Lsn lsn,
    char text[LSN_TEXT_SIZE]); /* It writes LSNs as the server prints them: "A/94000028". */
/* "A/94000028"; nothing may follow. ERR_USAGE. */
bool lsn_parse(const char *text, Lsn *lsn, Error *err) MUST_CHECK;
/* Where a record can begin that follows one which ends at lsn (MAXALIGN of its length, xlog.c). */
static inline Lsn lsn_align_up(Lsn lsn)
{
    return (lsn + 7) & ~(Lsn)7;
}

typedef enum WalFileKind {
    WAL_SEGMENT,        /* It is named 00000001000000000000002A. */
    WAL_PARTIAL,        /* It is named 00000001000000000000002A.partial. */
    WAL_BACKUP_HISTORY, /* It is named 00000001000000000000002A.00000028.backup. */
    WAL_HISTORY,        /* It is named 00000002.history. */
} WalFileKind;

enum { WAL_NAME_SIZE = 48 }; /* Room for the longest name, with its zero. */

/* What the name of a WAL file says. Plain data. */
typedef struct WalName {
    WalFileKind kind;
    uint32_t timeline;
    uint64_t segment; /* It is LSN / segment size, and 0 for a history file. */
    /* With WAL_BACKUP_HISTORY, it is the offset of the start LSN in the segment. */
    uint32_t offset;
} WalName;

/*
 * ERR_USAGE when text is not the name of a WAL file, or one that a cluster with this segment size
 * (bytes) can't have. The timeline is at least 1.
 */
bool wal_name_parse(const char *text, uint32_t segment_size, WalName *name, Error *err) MUST_CHECK;
const char *wal_name_text(const WalName *name, uint32_t segment_size, char text[WAL_NAME_SIZE]);

/* What holds a segment of WAL, or as much of it as there was: a file of the segment size. */
static inline bool wal_name_is_of_segment(const WalName *name)
{
    return name->kind == WAL_SEGMENT || name->kind == WAL_PARTIAL;
}

/* The segment that holds the byte at lsn; the one that holds the byte before it (end pointers). */
static inline uint64_t wal_segment_of(Lsn lsn, uint32_t segment_size)
{
    return lsn / segment_size;
}
static inline uint64_t wal_segment_before(Lsn end, uint32_t segment_size)
{
    return (end - 1) / segment_size;
}
static inline Lsn wal_segment_start(uint64_t segment, uint32_t segment_size)
{
    return segment * segment_size;
}
/* A power of two of 1 MiB to 1 GiB. */
bool wal_segment_size_is_valid(uint64_t segment_size);
