/*
 * wal_changes.h - what WAL records tell of databases, relations and their files: created, removed,
 * truncated; and which transactions are at work.
 *
 * Each function reads one kind of record and is false for all others, and for one whose bytes do
 * not hold what they must. record->bytes must be there, else false. Pointers lead into the record.
 *
 * Sources: rmgrdesc/xactdesc.c (ParseCommitRecord, ParseAbortRecord), catalog/storage_xlog.h,
 * commands/dbcommands_xlog.h, access/heapam_xlog.h, storage/standbydefs.h, of 13 to 18.
 */
#pragma once

#include "base/time.h"
#include "postgres/wal_reader.h"

/* Where a relation's files are (RelFileLocator; RelFileNode up to 15). */
typedef struct RelationFile {
    uint32_t tablespace;
    uint32_t database; /* 0 means that it belongs to all databases (in "global"). */
    uint32_t number;
} RelationFile;

enum { GLOBAL_TABLESPACE = 1664 };

/* COMMIT, ABORT, and the same of prepared transactions. */
typedef struct WalTransactionEnd {
    bool is_commit;
    bool is_prepared;
    TimeUs time;
    uint32_t xid;      /* It is the transaction. When a prepared one ends, it is that one. */
    uint32_t database; /* 0 means that the record does not say. */
    /* The xinfo announces files. If they are missing nevertheless, the lists are empty. */
    bool has_files;
    /* The next are read with wal_subtransaction(), wal_removed_file(), wal_dropped_object(). */
    const uint8_t *subtransactions;
    uint32_t subtransaction_count;
    /* A commit removes these files. An abort removes those that the transaction had created. */
    const uint8_t *files;
    uint32_t file_count;
    /*
     * Their statistics are dropped, because they were dropped themselves. The server writes this
     * from 15 on.
     */
    const uint8_t *objects;
    uint32_t object_count;
    uint32_t object_size;
} WalTransactionEnd;
bool wal_transaction_end_of(const WalRecord *record, const PgVersion *version,
                            WalTransactionEnd *end);

/*
 * PREPARE TRANSACTION: whose and when. Its end, a commit or not, is another record. Source:
 * access/xact.h, xl_xact_prepare.
 */
bool wal_prepare_of(const WalRecord *record, uint32_t *xid, TimeUs *time);

/* index: below the count. */
uint32_t wal_subtransaction(const WalTransactionEnd *end, uint32_t index);
RelationFile wal_removed_file(const WalTransactionEnd *end, uint32_t index);

enum { OBJECT_DATABASE = 1, OBJECT_RELATION = 2 }; /* PgStat_Kind; there are more (pgstat.h) */

typedef struct WalDroppedObject {
    uint32_t kind;
    uint32_t database;
    uint64_t oid;
} WalDroppedObject;
WalDroppedObject wal_dropped_object(const WalTransactionEnd *end, uint32_t index);

/* XLOG_SMGR_CREATE: any fork, since of an unlogged relation only the init fork is in the WAL. */
bool wal_created_file_of(const WalRecord *record, RelationFile *file);
/* The same, and which fork: numbers of common/relpath.h. */
bool wal_created_fork_of(const WalRecord *record, RelationFile *file, uint32_t *fork);
/* The same of an init fork alone: the relation is an unlogged one. */
bool wal_created_init_fork_of(const WalRecord *record, RelationFile *file);

/* XLOG_SMGR_TRUNCATE: the file has this many pages from now on. A rollback does not undo it. */
bool wal_truncated_file_of(const WalRecord *record, RelationFile *file, uint32_t *pages);
/* The same, and of which forks: SMGR_TRUNCATE_HEAP, ... */
enum { TRUNCATES_MAIN = 1, TRUNCATES_VM = 2, TRUNCATES_FSM = 4 };
bool wal_truncated_forks_of(const WalRecord *record, RelationFile *file, uint32_t *pages,
                            unsigned *forks);

/*
 * XLOG_DBASE_DROP: the files of a database go from these tablespaces as soon as the record is
 * replayed, whatever becomes of the transaction. DROP DATABASE; without an xid the end of ALTER
 * DATABASE SET TABLESPACE; also of a CREATE DATABASE that failed.
 */
bool wal_dropped_database_of(const WalRecord *record, const PgVersion *version, uint32_t *database);

/*
 * XLOG_DBASE_CREATE until 14, XLOG_DBASE_CREATE_FILE_COPY later: the directory of `source` is
 * copied. ALTER DATABASE SET TABLESPACE, too; then both are the same.
 */
bool wal_copied_database_of(const WalRecord *record, uint32_t *database, uint32_t *source);

/* XLOG_TBLSPC_DROP. */
bool wal_dropped_tablespace_of(const WalRecord *record, uint32_t *tablespace);

/* XLOG_HEAP_TRUNCATE, only with wal_level=logical: how many relations TRUNCATE named. */
bool wal_truncate_of(const WalRecord *record, uint32_t *database, uint32_t *count);

/*
 * XLOG_RUNNING_XACTS, or a shutdown checkpoint: every transaction with an xid from `next` on begins
 * after this record, and those before `oldest` have ended. At a shutdown all have ended except
 * prepared ones, which the record does not mention: `oldest` is 0.
 */
bool wal_running_of(const WalRecord *record, uint32_t *next, uint32_t *oldest);

/* The database of the first block that the record refers to; 0 for a shared relation. */
bool wal_database_of(const WalRecord *record, const PgVersion *version, uint32_t *database);

/* One row of a shared catalogue: updated in place, or deleted. */
typedef struct WalSharedRow {
    bool is_delete; /* When it is false, the row was updated in place. */
    RelationFile file;
    uint32_t page;
    uint16_t item;
} WalSharedRow;
bool wal_shared_row_of(const WalRecord *record, const PgVersion *version, WalSharedRow *row);

/* xids wrap: whether a is before b (TransactionIdPrecedes). */
static inline bool xid_precedes(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}
