#include "after/closing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void the_rpo_is_what_lies_between_kept_and_known(void **state)
{
    static const struct {
        bool is_counted;
        uint64_t lost, in_directory;
        TimeUs kept, lost_last, rpo;
    } cases[] = {
        {false, 0, 0, 100, TIME_US_NONE, TIME_US_NONE}, /* nobody has looked */
        {true, 0, 0, 100, TIME_US_NONE, 0},
        {true, 0, 0, TIME_US_NONE, TIME_US_NONE, 0},
        {true, 3, 0, 100, 170, 70},
        {true, 3, 0, TIME_US_NONE, 170, TIME_US_NONE},
        {true, 3, 0, 200, 170, 0},                     /* commit times need not be in order */
        {true, 0, 2, 100, TIME_US_NONE, TIME_US_NONE}, /* when, is not known */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Closing closing;

        closing_init(&closing);
        closing.is_counted = cases[i].is_counted;
        closing.lost = cases[i].lost;
        closing.lost_in_directory = cases[i].in_directory;
        closing.last_commit = cases[i].kept;
        closing.lost_last = cases[i].lost_last;
        assert_int_equal(closing_rpo(&closing), cases[i].rpo);
    }
}

static void the_rto_counts_from_the_incident_and_ends_when_it_is_open(void **state)
{
    Closing closing;

    (void)state;
    closing_init(&closing);
    assert_int_equal(closing_rto(&closing), TIME_US_NONE);
    closing.began = 1000;
    assert_int_equal(closing_rto(&closing), TIME_US_NONE); /* not open yet */
    closing.open_at = 1600;
    assert_int_equal(closing_rto(&closing), 600);
    closing.incident_began = 300;
    assert_int_equal(closing_rto(&closing), 1300);
    closing.open_at = 200; /* a clock was set back */
    assert_int_equal(closing_rto(&closing), TIME_US_NONE);
}

static void what_is_not_a_phase_is_when_people_looked(void **state)
{
    Closing closing;

    (void)state;
    closing_init(&closing);
    closing.began = 1000;
    closing.open_at = 2000;
    closing.phases[PHASE_FILES] = 300;
    closing.phases[PHASE_REPLAY] = 100;
    assert_int_equal(closing_looked(&closing), 0); /* it was not promoted later */
    closing.opening = 50;
    assert_int_equal(closing_looked(&closing), 550);
    closing.phases[PHASE_REPLAY] = 5000;
    assert_int_equal(closing_looked(&closing), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rpo_is_what_lies_between_kept_and_known),
        cmocka_unit_test(the_rto_counts_from_the_incident_and_ends_when_it_is_open),
        cmocka_unit_test(what_is_not_a_phase_is_when_people_looked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
