#include "postgres/wal_summary.h"

#include "base/bytes.h"
#include "wal_builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MIB = 1 << 20, START = 3 * MIB, EVENTS_MAX = 100 };

typedef struct Found {
    const PgVersion *version;
    WalEvent events[EVENTS_MAX];
    size_t count;
    WalSummary summary;
} Found;

static bool find(void *context, const WalRecord *record, Error *err)
{
    Found *found = context;

    (void)err;
    if (wal_summary_add_record(&found->summary, record, found->version,
                               &found->events[found->count]))
        found->count++;
    return true;
}

static void read_events(const WalBuilder *wal, Found *found)
{
    Error err = {0};

    *found = (Found){.version = wal->version};
    wal_summary_init(&found->summary);
    CLEANUP(wal_reader_freep)
    WalReader *reader = wal_reader_new(&(WalReaderSetup){
        .version = wal->version,
        .segment_size = wal->segment_size,
        .start = wal->start,
        .on_record = find,
        .context = found,
    });
    assert_true(wal_reader_feed(reader, wal->bytes.data, wal->bytes.size, &err));
    assert_int_equal(wal_reader_state(reader)->end, WAL_END_OPEN);
}

typedef struct FoundTablespaces {
    uint32_t oids[4];
    char paths[4][64];
    size_t count;
} FoundTablespaces;

static bool find_tablespace(void *context, const WalRecord *record, Error *err)
{
    FoundTablespaces *found = context;
    const char *path;

    (void)err;
    if (wal_tablespace_of(record, &found->oids[found->count], &path))
        (void)snprintf(found->paths[found->count++], sizeof found->paths[0], "%s", path);
    return true;
}

static void new_tablespaces_are_found(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, START, 1);
    FoundTablespaces found = {.count = 0};
    Error err = {0};

    (void)state;
    wal_builder_record(&wal, RMGR_TABLESPACE, 0x00, 700, "\x01\x40\0\0/srv/fast disk", 19);
    wal_builder_record(&wal, RMGR_TABLESPACE, 0x10, 701, "\x01\x40\0\0/a drop has no path", 24);
    wal_builder_record(&wal, RMGR_TABLESPACE, 0x00, 702, "\x02\x40\0\0/its end is missing", 23);
    wal_builder_record(&wal, RMGR_TABLESPACE, 0x00, 702, "\x02\x40\0\0", 4);
    wal_builder_record(&wal, RMGR_TRANSACTION, 0x00, 703, "\x03\x40\0\0/another kind", 18);
    wal_builder_record(&wal, RMGR_TABLESPACE, 0x00, 704, "\x04\x40\0\0", 5);
    CLEANUP(wal_reader_freep)
    WalReader *reader = wal_reader_new(&(WalReaderSetup){
        .version = wal.version,
        .segment_size = wal.segment_size,
        .start = wal.start,
        .on_record = find_tablespace,
        .context = &found,
    });
    assert_true(wal_reader_feed(reader, wal.bytes.data, wal.bytes.size, &err));
    assert_int_equal(found.count, 2);
    assert_int_equal(found.oids[0], 0x4001);
    assert_string_equal(found.paths[0], "/srv/fast disk");
    assert_int_equal(found.oids[1], 0x4004);
    assert_string_equal(found.paths[1], "");
}

static void ends_of_transactions_are_found(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, START, 1);
    Found found;

    (void)state;
    Lsn commit = wal_builder_commit(&wal, 700, 1000);
    wal_builder_filler(&wal, 10);
    Lsn abort = wal_builder_abort(&wal, 701, 3000);
    wal_builder_record(&wal, RMGR_TRANSACTION, 0x10, 702, "prepare, whatever", 17);
    wal_builder_record(&wal, RMGR_TRANSACTION, 0x50, 702, "assignment", 10);
    wal_builder_record(&wal, RMGR_TRANSACTION, 0x60, 702, "invalidations", 13);
    Lsn prepared = wal_builder_commit_prepared(&wal, 702, 2000);
    read_events(&wal, &found);

    assert_int_equal(found.count, 3);
    assert_int_equal(found.events[0].kind, EVENT_COMMIT);
    assert_int_equal(found.events[0].lsn, commit);
    assert_int_equal(found.events[0].end, commit + 34);
    assert_int_equal(found.events[0].xid, 700);
    assert_int_equal(found.events[0].time, time_from_postgres(1000));
    assert_false(found.events[0].is_prepared);
    assert_int_equal(found.events[1].kind, EVENT_ABORT);
    assert_int_equal(found.events[1].lsn, abort);
    assert_int_equal(found.events[1].xid, 701);
    assert_int_equal(found.events[2].kind, EVENT_COMMIT);
    assert_int_equal(found.events[2].lsn, prepared);
    assert_int_equal(found.events[2].xid, 702);
    assert_true(found.events[2].is_prepared);

    assert_int_equal(found.summary.commit_count, 2);
    assert_int_equal(found.summary.abort_count, 1);
    assert_int_equal(found.summary.end_time_min, time_from_postgres(1000));
    assert_int_equal(found.summary.end_time_max, time_from_postgres(3000));
    assert_int_equal(found.summary.commit_time_max, time_from_postgres(2000));
    assert_int_equal(found.summary.xid_first, 700);
    assert_int_equal(found.summary.xid_last, 702);
    assert_int_equal(found.summary.first_end_lsn, commit);
    assert_int_equal(found.summary.last_end_lsn, prepared);
    assert_int_equal(found.summary.last_commit_end, found.events[2].end);
}

static void nothing_has_no_times(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, START, 1);
    Found found;

    (void)state;
    wal_builder_filler(&wal, 10);
    read_events(&wal, &found);
    assert_int_equal(found.count, 0);
    assert_int_equal(found.summary.end_time_min, TIME_US_NONE);
    assert_int_equal(found.summary.end_time_max, TIME_US_NONE);
    assert_int_equal(found.summary.commit_time_min, TIME_US_NONE);
    assert_int_equal(found.summary.commit_time_max, TIME_US_NONE);
    assert_int_equal(found.summary.first_end_lsn, 0);
}

static void times_need_not_rise(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, START, 1);
    Found found;

    (void)state;
    wal_builder_commit(&wal, 1, 500);
    wal_builder_commit(&wal, 2, 900);
    wal_builder_commit(&wal, 3, 100);
    wal_builder_abort(&wal, 4, -7);
    read_events(&wal, &found);
    assert_int_equal(found.summary.end_time_min, time_from_postgres(-7));
    assert_int_equal(found.summary.end_time_max, time_from_postgres(900));
    assert_int_equal(found.summary.commit_time_min, time_from_postgres(100));
    assert_int_equal(found.summary.commit_time_max, time_from_postgres(900));
}

/* A prepared transaction's end with every optional part that xinfo names. */
static size_t put_prepared_end(uint8_t *data, unsigned major, bool is_commit, uint32_t xinfo,
                               uint32_t xid)
{
    size_t size = 0;

    put_le64(data, 5000);
    put_le32(data + 8, xinfo);
    size = 12;
    if (xinfo & 1 << 0) { /* database */
        put_le64(data + size, UINT64_C(0x1111111122222222));
        size += 8;
    }
    if (xinfo & 1 << 1) { /* subtransactions */
        put_le32(data + size, 3);
        size += 4 + 3 * 4;
    }
    if (xinfo & 1 << 2) { /* relations */
        put_le32(data + size, 2);
        size += 4 + 2 * 12;
    }
    if (xinfo & 1 << 8 && major >= 15) { /* dropped statistics */
        put_le32(data + size, 5);
        size += 4 + 5 * (major >= 18 ? 16U : 12U);
    }
    if (xinfo & 1 << 3 && is_commit) { /* invalidations */
        put_le32(data + size, 7);
        size += 4 + 7 * 16;
    }
    put_le32(data + size, xid);
    size += 4;
    if (xinfo & 1 << 7) { /* gid */
        memcpy(data + size, "gid", 4);
        size += 4;
    }
    return size;
}

static void the_xid_of_a_prepared_transaction_is_found_after_all_that_may_precede_it(void **state)
{
    (void)state;
    for (unsigned major = PG_MAJOR_MIN; major <= PG_MAJOR_MAX; major++) {
        for (uint32_t parts = 0; parts < 512; parts++) {
            CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(major, MIB, START, 1);
            uint8_t data[512] = {0};
            uint32_t xinfo = parts | 1 << 4;
            uint32_t without_invalidations = xinfo & ~(uint32_t)(1 << 3);
            Found found;

            size_t size = put_prepared_end(data, major, true, xinfo, 4711);
            wal_builder_record(&wal, RMGR_TRANSACTION, 0x80 | 0x30, 0, data, size);
            memset(data, 0, sizeof data);
            size = put_prepared_end(data, major, false, without_invalidations, 4712);
            wal_builder_record(&wal, RMGR_TRANSACTION, 0x80 | 0x40, 0, data, size);
            read_events(&wal, &found);

            assert_int_equal(found.count, 2);
            assert_int_equal(found.events[0].xid, 4711);
            assert_int_equal(found.events[0].kind, EVENT_COMMIT);
            assert_int_equal(found.events[0].drops_relations, (xinfo & 1 << 2) != 0);
            assert_int_equal(found.events[1].xid, 4712);
            assert_int_equal(found.events[1].kind, EVENT_ABORT);
        }
    }
}

/* A record of any content may come with a good CRC; it is read within its bounds (ASan looks). */
static void nonsense_in_a_record_is_survived(void **state)
{
    (void)state;
    for (unsigned info = 0; info < 256; info++) {
        for (uint8_t rmgr = RMGR_XLOG; rmgr <= RMGR_TRANSACTION; rmgr++) {
            for (size_t size = 24; size < 64; size++) {
                uint8_t *bytes = malloc(size);
                WalEvent event;

                memset(bytes, 0xFF, size);
                if (size > 26)
                    bytes[25] = (uint8_t)(size - 26);
                wal_event_of(&(WalRecord){.lsn = 8,
                                          .end = 8 + size,
                                          .total_size = (uint32_t)size,
                                          .rmgr = rmgr,
                                          .info = (uint8_t)info,
                                          .bytes = bytes},
                             pg_version_of_major(18), &event);
                free(bytes);
            }
        }
    }
}

static void origin_and_toplevel_xid_may_precede_the_data(void **state)
{
    uint8_t bytes[24 + 3 + 5 + 2 + 8] = {0};
    WalEvent event;

    (void)state;
    bytes[24] = 253;
    bytes[27] = 252;
    bytes[32] = 255;
    bytes[33] = 8;
    put_le64(bytes + 34, 77);
    assert_true(wal_event_of(
        &(WalRecord){.total_size = sizeof bytes, .rmgr = RMGR_TRANSACTION, .bytes = bytes},
        pg_version_of_major(15), &event));
    assert_int_equal(event.time, time_from_postgres(77));
}

static void restore_points_are_found_and_the_first_are_kept(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, START, 1);
    char long_name[64] = {0};
    Lsn lsn[10];
    Found found;

    (void)state;
    memset(long_name, 'n', 63);
    for (int i = 0; i < 10; i++)
        lsn[i] = wal_builder_restore_point(&wal, i == 1 ? long_name : "before upgrade", i);
    read_events(&wal, &found);

    assert_int_equal(found.count, 10);
    assert_int_equal(found.summary.restore_point_count, 10);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(found.events[i].kind, EVENT_RESTORE_POINT);
        assert_string_equal(found.events[i].name, i == 1 ? long_name : "before upgrade");
        assert_int_equal(found.events[i].time, time_from_postgres(i));
    }
    for (int i = 0; i < WAL_RESTORE_POINTS_KEPT; i++) {
        assert_int_equal(found.summary.restore_points[i].lsn, lsn[i]);
        assert_int_equal(found.summary.restore_points[i].end, found.events[i].end);
        assert_string_equal(found.summary.restore_points[i].name,
                            i == 1 ? long_name : "before upgrade");
    }
}

static void what_limits_a_recovery_is_found(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, START, 1);
    uint8_t parameters[26] = {100, 0, 0, 0, 8, 0, 0, 0, 10, 0, 0, 0, 2, 0, 0, 0, 64, 0, 0, 0, 1};
    Found found;

    (void)state;
    parameters[24] = 1;
    Lsn backup_end = wal_builder_backup_end(&wal, 0x2000028);
    wal_builder_record(&wal, RMGR_XLOG, 0x80, 0, "\1", 1); /* full_page_writes on */
    Lsn changed = wal_builder_record(&wal, RMGR_XLOG, 0x60, 0, parameters, sizeof parameters);
    Lsn fpw_off = wal_builder_record(&wal, RMGR_XLOG, 0x80, 0, "\0", 1);
    wal_builder_record(&wal, RMGR_XLOG, 0x80, 0, "\0", 1);
    read_events(&wal, &found);
    assert_int_equal(found.count, 4);
    assert_int_equal(found.summary.backup_end, backup_end + 34);
    assert_int_equal(found.summary.backup_end_start, 0x2000028);
    assert_int_equal(found.summary.fpw_off, fpw_off);
    assert_int_equal(found.summary.parameters_at, changed);
    assert_int_equal(found.summary.parameters.max_connections, 100);
    assert_int_equal(found.summary.parameters.max_worker_processes, 8);
    assert_int_equal(found.summary.parameters.max_wal_senders, 10);
    assert_int_equal(found.summary.parameters.max_prepared_xacts, 2);
    assert_int_equal(found.summary.parameters.max_locks_per_xact, 64);
    assert_int_equal(found.summary.parameters.wal_level, 1);
    assert_true(found.summary.parameters.wal_log_hints);
    assert_false(found.summary.parameters.track_commit_timestamp);
    assert_int_equal(found.summary.minimal_at, 0);

    parameters[20] = 0;
    Lsn minimal = wal_builder_record(&wal, RMGR_XLOG, 0x60, 0, parameters, sizeof parameters);
    read_events(&wal, &found);
    assert_int_equal(found.summary.minimal_at, minimal);
}

static void a_timeline_begins_with_its_checkpoint_or_end_of_recovery(void **state)
{
    (void)state;
    for (unsigned major = PG_MAJOR_MIN; major <= PG_MAJOR_MAX; major++) {
        CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(major, MIB, START, 1);
        uint8_t checkpoint[88] = {0};
        uint8_t end_of_recovery[20] = {0};
        Found found;

        put_le32(checkpoint + 8, 4);
        put_le32(checkpoint + 12, 3);
        put_le32(checkpoint + 20, 1);
        put_le64(checkpoint + 64, 1700000000);
        wal_builder_record(&wal, RMGR_XLOG, 0x00, 0, checkpoint, sizeof checkpoint);
        put_le32(checkpoint + 12, 4);
        wal_builder_record(&wal, RMGR_XLOG, 0x00, 0, checkpoint, sizeof checkpoint);
        wal_builder_record(&wal, RMGR_XLOG, 0x10, 0, checkpoint, sizeof checkpoint);
        put_le64(end_of_recovery, 77);
        put_le32(end_of_recovery + 8, 5);
        put_le32(end_of_recovery + 12, 4);
        put_le32(end_of_recovery + 16, 1);
        wal_builder_record(&wal, RMGR_XLOG, 0x90, 0, end_of_recovery, major >= 17 ? 20 : 16);
        read_events(&wal, &found);

        assert_int_equal(found.count, 4);
        assert_int_equal(found.events[0].kind, EVENT_TIMELINE);
        assert_int_equal(found.events[0].timeline, 4);
        assert_int_equal(found.events[0].prev_timeline, 3);
        assert_int_equal(found.events[0].time, 1700000000 * INT64_C(1000000));
        assert_int_equal(found.events[1].kind, EVENT_CHECKPOINT);
        assert_int_equal(found.events[2].kind, EVENT_CHECKPOINT);
        assert_int_equal(found.events[3].kind, EVENT_TIMELINE);
        assert_int_equal(found.events[3].timeline, 5);
        assert_int_equal(found.events[3].prev_timeline, 4);
        assert_int_equal(found.events[3].time, time_from_postgres(77));
        assert_int_equal(found.summary.new_timeline, 5);
        assert_int_equal(found.summary.minimal_at, 0);
    }
}

/* Only 17 on says so outside of a parameter change; before, the place of it holds something else.
 */
static void wal_level_minimal_shows_in_checkpoints_from_17_on(void **state)
{
    (void)state;
    for (unsigned major = PG_MAJOR_MIN; major <= PG_MAJOR_MAX; major++) {
        CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(major, MIB, START, 1);
        uint8_t checkpoint[88] = {0};
        Found found;

        wal_builder_filler(&wal, 1);
        Lsn lsn = wal_builder_record(&wal, RMGR_XLOG, 0x10, 0, checkpoint, sizeof checkpoint);
        read_events(&wal, &found);
        assert_int_equal(found.summary.minimal_at, major >= 17 ? lsn : 0);
    }
}

/* What one record makes the summary of its segment say. */
static unsigned changes_by(unsigned major, uint8_t rmgr, uint8_t info, const void *data,
                           size_t size)
{
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(major, MIB, START, 1);
    Found found;

    wal_builder_record(&wal, rmgr, info, 700, data, size);
    read_events(&wal, &found);
    return found.summary.changes;
}

static void what_is_done_to_files_is_summed_up(void **state)
{
    /* timestamp, xinfo: relations, one of them */
    static const uint8_t with_relations[8 + 4 + 4 + 12] = {[8] = 4, [12] = 1};
    static const uint8_t without[8 + 4 + 8] = {[8] = 1};
    static const uint8_t bytes[32] = {0};

    static const uint8_t init_fork[16] = {[12] = 3}; /* xl_smgr_create: file, fork */

    (void)state;
    for (unsigned major = PG_MAJOR_MIN; major <= PG_MAJOR_MAX; major++) {
        bool is_old = major < 15;

        for (int is_prepared = 0; is_prepared < 2; is_prepared++) {
            uint8_t commit = is_prepared ? 0xB0 : 0x80;
            uint8_t abort = is_prepared ? 0xC0 : 0xA0;

            assert_int_equal(
                changes_by(major, RMGR_TRANSACTION, commit, with_relations, sizeof with_relations),
                WAL_REMOVES_FILES);
            assert_int_equal(changes_by(major, RMGR_TRANSACTION, commit, without, sizeof without),
                             0);
            assert_int_equal(
                changes_by(major, RMGR_TRANSACTION, abort, with_relations, sizeof with_relations),
                0); /* of what it made itself */
        }
        assert_int_equal(changes_by(major, RMGR_TRANSACTION, 0x10, bytes, 16), WAL_PREPARES);
        assert_int_equal(changes_by(major, RMGR_STORAGE, 0x10, bytes, 16), WAL_CREATES_FILES);
        assert_int_equal(changes_by(major, RMGR_STORAGE, 0x10, init_fork, sizeof init_fork),
                         WAL_CREATES_FILES | WAL_CREATES_INIT_FORKS);
        assert_int_equal(changes_by(major, RMGR_STORAGE, 0x20, bytes, 20), 0);
        assert_int_equal(changes_by(major, RMGR_DATABASE, 0x00, bytes, 16), 0);
        assert_int_equal(changes_by(major, RMGR_DATABASE, 0x10, bytes, 12),
                         is_old ? WAL_REMOVES_FILES : 0);
        assert_int_equal(changes_by(major, RMGR_DATABASE, 0x20, bytes, 12),
                         is_old ? 0 : WAL_REMOVES_FILES);
        assert_int_equal(changes_by(major, RMGR_TABLESPACE, 0x00, bytes, 8),
                         WAL_CREATES_TABLESPACE);
        assert_int_equal(changes_by(major, RMGR_TABLESPACE, 0x10, bytes, 4), WAL_REMOVES_FILES);
        assert_int_equal(changes_by(major, RMGR_XLOG, 0x20, bytes, 8), 0);
    }
}

/* It can't be looked at: more than 64 MiB. */
static void a_commit_that_is_too_large_to_be_read_may_remove_files(void **state)
{
    WalSummary summary;
    WalRecord record = {.total_size = UINT32_MAX, .rmgr = RMGR_TRANSACTION, .info = 0x80};
    WalEvent event;

    (void)state;
    wal_summary_init(&summary);
    assert_false(wal_summary_add_record(&summary, &record, pg_version_of_major(15), &event));
    assert_int_equal(summary.changes, WAL_REMOVES_FILES);
    assert_int_equal(wal_changes_of(&record, pg_version_of_major(15)), WAL_REMOVES_FILES);
}

static WalEvent some_event(unsigned number)
{
    WalEvent event = {
        .kind = (WalEventKind)(number * 7 % (EVENT_CHECKPOINT + 1)),
        .lsn = 1000 + number * 100,
        .end = 1090 + number * 100,
        .time = 5000 + number * 37 % 11,
        .xid = 700 + number,
        .drops_relations = number % 5 == 0,
        .backup_start = 10 + number,
        .timeline = 2 + number,
        .parameters = {.max_connections = number,
                       .wal_level = number % 3 == 0 ? WAL_LEVEL_MINIMAL : WAL_LEVEL_UNKNOWN},
    };

    (void)snprintf(event.name, sizeof event.name, "point %u", number);
    return event;
}

static void assert_same_summary(const WalSummary *a, const WalSummary *b)
{
    assert_int_equal(a->commit_count, b->commit_count);
    assert_int_equal(a->abort_count, b->abort_count);
    assert_int_equal(a->end_time_min, b->end_time_min);
    assert_int_equal(a->end_time_max, b->end_time_max);
    assert_int_equal(a->commit_time_min, b->commit_time_min);
    assert_int_equal(a->commit_time_max, b->commit_time_max);
    assert_int_equal(a->xid_first, b->xid_first);
    assert_int_equal(a->xid_last, b->xid_last);
    assert_int_equal(a->first_end_lsn, b->first_end_lsn);
    assert_int_equal(a->last_end_lsn, b->last_end_lsn);
    assert_int_equal(a->last_commit_end, b->last_commit_end);
    assert_int_equal(a->restore_point_count, b->restore_point_count);
    for (size_t i = 0; i < a->restore_point_count && i < WAL_RESTORE_POINTS_KEPT; i++) {
        assert_int_equal(a->restore_points[i].lsn, b->restore_points[i].lsn);
        assert_string_equal(a->restore_points[i].name, b->restore_points[i].name);
    }
    assert_int_equal(a->backup_end, b->backup_end);
    assert_int_equal(a->backup_end_start, b->backup_end_start);
    assert_int_equal(a->fpw_off, b->fpw_off);
    assert_int_equal(a->parameters_at, b->parameters_at);
    assert_int_equal(a->parameters.max_connections, b->parameters.max_connections);
    assert_int_equal(a->minimal_at, b->minimal_at);
    assert_int_equal(a->new_timeline, b->new_timeline);
    assert_int_equal(a->changes, b->changes);
}

static void an_event_before_all_others_is_as_good_as_one_that_came_first(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 9; first++) {
        for (unsigned count = 0; count < 150; count += 1 + count / 10) {
            WalSummary in_order, backwards;

            wal_summary_init(&in_order);
            wal_summary_init(&backwards);
            for (unsigned i = 0; i < count; i++) {
                WalEvent event = some_event(first + i);
                wal_summary_add(&in_order, &event);
                event = some_event(first + count - 1 - i);
                wal_summary_prepend(&backwards, &event);
            }
            assert_same_summary(&in_order, &backwards);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_tablespaces_are_found),
        cmocka_unit_test(ends_of_transactions_are_found),
        cmocka_unit_test(nothing_has_no_times),
        cmocka_unit_test(times_need_not_rise),
        cmocka_unit_test(the_xid_of_a_prepared_transaction_is_found_after_all_that_may_precede_it),
        cmocka_unit_test(nonsense_in_a_record_is_survived),
        cmocka_unit_test(origin_and_toplevel_xid_may_precede_the_data),
        cmocka_unit_test(restore_points_are_found_and_the_first_are_kept),
        cmocka_unit_test(what_limits_a_recovery_is_found),
        cmocka_unit_test(a_timeline_begins_with_its_checkpoint_or_end_of_recovery),
        cmocka_unit_test(wal_level_minimal_shows_in_checkpoints_from_17_on),
        cmocka_unit_test(what_is_done_to_files_is_summed_up),
        cmocka_unit_test(a_commit_that_is_too_large_to_be_read_may_remove_files),
        cmocka_unit_test(an_event_before_all_others_is_as_good_as_one_that_came_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
