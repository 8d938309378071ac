#include "walk/inventory.h"

#include "archive_builder.h"
#include "repo/layout.h"
#include "storage/driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* An inventory looks at names only. */
static void put_name(Archive *archive, const char *name)
{
    CLEANUP(text_freep) char *object = layout_wal("main", name);
    Error err = {0};

    assert_true(storage_put(archive->repo.storage, object, WRITE_NEW, "anything", 8, &err));
}

static void a_listing_becomes_runs_and_histories(void **state)
{
    CLEANUP(archive_done) Archive archive;
    Error err = {0};

    (void)state;
    archive_init(&archive);
    /* 1 MiB: 4096 segments a high half. */
    put_name(&archive, "000000010000000000000FFE");
    put_name(&archive, "000000010000000000000FFF");
    put_name(&archive, "000000010000000100000000");
    put_name(&archive, "000000010000000100000001");
    put_name(&archive, "000000010000000100000003");
    put_name(&archive, "000000010000000100000002.partial");
    put_name(&archive, "000000010000000100000002.00000028.backup");
    put_name(&archive, "000000020000000100000003");
    put_name(&archive, "00000002.history");
    put_name(&archive, "0000000A.history");
    put_name(&archive, "0000000C0000000100000002.partial");
    assert_true(storage_put(archive.repo.storage, "main/wal/notes.txt", WRITE_NEW, "x", 1, &err));
    assert_true(
        storage_put(archive.repo.storage,
                    "main/wal/0000000100000001/000000010000000100000002.wal.damaged-0a1b2c3d",
                    WRITE_NEW, "x", 1, &err));
    archive_look(&archive);

    const WalInventory *inventory = &archive.inventory;
    static const WalRun expected[] = {
        {.timeline = 1, .first = 0xFFE, .last = 0x1001},
        {.timeline = 1, .first = 0x1003, .last = 0x1003},
        {.timeline = 2, .first = 0x1003, .last = 0x1003},
    };
    assert_int_equal(inventory->run_count, ARRAY_SIZE(expected));
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
        assert_int_equal(inventory->runs[i].timeline, expected[i].timeline);
        assert_int_equal(inventory->runs[i].first, expected[i].first);
        assert_int_equal(inventory->runs[i].last, expected[i].last);
        assert_true(inventory->runs[i].stored_bytes > 0);
    }
    assert_int_equal(inventory->history_count, 2);
    assert_true(wal_inventory_has_history(inventory, 2));
    assert_true(wal_inventory_has_history(inventory, 10));
    assert_false(wal_inventory_has_history(inventory, 1));
    assert_int_equal(inventory->timeline_max, 12); /* a .partial shows that it exists */
    assert_true(inventory->newest_at > 0);
}

static void every_segment_is_found_and_no_other(void **state)
{
    CLEANUP(archive_done) Archive archive;
    static const bool present[2][12] = {{0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 0},
                                        {0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0}};

    (void)state;
    archive_init(&archive);
    for (uint32_t timeline = 1; timeline <= 2; timeline++) {
        for (uint64_t segment = 1; segment < 12; segment++) {
            char name[WAL_NAME_SIZE];
            WalName wal = {.kind = WAL_SEGMENT, .timeline = timeline, .segment = segment};

            if (present[timeline - 1][segment])
                put_name(&archive, wal_name_text(&wal, MIB, name));
        }
    }
    archive_look(&archive);
    for (uint32_t timeline = 0; timeline <= 3; timeline++) {
        for (uint64_t segment = 0; segment < 14; segment++) {
            bool is_there =
                timeline >= 1 && timeline <= 2 && segment < 12 && present[timeline - 1][segment];
            bool is_later = false;

            for (uint64_t i = segment; i < 12 && timeline >= 1 && timeline <= 2; i++)
                is_later = is_later || present[timeline - 1][i];
            assert_int_equal(wal_inventory_has(&archive.inventory, timeline, segment), is_there);
            assert_int_equal(wal_inventory_has_later(&archive.inventory, timeline, segment),
                             is_later);
        }
    }
}

static void an_empty_archive_is_no_error(void **state)
{
    CLEANUP(archive_done) Archive archive;

    (void)state;
    archive_init(&archive);
    archive_look(&archive);
    assert_int_equal(archive.inventory.run_count, 0);
    assert_int_equal(archive.inventory.history_count, 0);
    assert_int_equal(archive.inventory.timeline_max, 0);
    assert_int_equal(archive.inventory.newest_at, TIME_US_NONE);
    assert_false(wal_inventory_has(&archive.inventory, 1, 1));
}

static void a_path_is_read_from_its_history(void **state)
{
    CLEANUP(archive_done) Archive archive;
    CLEANUP(arena_done) Arena arena = {0};
    Error err = {0};
    Error corrupt = {0};
    TimelinePath path;

    (void)state;
    archive_init(&archive);
    archive_put_history(&archive, 2, "1\t0/500100\tno recovery target specified\n");
    archive_put_history(&archive, 3, "1\t0/500100");
    archive_put_history(&archive, 4, "nonsense");
    archive_put(&archive, "00000005.history", "1\t0/500100\tx\n\0", 14, NULL);

    path = archive_path(&archive, 1, &arena);
    assert_int_equal(path.count, 1);
    path = archive_path(&archive, 2, &arena);
    assert_int_equal(path.count, 2);
    assert_int_equal(path.steps[0].end, 0x500100);
    assert_false(timeline_path_load(&archive.cluster, 9, &arena, &path, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_false(timeline_path_load(&archive.cluster, 4, &arena, &path, &corrupt));
    assert_int_equal(corrupt.code, ERR_CORRUPT);
    corrupt = (Error){0};
    assert_false(timeline_path_load(&archive.cluster, 5, &arena, &path, &corrupt));
    assert_int_equal(corrupt.code, ERR_CORRUPT);
}

static void a_history_that_was_added_counts_where_the_archive_has_none(void **state)
{
    CLEANUP(archive_done) Archive archive;
    CLEANUP(arena_done) Arena arena = {0};
    TimelinePath path;
    Error err = {0};

    (void)state;
    archive_init(&archive);
    archive_put_history(&archive, 2, "1\t0/500100\tx\n");
    archive_put_history(&archive, 4, "1\t0/500200\tx\n");
    archive_look(&archive);
    wal_inventory_add_history(&archive.inventory, 2, "1\t0/700000\tx\n");
    wal_inventory_add_history(&archive.inventory, 3, "1\t0/500300\tx\n");
    wal_inventory_add_history(&archive.inventory, 5, "1\t0/500400\tx\n");

    const uint32_t timelines[] = {2, 3, 4, 5};
    const Lsn forks[] = {0x500100, 0x500300, 0x500200, 0x500400};
    assert_int_equal(archive.inventory.history_count, ARRAY_SIZE(timelines));
    assert_int_equal(archive.inventory.timeline_max, 5);
    for (size_t i = 0; i < ARRAY_SIZE(timelines); i++) {
        assert_int_equal(archive.inventory.histories[i], timelines[i]);
        assert_true(wal_inventory_path(&archive.inventory, &archive.cluster, timelines[i], &arena,
                                       &path, &err));
        assert_int_equal(path.steps[0].end, forks[i]);
    }
}

/* The object of another history under this name is not this history. */
static void a_history_under_a_wrong_name_is_refused(void **state)
{
    CLEANUP(archive_done) Archive archive;
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(text_freep) char *from = layout_wal("main", "00000002.history");
    CLEANUP(text_freep) char *to = layout_wal("main", "00000003.history");
    CLEANUP(buffer_done) Buffer bytes = {0};
    Error err = {0};
    TimelinePath path;

    (void)state;
    archive_init(&archive);
    archive_put_history(&archive, 2, "1\t0/500100\tx\n");
    assert_true(storage_read(archive.repo.storage, from, MIB, &bytes, &err));
    assert_true(storage_put(archive.repo.storage, to, WRITE_NEW, bytes.data, bytes.size, &err));
    assert_false(timeline_path_load(&archive.cluster, 3, &arena, &path, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

/* No server writes one like that; it must not fill the memory of whoever reads it. */
static void a_history_without_end_is_refused(void **state)
{
    enum { MUCH = 6 * MIB };
    CLEANUP(archive_done) Archive archive;
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(buffer_done) Buffer text = {0};
    TimelinePath path;
    Error err = {0};

    (void)state;
    archive_init(&archive);
    buffer_reserve(&text, MUCH);
    memset(text.data, '#', MUCH);
    text.data[MUCH - 1] = '\n';
    archive_put(&archive, "00000002.history", text.data, MUCH, NULL);
    assert_false(timeline_path_load(&archive.cluster, 2, &arena, &path, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_non_null(strstr(err.message, "far too large"));
}

static void reach_ends_before_the_first_missing_segment_of_the_path(void **state)
{
    /* Path 1 - 2, fork in segment 5. present: of 1 and of 2, bit s is segment s. */
    (void)state;
    for (unsigned present = 0; present < 1U << 9; present++) {
        CLEANUP(arena_done) Arena arena = {0};
        WalInventory inventory = {0};
        TimelinePath path;
        Error err = {0};
        uint64_t reached = 77;
        uint32_t timeline = 77;
        uint64_t expected = 2;

        inventory.runs = arena_alloc(&arena, 20 * sizeof(WalRun));
        for (unsigned s = 1; s <= 9; s++) {
            WalRun *last =
                inventory.run_count > 0 ? &inventory.runs[inventory.run_count - 1] : NULL;
            /* 1 goes on to 6; 2 begins with 5: sorted by timeline, so 1 has 1..4 and 6 here. */
            uint32_t owner = s < 5 ? 1 : 2;

            if ((present & 1U << (s - 1)) == 0)
                continue;
            if (last != NULL && last->timeline == owner && last->last + 1 == s) {
                last->last = s;
            } else {
                inventory.runs[inventory.run_count++] =
                    (WalRun){.timeline = owner, .first = s, .last = s};
            }
        }
        assert_true(timeline_path_parse(2, "1\t0/500100\tx\n", &arena, &path, &err));
        while (expected <= 9 && (present & 1U << (expected - 1)) != 0)
            expected++;
        expected--;
        bool any = wal_inventory_reach(&inventory, &path, 0x200028, MIB, &reached, &timeline);
        assert_int_equal(any, expected >= 2);
        assert_int_equal(reached, any ? expected : 77);
        assert_int_equal(timeline, any ? (expected < 5 ? 1 : 2) : 77);
    }
}

static void the_parents_wal_after_the_fork_is_not_reached(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};
    WalRun runs[] = {{.timeline = 1, .first = 1, .last = 20}};
    WalInventory inventory = {.runs = runs, .run_count = 1};
    TimelinePath path;
    Error err = {0};
    uint64_t reached;
    uint32_t timeline;

    (void)state;
    assert_true(timeline_path_parse(2, "1\t0/500100\tx\n", &arena, &path, &err));
    assert_true(wal_inventory_reach(&inventory, &path, 0x200028, MIB, &reached, &timeline));
    assert_int_equal(reached, 4);
    assert_int_equal(timeline, 1);
}

static void pieces_are_later_wal_and_show_that_their_timeline_exists(void **state)
{
    CLEANUP(archive_done) Archive archive;
    Error err = {0};

    (void)state;
    archive_init(&archive);
    put_name(&archive, "000000010000000000000002");
    assert_true(storage_put(archive.repo.storage,
                            "main/open/000000030000000000000004.00000000-00000010", WRITE_NEW, "x",
                            1, &err));
    archive_look(&archive);

    assert_int_equal(archive.inventory.timeline_max, 3);
    assert_true(wal_inventory_has_later(&archive.inventory, 3, 0));
    assert_true(wal_inventory_has_later(&archive.inventory, 3, 4));
    assert_false(wal_inventory_has_later(&archive.inventory, 3, 5));
    assert_false(wal_inventory_has(&archive.inventory, 3, 4));
}

typedef struct Moving {
    Storage storage;
    Storage *inner;
    Archive *archive;
    unsigned lists;
} Moving;

/* After the first listing the whole segment is there, and its piece is not. */
static bool list_and_move(Storage *storage, const ListRequest *request, ObjectList *list,
                          Error *err)
{
    Moving *moving = (Moving *)storage;
    bool ok = storage_list_part(moving->inner, request, list, err);

    if (moving->lists++ > 0)
        return ok;
    moving->archive->repo.storage = moving->inner;
    put_name(moving->archive, "000000010000000000000005");
    moving->archive->repo.storage = storage;
    return ok && storage_remove(moving->inner,
                                "main/open/000000010000000000000005.00000000-00000010", err);
}

static void a_segment_that_becomes_whole_meanwhile_is_seen(void **state)
{
    static const StorageOps ops = {.kind = "moving", .list = list_and_move};
    CLEANUP(archive_done) Archive archive;
    Error err = {0};

    (void)state;
    archive_init(&archive);
    put_name(&archive, "000000010000000000000004");
    assert_true(storage_put(archive.repo.storage,
                            "main/open/000000010000000000000005.00000000-00000010", WRITE_NEW, "x",
                            1, &err));
    Moving moving = {.storage = {.ops = &ops, .address = (char[]){"moving"}},
                     .inner = archive.repo.storage,
                     .archive = &archive};
    archive.repo.storage = &moving.storage;
    archive_look(&archive);
    archive.repo.storage = moving.inner;
    assert_true(moving.lists >= 2);
    assert_true(wal_inventory_has(&archive.inventory, 1, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listing_becomes_runs_and_histories),
        cmocka_unit_test(every_segment_is_found_and_no_other),
        cmocka_unit_test(an_empty_archive_is_no_error),
        cmocka_unit_test(a_path_is_read_from_its_history),
        cmocka_unit_test(a_history_that_was_added_counts_where_the_archive_has_none),
        cmocka_unit_test(a_history_under_a_wrong_name_is_refused),
        cmocka_unit_test(reach_ends_before_the_first_missing_segment_of_the_path),
        cmocka_unit_test(the_parents_wal_after_the_fork_is_not_reached),
        cmocka_unit_test(a_history_without_end_is_refused),
        cmocka_unit_test(pieces_are_later_wal_and_show_that_their_timeline_exists),
        cmocka_unit_test(a_segment_that_becomes_whole_meanwhile_is_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
