/*
 * What src/postgres/wal_changes reads in a real server's WAL, for the integration tests.
 *
 *     driver_wal_changes MAJOR FILE...     a line for each record: its LSN, and what is in it
 */
#include "base/file.h"
#include "base/memory.h"
#include "postgres/wal_changes.h"

#include <inttypes.h>

enum { FILE_MAX = 1 << 30 };

static void print_file(const RelationFile *file)
{
    printf(" %" PRIu32 "/%" PRIu32 "/%" PRIu32, file->tablespace, file->database, file->number);
}

static void print_end_of_transaction(const WalTransactionEnd *end)
{
    printf(" %s %" PRIu32, end->is_commit ? "COMMIT" : "ABORT", end->xid);
    for (uint32_t i = 0; i < end->file_count; i++) {
        RelationFile file = wal_removed_file(end, i);

        print_file(&file);
    }
    for (uint32_t i = 0; i < end->subtransaction_count; i++)
        printf(" sub:%" PRIu32, wal_subtransaction(end, i));
    for (uint32_t i = 0; i < end->object_count; i++) {
        WalDroppedObject object = wal_dropped_object(end, i);

        printf(" object:%" PRIu32 "/%" PRIu32 "/%" PRIu64, object.kind, object.database,
               object.oid);
    }
}

static void print_changes(const WalRecord *record, const PgVersion *version)
{
    WalTransactionEnd end;
    WalSharedRow row;
    RelationFile file;
    uint32_t first;
    uint32_t second;

    if (wal_transaction_end_of(record, version, &end)) {
        print_end_of_transaction(&end);
    } else if (wal_created_file_of(record, &file)) {
        printf(" CREATE");
        print_file(&file);
    } else if (wal_truncated_file_of(record, &file, &first)) {
        printf(" SHRINK");
        print_file(&file);
        printf(" %" PRIu32, first);
    } else if (wal_dropped_database_of(record, version, &first)) {
        printf(" DROP_DATABASE %" PRIu32, first);
    } else if (wal_dropped_tablespace_of(record, &first)) {
        printf(" DROP_TABLESPACE %" PRIu32, first);
    } else if (wal_running_of(record, &first, &second)) {
        printf(" RUNNING %" PRIu32 " %" PRIu32, first, second);
    } else if (wal_truncate_of(record, &first, &second)) {
        printf(" TRUNCATE %" PRIu32, second);
    } else if (wal_shared_row_of(record, version, &row)) {
        printf(" %s %" PRIu32 "/%" PRIu32 "/%u", row.is_delete ? "DELETE" : "INPLACE",
               row.file.number, row.page, row.item);
    } else if (wal_database_of(record, version, &first)) {
        printf(" BLOCK %" PRIu32, first);
    }
}

static bool print_record(void *context, const WalRecord *record, Error *err)
{
    char lsn[LSN_TEXT_SIZE];

    (void)err;
    printf("%s", lsn_text(record->lsn, lsn));
    print_changes(record, context);
    printf("\n");
    return true;
}

static bool print_files(const PgVersion *version, char **files, int count, Error *err)
{
    CLEANUP(buffer_done) Buffer segment = {0};
    CLEANUP(wal_reader_freep) WalReader *reader = NULL;
    WalSegmentHeader header;

    for (int i = 0; i < count; i++) {
        segment.size = 0;
        if (!file_read_whole(files[i], FILE_MAX, &segment, err) ||
            !wal_segment_header_decode(segment.data, segment.size, &header, err))
            return false;
        if (reader == NULL) {
            reader = wal_reader_new(&(WalReaderSetup){
                .version = version,
                .segment_size = header.segment_size,
                .start = header.address,
                .keep_all = true,
                .on_record = print_record,
                .context = (void *)(uintptr_t)version,
            });
        }
        if (!wal_reader_feed(reader, segment.data, segment.size, err))
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    Error err = {0};
    const PgVersion *version =
        argc > 2 ? pg_version_of_major((unsigned)strtoul(argv[1], NULL, 10)) : NULL;

    if (version == NULL)
        return 2;
    if (!print_files(version, argv + 2, argc - 2, &err))
        fprintf(stderr, "%s: %s\n", err.context, err.message);
    return (int)err.code;
}
