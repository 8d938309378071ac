#include "look.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MIB = 1 << 20 };

static const TimeUs second = 1000000;

static void add_three(ReadyPile *pile)
{
    *pile = (ReadyPile){.is_known = true, .reason = ""};
    ready_pile_add(pile, "000000020000000000000003.ready", 40 * second, MIB);
    ready_pile_add(pile, "000000010000000000000012.ready", 20 * second, MIB);
    ready_pile_add(pile, "000000020000000000000001.ready", 30 * second, MIB);
}

static void segments_are_counted_and_the_first_of_the_oldest_timeline_comes_first(void **state)
{
    ReadyPile pile;

    (void)state;
    add_three(&pile);
    assert_int_equal(pile.count, 3);
    assert_int_equal(pile.bytes, 3 * MIB);
    assert_int_equal(pile.others, 0);
    assert_string_equal(pile.oldest, "000000010000000000000012");
    assert_int_equal(pile.oldest_name.segment, 0x12);
    assert_int_equal(pile.oldest_at, 20 * second);
}

static void other_files_are_no_segments(void **state)
{
    static const char *const names[] = {
        "00000002.history.ready",
        "000000010000000000000012.00000028.backup.ready",
        "000000010000000000000012.partial.ready",
        "000000010000000000000012.done",
        "000000010000000000000012",
        ".ready",
        "x.ready",
        "0000000100000000000000120000000000000000000000000000000000000000000000.ready",
    };
    ReadyPile pile = {.is_known = true, .reason = ""};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        ready_pile_add(&pile, names[i], 0, MIB);
    assert_int_equal(pile.count, 0);
    assert_int_equal(pile.others, 3);
}

static void growth_is_what_came_since_the_first(void **state)
{
    ReadyPile pile;

    (void)state;
    add_three(&pile);
    pile.knows_free = true;
    pile.free_bytes = 10 * MIB;
    ready_pile_measure(&pile, MIB, 60 * second, TIME_US_NONE);
    assert_int_equal(pile.measured, 40 * second);
    assert_true(pile.growth_bytes_per_s == 2.0 * MIB / 40);
    assert_int_equal(pile.full_in, 200 * second);
    /* What was archived before the first was marked says nothing of them. */
    ready_pile_measure(&pile, MIB, 60 * second, 19 * second);
    assert_int_equal(pile.full_in, 200 * second);
}

static void what_was_not_measured_is_not_known(void **state)
{
    ReadyPile pile;

    (void)state;
    /* Something was archived meanwhile: the pile was higher. */
    add_three(&pile);
    pile.knows_free = true;
    ready_pile_measure(&pile, MIB, 60 * second, 21 * second);
    assert_true(pile.growth_bytes_per_s == 0);
    assert_int_equal(pile.full_in, TIME_US_NONE);
    /* Nobody knows how much room there is. */
    pile.knows_free = false;
    ready_pile_measure(&pile, MIB, 60 * second, TIME_US_NONE);
    assert_true(pile.growth_bytes_per_s > 0);
    assert_int_equal(pile.full_in, TIME_US_NONE);
    /* Only one; too short a time; a clock that was set back. */
    pile.knows_free = true;
    pile.count = 1;
    ready_pile_measure(&pile, MIB, 60 * second, TIME_US_NONE);
    assert_int_equal(pile.full_in, TIME_US_NONE);
    pile.count = 3;
    ready_pile_measure(&pile, MIB, pile.oldest_at + second - 1, TIME_US_NONE);
    assert_int_equal(pile.full_in, TIME_US_NONE);
    ready_pile_measure(&pile, MIB, pile.oldest_at - second, TIME_US_NONE);
    assert_int_equal(pile.full_in, TIME_US_NONE);
    assert_int_equal(pile.measured, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_counted_and_the_first_of_the_oldest_timeline_comes_first),
        cmocka_unit_test(other_files_are_no_segments),
        cmocka_unit_test(growth_is_what_came_since_the_first),
        cmocka_unit_test(what_was_not_measured_is_not_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
