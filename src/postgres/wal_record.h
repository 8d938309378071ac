/*
 * wal_record.h - inside a WAL record: its main data, and the numbers of what it does.
 */
#pragma once

#include "postgres/wal_reader.h"

enum {
    RECORD_HEADER_SIZE = 24,
    /* The CRC covers first all that follows it, and then what is before it. */
    RECORD_CRC_OFFSET = 20,

    /* The next are further resource managers (access/rmgrlist.h). */
    RMGR_STANDBY = 8,
    RMGR_HEAP = 10,

    /* The next ids stand before the parts of a record (access/xlogrecord.h). */
    ID_TOPLEVEL_XID = 252,
    ID_ORIGIN = 253,
    ID_DATA_LONG = 254,
    ID_DATA_SHORT = 255,

    /* The next are operations of rmgr XLOG: info & 0xF0 (catalog/pg_control.h). */
    XLOG_CHECKPOINT_SHUTDOWN = 0x00,
    XLOG_CHECKPOINT_ONLINE = 0x10,
    XLOG_BACKUP_END = 0x50,
    XLOG_PARAMETER_CHANGE = 0x60,
    XLOG_RESTORE_POINT = 0x70,
    XLOG_FPW_CHANGE = 0x80,
    XLOG_END_OF_RECOVERY = 0x90,

    /* The next are operations of rmgr Tablespace: info & 0xF0 (commands/tablespace.h). */
    XLOG_TBLSPC_CREATE = 0x00,
    XLOG_TBLSPC_DROP = 0x10,

    /* The next are operations of rmgr Storage (catalog/storage_xlog.h). */
    XLOG_SMGR_CREATE = 0x10,
    XLOG_SMGR_TRUNCATE = 0x20,

    /*
     * The next are operations of rmgr Database (commands/dbcommands_xlog.h). 15 has two ways to
     * create one.
     */
    XLOG_DBASE_COPY = 0x00, /* It is CREATE until 14, and CREATE_FILE_COPY from 15 on. */
    XLOG_DBASE_DROP_TO_14 = 0x10,
    XLOG_DBASE_WRITE = 0x10, /* It is CREATE_WAL_LOG, which is there from 15 on. */
    XLOG_DBASE_DROP = 0x20,

    /*
     * The next are operations of rmgr Standby (storage/standbydefs.h) and Heap
     * (access/heapam_xlog.h): info & 0x70.
     */
    XLOG_RUNNING_XACTS = 0x10,
    XLOG_HEAP_DELETE = 0x10,
    XLOG_HEAP_TRUNCATE = 0x30,
    XLOG_HEAP_INPLACE = 0x70,

    /* The next are operations of rmgr Transaction: info & 0x70 (access/xact.h). */
    XACT_COMMIT = 0x00,
    XACT_PREPARE = 0x10,
    XACT_ABORT = 0x20,
    XACT_COMMIT_PREPARED = 0x30,
    XACT_ABORT_PREPARED = 0x40,
    XACT_HAS_INFO = 0x80,

    /* The next are bits of xinfo. They say which parts follow, in this order. */
    XINFO_DATABASE = 1 << 0,
    XINFO_SUBTRANSACTIONS = 1 << 1,
    XINFO_RELATIONS = 1 << 2,
    XINFO_DROPPED_STATS = 1 << 8, /* It is there from 15 on. */
    XINFO_INVALIDATIONS = 1 << 3, /* Only commits have it. */
    XINFO_PREPARED = 1 << 4,
};

/* The main data of a record. */
typedef struct Payload {
    const uint8_t *bytes;
    size_t size;
} Payload;

/*
 * Of a record without block references: one that has some is none of those we look at. False: no
 * main data, or not a record at all.
 */
bool payload_of(const WalRecord *record, Payload *payload);

/* Skip so much. False when the payload ends before. */
bool payload_skip(Payload *payload, size_t size);
/* Skip `count, count items`; the items may be NULL. */
bool payload_skip_items(Payload *payload, size_t item_size, const uint8_t **items, uint32_t *count);
