/*
 * What WAL records tell of files, databases and transactions. Input: version 1, resource manager 1,
 * info 1, xid 4, then what follows the record's header.
 */
#include "base/memory.h"
#include "fuzz.h"
#include "postgres/wal_changes.h"
#include "postgres/wal_summary.h"

enum { HEADER_SIZE = 24 };

static void check_within(const WalRecord *record, const uint8_t *items, uint64_t size)
{
    assert(size == 0 ||
           (items >= record->bytes && items + size <= record->bytes + record->total_size));
}

static void check_end(const WalRecord *record, const PgVersion *version)
{
    WalTransactionEnd end;
    WalEvent event;

    if (!wal_transaction_end_of(record, version, &end)) {
        assert(record->rmgr != RMGR_TRANSACTION || !wal_event_of(record, version, &event));
        return;
    }
    check_within(record, end.subtransactions, (uint64_t)4 * end.subtransaction_count);
    check_within(record, end.files, (uint64_t)12 * end.file_count);
    check_within(record, end.objects, (uint64_t)end.object_size * end.object_count);
    for (uint32_t i = 0; i < end.subtransaction_count; i++)
        (void)wal_subtransaction(&end, i);
    for (uint32_t i = 0; i < end.file_count; i++)
        (void)wal_removed_file(&end, i);
    for (uint32_t i = 0; i < end.object_count; i++)
        (void)wal_dropped_object(&end, i);
    assert(end.file_count == 0 || end.has_files);
    bool is_event = wal_event_of(record, version, &event);
    assert(is_event && event.xid == end.xid && event.time == end.time);
    assert(event.drops_relations == (end.is_commit && end.has_files));
    fuzz_accepted();
}

static void check_others(const WalRecord *record, const PgVersion *version)
{
    RelationFile file;
    WalSharedRow row;
    uint32_t numbers[2];
    int found = 0;

    found += wal_created_file_of(record, &file);
    found += wal_truncated_file_of(record, &file, numbers);
    found += wal_dropped_database_of(record, version, numbers);
    found += wal_dropped_tablespace_of(record, numbers);
    found += wal_truncate_of(record, numbers, numbers + 1);
    found += wal_running_of(record, numbers, numbers + 1);
    assert(found <= 1); /* a record is one of them */
    if (wal_shared_row_of(record, version, &row)) {
        uint32_t database = 1;
        bool has_database = wal_database_of(record, version, &database);

        assert(has_database && database == 0 && row.file.tablespace == GLOBAL_TABLESPACE);
        fuzz_accepted();
    }
    if (found > 0)
        fuzz_accepted();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};
    const PgVersion *version = pg_version_of_major(PG_MAJOR_MIN + fuzz_u8(&input) % 6);
    uint8_t rmgr = fuzz_u8(&input) % 22;
    uint8_t info = fuzz_u8(&input);
    uint32_t xid = fuzz_u32(&input);
    uint8_t *bytes = mem_alloc(HEADER_SIZE + input.left + 1);

    memcpy(bytes + HEADER_SIZE, input.at, input.left);
    uint8_t *exact = fuzz_copy(bytes, HEADER_SIZE + input.left);
    WalRecord record = {
        .total_size = (uint32_t)(HEADER_SIZE + input.left),
        .xid = xid,
        .rmgr = rmgr,
        .info = info,
        .bytes = exact,
    };
    check_end(&record, version);
    check_others(&record, version);
    record.bytes = NULL; /* one that the reader did not keep */
    check_end(&record, version);
    check_others(&record, version);
    mem_free(exact);
    mem_free(bytes);
    return 0;
}

static void seed(const char *name, uint8_t major, uint8_t rmgr, uint8_t info, const void *body,
                 size_t size)
{
    uint8_t bytes[512] = {(uint8_t)(major - PG_MAJOR_MIN), rmgr, info, 7};

    memcpy(bytes + 7, body, size);
    fuzz_seed(name, bytes, 7 + size);
}

static void seed_main(const char *name, uint8_t major, uint8_t rmgr, uint8_t info, const void *data,
                      size_t size)
{
    uint8_t body[300] = {255, (uint8_t)size};

    memcpy(body + 2, data, size);
    seed(name, major, rmgr, info, body, 2 + size);
}

void fuzz_seeds(void)
{
    /* Time; xinfo: database, subtransactions, relations, dropped objects, prepared. */
    uint8_t commit[] = {1,    2, 3, 4, 5, 6, 7, 8, 0x17, 1,    0, 0, 5,    0, 0, 0,
                        0x7F, 6, 0, 0, 1, 0, 0, 0, 9,    0,    0, 0, 1,    0, 0, 0,
                        0x7F, 6, 0, 0, 5, 0, 0, 0, 0,    0x40, 0, 0, 1,    0, 0, 0,
                        2,    0, 0, 0, 5, 0, 0, 0, 0,    0x40, 0, 0, 0x99, 0, 0, 0};
    /* A block with an image and a hole, of pg_database; then xl_heap_delete. */
    uint8_t row[] = {0, 0x10, 0, 0, 4, 0,   0, 0,   1,   0x80, 6,   0, 0, 0, 0, 0, 0, 0xEE, 4, 0,
                     0, 3,    0, 0, 0, 255, 8, 'i', 'm', 'g',  '.', 9, 0, 0, 0, 2, 0, 0,    0};
    uint8_t numbers[88] = {3, 0, 0, 0, 0x7F, 6, 0, 0, 5, 0, 0, 0, 0, 0x40, 0, 0, 7};

    seed_main("commit-15", 15, RMGR_TRANSACTION, 0x80, commit, sizeof commit);
    seed_main("commit-prepared-17", 17, RMGR_TRANSACTION, 0xB0, commit, sizeof commit);
    seed_main("abort-13", 13, RMGR_TRANSACTION, 0xA0, commit, sizeof commit);
    row[3 + 4 + 1] = 1;
    seed("shared-row-13", 13, 10, 0x10, row, sizeof row);
    seed("shared-row-17", 17, 10, 0x10, row, sizeof row);
    seed_main("create", 15, RMGR_STORAGE, 0x10, numbers, 16);
    seed_main("truncate-file", 15, RMGR_STORAGE, 0x20, numbers, 20);
    seed_main("drop-database", 15, RMGR_DATABASE, 0x20, numbers, 12);
    seed_main("drop-database-14", 14, RMGR_DATABASE, 0x10, numbers, 12);
    seed_main("drop-tablespace", 15, RMGR_TABLESPACE, 0x10, numbers, 4);
    seed_main("truncate", 15, 10, 0x30, numbers, 16);
    seed_main("running", 15, 8, 0x10, numbers, 24);
    seed_main("shutdown", 15, RMGR_XLOG, 0x00, numbers, 88);
}
