#include "catalog/backups.h"

#include "../walk/archive_builder.h"
#include "../walk/backup_builder.h"
#include "repo/layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void put_segments(Archive *archive, uint32_t timeline, uint64_t first, uint64_t last)
{
    for (uint64_t segment = first; segment <= last; segment++) {
        char name[WAL_NAME_SIZE];
        WalName wal = {.kind = WAL_SEGMENT, .timeline = timeline, .segment = segment};
        CLEANUP(text_freep) char *object = layout_wal("main", wal_name_text(&wal, MIB, name));
        Error err = {0};

        assert_true(storage_put(archive->repo.storage, object, WRITE_NEW, "x", 1, &err));
    }
}

static void load(BackupList *list, Archive *archive)
{
    Error err = {0};

    archive_look(archive);
    assert_true(backup_list_load(list, &archive->cluster, &archive->inventory, &err));
}

static void a_backup_waits_for_its_wal_from_start_to_stop(void **state)
{
    (void)state;
    /* Start in segment 3, stop just after segment 6: 3 to 6 are needed, bits of present. */
    for (unsigned present = 0; present < 16; present++) {
        CLEANUP(archive_done) Archive archive;
        CLEANUP(backup_list_done) BackupList list = {0};

        archive_init(&archive);
        archive_put_backup(&archive, &(BackupFields){.id = "20261122T031500Z-k3v7qa",
                                                     .timeline = 1,
                                                     .start = 3 * MIB + 40,
                                                     .stop = 7 * MIB});
        for (unsigned i = 0; i < 4; i++) {
            if ((present & 1U << i) != 0)
                put_segments(&archive, 1, 3 + i, 3 + i);
        }
        put_segments(&archive, 1, 8, 9);
        load(&list, &archive);
        assert_int_equal(list.count, 1);
        assert_int_equal(list.items[0].state, present == 15 ? BACKUP_RESTORABLE : BACKUP_WAITING);
        assert_int_equal(list.items[0].stored_bytes, 0);
        if (present == 5) { /* 3 and 5 */
            assert_string_equal(list.items[0].reason,
                                "WAL segment 000000010000000000000004 is not in the archive");
        }
        if (present == 15)
            assert_string_equal(list.items[0].reason, "");
    }
}

/* A standby's backup can begin before the promotion that its stop is after. */
static void a_backup_over_a_fork_needs_both_timelines(void **state)
{
    CLEANUP(archive_done) Archive archive;
    CLEANUP(backup_list_done) BackupList waiting = {0};
    CLEANUP(backup_list_done) BackupList whole = {0};

    (void)state;
    archive_init(&archive);
    archive_put_backup(&archive, &(BackupFields){.id = "20261122T031500Z-k3v7qa",
                                                 .timeline = 2,
                                                 .history = "1\t0/500100\tx\n",
                                                 .start = 3 * MIB + 40,
                                                 .stop = 6 * MIB + 8});
    put_segments(&archive, 1, 3, 8);
    put_segments(&archive, 2, 6, 8);
    load(&waiting, &archive);
    assert_int_equal(waiting.items[0].state, BACKUP_WAITING);
    assert_string_equal(waiting.items[0].reason,
                        "WAL segment 000000020000000000000005 is not in the archive");
    put_segments(&archive, 2, 5, 5);
    load(&whole, &archive);
    assert_int_equal(whole.items[0].state, BACKUP_RESTORABLE);
}

static void the_list_is_ordered_by_place_and_damaged_ones_are_last(void **state)
{
    static const BackupFields fields[] = {
        {.id = "20261122T000000Z-aaaaaa", .timeline = 1, .start = 8 * MIB, .stop = 9 * MIB},
        {.id = "20261122T000001Z-aaaaaa",
         .timeline = 2,
         .history = "1\t0/400100\tx\n",
         .start = 5 * MIB,
         .stop = 6 * MIB},
        {.id = "20261122T000002Z-aaaaaa", .timeline = 1, .start = 3 * MIB, .stop = 4 * MIB},
        {.id = "20261122T000003Z-aaaaaa", .timeline = 1, .start = 1 * MIB, .stop = 2 * MIB},
    };
    static const char *const order[] = {"20261122T000002Z-aaaaaa", "20261122T000000Z-aaaaaa",
                                        "20261122T000001Z-aaaaaa", "20261122T000003Z-aaaaaa"};
    CLEANUP(archive_done) Archive archive;
    CLEANUP(backup_list_done) BackupList list = {0};
    Error err = {0};

    (void)state;
    archive_init(&archive);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        archive_put_backup(&archive, &fields[i]);
    assert_true(storage_put(archive.repo.storage, "main/backup/20261122T000003Z-aaaaaa/manifest",
                            WRITE_REPLACE, "no manifest", 11, &err));
    assert_true(
        storage_put(archive.repo.storage, "main/backup/notes", WRITE_NEW, "foreign", 7, &err));
    load(&list, &archive);
    assert_int_equal(list.count, ARRAY_SIZE(order));
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        assert_string_equal(list.items[i].header.id, order[i]);
        assert_ptr_equal(backup_list_find(&list, order[i]), &list.items[i]);
    }
    assert_int_equal(list.items[3].state, BACKUP_DAMAGED);
    assert_true(list.items[3].reason[0] != '\0');
    assert_string_equal(list.items[3].header.host, "");
    assert_null(backup_list_find(&list, "20261122T000009Z-aaaaaa"));
    /* Texts outlive the manifest that they came from. */
    assert_string_equal(list.items[0].header.host, "db1");
    assert_string_equal(list.items[2].header.history, "1\t0/400100\tx\n");
}

/* Whoever read all of it knows better than the head: no other one changes. */
static void one_that_was_read_and_is_bad_is_put_out(void **state)
{
    static const BackupFields fields[] = {
        {.id = "20261122T000000Z-aaaaaa", .timeline = 1, .start = 3 * MIB, .stop = 4 * MIB},
        {.id = "20261122T000001Z-aaaaaa", .timeline = 1, .start = 5 * MIB, .stop = 6 * MIB},
    };
    const Error damaged = {.code = ERR_CORRUPT, .message = "bad"};
    const Error newer = {.code = ERR_VERSION, .message = "new"};
    CLEANUP(archive_done) Archive archive;
    CLEANUP(backup_list_done) BackupList list = {0};

    (void)state;
    archive_init(&archive);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        archive_put_backup(&archive, &fields[i]);
    put_segments(&archive, 1, 3, 6);
    load(&list, &archive);
    backup_list_put_out(&list, fields[0].id, &damaged);
    assert_string_equal(list.items[0].header.id, fields[1].id);
    assert_int_equal(list.items[0].state, BACKUP_RESTORABLE);
    assert_string_equal(list.items[1].header.id, fields[0].id);
    assert_int_equal(list.items[1].state, BACKUP_DAMAGED);
    assert_string_equal(list.items[1].reason, "bad");
    assert_false(list.items[1].has_header);
    assert_string_equal(list.items[1].header.host, "");
    backup_list_put_out(&list, fields[1].id, &newer);
    assert_int_equal(backup_list_find(&list, fields[1].id)->state, BACKUP_NEWER);
}

static void a_backup_whose_pack_is_gone_or_cut_is_damaged(void **state)
{
    CLEANUP(archive_done) Archive archive;
    CLEANUP(backup_list_done) BackupList missing = {0};
    CLEANUP(backup_list_done) BackupList cut = {0};
    CLEANUP(backup_list_done) BackupList whole = {0};
    static const char pack[] = "00112233445566778899aabbccddeeff";
    CLEANUP(text_freep) char *object = layout_pack("main", pack);
    char bytes[1000] = {0};
    Error err = {0};

    (void)state;
    archive_init(&archive);
    archive_put_backup(&archive, &(BackupFields){.id = "20261122T031500Z-k3v7qa",
                                                 .timeline = 1,
                                                 .start = 3 * MIB,
                                                 .stop = 4 * MIB,
                                                 .pack = pack,
                                                 .pack_size = 1000});
    put_segments(&archive, 1, 3, 3);
    load(&missing, &archive);
    assert_int_equal(missing.items[0].state, BACKUP_DAMAGED);
    assert_string_equal(missing.items[0].reason,
                        "pack 00112233445566778899aabbccddeeff is missing");
    assert_true(storage_put(archive.repo.storage, object, WRITE_NEW, bytes, 999, &err));
    load(&cut, &archive);
    assert_string_equal(cut.items[0].reason,
                        "pack 00112233445566778899aabbccddeeff has 999 bytes, not 1000");
    assert_true(storage_put(archive.repo.storage, object, WRITE_REPLACE, bytes, 1000, &err));
    load(&whole, &archive);
    assert_int_equal(whole.items[0].state, BACKUP_RESTORABLE);
    assert_int_equal(whole.items[0].stored_bytes, 1000);
}

/* As after the registration was replaced: its segments can't be found by their names. */
static void a_backup_of_another_segment_size_is_damaged(void **state)
{
    CLEANUP(archive_done) Archive archive;
    CLEANUP(backup_list_done) BackupList list = {0};

    (void)state;
    archive_init(&archive);
    archive_put_backup(&archive, &(BackupFields){.id = "20261122T031500Z-k3v7qa",
                                                 .timeline = 1,
                                                 .start = 4 * MIB,
                                                 .stop = 6 * MIB});
    put_segments(&archive, 1, 4, 6);
    archive.cluster.wal_segment_size = 2 * MIB;
    load(&list, &archive);
    assert_int_equal(list.items[0].state, BACKUP_DAMAGED);
    assert_non_null(strstr(list.items[0].reason, "segment size"));
}

static void a_backup_is_on_a_path_that_leaves_its_timeline_after_its_stop(void **state)
{
    static const struct {
        uint32_t timeline;
        Lsn stop;
        bool is_on_path;
    } cases[] = {
        {1, 0x500100, true}, {1, 0x500108, false}, {1, 0x400000, true},  {2, 0x600000, true},
        {2, 0x900100, true}, {2, 0x900108, false}, {3, 0x600000, false}, {4, 0xF00000, true},
    };
    CLEANUP(arena_done) Arena arena = {0};
    TimelinePath path;
    Error err = {0};

    (void)state;
    assert_true(timeline_path_parse(4, "1\t0/500100\tx\n2\t0/900100\ty\n", &arena, &path, &err));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        BackupInfo backup = {.header = {.timeline = cases[i].timeline, .stop = cases[i].stop}};

        assert_int_equal(backup_is_on_path(&backup, &path), cases[i].is_on_path);
        backup.state = BACKUP_DAMAGED;
        assert_false(backup_is_on_path(&backup, &path));
        backup.state = BACKUP_NEWER;
        assert_false(backup_is_on_path(&backup, &path));
    }
}

/*
 * The segment in which a backup ends, as another server wrote it: the name is there, and the WAL is
 * not the backup's.
 */
static void wal_of_another_server_completes_no_backup(void **state)
{
    enum { START = 3 * MIB + 0x100, STOP = 3 * MIB + 0x400 };
    static const struct {
        Lsn backup_end, backup_start, first_record;
        WalEnd end;
        bool is_foreign;
    } cases[] = {
        {STOP, START, 3 * MIB + 40, WAL_END_SWITCH, false},
        {STOP - 6, START, 3 * MIB + 40, WAL_END_OPEN, false}, /* not aligned */
        {STOP, START + 8, 3 * MIB + 40, WAL_END_OPEN, true},
        {STOP - 8, START, 3 * MIB + 40, WAL_END_OPEN, true},
        {0, 0, 3 * MIB + 40, WAL_END_SWITCH, true},
        {STOP + 0x1000, START + 0x800, 3 * MIB + 40, WAL_END_OPEN, false}, /* a later one */
        {0, 0, STOP, WAL_END_OPEN, false},           /* it may have begun in the segment before */
        {0, 0, 0, WAL_END_OPEN, false},              /* all of it is the middle of one record */
        {0, 0, 3 * MIB + 40, WAL_END_BROKEN, false}, /* not known */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        WalTrailer trailer = {.kind = WAL_SEGMENT};

        trailer.summary.backup_end = cases[i].backup_end;
        trailer.summary.backup_end_start = cases[i].backup_start;
        trailer.summary.reader.first_record = cases[i].first_record;
        trailer.summary.reader.end = cases[i].end;
        if (backup_wal_is_foreign(START, STOP, &trailer) != cases[i].is_foreign)
            fail_msg("case %zu", i);
    }
}

static void a_backup_waits_where_another_server_archived(void **state)
{
    CLEANUP(archive_done) Archive archive;
    CLEANUP(backup_list_done) BackupList list = {0};
    CLEANUP(wal_builder_done) WalBuilder own = wal_builder_begin(15, MIB, 3 * MIB, 1);
    CLEANUP(wal_builder_done) WalBuilder other = wal_builder_begin(15, MIB, 3 * MIB, 1);
    Error err = {0};

    (void)state;
    const Lsn start = wal_builder_filler(&own, 100);
    wal_builder_backup_end(&own, start);
    const Lsn stop = (own.at + 7) & ~(Lsn)7;
    wal_builder_switch(&own);
    wal_builder_commit(&other, 1, 1);
    wal_builder_switch(&other);
    for (int i = 0; i < 2; i++) {
        archive_init(&archive);
        archive_put_backup(&archive, &(BackupFields){.id = "20261122T000001Z-aaaaaa",
                                                     .timeline = 1,
                                                     .start = start,
                                                     .stop = stop});
        archive_put_segment(&archive, i == 0 ? &own : &other, 1, 3);
        archive_look(&archive);
        assert_true(backup_list_load(&list, &archive.cluster, &archive.inventory, &err));
        assert_int_equal(list.items[0].state, i == 0 ? BACKUP_RESTORABLE : BACKUP_WAITING);
        assert_true(i == 0 || strstr(list.items[0].reason, "another server's") != NULL);
        backup_list_done(&list);
        if (i == 0)
            archive_done(&archive);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wal_of_another_server_completes_no_backup),
        cmocka_unit_test(a_backup_waits_where_another_server_archived),
        cmocka_unit_test(a_backup_waits_for_its_wal_from_start_to_stop),
        cmocka_unit_test(a_backup_over_a_fork_needs_both_timelines),
        cmocka_unit_test(the_list_is_ordered_by_place_and_damaged_ones_are_last),
        cmocka_unit_test(one_that_was_read_and_is_bad_is_put_out),
        cmocka_unit_test(a_backup_whose_pack_is_gone_or_cut_is_damaged),
        cmocka_unit_test(a_backup_is_on_a_path_that_leaves_its_timeline_after_its_stop),
        cmocka_unit_test(a_backup_of_another_segment_size_is_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
