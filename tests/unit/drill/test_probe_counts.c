#include "drill/probes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void half_of_the_rows_are_within_bounds_and_a_sequence_never_goes_back(void **state)
{
    static const struct {
        bool is_sequence;
        int64_t was, is;
        CountChange change;
    } cases[] = {
        {false, 100, 100, COUNT_WITHIN}, {false, 100, 5000, COUNT_WITHIN},
        {false, 100, 50, COUNT_WITHIN},  {false, 100, 49, COUNT_LESS},
        {false, 100, 0, COUNT_LESS},     {false, 0, 0, COUNT_WITHIN},
        {true, 100, 100, COUNT_WITHIN},  {true, 100, 101, COUNT_WITHIN},
        {true, 100, 99, COUNT_LESS},     {true, 0, 0, COUNT_WITHIN},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const Count was = {.is_sequence = cases[i].is_sequence, .number = cases[i].was};
        const Count is = {.is_sequence = cases[i].is_sequence, .number = cases[i].is};

        assert_int_equal(count_compare(&was, &is), cases[i].change);
        assert_int_equal(count_compare(&was, NULL), COUNT_GONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_of_the_rows_are_within_bounds_and_a_sequence_never_goes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
