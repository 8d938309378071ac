#include "walk/absence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MIB = 1 << 20 };

/* Timeline 2 forks in segment 5, timeline 4 in segment 9, of 1 MiB. */
static const char history_of_4[] = "1\t0/500100\tx\n2\t0/900100\ty\n";

/* "1:1-8 2:5-7 h2": segments by timeline, histories. Sorted, as a listing gives them. */
static WalInventory inventory_of(const char *text)
{
    WalInventory inventory = {0};
    const char *at = text;

    inventory.runs = arena_alloc(&inventory.arena, 20 * sizeof(WalRun));
    inventory.histories = arena_alloc(&inventory.arena, 20 * sizeof(uint32_t));
    while (*at != '\0') {
        bool is_history = *at == 'h';
        char *end;
        WalRun run = {.timeline = (uint32_t)strtoul(at + is_history, &end, 10)};

        if (is_history) {
            inventory.histories[inventory.history_count++] = run.timeline;
        } else {
            assert_int_equal(*end, ':');
            run.first = strtoul(end + 1, &end, 10);
            run.last = *end == '-' ? strtoul(end + 1, &end, 10) : run.first;
            inventory.runs[inventory.run_count++] = run;
        }
        if (run.timeline > inventory.timeline_max)
            inventory.timeline_max = run.timeline;
        at = *end == ' ' ? end + 1 : end;
    }
    return inventory;
}

typedef struct Case {
    const char *archive;
    uint32_t path; /* 1, 2 or 4 */
    uint32_t timeline;
    uint64_t segment;
    uint64_t bound;
    Absence expected;
} Case;

/* clang-format off */
static const Case cases[] = {
    /* Timeline 1 alone: the archive's end, a hole, what the target does not need. */
    {"1:1-8", 1, 1, 9, 0, ABSENCE_PROVEN},
    {"1:1-8", 1, 1, 10, 0, ABSENCE_PROVEN},
    {"1:1-8", 1, 1, 1000, 0, ABSENCE_PROVEN},
    {"", 1, 1, 1, 0, ABSENCE_PROVEN},
    {"1:2-8", 1, 1, 1, 0, ABSENCE_HOLE},
    {"1:1-3 1:5-8", 1, 1, 4, 0, ABSENCE_HOLE},
    {"1:1-3 1:6", 1, 1, 4, 0, ABSENCE_HOLE},
    {"1:1-3 1:6", 1, 1, 5, 0, ABSENCE_HOLE},
    {"1:1-3 1:6", 1, 1, 7, 0, ABSENCE_PROVEN},
    {"1:1-3 1:5-8", 1, 1, 4, 4, ABSENCE_HOLE},   /* needed */
    {"1:1-3 1:5-8", 1, 1, 4, 5, ABSENCE_HOLE},
    {"1:1-3 1:5-8", 1, 1, 4, 3, ABSENCE_PROVEN}, /* after what the target needs */
    {"1:1-3 1:5-8", 1, 1, 4, 1, ABSENCE_PROVEN},

    /* A timeline that is not on the path, known by its WAL alone. */
    {"1:1-8 3:5-6", 1, 3, 9, 0, ABSENCE_FORK},
    {"1:1-8 3:5-6", 1, 3, 4, 0, ABSENCE_HOLE},

    /* Timeline 1 when a child exists that this recovery does not follow. */
    {"1:1-8 2:5-9 h2", 1, 1, 9, 0, ABSENCE_PROVEN},

    /* The path goes on to 2: every segment before the fork was there once. */
    {"1:1-4 2:5-7 h2", 2, 1, 4, 0, ABSENCE_HOLE},
    {"1:1-3 2:5-7 h2", 2, 1, 4, 0, ABSENCE_HOLE},
    {"1:1-2 1:4 2:5-7 h2", 2, 1, 3, 0, ABSENCE_HOLE},
    {"1:1-2 1:5-9 h2", 2, 1, 3, 0, ABSENCE_HOLE},
    {"1:1-2 h2", 2, 1, 3, 0, ABSENCE_HOLE},      /* nothing later is there, yet it was */
    {"1:1-2 h2", 2, 1, 4, 0, ABSENCE_HOLE},
    {"1:1-2 2:5-7 h2", 2, 1, 3, 2, ABSENCE_PROVEN}, /* not needed */
    {"1:1-2 2:5-7 h2", 2, 1, 4, 3, ABSENCE_PROVEN},

    /* The segment of the fork. */
    {"1:1-4 2:6-7 h2", 2, 2, 5, 0, ABSENCE_FORK},
    {"1:1-5 2:6-7 h2", 2, 2, 5, 0, ABSENCE_FORK},
    {"1:1-9 2:6-7 h2", 2, 2, 5, 0, ABSENCE_FORK},
    {"1:1-9 h2", 2, 2, 5, 0, ABSENCE_FORK},
    {"1:1-4 h2", 2, 2, 5, 0, ABSENCE_FORK},
    {"1:1-9 h2", 2, 2, 5, 5, ABSENCE_FORK},      /* needed */
    {"1:1-9 h2", 2, 2, 5, 4, ABSENCE_PROVEN},
    {"1:1-4 2:5-7 h2", 2, 1, 5, 0, ABSENCE_PROVEN}, /* the child's copy was asked for first */
    {"1:1-4 2:6-7 h2", 2, 1, 5, 0, ABSENCE_FORK},
    {"1:1-4 h2", 2, 1, 5, 0, ABSENCE_FORK},

    /* Behind the fork. */
    {"1:1-4 2:5-7 h2", 2, 2, 8, 0, ABSENCE_PROVEN},
    {"1:1-4 2:5-7 h2", 2, 2, 9, 0, ABSENCE_PROVEN},
    {"1:1-9 2:5-7 h2", 2, 2, 8, 0, ABSENCE_PROVEN}, /* the parent's later WAL is another branch */
    {"1:1-4 2:5-7 2:9 h2", 2, 2, 8, 0, ABSENCE_HOLE},
    {"1:1-4 2:5-7 2:90 h2", 2, 2, 8, 0, ABSENCE_HOLE},
    {"1:1-4 2:5-7 2:9 h2", 2, 2, 8, 7, ABSENCE_PROVEN},
    {"1:1-9 h2", 2, 2, 6, 0, ABSENCE_FORK},      /* nothing of the timeline at all */
    {"1:1-9 h2", 2, 2, 60, 0, ABSENCE_FORK},
    {"1:1-4 2:5 h2", 2, 2, 6, 0, ABSENCE_PROVEN},
    {"1:1-9 2:5-7 h2", 2, 1, 6, 0, ABSENCE_PROVEN}, /* after the switch: not the path's */
    {"1:1-5 2:5-7 h2", 2, 1, 8, 0, ABSENCE_PROVEN},
    {"1:1-4 2:5-7 h2", 2, 2, 4, 0, ABSENCE_PROVEN}, /* before 2 begins: 1 has it */
    {"1:1-3 2:5-7 h2", 2, 2, 4, 0, ABSENCE_PROVEN},

    /* The path 1 - 2 - 4: 2 is left in segment 9. */
    {"1:1-4 2:5-8 4:9-12 h2 h4", 4, 4, 13, 0, ABSENCE_PROVEN},
    {"1:1-4 2:5-8 4:10-12 h2 h4", 4, 4, 9, 0, ABSENCE_FORK},
    {"1:1-4 2:5-9 4:10-12 h2 h4", 4, 2, 9, 0, ABSENCE_FORK},
    {"1:1-4 2:5-8 4:9-12 h2 h4", 4, 2, 9, 0, ABSENCE_PROVEN},
    {"1:1-4 2:5-8 4:9-12 h2 h4", 4, 2, 10, 0, ABSENCE_PROVEN},
    {"1:1-4 2:5-7 4:9-12 h2 h4", 4, 2, 8, 0, ABSENCE_HOLE},
    {"1:1-4 2:5-7 h2 h4", 4, 2, 8, 0, ABSENCE_HOLE},
    {"1:1-4 2:5-7 2:10-20 h2 h4", 4, 2, 8, 0, ABSENCE_HOLE},
    {"1:1-4 2:6-8 4:9-12 h2 h4", 4, 2, 5, 0, ABSENCE_FORK},
    {"1:1-5 2:6-8 4:9-12 h2 h4", 4, 1, 5, 0, ABSENCE_FORK},
    {"1:1-3 4:9-12 h2 h4", 4, 1, 4, 0, ABSENCE_HOLE},
    {"1:1-4 4:9-12 h2 h4", 4, 2, 6, 0, ABSENCE_FORK},
    {"1:1-4 2:5-8 h2 h4", 4, 4, 9, 0, ABSENCE_FORK},
    {"1:1-4 2:5-8 h2 h4", 4, 4, 11, 0, ABSENCE_FORK},
    {"1:1-4 2:5-20 h2 h4", 4, 4, 9, 0, ABSENCE_FORK},

    /* Timelines that are not on the path. */
    {"1:1-8", 1, 2, 6, 0, ABSENCE_PROVEN},       /* nobody ever heard of it */
    {"1:1-8 h2", 1, 2, 6, 0, ABSENCE_FORK},
    {"1:1-8 2:5 h2", 1, 2, 6, 0, ABSENCE_FORK},
    {"1:1-8 2:7 h2", 1, 2, 6, 0, ABSENCE_HOLE},
    {"1:1-8 3:7 h3", 4, 3, 6, 0, ABSENCE_HOLE},
    {"1:1-8 3:5 h3", 4, 3, 6, 0, ABSENCE_FORK},
    {"1:1-8", 4, 3, 6, 0, ABSENCE_PROVEN},
    {"1:1-8 3:7 h3", 4, 3, 6, 5, ABSENCE_PROVEN}, /* not needed */
};
/* clang-format on */

static TimelinePath path_to(uint32_t timeline, Arena *arena)
{
    TimelinePath path;
    Error err = {0};
    const char *history =
        timeline == 1   ? NULL
        : timeline == 2 ? arena_text_part(arena, history_of_4, strcspn(history_of_4, "\n") + 1)
                        : history_of_4;

    assert_true(timeline_path_parse(timeline, history, arena, &path, &err));
    return path;
}

static void absence_of_a_segment_is_judged_by_the_path(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const Case *c = &cases[i];
        CLEANUP(arena_done) Arena arena = {0};
        CLEANUP(wal_inventory_done) WalInventory inventory = inventory_of(c->archive);
        TimelinePath path = path_to(c->path, &arena);
        WalName name = {.kind = WAL_SEGMENT, .timeline = c->timeline, .segment = c->segment};
        Absence absence = absence_of_segment(&inventory, &path, &name, MIB, c->bound);

        if (absence != c->expected) {
            print_message("case %zu: \"%s\", path to %u, %u:%lu, bound %lu\n", i, c->archive,
                          c->path, c->timeline, c->segment, c->bound);
        }
        assert_int_equal(absence, c->expected);
    }
}

/*
 * The law itself, for every archive that lacks some of segments 1..10 on the path 1 - 2 (fork in
 * 5): walking as the server does, recovery ends quietly only where nothing of the path was left
 * out.
 */
static void recovery_ends_quietly_only_at_the_end_of_the_path(void **state)
{
    (void)state;
    for (unsigned present = 0; present < 1U << 10; present++) {
        CLEANUP(arena_done) Arena arena = {0};
        WalInventory inventory = {.timeline_max = 2, .history_count = 1};
        TimelinePath path = path_to(2, &arena);
        uint64_t segment = 1;
        unsigned highest = 0;

        inventory.runs = arena_alloc(&arena, 20 * sizeof(WalRun));
        inventory.histories = arena_alloc(&arena, sizeof(uint32_t));
        inventory.histories[0] = 2;
        for (unsigned s = 1; s <= 10; s++) {
            if ((present & 1U << (s - 1)) == 0)
                continue;
            inventory.runs[inventory.run_count++] =
                (WalRun){.timeline = s < 5 ? 1 : 2, .first = s, .last = s};
            highest = s;
        }
        while (
            wal_inventory_has(&inventory, path_timeline_of_segment(&path, segment, MIB), segment))
            segment++;

        WalName name = {.kind = WAL_SEGMENT,
                        .timeline = path_timeline_of_segment(&path, segment, MIB),
                        .segment = segment};
        bool is_end = segment > highest && segment > 5;
        assert_int_equal(absence_of_segment(&inventory, &path, &name, MIB, 0) == ABSENCE_PROVEN,
                         is_end);
    }
}

static void a_fork_at_a_segment_boundary_begins_with_the_next_segment(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(wal_inventory_done) WalInventory inventory = inventory_of("1:1-3 2:6 h2");
    WalName name = {.kind = WAL_SEGMENT, .timeline = 1, .segment = 4};
    TimelinePath path;
    Error err = {0};

    (void)state;
    assert_true(timeline_path_parse(2, "1\t0/500000\tx\n", &arena, &path, &err));
    assert_int_equal(absence_of_segment(&inventory, &path, &name, MIB, 0), ABSENCE_HOLE);
    assert_true(segment_belongs_to_path(&path, &name, MIB));
    name.segment = 5;
    assert_int_equal(absence_of_segment(&inventory, &path, &name, MIB, 0), ABSENCE_PROVEN);
    assert_false(segment_belongs_to_path(&path, &name, MIB));
    name.timeline = 2;
    assert_int_equal(absence_of_segment(&inventory, &path, &name, MIB, 0), ABSENCE_FORK);
    assert_true(segment_belongs_to_path(&path, &name, MIB));
}

/* 4 was recovered to a point before 3 began, with timeline 3 as its target. */
static void a_timeline_that_the_path_skips_has_no_business_there(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(wal_inventory_done)
    WalInventory inventory = inventory_of("1:1-20 3:15-20 4:14 h3 h4");
    TimelinePath path;
    Error err = {0};

    (void)state;
    assert_true(timeline_path_parse(4, "1\t0/F00100\tx\n3\t0/E5ED20\ty\n", &arena, &path, &err));
    for (uint64_t segment = 15; segment < 25; segment++) {
        WalName name = {.kind = WAL_SEGMENT, .timeline = 3, .segment = segment};

        assert_false(segment_belongs_to_path(&path, &name, MIB));
        name.timeline = 4;
        assert_true(segment_belongs_to_path(&path, &name, MIB));
        assert_int_equal(absence_of_segment(&inventory, &path, &name, MIB, 0), ABSENCE_PROVEN);
    }
}

static void other_files_hold_up_nothing(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(wal_inventory_done) WalInventory inventory = inventory_of("1:1-3 1:5-8 h2");
    TimelinePath path = path_to(1, &arena);
    WalName name = {.kind = WAL_PARTIAL, .timeline = 1, .segment = 4};

    (void)state;
    assert_int_equal(absence_of_segment(&inventory, &path, &name, MIB, 0), ABSENCE_PROVEN);
    name.kind = WAL_BACKUP_HISTORY;
    assert_int_equal(absence_of_segment(&inventory, &path, &name, MIB, 0), ABSENCE_PROVEN);
    name = (WalName){.kind = WAL_HISTORY, .timeline = 2};
    assert_int_equal(absence_of_segment(&inventory, &path, &name, MIB, 0), ABSENCE_HISTORY);
}

static void a_history_is_absent_only_if_nothing_that_high_is_known(void **state)
{
    static const struct {
        const char *archive;
        uint32_t timeline;
        Absence expected;
    } histories[] = {
        {"", 1, ABSENCE_PROVEN},           {"", 2, ABSENCE_PROVEN},
        {"1:1-8", 1, ABSENCE_PROVEN},      {"1:1-8", 2, ABSENCE_PROVEN},
        {"1:1-8 h2", 1, ABSENCE_PROVEN},   {"1:1-8 h2", 3, ABSENCE_PROVEN},
        {"1:1-8 h3", 2, ABSENCE_HISTORY},  {"1:1-8 2:5", 2, ABSENCE_HISTORY},
        {"1:1-8 4:9", 2, ABSENCE_HISTORY}, {"1:1-8 4:9", 3, ABSENCE_HISTORY},
        {"1:1-8 4:9", 4, ABSENCE_HISTORY}, {"1:1-8 4:9", 5, ABSENCE_PROVEN},
        {"7:1-8", 1, ABSENCE_PROVEN},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(histories); i++) {
        CLEANUP(wal_inventory_done) WalInventory inventory = inventory_of(histories[i].archive);

        assert_int_equal(absence_of_history(&inventory, histories[i].timeline),
                         histories[i].expected);
    }
}

static void a_segment_belongs_to_the_path_up_to_where_it_leaves_its_timeline(void **state)
{
    static const struct {
        uint32_t path, timeline;
        uint64_t segment;
        bool belongs;
    } segments[] = {
        {1, 1, 1, true},  {1, 1, 100, true}, {1, 2, 6, false}, {2, 1, 4, true},
        {2, 1, 5, true},  {2, 1, 6, false},  {2, 2, 5, true},  {2, 2, 100, true},
        {2, 3, 5, false}, {4, 2, 8, true},   {4, 2, 9, true},  {4, 2, 10, false},
        {4, 1, 6, false}, {4, 4, 9, true},   {4, 3, 9, false}, {4, 5, 9, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(segments); i++) {
        CLEANUP(arena_done) Arena arena = {0};
        TimelinePath path = path_to(segments[i].path, &arena);
        WalName name = {
            .kind = WAL_SEGMENT, .timeline = segments[i].timeline, .segment = segments[i].segment};

        assert_int_equal(segment_belongs_to_path(&path, &name, MIB), segments[i].belongs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absence_of_a_segment_is_judged_by_the_path),
        cmocka_unit_test(recovery_ends_quietly_only_at_the_end_of_the_path),
        cmocka_unit_test(a_fork_at_a_segment_boundary_begins_with_the_next_segment),
        cmocka_unit_test(a_timeline_that_the_path_skips_has_no_business_there),
        cmocka_unit_test(other_files_hold_up_nothing),
        cmocka_unit_test(a_history_is_absent_only_if_nothing_that_high_is_known),
        cmocka_unit_test(a_segment_belongs_to_the_path_up_to_where_it_leaves_its_timeline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
