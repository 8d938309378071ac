#include "changed/changed_blocks.h"

#include "../folder.h"
#include "../walk/archive_builder.h"
#include "base/file.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { RELATION = 16384, ASKED = 256 };

typedef struct World {
    Archive archive;
    WalBuilder wal;
    Lsn from, to;
    TimelinePath path;
    Arena arena;
    const char *pg_wal;
    uint64_t read_max;
    size_t memory_max;
    unsigned segments_told; /* of each segment before it is looked at */
    unsigned end_at;        /* ... and it ends there; 0: it does not */
} World;

static void world_done(World *world)
{
    archive_done(&world->archive);
    wal_builder_done(&world->wal);
    arena_done(&world->arena);
}

static Lsn aligned(const World *world)
{
    return lsn_align_up(world->wal.at);
}

/*
 * Four segments, from 2 on; a record about one block lies over each end. Blocks 10 and 11 come
 * before the first place, 90 after the second one.
 */
static void world_init(World *world)
{
    *world = (World){.wal = wal_builder_begin(15, MIB, 2 * MIB, 1)};
    archive_init(&world->archive);
    wal_builder_reference(&world->wal, RELATION, 10, 100);
    world->from = aligned(world);
    for (uint32_t segment = 2; segment < 5; segment++) {
        wal_builder_reference(&world->wal, RELATION, 10 * segment, 100);
        wal_builder_fill_to(&world->wal, (segment + 1) * (Lsn)MIB, 48);
        wal_builder_reference(&world->wal, RELATION, 10 * segment + 1, 5000);
    }
    wal_builder_reference(&world->wal, RELATION + 1, 3, 10);
    world->to = aligned(world);
}

static void world_end(World *world)
{
    wal_builder_reference(&world->wal, RELATION, 90, 100);
    wal_builder_switch(&world->wal);
}

static void archive_it(World *world, bool has_lists)
{
    for (uint64_t segment = 2; segment <= 5; segment++) {
        if (has_lists)
            archive_put_listed(&world->archive, &world->wal, 1, segment);
        else
            archive_put_segment(&world->archive, &world->wal, 1, segment);
    }
}

static bool take_segment(void *context, Error *err)
{
    World *world = context;

    world->segments_told++;
    return world->segments_told != world->end_at || error_set(err, ERR_BUSY, "lost");
}

static ChangedRequest request_of(World *world)
{
    archive_look(&world->archive);
    world->path = archive_path(&world->archive, 1, &world->arena);
    return (ChangedRequest){.cluster = &world->archive.cluster,
                            .inventory = &world->archive.inventory,
                            .path = &world->path,
                            .from = world->from,
                            .to = world->to,
                            .pg_wal = world->pg_wal,
                            .threads = 1,
                            .read_max = world->read_max,
                            .memory_max = world->memory_max,
                            .on_segment = take_segment,
                            .context = world};
}

static ChangedBlocks *ask(World *world)
{
    const ChangedRequest request = request_of(world);
    ChangedBlocks *changed = NULL;
    Error err = {0};

    assert_true(changed_blocks_load(&request, &changed, &err));
    return changed;
}

static void assert_named(const ChangedBlocks *changed, uint32_t relation, const char *expected)
{
    const RelationFile file = {.tablespace = 1663, .database = 5, .number = relation};
    CLEANUP(buffer_done) Buffer text = {0};
    uint64_t words[ASKED / 64];

    assert_null(changed_blocks_why_not(changed));
    buffer_append(&text, "", 0);
    const ChangedAnswer answer = changed_blocks_of(changed, &file, FORK_MAIN, 0, ASKED, words);
    for (uint32_t block = 0; block < ASKED; block++) {
        if ((words[block / 64] >> block % 64 & 1) != 0)
            buffer_print(&text, "%u ", block);
    }
    buffer_append(&text, "", 1);
    assert_string_equal((const char *)text.data, expected);
    assert_int_equal(answer, *expected == '\0' ? CHANGED_NONE : CHANGED_SOME);
}

/* Whole or not: the segments that the places are in count as a whole, which names more. */
static void lists_and_wal_name_the_same(void **state)
{
    (void)state;
    for (int has_lists = 0; has_lists <= 1; has_lists++) {
        CLEANUP(world_done) World world;

        world_init(&world);
        world_end(&world);
        archive_it(&world, has_lists == 1);
        CLEANUP(changed_blocks_freep) ChangedBlocks *changed = ask(&world);
        assert_named(changed, RELATION, "10 20 21 30 31 40 41 90 ");
        assert_named(changed, RELATION + 1, "3 ");
        assert_named(changed, RELATION + 2, "");
        assert_int_equal(changed_blocks_cost(changed).segments, 4);
        assert_int_equal(changed_blocks_cost(changed).read, has_lists == 1 ? 0 : 4);
    }
}

static void a_damaged_list_costs_reading_the_wal(void **state)
{
    CLEANUP(world_done) World world;

    (void)state;
    world_init(&world);
    world_end(&world);
    archive_it(&world, true);
    archive_damage_list(&world.archive, 1, 3);
    CLEANUP(changed_blocks_freep) ChangedBlocks *changed = ask(&world);
    assert_named(changed, RELATION, "10 20 21 30 31 40 41 90 ");
    assert_int_equal(changed_blocks_cost(changed).read, 1);
}

static void more_is_not_read_than_was_asked_for(void **state)
{
    (void)state;
    for (uint64_t most = 1; most <= 4; most++) {
        CLEANUP(world_done) World world;

        world_init(&world);
        world_end(&world);
        archive_it(&world, false);
        world.read_max = most;
        CLEANUP(changed_blocks_freep) ChangedBlocks *changed = ask(&world);
        assert_int_equal(changed_blocks_why_not(changed) == NULL, most == 4);
        assert_int_equal(world.segments_told, most < 4 ? most + 1 : 4);
    }
}

static void whoever_is_told_of_each_segment_can_end_it(void **state)
{
    CLEANUP(world_done) World world;
    ChangedBlocks *changed = NULL;
    Error err = {0};

    (void)state;
    world_init(&world);
    world_end(&world);
    archive_it(&world, true);
    world.end_at = 3;
    const ChangedRequest request = request_of(&world);
    assert_false(changed_blocks_load(&request, &changed, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_int_equal(world.segments_told, 3);
}

static void other_forks_are_never_known(void **state)
{
    static const ForkKind forks[] = {FORK_FSM, FORK_VM, FORK_INIT};
    const RelationFile file = {.tablespace = 1663, .database = 5, .number = RELATION};
    CLEANUP(world_done) World world;
    uint64_t words[ASKED / 64];

    (void)state;
    world_init(&world);
    world_end(&world);
    archive_it(&world, true);
    CLEANUP(changed_blocks_freep) ChangedBlocks *changed = ask(&world);
    for (size_t i = 0; i < ARRAY_SIZE(forks); i++) {
        assert_int_equal(changed_blocks_of(changed, &file, forks[i], 0, ASKED, words),
                         CHANGED_UNKNOWN);
        assert_true(words[0] == UINT64_MAX && words[ASKED / 64 - 1] == UINT64_MAX);
    }
}

static void assert_not_known(World *world, const char *why)
{
    CLEANUP(changed_blocks_freep) ChangedBlocks *changed = ask(world);
    const RelationFile file = {.tablespace = 1663, .database = 5, .number = RELATION};
    uint64_t words[1] = {0};

    assert_non_null(changed_blocks_why_not(changed));
    if (strstr(changed_blocks_why_not(changed), why) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", why, changed_blocks_why_not(changed));
    assert_int_equal(changed_blocks_of(changed, &file, FORK_MAIN, 0, 64, words), CHANGED_UNKNOWN);
    assert_true(words[0] == UINT64_MAX);
}

/* What was forgotten for want of room would be taken for unchanged. */
static void more_files_than_memory_holds_leave_nothing_known(void **state)
{
    CLEANUP(world_done) World world;

    (void)state;
    world_init(&world);
    for (uint32_t n = 0; n < 6000; n++)
        wal_builder_reference(&world.wal, 2 * RELATION + n, 7, 1);
    world.to = aligned(&world);
    world_end(&world);
    archive_it(&world, true);
    world.memory_max = 64 << 10;
    assert_not_known(&world, "than can be kept in memory");
    world.memory_max = 64 << 20;
    CLEANUP(changed_blocks_freep) ChangedBlocks *changed = ask(&world);
    assert_named(changed, 2 * RELATION + 5999, "7 ");
}

static void a_hole_leaves_nothing_known(void **state)
{
    (void)state;
    for (uint64_t segment = 2; segment <= 5; segment++) {
        CLEANUP(world_done) World world;

        world_init(&world);
        world_end(&world);
        archive_it(&world, true);
        archive_remove(&world.archive, 1, segment);
        assert_not_known(&world, "can't be read");
    }
}

/* What the archive does not have the server may still have: as far as it has written it. */
static void the_servers_files_fill_what_is_not_archived(void **state)
{
    (void)state;
    for (uint64_t segment = 2; segment <= 5; segment++) {
        CLEANUP(world_done) World world;
        char name[WAL_NAME_SIZE];
        Error err = {0};

        world_init(&world);
        if (segment < 5)
            world_end(&world);
        wal_builder_pad(&world.wal); /* a segment that is being written has zeros at its end */
        archive_it(&world, true);
        archive_remove(&world.archive, 1, segment);
        wal_name_text(&(WalName){.kind = WAL_SEGMENT, .timeline = 1, .segment = segment}, MIB,
                      name);
        CLEANUP(text_freep) char *path = text_format("%s/%s", folder_path(), name);
        CLEANUP(file_writer_done) FileWriter file = FILE_WRITER_CLOSED;
        assert_true(file_writer_open(&file, path, 0600, &err) &&
                    file_writer_write(&file, wal_builder_segment(&world.wal, segment), MIB, &err) &&
                    file_writer_commit(&file, &err));
        world.pg_wal = folder_path();
        CLEANUP(changed_blocks_freep) ChangedBlocks *changed = ask(&world);
        assert_named(changed, RELATION,
                     segment < 5 ? "10 20 21 30 31 40 41 90 " : "10 20 21 30 31 40 41 ");
        assert_int_equal(changed_blocks_cost(changed).read, 1);
        world.to += MIB / 2; /* further than it goes */
        if (segment == 5)
            assert_not_known(&world, "ends at");
    }
}

static void wal_of_another_history_is_not_believed(void **state)
{
    CLEANUP(world_done) World world;
    CLEANUP(wal_builder_done) WalBuilder other = wal_builder_begin(15, MIB, 4 * MIB, 1);

    (void)state;
    world_init(&world);
    world_end(&world);
    archive_it(&world, true);
    wal_builder_reference(&other, RELATION, 1, 10);
    wal_builder_switch(&other);
    archive_remove(&world.archive, 1, 4);
    archive_put_listed(&world.archive, &other, 1, 4);
    assert_not_known(&world, "does not go on");
}

static void what_wal_does_not_tell_is_not_known(void **state)
{
    uint8_t minimal[28] = {100, 0, 0, 0};
    const struct {
        uint8_t rmgr, info;
        const uint8_t *data;
        size_t size;
        const char *why;
    } cases[] = {{RMGR_XLOG, 0x60, minimal, sizeof minimal, "wal_level was minimal"},
                 {200, 0x01, minimal, 8, "is not known"},
                 {128, 0x00, minimal, 8, "is not known"},
                 {RMGR_STORAGE, 0x31, minimal, 20, "is not known"}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (int has_lists = 0; has_lists <= 1; has_lists++) {
            CLEANUP(world_done) World world;

            world_init(&world);
            wal_builder_record(&world.wal, cases[i].rmgr, cases[i].info, 0, cases[i].data,
                               cases[i].size);
            world.to = aligned(&world);
            world_end(&world);
            archive_it(&world, has_lists == 1);
            assert_not_known(&world, cases[i].why);
        }
    }
}

static void files_made_anew_are_named_whole(void **state)
{
    uint8_t create[16] = {0};
    uint8_t truncate[20] = {0};
    const RelationFile created = {.tablespace = 1663, .database = 5, .number = 500};
    CLEANUP(world_done) World world;
    uint64_t words[ASKED / 64];

    (void)state;
    world_init(&world);
    put_le32(create, 1663);
    put_le32(create + 4, 5);
    put_le32(create + 8, 500);
    wal_builder_record(&world.wal, RMGR_STORAGE, 0x11, 0, create, sizeof create);
    put_le32(truncate, 250);
    put_le32(truncate + 4, 1663);
    put_le32(truncate + 8, 5);
    put_le32(truncate + 12, RELATION + 7);
    put_le32(truncate + 16, 7);
    wal_builder_record(&world.wal, RMGR_STORAGE, 0x21, 0, truncate, sizeof truncate);
    world.to = aligned(&world);
    world_end(&world);
    archive_it(&world, true);
    CLEANUP(changed_blocks_freep) ChangedBlocks *changed = ask(&world);
    assert_int_equal(changed_blocks_of(changed, &created, FORK_MAIN, 0, ASKED, words), CHANGED_ALL);
    assert_named(changed, RELATION + 7, "250 251 252 253 254 255 ");
}

/* The child's first segment has a copy of its parent's WAL, and is the one that counts. */
static void a_path_over_a_fork_takes_each_timelines_own(void **state)
{
    CLEANUP(world_done) World world;
    CLEANUP(arena_done) Arena arena = {0};

    (void)state;
    world_init(&world);
    const Lsn fork = world.wal.at;
    CLEANUP(wal_builder_done)
    WalBuilder child = wal_builder_fork(&world.wal, fork, world.wal.prev, 2);
    CLEANUP(text_freep) char *history = NULL;
    char text[LSN_TEXT_SIZE];

    wal_builder_reference(&child, RELATION, 77, 10);
    const Lsn to = lsn_align_up(child.at);
    wal_builder_switch(&child);
    world_end(&world);
    archive_it(&world, true);
    archive_put_listed(&world.archive, &child, 2, 5);
    history = text_format("1\t%s\tno recovery target specified\n", lsn_text(fork, text));
    archive_put_history(&world.archive, 2, history);
    archive_look(&world.archive);
    const TimelinePath path = archive_path(&world.archive, 2, &arena);
    const ChangedRequest request = {.cluster = &world.archive.cluster,
                                    .inventory = &world.archive.inventory,
                                    .path = &path,
                                    .from = world.from,
                                    .to = to,
                                    .threads = 1};
    CLEANUP(changed_blocks_freep) ChangedBlocks *changed = NULL;
    Error err = {0};
    assert_true(changed_blocks_load(&request, &changed, &err));
    assert_named(changed, RELATION, "10 20 21 30 31 40 41 77 ");
}

static void nothing_changed_between_a_place_and_itself(void **state)
{
    CLEANUP(world_done) World world;

    (void)state;
    world_init(&world);
    world_end(&world);
    archive_it(&world, true);
    world.to = world.from;
    CLEANUP(changed_blocks_freep) ChangedBlocks *changed = ask(&world);
    assert_named(changed, RELATION, "");
    world.from += 8;
    assert_not_known(&world, "comes after");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_and_wal_name_the_same),
        cmocka_unit_test(a_damaged_list_costs_reading_the_wal),
        cmocka_unit_test(more_is_not_read_than_was_asked_for),
        cmocka_unit_test(whoever_is_told_of_each_segment_can_end_it),
        cmocka_unit_test(other_forks_are_never_known),
        cmocka_unit_test(more_files_than_memory_holds_leave_nothing_known),
        cmocka_unit_test(a_hole_leaves_nothing_known),
        cmocka_unit_test_setup_teardown(the_servers_files_fill_what_is_not_archived, enter_folder,
                                        leave_folder),
        cmocka_unit_test(wal_of_another_history_is_not_believed),
        cmocka_unit_test(what_wal_does_not_tell_is_not_known),
        cmocka_unit_test(files_made_anew_are_named_whole),
        cmocka_unit_test(a_path_over_a_fork_takes_each_timelines_own),
        cmocka_unit_test(nothing_changed_between_a_place_and_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
