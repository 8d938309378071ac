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

static void what_a_host_lacks_is_not_the_backups_fault(void **state)
{
    static const struct {
        const char *message;
        bool is_of_host;
    } cases[] = {
        {"could not extend file \"base/5/1259\": No space left on device", true},
        {"recovery failed: the server ended with status 137 and no reason that we could read",
         true},
        {"recovery failed: startup process (PID 7) was terminated by signal 9: Killed", true},
        {"terminating connection due to administrator command", true},
        {"out of memory", true},
        {"could not access file \"$libdir/postgis-3\": No such file or directory", true},
        {"recovery failed: startup process (PID 7) was terminated by signal 11", false},
        {"recovery failed: the server ended with status 1 and no reason that we could read", false},
        {"could not open file \"base/5/1259\": No such file or directory", false},
        {"invalid page in block 0 of relation base/5/16384", false},
        {"recovery stopped at 0/5000, the target is at 0/6000", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(probe_is_of_host(cases[i].message), cases[i].is_of_host);
}

static void what_is_well_never_hides_what_is_not(void **state)
{
    (void)state;
    assert_true(probe_room(PROBE_PASSED) >= 100);
    assert_true(probe_room(PROBE_PASSED) + 50 <= probe_room(PROBE_NOTED));
    assert_true(probe_room(PROBE_NOTED) + 50 <= probe_room(PROBE_HOST));
    assert_true(probe_room(PROBE_HOST) + 50 <= probe_room(PROBE_FAILED));
    assert_int_equal(probe_room(PROBE_FAILED), PROBES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_of_the_rows_are_within_bounds_and_a_sequence_never_goes_back),
        cmocka_unit_test(what_is_well_never_hides_what_is_not),
        cmocka_unit_test(what_a_host_lacks_is_not_the_backups_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
