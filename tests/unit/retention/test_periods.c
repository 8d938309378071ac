/*
 * Days, weeks, months and years by the clocks of a place, and how an answer names them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/time.h"
#include "retention/periods.h"

static void names_are(const char *instant, const char *zone,
                      const char *const expected[RETENTION_PERIODS])
{
    TimeUs at;
    int64_t periods[RETENTION_PERIODS];
    char text[PERIOD_TEXT_SIZE];
    Error err = {0};

    assert_true(time_parse(instant, &at, &err));
    retention_periods(at, zone, periods);
    for (size_t kind = 0; kind < RETENTION_PERIODS; kind++)
        assert_string_equal(retention_period_text(kind, periods[kind], text), expected[kind]);
}

static void test_names_are_those_of_the_calendar(void **state)
{
    (void)state;
    names_are("2026-12-01 08:00:00+00", "UTC",
              (const char *const[]){"2026-12-01", "2026-W49", "2026-12", "2026"});
    names_are("1969-12-31 23:59:59+00", "UTC",
              (const char *const[]){"1969-12-31", "1970-W01", "1969-12", "1969"});
}

/* The year of a week is that of its Thursday (ISO 8601). */
static void test_a_week_belongs_to_the_year_of_its_thursday(void **state)
{
    (void)state;
    names_are("2027-01-01 12:00:00+00", "UTC",
              (const char *const[]){"2027-01-01", "2026-W53", "2027-01", "2027"});
    names_are("2024-12-30 00:00:00+00", "UTC",
              (const char *const[]){"2024-12-30", "2025-W01", "2024-12", "2024"});
    names_are("2024-12-29 23:59:59+00", "UTC",
              (const char *const[]){"2024-12-29", "2024-W52", "2024-12", "2024"});
}

/* Half an hour before midnight, UTC, is the next year in Vienna and still the old day in New York.
 */
static void test_a_period_begins_by_the_clocks_of_the_zone(void **state)
{
    (void)state;
    names_are("2025-12-31 23:30:00+00", "Europe/Vienna",
              (const char *const[]){"2026-01-01", "2026-W01", "2026-01", "2026"});
    names_are("2026-01-01 03:00:00+00", "America/New_York",
              (const char *const[]){"2025-12-31", "2026-W01", "2025-12", "2025"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_those_of_the_calendar),
        cmocka_unit_test(test_a_week_belongs_to_the_year_of_its_thursday),
        cmocka_unit_test(test_a_period_begins_by_the_clocks_of_the_zone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
