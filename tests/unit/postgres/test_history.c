#include "postgres/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MIB = 1 << 20 };

static TimelinePath path_of(uint32_t timeline, const char *history, Arena *arena)
{
    Error err = {0};
    TimelinePath path = {0};

    assert_true(timeline_path_parse(timeline, history, arena, &path, &err));
    return path;
}

static void assert_step(const TimelinePath *path, size_t i, uint32_t timeline, Lsn begin, Lsn end)
{
    assert_in_range(i, 0, path->count - 1);
    assert_int_equal(path->steps[i].timeline, timeline);
    assert_int_equal(path->steps[i].begin, begin);
    assert_int_equal(path->steps[i].end, end);
}

static void a_timeline_is_written_in_decimal_and_without_leading_zeros(void **state)
{
    static const struct {
        const char *text;
        uint32_t timeline; /* 0: refused */
        const char *hint;
    } cases[] = {
        {"1", 1, ""},
        {"4294967295", UINT32_MAX, ""},
        {"4294967296", 0, "write its number in decimal"},
        {"0", 0, ""},
        {"", 0, "write its number in decimal"},
        {"0x11", 0, "write its number in decimal"},
        {"-1", 0, "write its number in decimal"},
        {"1 ", 0, "write its number in decimal"},
        {"00000011", 0, "write it in decimal: 11, or 17 for files named 00000011..."},
        {"011", 0, "write it in decimal: 11, or 17 for files named 00000011..."},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Error err = {0};
        uint32_t timeline = 0;

        assert_int_equal(timeline_parse(cases[i].text, &timeline, &err), cases[i].timeline != 0);
        assert_int_equal(timeline, cases[i].timeline);
        assert_int_equal(err.code, cases[i].timeline != 0 ? ERR_NONE : ERR_USAGE);
        assert_memory_equal(err.hint, cases[i].hint, strlen(cases[i].hint));
    }
}

static void without_history_there_is_one_step(void **state)
{
    static const char *const texts[] = {NULL, "", "\n", "# nothing\n", "  \t\n\n"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        CLEANUP(arena_done) Arena arena = {0};
        TimelinePath path = path_of(1, texts[i], &arena);

        assert_int_equal(path.count, 1);
        assert_step(&path, 0, 1, 0, 0);
    }
}

static void each_timeline_owns_the_wal_between_two_switches(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};

    (void)state;
    TimelinePath path = path_of(5,
                                "1\t0/F000100\tno recovery target specified\n"
                                "\n"
                                "# a comment\n"
                                "3\t1/2000028\tbefore 2026-11-22 06:17:40.123456+00",
                                &arena);

    assert_int_equal(path.count, 3);
    assert_step(&path, 0, 1, 0, 0xF000100);
    assert_step(&path, 1, 3, 0xF000100, 0x102000028);
    assert_step(&path, 2, 5, 0x102000028, 0);
    assert_int_equal(path_last_timeline(&path), 5);
    assert_int_equal(path_step_at(&path, 0xF0000FF)->timeline, 1);
    assert_int_equal(path_step_at(&path, 0xF000100)->timeline, 3);
    assert_int_equal(path_step_at(&path, 0x102000027)->timeline, 3);
    assert_int_equal(path_step_at(&path, 0x102000028)->timeline, 5);
    assert_int_equal(path_step_at(&path, UINT64_MAX)->timeline, 5);
    assert_null(path_step_of(&path, 2));
    assert_null(path_step_of(&path, 4));
    assert_int_equal(path_step_of(&path, 3)->begin, 0xF000100);
}

/* As a recovery with target timeline 3 to a point before 3 began leaves it behind. */
static void a_later_switch_clips_the_earlier_ones(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};

    (void)state;
    TimelinePath path = path_of(4, "1\t0/F000100\tx\n3\t0/E05ED20\ty\n", &arena);

    assert_int_equal(path.count, 3);
    assert_step(&path, 0, 1, 0, 0xE05ED20);
    assert_step(&path, 1, 3, 0xE05ED20, 0xE05ED20);
    assert_step(&path, 2, 4, 0xE05ED20, 0);
    for (Lsn lsn = 0xE05ED18; lsn < 0xF000200; lsn += 8)
        assert_int_equal(path_step_at(&path, lsn)->timeline, lsn < 0xE05ED20 ? 1 : 4);
    for (uint64_t segment = 1; segment < 0x20; segment++) {
        assert_int_equal(path_timeline_of_segment(&path, segment, 16 * MIB),
                         segment < 0x0E ? 1 : 4);
    }
}

static void the_newest_timeline_that_begins_in_a_segment_has_it(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};

    (void)state;
    /* 2 and 3 both begin in segment 4; 4 begins exactly with segment 6. */
    TimelinePath path = path_of(4, "1 0/4000100 x\n2 0/4800000 y\n3 0/6000000 z\n", &arena);

    static const uint32_t expected[] = {1, 1, 1, 1, 3, 3, 4, 4};
    for (uint64_t segment = 0; segment < ARRAY_SIZE(expected); segment++)
        assert_int_equal(path_timeline_of_segment(&path, segment, 16 * MIB), expected[segment]);
}

/* What is before the last fork: whose it is, and how many steps lead there. */
static void a_timeline_that_was_left_where_it_began_is_nobodys_parent(void **state)
{
    static const struct {
        const char *history;
        uint32_t parent;
        size_t count;
    } cases[] = {
        {"1\t0/400100\tx\n", 1, 1},
        {"1\t0/400100\tx\n2\t0/400180\tx\n", 2, 2},
        {"1\t0/400100\tx\n2\t0/400100\tx\n", 1, 1},
        {"1\t0/400100\tx\n2\t0/400100\tx\n3\t0/400100\tx\n", 1, 1},
        {"1\t0/400100\tx\n2\t0/500000\tx\n3\t0/500000\tx\n", 2, 2},
        {"1\t0/400100\tx\n2\t0/400100\tx\n3\t0/500000\tx\n", 3, 3},
        {"1\t0/500000\tx\n2\t0/400100\tx\n", 1, 1}, /* it went back */
        {"1\t0/500000\tx\n2\t0/400100\tx\n3\t0/400100\tx\n", 1, 1},
    };
    CLEANUP(arena_done) Arena arena = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const TimelinePath path = path_of(9, cases[i].history, &arena);
        const TimelinePath parent = path_parent(&path, &arena);

        print_message("%s", cases[i].history);
        assert_int_equal(parent.count, cases[i].count);
        assert_int_equal(path_last_timeline(&parent), cases[i].parent);
        assert_int_equal(parent.steps[parent.count - 1].end, 0);
    }
}

static void what_the_server_would_refuse_is_corrupt(void **state)
{
    static const char *const texts[] = {
        "one\t0/1000\tx",            /* not a number */
        "1",                         /* no place */
        "1\t",                       /* */
        "1\t01000\tx",               /* */
        "1\t0/\tx",                  /* */
        "1\t/1000\tx",               /* */
        "1\t0/1000x",                /* */
        "1\t0/0\tx",                 /* a parent without an end */
        "0\t0/1000\tx",              /* no timeline */
        "1\t0/100000000\tx",         /* no half of an LSN */
        "99999999999\t0/1000\tx",    /* */
        "4294967297\t0/1000\tx",     /* not 1 */
        "1\t100000000/1000\tx",      /* */
        "-1\t0/1000\tx",             /* */
        "2\t0/1000\tx\n1\t0/2000\t", /* not increasing */
        "2\t0/1000\tx\n2\t0/2000\t", /* */
        "9\t0/1000\tx",              /* its own parent */
        "10\t0/1000\tx",             /* newer than itself */
        "1\t0/1000\tx\nxx",          /* damage after a good line */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        CLEANUP(arena_done) Arena arena = {0};
        Error err = {0};
        TimelinePath path = {.count = 77};

        assert_false(timeline_path_parse(9, texts[i], &arena, &path, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
        assert_non_null(strstr(err.message, "history of timeline 9"));
        assert_int_equal(path.count, 77);
    }
}

static void a_history_cut_inside_a_line_is_noticed_or_has_fewer_parents(void **state)
{
    static const char text[] = "1\t0/F000100\tfirst\n3\t1/2000028\tsecond\n";

    (void)state;
    for (size_t size = 0; size < sizeof text; size++) {
        CLEANUP(arena_done) Arena arena = {0};
        Error err = {0};
        TimelinePath path;

        if (timeline_path_parse(9, arena_text_part(&arena, text, size), &arena, &path, &err)) {
            assert_in_range(path.count, 1, 3);
        } else {
            assert_int_equal(err.code, ERR_CORRUPT);
        }
    }
}

static void there_is_no_timeline_0(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};
    Error err = {0};
    TimelinePath path;

    (void)state;
    assert_false(timeline_path_parse(0, NULL, &arena, &path, &err));
    assert_int_equal(err.code, ERR_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timeline_is_written_in_decimal_and_without_leading_zeros),
        cmocka_unit_test(without_history_there_is_one_step),
        cmocka_unit_test(each_timeline_owns_the_wal_between_two_switches),
        cmocka_unit_test(a_later_switch_clips_the_earlier_ones),
        cmocka_unit_test(the_newest_timeline_that_begins_in_a_segment_has_it),
        cmocka_unit_test(a_timeline_that_was_left_where_it_began_is_nobodys_parent),
        cmocka_unit_test(what_the_server_would_refuse_is_corrupt),
        cmocka_unit_test(a_history_cut_inside_a_line_is_noticed_or_has_fewer_parents),
        cmocka_unit_test(there_is_no_timeline_0),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
