#include "health/outlook.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define GIB (UINT64_C(1) << 30)

static const TimeUs second = 1000000;

/* 1 GiB of files in 10 s, 1 GiB of WAL in 20 s, 4 s besides. */
static RestoreMeasure measure(const char *class, unsigned jobs)
{
    RestoreMeasure it = {.jobs = jobs, .files = 1000, .bytes = GIB, .wal_bytes = GIB};

    (void)snprintf(it.host_class, sizeof it.host_class, "%s", class);
    for (int phase = 0; phase < PHASE_COUNT; phase++)
        it.phases[phase] = TIME_US_NONE;
    it.phases[PHASE_PLAN] = second;
    it.phases[PHASE_FILES] = 10 * second;
    it.phases[PHASE_SYNC] = 0;
    it.phases[PHASE_START] = second;
    it.phases[PHASE_REPLAY] = 20 * second;
    it.phases[PHASE_CHECKPOINT] = 2 * second;
    return it;
}

static const ForecastBackup backups[] = {
    {"old", 2 * GIB, 2000, 10 * GIB, 11 * GIB},
    {"new", 3 * GIB, 3000, 14 * GIB, 15 * GIB},
};

static OutlookWindow window_of(size_t count)
{
    return (OutlookWindow){.backups = backups,
                           .count = count,
                           .until = 16 * GIB,
                           .oldest_at = 0,
                           .until_at = 3600 * second};
}

static void the_latest_begins_with_the_newest_backup_and_the_worst_with_the_longest_way(
    void **state)
{
    RestoreOutlook outlook = {.host_class = "here"};
    const RestoreMeasure past[] = {measure("here", 2), measure("here", 2)};
    const OutlookWindow window = window_of(2);

    (void)state;
    outlook_make(&outlook, past, 2, &window, 3600 * second);

    assert_true(outlook.has_window && outlook.is_of_this_class);
    assert_int_equal(outlook.latest.p50 / second, 4 + 30 + 40); /* 3 GiB, 2 GiB of WAL */
    assert_int_equal(outlook.worst.p50 / second, 4 + 20 + 100); /* 2 GiB, 5 GiB of WAL */
    assert_string_equal(outlook.worst_backup, "old");
    assert_int_equal((long)outlook.wal_bytes_per_s, 6 * GIB / 3600);
    assert_false(outlook.remedy.is_needed);
}

static void a_missed_objective_asks_for_backups_as_often_as_is_needed(void **state)
{
    RestoreOutlook outlook = {.host_class = "here"};
    const RestoreMeasure past[] = {measure("here", 2), measure("here", 2)};
    const OutlookWindow window = window_of(2);

    (void)state;
    /* 24 s without WAL: 80 s are 4 GiB, less the GiB that is written during a backup. */
    outlook_make(&outlook, past, 2, &window, 104 * second);

    assert_true(outlook.remedy.is_needed);
    assert_in_range(outlook.remedy.backup_every / second, 1799, 1801);
}

static void another_class_serves_only_where_this_one_was_not_measured(void **state)
{
    const RestoreMeasure past[] = {measure("there", 8), measure("here", 2), measure("there", 8)};
    const OutlookWindow window = window_of(1);
    static const struct {
        const char *host_class;
        size_t from, count;
        const char *expected; /* NULL: no number */
        bool is_of_this_class;
    } cases[] = {
        {"here", 0, 3, "here", true},
        {"here", 0, 1, "there", false},
        {"nowhere", 0, 3, "there", false},
        {"here", 0, 0, NULL, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        RestoreOutlook outlook = {.count = 0};

        (void)snprintf(outlook.host_class, sizeof outlook.host_class, "%s", cases[i].host_class);
        outlook_make(&outlook, past + cases[i].from, cases[i].count, &window, 0);
        assert_int_equal(outlook.rates != NULL, cases[i].expected != NULL);
        assert_int_equal(outlook.is_of_this_class, cases[i].is_of_this_class);
        assert_int_equal(outlook.has_window, cases[i].expected != NULL);
        if (cases[i].expected != NULL)
            assert_string_equal(outlook.rates->kind.host_class, cases[i].expected);
    }
}

/* A lost host leaves nothing to go over. */
static void one_in_place_serves_only_where_no_other_was_measured(void **state)
{
    RestoreMeasure past[] = {measure("here", 2), measure("here", 2), measure("there", 2)};
    const OutlookWindow window = window_of(1);
    static const struct {
        size_t count;
        const char *host_class, *expected;
        bool is_delta;
    } cases[] = {
        {3, "here", "here", false},
        {1, "here", "here", true},
        {3, "nowhere", "here", false},
        {1, "nowhere", "here", true},
    };

    (void)state;
    past[0].is_delta = true;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        RestoreOutlook outlook = {.count = 0};

        (void)snprintf(outlook.host_class, sizeof outlook.host_class, "%s", cases[i].host_class);
        outlook_make(&outlook, past, cases[i].count, &window, 0);
        assert_int_equal(outlook.rates->kind.is_delta, cases[i].is_delta);
        assert_string_equal(outlook.rates->kind.host_class, cases[i].expected);
    }
}

static void without_a_backup_there_is_no_number(void **state)
{
    RestoreOutlook outlook = {.host_class = "here"};
    const RestoreMeasure past[] = {measure("here", 2)};
    const OutlookWindow window = {.until_at = TIME_US_NONE, .oldest_at = TIME_US_NONE};

    (void)state;
    outlook_make(&outlook, past, 1, &window, second);
    assert_false(outlook.has_window);
    assert_false(outlook.remedy.is_needed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            the_latest_begins_with_the_newest_backup_and_the_worst_with_the_longest_way),
        cmocka_unit_test(a_missed_objective_asks_for_backups_as_often_as_is_needed),
        cmocka_unit_test(another_class_serves_only_where_this_one_was_not_measured),
        cmocka_unit_test(one_in_place_serves_only_where_no_other_was_measured),
        cmocka_unit_test(without_a_backup_there_is_no_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
