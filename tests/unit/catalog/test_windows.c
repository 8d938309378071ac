#include "catalog/windows.h"

#include "../walk/backup_builder.h"
#include "../walk/world.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char first_backup[] = "20261122T000001Z-aaaaaa";
static const char second_backup[] = "20261122T000002Z-aaaaaa";

static void put_backup(World *world)
{
    archive_put_backup(&world->archive, &(BackupFields){.id = first_backup,
                                                        .timeline = 1,
                                                        .start = world->redo,
                                                        .stop = world->stop,
                                                        .stopped_at = time_from_postgres(1300)});
}

/* A later one, on the fork's timeline or before it. */
static void put_second_backup(World *world, uint32_t timeline, Lsn start, Lsn stop)
{
    archive_put_backup(&world->archive,
                       &(BackupFields){.id = second_backup,
                                       .timeline = timeline,
                                       .history = timeline == 2 ? "1\t0/1\tx\n" : NULL,
                                       .start = start,
                                       .stop = stop,
                                       .stopped_at = time_from_postgres(4500),
                                       .from_standby = true,
                                       .commit_time_max = time_from_postgres(4400)});
}

static void load(WindowList *windows, World *world)
{
    CLEANUP(backup_list_done) BackupList backups = {0};
    Error err = {0};

    archive_look(&world->archive);
    assert_true(
        backup_list_load(&backups, &world->archive.cluster, &world->archive.inventory, &err));
    assert_true(window_list_load(windows, &world->archive.cluster, &world->archive.inventory,
                                 &backups, &err));
}

/* Of what ended from start on, before stop; TIME_US_NONE: nothing did. */
static TimeUs latest_between(const World *world, Lsn start, Lsn stop)
{
    TimeUs latest = TIME_US_NONE;

    for (size_t i = 0; i < world->count; i++) {
        const WorldRecord *record = &world->records[i];
        const TimeUs time = time_from_postgres(record->time);

        if ((record->is_commit || record->is_abort) && record->lsn >= start && record->lsn < stop &&
            time > latest)
            latest = time;
    }
    return latest;
}

/* Wherever a backup begins and ends: between any two ends of transactions, and within segments. */
static void the_earliest_time_is_the_latest_end_inside_the_backup(void **state)
{
    CLEANUP(world_done) World world;
    size_t pairs = 0;
    size_t with = 0;
    size_t without = 0;

    (void)state;
    world_init(&world);
    for (size_t i = 0; i < world.count; i++) {
        const WorldRecord *first = &world.records[i];

        if (!(first->is_commit || first->is_abort) && i % 40 != 0)
            continue;
        for (size_t j = i; j < world.count; j++) {
            const WorldRecord *last = &world.records[j];
            BackupInfo backup = {
                .header.start = first->lsn, .header.stop = last->end, .header.stopped_at = 77};
            const WalWalk walk = world_walk(&world);
            TimeUs found;
            Error err = {0};

            /* Each costs a walk, so every twelfth pair has to do. */
            if ((!(last->is_commit || last->is_abort) && j % 40 != 0) || pairs++ % 12 != 0)
                continue;
            assert_true(window_earliest_time(&walk, &backup, &found, &err));
            const TimeUs expected = latest_between(&world, first->lsn, last->end);
            assert_true(found == (expected != TIME_US_NONE ? expected : 77));
            with += expected != TIME_US_NONE;
            without += expected == TIME_US_NONE;
        }
    }
    assert_true(with > 10 && without > 1);
}

static void each_branch_has_its_window(void **state)
{
    CLEANUP(world_done) World world;
    CLEANUP(window_list_done) WindowList windows = {0};

    (void)state;
    world_init(&world);
    put_backup(&world);
    load(&windows, &world);
    assert_int_equal(windows.count, 2);

    /* Timeline 1 with what it did after the fork. */
    const RecoveryWindow *old = &windows.items[0];
    assert_int_equal(old->timeline, 1);
    assert_string_equal(old->backup, first_backup);
    assert_int_equal(old->from, world.stop);
    assert_int_equal(old->from_time, time_from_postgres(1200)); /* the latest, not the last */
    assert_int_equal(old->until_time, time_from_postgres(9100));
    assert_int_equal(old->last_segment, world.fork_segment + 1);
    assert_false(old->ends_in_hole);
    assert_false(old->ends_damaged);

    const RecoveryWindow *new = &windows.items[1];
    assert_int_equal(new->timeline, 2);
    assert_int_equal(new->from, world.stop);
    assert_int_equal(new->until, world.records[world.count - 1].end);
    assert_int_equal(new->until_time, time_from_postgres(5100));
    assert_int_equal(new->last_segment, world.last_segment);
    assert_false(new->ends_in_hole);
}

/* The old server died and its standby was promoted: timeline 1 has nothing that 2 has not. */
static void a_timeline_that_another_continues_has_none(void **state)
{
    CLEANUP(world_done) World world;
    CLEANUP(window_list_done) WindowList windows = {0};

    (void)state;
    world_init(&world);
    put_backup(&world);
    archive_remove(&world.archive, 1, world.fork_segment);
    archive_remove(&world.archive, 1, world.fork_segment + 1);
    load(&windows, &world);
    assert_int_equal(windows.count, 1);
    assert_int_equal(windows.items[0].timeline, 2);
}

/* Unless the other one can't be reached: its first segment is not (yet) there. */
static void a_child_without_its_first_segment_does_not_hide_its_parent(void **state)
{
    CLEANUP(world_done) World world;
    CLEANUP(window_list_done) WindowList windows = {0};

    (void)state;
    world_init(&world);
    put_backup(&world);
    archive_remove(&world.archive, 2, world.fork_segment);
    load(&windows, &world);
    assert_int_equal(windows.count, 2);
    assert_int_equal(windows.items[0].timeline, 1);
    assert_false(windows.items[0].ends_in_hole);
    assert_int_equal(windows.items[1].timeline, 2);
    assert_true(windows.items[1].ends_in_hole);
    assert_true(windows.items[1].until <= world.fork);
}

/* A history whose timeline has no WAL yet, as right after a promotion. */
static void a_timeline_without_wal_has_none(void **state)
{
    CLEANUP(world_done) World world;
    CLEANUP(window_list_done) WindowList windows = {0};

    (void)state;
    world_init(&world);
    put_backup(&world);
    for (uint64_t segment = world.fork_segment; segment <= world.last_segment; segment++)
        archive_remove(&world.archive, 2, segment);
    load(&windows, &world);
    assert_int_equal(windows.count, 1);
    assert_int_equal(windows.items[0].timeline, 1);
    assert_false(windows.items[0].ends_in_hole);
}

static void a_hole_parts_a_window_in_two(void **state)
{
    CLEANUP(world_done) World world;
    CLEANUP(window_list_done) WindowList windows = {0};

    (void)state;
    world_init(&world);
    put_backup(&world);
    archive_remove(&world.archive, 1, 7);
    put_second_backup(&world, 1, wal_segment_start(9, MIB) + 5 * 8192, wal_segment_start(10, MIB));
    load(&windows, &world);
    /* Before the hole both timelines are the same: told once, as the newer one's. */
    static const uint32_t timelines[] = {1, 2, 2};
    assert_int_equal(windows.count, 3);
    for (size_t i = 0; i < 3; i++) {
        const RecoveryWindow *window = &windows.items[i];
        bool is_before = i == 1;

        assert_int_equal(window->timeline, timelines[i]);
        assert_string_equal(window->backup, is_before ? first_backup : second_backup);
        assert_int_equal(window->ends_in_hole, is_before);
        assert_int_equal(window->from_time, time_from_postgres(is_before ? 1200 : 4500));
    }
    assert_int_equal(windows.items[1].last_segment, 6);
    assert_int_equal(windows.items[1].until_time, time_from_postgres(3000)); /* it straddles */
}

static void a_second_backup_in_the_same_stretch_opens_nothing(void **state)
{
    CLEANUP(world_done) World world;
    CLEANUP(window_list_done) WindowList windows = {0};

    (void)state;
    world_init(&world);
    put_backup(&world);
    put_second_backup(&world, 1, wal_segment_start(9, MIB) + 5 * 8192, wal_segment_start(10, MIB));
    load(&windows, &world);
    assert_int_equal(windows.count, 2);
    assert_string_equal(windows.items[0].backup, first_backup);
    assert_string_equal(windows.items[1].backup, first_backup);
}

static void damage_ends_a_window(void **state)
{
    CLEANUP(world_done) World world;
    CLEANUP(window_list_done) WindowList windows = {0};

    (void)state;
    world_init(&world);
    put_backup(&world);
    archive_damage(&world.archive, 1, 6, SIZE_MAX);
    load(&windows, &world);
    assert_int_equal(windows.count, 1);
    assert_true(windows.items[0].ends_damaged);
    assert_int_equal(windows.items[0].last_segment, 5);
    assert_int_equal(windows.items[0].until_time, time_from_postgres(2000));
}

/* As the server writes it when it starts with other settings (xl_parameter_change). */
static Lsn parameters(WalBuilder *wal, uint32_t wal_level)
{
    uint8_t bytes[28] = {100};

    put_le32(bytes + 20, wal_level);
    return wal_builder_record(wal, RMGR_XLOG, 0x60, 0, bytes, sizeof bytes);
}

/* Signs before the backup, and at one of several places after it, or nowhere. */
static void wal_without_data_ends_a_window(void **state)
{
    (void)state;
    for (unsigned before = 0; before < 2; before++) {
        for (unsigned place = 0; place < 4; place++) {
            Archive archive;
            CLEANUP(window_list_done) WindowList windows = {0};
            CLEANUP(backup_list_done) BackupList backups = {0};
            CLEANUP(wal_builder_done)
            WalBuilder wal = wal_builder_begin(15, MIB, wal_segment_start(3, MIB), 1);
            Lsn minimal = 0;
            Error err = {0};

            archive_init(&archive);
            wal_builder_filler(&wal, 100);
            if (before == 1) {
                parameters(&wal, 0);
                parameters(&wal, 1);
            }
            Lsn redo = wal_builder_filler(&wal, 100);
            wal_builder_backup_end(&wal, redo);
            Lsn stop = wal.at;
            for (unsigned i = 0; i < 3; i++) {
                wal_builder_commit(&wal, 700 + 2 * i, 1000 * (i + 1));
                if (place == i + 1) {
                    minimal = parameters(&wal, 0);
                    parameters(&wal, 1);
                }
                wal_builder_commit(&wal, 701 + 2 * i, 1000 * (i + 1) + 500);
                wal_builder_switch(&wal);
            }
            archive_put_segments(&archive, &wal, 1, 3, 5);
            archive_put_backup(&archive, &(BackupFields){.id = first_backup,
                                                         .timeline = 1,
                                                         .start = redo,
                                                         .stop = stop,
                                                         .stopped_at = time_from_postgres(900)});
            archive_look(&archive);
            assert_true(backup_list_load(&backups, &archive.cluster, &archive.inventory, &err));
            assert_true(
                window_list_load(&windows, &archive.cluster, &archive.inventory, &backups, &err));

            assert_int_equal(windows.count, 1);
            const RecoveryWindow *window = &windows.items[0];
            assert_int_equal(window->ends_minimal, place != 0);
            assert_int_equal(window->until_time,
                             time_from_postgres(place != 0 ? 1000 * place : 3500));
            assert_int_equal(window->last_segment, place != 0 ? 2 + place : 5);
            if (place != 0)
                assert_int_equal(window->until, minimal);
            archive_done(&archive);
        }
    }
}

static void a_backup_that_waits_opens_nothing(void **state)
{
    CLEANUP(world_done) World world;
    CLEANUP(window_list_done) WindowList windows = {0};

    (void)state;
    world_init(&world);
    put_backup(&world);
    archive_remove(&world.archive, 1, wal_segment_of(world.redo, MIB));
    load(&windows, &world);
    assert_int_equal(windows.count, 0);
}

/* Its WAL is there, and yet it is of another branch. */
static void a_backup_opens_windows_on_its_own_branches_only(void **state)
{
    CLEANUP(world_done) World world;
    CLEANUP(window_list_done) WindowList windows = {0};
    uint64_t after;

    (void)state;
    world_init(&world);
    after = world.fork_segment + 1; /* both timelines have it */
    put_second_backup(&world, 2, wal_segment_start(after, MIB) + 40,
                      wal_segment_start(after, MIB) + 100);
    load(&windows, &world);
    assert_int_equal(windows.count, 1);
    assert_int_equal(windows.items[0].timeline, 2);
}

static void damage_inside_a_backup_leaves_it_no_window(void **state)
{
    CLEANUP(world_done) World world;
    CLEANUP(window_list_done) WindowList windows = {0};

    (void)state;
    world_init(&world);
    put_backup(&world);
    archive_damage(&world.archive, 1, wal_segment_before(world.stop, MIB), SIZE_MAX);
    load(&windows, &world);
    assert_int_equal(windows.count, 0);
}

static void a_timeline_whose_history_cannot_be_read_is_told(void **state)
{
    static const char name[] = "main/wal/00000002.history.wal";
    CLEANUP(world_done) World world;
    CLEANUP(window_list_done) WindowList windows = {0};
    CLEANUP(buffer_done) Buffer object = {0};
    Storage *storage;
    Error err = {0};

    (void)state;
    world_init(&world);
    put_backup(&world);
    storage = world.archive.repo.storage;
    assert_true(storage_read(storage, name, MIB, &object, &err));
    object.data[0] ^= 1;
    assert_true(storage_put(storage, name, WRITE_REPLACE, object.data, object.size, &err));
    load(&windows, &world);
    assert_int_equal(windows.unreadable, 2);
    for (size_t i = 0; i < windows.count; i++)
        assert_int_equal(windows.items[i].timeline, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_earliest_time_is_the_latest_end_inside_the_backup),
        cmocka_unit_test(each_branch_has_its_window),
        cmocka_unit_test(a_timeline_that_another_continues_has_none),
        cmocka_unit_test(a_child_without_its_first_segment_does_not_hide_its_parent),
        cmocka_unit_test(a_timeline_without_wal_has_none),
        cmocka_unit_test(a_hole_parts_a_window_in_two),
        cmocka_unit_test(a_second_backup_in_the_same_stretch_opens_nothing),
        cmocka_unit_test(damage_ends_a_window),
        cmocka_unit_test(wal_without_data_ends_a_window),
        cmocka_unit_test(a_backup_that_waits_opens_nothing),
        cmocka_unit_test(a_backup_opens_windows_on_its_own_branches_only),
        cmocka_unit_test(damage_inside_a_backup_leaves_it_no_window),
        cmocka_unit_test(a_timeline_whose_history_cannot_be_read_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
