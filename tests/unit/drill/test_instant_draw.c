#include "drill/instant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { DRAWS = 3000 };

static Instant items[] = {
    {.kind = INSTANT_COMMIT, .timeline = 1, .segment = 4, .from = 0x4000000, .commits = 10},
    {.kind = INSTANT_RESTORE_POINT, .timeline = 1, .from = 0x4000100},
    {.kind = INSTANT_COMMIT, .timeline = 1, .segment = 5, .from = 0x5000000, .commits = 90},
    {.kind = INSTANT_FORK, .timeline = 2, .from = 0x5000800},
};

static InstantList list_of(size_t count)
{
    return (InstantList){.items = items, .count = count};
}

static void the_same_seed_draws_the_same(void **state)
{
    const InstantList list = list_of(ARRAY_SIZE(items));

    (void)state;
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        InstantDraw one, other;
        assert_true(instant_draw(&list, seed, &one));
        assert_true(instant_draw(&list, seed, &other));
        assert_int_equal(one.index, other.index);
        assert_int_equal(one.commit, other.commit);
        assert_true(one.commit < (items[one.index].commits > 0 ? items[one.index].commits : 1));
    }
}

/* What a seed stood for once it stands for always: another generator would be seen here. */
static void a_seed_stands_for_what_it_stood_for(void **state)
{
    static const struct {
        uint64_t seed;
        size_t index;
        uint64_t commit;
    } known[] = {
        {UINT64_C(0), 2, 50}, {UINT64_C(1), 2, 30},    {UINT64_C(2), 1, 0},
        {UINT64_C(3), 0, 3},  {UINT64_C(4711), 2, 78}, {UINT64_C(18446744073709551615), 2, 51},
    };
    const InstantList list = list_of(ARRAY_SIZE(items));

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        InstantDraw draw;
        assert_true(instant_draw(&list, known[i].seed, &draw));
        assert_int_equal(draw.index, known[i].index);
        assert_int_equal(draw.commit, known[i].commit);
    }
}

/* Each commit alike, and a third of all draws for the two special places. */
static void draws_are_weighed(void **state)
{
    const InstantList list = list_of(ARRAY_SIZE(items));
    size_t drawn[ARRAY_SIZE(items)] = {0};

    (void)state;
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        InstantDraw draw;
        assert_true(instant_draw(&list, seed, &draw));
        drawn[draw.index]++;
    }
    assert_in_range(drawn[0], DRAWS * 2 / 3 / 10 * 8 / 10, DRAWS * 2 / 3 / 10 * 12 / 10);
    assert_in_range(drawn[2], DRAWS * 2 / 3 * 9 / 10 * 9 / 10, DRAWS * 2 / 3 * 9 / 10 * 11 / 10);
    assert_in_range(drawn[1], DRAWS / 6 * 8 / 10, DRAWS / 6 * 12 / 10);
    assert_in_range(drawn[3], DRAWS / 6 * 8 / 10, DRAWS / 6 * 12 / 10);
}

static void where_nothing_happened_nothing_is_drawn(void **state)
{
    const InstantList none = list_of(0);
    Instant idle = {.kind = INSTANT_BACKUP_END, .timeline = 1, .from = 0x3000000};
    const InstantList only = {.items = &idle, .count = 1};
    InstantDraw draw;

    (void)state;
    assert_false(instant_draw(&none, 1, &draw));
    assert_true(instant_draw(&only, 1, &draw));
    assert_int_equal(draw.index, 0);
}

static void one_of_several_is_drawn_by_the_seed(void **state)
{
    size_t drawn[3] = {0};

    (void)state;
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        const size_t one = instant_draw_one(3, seed);
        assert_int_equal(one, instant_draw_one(3, seed));
        drawn[one]++;
    }
    for (size_t i = 0; i < ARRAY_SIZE(drawn); i++)
        assert_in_range(drawn[i], DRAWS / 3 * 9 / 10, DRAWS / 3 * 11 / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_draws_the_same),
        cmocka_unit_test(a_seed_stands_for_what_it_stood_for),
        cmocka_unit_test(draws_are_weighed),
        cmocka_unit_test(where_nothing_happened_nothing_is_drawn),
        cmocka_unit_test(one_of_several_is_drawn_by_the_seed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
