#include "postgres/wal_changes.h"

#include "base/bytes.h"
#include "postgres/wal_reference.h"
#include "wal_record.h"

enum {
    CHECKPOINT_NEXT_XID = 24,
    CHECKPOINT_SIZE = 88,
};

/* The parts that xinfo names; those after what does not fit are left empty. */
static void take_parts(Payload rest, uint32_t xinfo, const PgVersion *version,
                       WalTransactionEnd *end)
{
    bool has_objects = version->major >= 15 && (xinfo & XINFO_DROPPED_STATS) != 0;

    end->object_size = version->major >= 18 ? 16 : 12;
    if ((xinfo & XINFO_DATABASE) != 0) {
        if (rest.size < 8)
            return;
        end->database = get_le32(rest.bytes);
        payload_skip(&rest, 8);
    }
    if (((xinfo & XINFO_SUBTRANSACTIONS) != 0 &&
         !payload_skip_items(&rest, 4, &end->subtransactions, &end->subtransaction_count)) ||
        ((xinfo & XINFO_RELATIONS) != 0 &&
         !payload_skip_items(&rest, RELATION_FILE_SIZE, &end->files, &end->file_count)) ||
        (has_objects &&
         !payload_skip_items(&rest, end->object_size, &end->objects, &end->object_count)) ||
        (end->is_commit && (xinfo & XINFO_INVALIDATIONS) != 0 &&
         !payload_skip_items(&rest, 16, NULL, NULL)))
        return;
    /* The header of a prepared transaction's end has no xid. */
    if (end->is_prepared && (xinfo & XINFO_PREPARED) != 0 && rest.size >= 4)
        end->xid = get_le32(rest.bytes);
}

bool wal_transaction_end_of(const WalRecord *record, const PgVersion *version,
                            WalTransactionEnd *end)
{
    unsigned op = record->info & 0x70;
    bool is_commit = op == XACT_COMMIT || op == XACT_COMMIT_PREPARED;
    uint32_t xinfo = 0;
    Payload payload;

    if (record->rmgr != RMGR_TRANSACTION || record->bytes == NULL ||
        (!is_commit && op != XACT_ABORT && op != XACT_ABORT_PREPARED) ||
        !payload_of(record, &payload) || payload.size < 8)
        return false;
    *end = (WalTransactionEnd){
        .is_commit = is_commit,
        .is_prepared = op == XACT_COMMIT_PREPARED || op == XACT_ABORT_PREPARED,
        .time = time_from_postgres((int64_t)get_le64(payload.bytes)),
        .xid = record->xid,
    };
    payload_skip(&payload, 8);
    if ((record->info & XACT_HAS_INFO) != 0 && payload.size >= 4) {
        xinfo = get_le32(payload.bytes);
        payload_skip(&payload, 4);
    }
    end->has_files = (xinfo & XINFO_RELATIONS) != 0;
    take_parts(payload, xinfo, version, end);
    return true;
}

bool wal_prepare_of(const WalRecord *record, uint32_t *xid, TimeUs *time)
{
    enum { XID = 8, PREPARED_AT = 16, SIZE = 24 }; /* after magic and length, and a database */
    Payload payload;

    if (record->rmgr != RMGR_TRANSACTION || record->bytes == NULL ||
        (record->info & 0x70) != XACT_PREPARE || !payload_of(record, &payload) ||
        payload.size < SIZE)
        return false;
    *xid = get_le32(payload.bytes + XID);
    *time = time_from_postgres((int64_t)get_le64(payload.bytes + PREPARED_AT));
    return true;
}

uint32_t wal_subtransaction(const WalTransactionEnd *end, uint32_t index)
{
    return get_le32(end->subtransactions + (size_t)4 * index);
}

RelationFile wal_removed_file(const WalTransactionEnd *end, uint32_t index)
{
    return relation_file_at(end->files + (size_t)RELATION_FILE_SIZE * index);
}

WalDroppedObject wal_dropped_object(const WalTransactionEnd *end, uint32_t index)
{
    const uint8_t *bytes = end->objects + (size_t)end->object_size * index;

    return (WalDroppedObject){
        .kind = get_le32(bytes),
        .database = get_le32(bytes + 4),
        .oid = end->object_size == 16 ? get_le64(bytes + 8) : get_le32(bytes + 8),
    };
}

/* The main data of a record of this kind. */
static bool payload_if(const WalRecord *record, uint8_t rmgr, unsigned op, size_t size,
                       Payload *payload)
{
    return record->rmgr == rmgr && (record->info & 0xF0) == op && record->bytes != NULL &&
           payload_of(record, payload) && payload->size >= size;
}

/* xl_smgr_create: the file, then the number of its fork (common/relpath.h). */
bool wal_created_fork_of(const WalRecord *record, RelationFile *file, uint32_t *fork)
{
    Payload payload;

    if (!payload_if(record, RMGR_STORAGE, XLOG_SMGR_CREATE, RELATION_FILE_SIZE + 4, &payload))
        return false;
    *file = relation_file_at(payload.bytes);
    *fork = get_le32(payload.bytes + RELATION_FILE_SIZE);
    return true;
}

bool wal_created_file_of(const WalRecord *record, RelationFile *file)
{
    uint32_t fork;

    return wal_created_fork_of(record, file, &fork);
}

bool wal_created_init_fork_of(const WalRecord *record, RelationFile *file)
{
    enum { INIT_FORKNUM = 3 };
    uint32_t fork;

    return wal_created_fork_of(record, file, &fork) && fork == INIT_FORKNUM;
}

/* xl_smgr_truncate: pages, the file, which forks (catalog/storage_xlog.h). */
bool wal_truncated_file_of(const WalRecord *record, RelationFile *file, uint32_t *pages)
{
    unsigned forks;

    return wal_truncated_forks_of(record, file, pages, &forks);
}

bool wal_truncated_forks_of(const WalRecord *record, RelationFile *file, uint32_t *pages,
                            unsigned *forks)
{
    Payload payload;

    if (!payload_if(record, RMGR_STORAGE, XLOG_SMGR_TRUNCATE, 4 + RELATION_FILE_SIZE + 4, &payload))
        return false;
    *pages = get_le32(payload.bytes);
    *file = relation_file_at(payload.bytes + 4);
    *forks = get_le32(payload.bytes + 4 + RELATION_FILE_SIZE);
    return true;
}

bool wal_dropped_database_of(const WalRecord *record, const PgVersion *version, uint32_t *database)
{
    unsigned op = version->major >= 15 ? XLOG_DBASE_DROP : XLOG_DBASE_DROP_TO_14;
    Payload payload;

    if (!payload_if(record, RMGR_DATABASE, op, 8, &payload))
        return false;
    *database = get_le32(payload.bytes);
    return true;
}

bool wal_copied_database_of(const WalRecord *record, uint32_t *database, uint32_t *source)
{
    enum { SOURCE = 8, SIZE = 16 }; /* after the database and its tablespace */
    Payload payload;

    if (!payload_if(record, RMGR_DATABASE, XLOG_DBASE_COPY, SIZE, &payload))
        return false;
    *database = get_le32(payload.bytes);
    *source = get_le32(payload.bytes + SOURCE);
    return true;
}

bool wal_dropped_tablespace_of(const WalRecord *record, uint32_t *tablespace)
{
    Payload payload;

    if (!payload_if(record, RMGR_TABLESPACE, XLOG_TBLSPC_DROP, 4, &payload))
        return false;
    *tablespace = get_le32(payload.bytes);
    return true;
}

bool wal_truncate_of(const WalRecord *record, uint32_t *database, uint32_t *count)
{
    Payload payload;

    if (!payload_if(record, RMGR_HEAP, XLOG_HEAP_TRUNCATE, 12, &payload))
        return false;
    *database = get_le32(payload.bytes);
    *count = get_le32(payload.bytes + 4);
    return true;
}

bool wal_running_of(const WalRecord *record, uint32_t *next, uint32_t *oldest)
{
    Payload payload;

    if (payload_if(record, RMGR_STANDBY, XLOG_RUNNING_XACTS, 24, &payload)) {
        *next = get_le32(payload.bytes + 12);
        *oldest = get_le32(payload.bytes + 16);
        return true;
    }
    if (payload_if(record, RMGR_XLOG, XLOG_CHECKPOINT_SHUTDOWN, CHECKPOINT_SIZE, &payload)) {
        *next = get_le32(payload.bytes + CHECKPOINT_NEXT_XID);
        *oldest = 0; /* oldestActiveXid is not set (xlog.c, CreateCheckPoint) */
        return true;
    }
    return false;
}

/* What is in front of a record's data (access/xlogrecord.h). */
typedef struct RecordParts {
    bool has_block;
    RelationFile file; /* It is that of the first block reference. */
    uint32_t page;
    size_t data_size; /* All that follows the headers has this many bytes. */
    /* It is 0 when there is no main data. Main data is at the end of the record. */
    size_t main_size;
} RecordParts;

static bool take_block(const WalRecord *record, const PgVersion *version, size_t *offset,
                       RecordParts *parts)
{
    WalReference reference;

    if (!wal_reference_at(record->bytes + *offset, record->total_size - *offset,
                          wal_image_compressed(version), &reference))
        return false;
    parts->data_size += reference.data_size;
    if (!parts->has_block && reference.file != NULL) {
        parts->has_block = true;
        parts->file = relation_file_at(reference.file);
        parts->page = reference.block;
    }
    *offset += reference.size;
    return true;
}

/* Headers until what is left is the data that they announced (xlogreader.c, DecodeXLogRecord). */
static bool record_parts(const WalRecord *record, const PgVersion *version, RecordParts *parts)
{
    size_t offset = RECORD_HEADER_SIZE;

    *parts = (RecordParts){0};
    if (record->bytes == NULL)
        return false;
    while (offset + parts->data_size < record->total_size) {
        const uint8_t *at = record->bytes + offset;
        size_t left = record->total_size - offset;

        if (*at == ID_DATA_SHORT && left >= 2) {
            parts->main_size = at[1];
            offset += 2;
        } else if (*at == ID_DATA_LONG && left >= 5) {
            parts->main_size = get_le32(at + 1);
            offset += 5;
        } else if (*at == ID_ORIGIN) {
            offset += 3;
        } else if (*at == ID_TOPLEVEL_XID) {
            offset += 5;
        } else if (*at > REFERENCE_ID_MAX || !take_block(record, version, &offset, parts)) {
            return false;
        }
        if (*at == ID_DATA_SHORT || *at == ID_DATA_LONG)
            parts->data_size += parts->main_size;
    }
    return offset + parts->data_size == record->total_size;
}

bool wal_database_of(const WalRecord *record, const PgVersion *version, uint32_t *database)
{
    RecordParts parts;

    if (!record_parts(record, version, &parts) || !parts.has_block)
        return false;
    *database = parts.file.database;
    return true;
}

bool wal_shared_row_of(const WalRecord *record, const PgVersion *version, WalSharedRow *row)
{
    unsigned op = record->info & 0x70;
    bool is_delete = op == XLOG_HEAP_DELETE;
    size_t needed = is_delete ? 8 : 2; /* xl_heap_delete; xl_heap_inplace begins with the item */
    RecordParts parts;

    if (record->rmgr != RMGR_HEAP || (!is_delete && op != XLOG_HEAP_INPLACE) ||
        !record_parts(record, version, &parts) || !parts.has_block || parts.main_size < needed ||
        parts.file.tablespace != GLOBAL_TABLESPACE || parts.file.database != 0)
        return false;

    const uint8_t *main = record->bytes + record->total_size - parts.main_size;
    *row = (WalSharedRow){
        .is_delete = is_delete,
        .file = parts.file,
        .page = parts.page,
        .item = get_le16(main + (is_delete ? 4 : 0)),
    };
    return true;
}
