#include "base/time.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

static TimeUs parsed(const char *text)
{
    TimeUs instant = 0;
    Error err = {0};

    if (!time_parse(text, &instant, &err))
        fail_msg("%s: %s", text, err.message);
    return instant;
}

static void assert_refused(const char *text, const char *reason)
{
    TimeUs instant = 42;
    Error err = {0};

    if (time_parse(text, &instant, &err))
        fail_msg("\"%s\" was accepted", text);
    assert_int_equal(err.code, ERR_USAGE);
    assert_int_equal(instant, 42);
    if (strstr(err.message, reason) == NULL)
        fail_msg("\"%s\": %s", text, err.message);
    assert_true(err.hint[0] != '\0');
}

static void every_way_to_write_an_instant_is_the_same_instant(void **state)
{
    static const char *const ways[] = {
        "2026-11-22 14:30:00+01",
        "2026-11-22T13:30:00Z",
        "2026-11-22 13:30:00 UTC",
        "2026-11-22 13:30 utc",
        "2026-11-22T13:30z",
        "2026-11-22 13:30:00.000000+00",
        "2026-11-22 19:00:00.0 +05:30",
        "2026-11-22 19:00+0530",
        "2026-11-22 00:00:00 -13:30",
        "2026-11-22 14:30 Europe/Vienna",
        "2026-11-22 14:30Europe/Berlin",
        "  2026-11-22  08:30  America/New_York ",
        "2026-11-22 08:30 Etc/GMT+5",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        if (parsed(ways[i]) != 1795354200000000)
            fail_msg("%s is %lld", ways[i], (long long)parsed(ways[i]));
    }
}

static void fractions_are_exact(void **state)
{
    (void)state;
    assert_int_equal(parsed("1970-01-01T00:00:00.123456Z"), 123456);
    assert_int_equal(parsed("1970-01-01T00:00:00.1Z"), 100000);
    assert_int_equal(parsed("1970-01-01T00:00:01.000001Z"), 1000001);
    assert_int_equal(parsed("1969-12-31T23:59:59.999999Z"), -1);
}

static void what_is_no_instant_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "now",
        "14:30+01",
        "2026-11-22",
        "2026-11-22+01",
        "2026-13-22 14:30+01",
        "2026-00-22 14:30+01",
        "2026-11-31 14:30+01",
        "2026-02-29 14:30+01",
        "1900-02-29 14:30+01",
        "2026-11-22 24:00+01",
        "2026-11-22 14:60+01",
        "2026-11-22 14:30:60+01",
        "2026-11-22 4:30+01",
        "2026-11-22 14:30:00.+01",
        "2026-11-22 14:30:00.1234567+01",
        "26-11-22 14:30+01",
        "2026/11/22 14:30+01",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        assert_refused(texts[i], "is not a time");
    (void)parsed("2000-02-29 14:30+01");
    (void)parsed("2024-02-29 14:30+01");
}

static void a_zone_must_be_there_and_clear(void **state)
{
    (void)state;
    assert_refused("2026-11-22 14:30", "no time zone");
    assert_refused("2026-11-22 14:30:00.5 ", "no time zone");
    assert_refused("2026-11-22 14:30 CET", "not clear: \"CET\"");
    assert_refused("2026-11-22 14:30 EST", "not clear: \"EST\"");
    assert_refused("2026-11-22 14:30 right/Europe/Vienna", "not clear");
    assert_refused("2026-11-22 14:30 ../../etc/passwd", "not clear");
    assert_refused("2026-11-22 14:30 Europe/../../../etc/passwd", "not clear");
    assert_refused("2026-11-22 14:30 Europe/Atlantis", "unknown time zone: \"Europe/Atlantis\"");
    assert_refused("2026-11-22 14:30+1", "bad offset");
    assert_refused("2026-11-22 14:30+16", "bad offset");
    assert_refused("2026-11-22 14:30+01:60", "bad offset");
    assert_refused("2026-11-22 14:30+01:", "bad offset");
    assert_refused("2026-11-22 14:30+01:000", "bad offset");
    assert_refused("2026-11-22 14:30+01 UTC", "bad offset");
}

/* Every minute of the hours around both changes of clocks, against the offset written out. */
static void hours_that_a_zone_skips_or_repeats_are_refused(void **state)
{
    (void)state;
    for (int minute = 0; minute < 5 * 60; minute++) {
        char by_name[64], by_offset[64];
        int hour = minute / 60;

        (void)snprintf(by_name, sizeof by_name, "2026-03-29 %02d:%02d Europe/Vienna", hour,
                       minute % 60);
        (void)snprintf(by_offset, sizeof by_offset, "2026-03-29 %02d:%02d+%02d", hour, minute % 60,
                       hour < 2 ? 1 : 2);
        if (hour == 2) {
            assert_refused(by_name, "does not exist in Europe/Vienna");
        } else {
            assert_int_equal(parsed(by_name), parsed(by_offset));
        }

        (void)snprintf(by_name, sizeof by_name, "2026-10-25 %02d:%02d Europe/Vienna", hour,
                       minute % 60);
        (void)snprintf(by_offset, sizeof by_offset, "2026-10-25 %02d:%02d+%02d", hour, minute % 60,
                       hour < 2 ? 2 : 1);
        if (hour == 2) {
            assert_refused(by_name, "exists twice in Europe/Vienna");
        } else {
            assert_int_equal(parsed(by_name), parsed(by_offset));
        }
    }
}

/* Half an hour only, in the south, by a rule and not a listed change; and a day left out. */
static void odd_zones_are_understood(void **state)
{
    (void)state;
    assert_refused("2026-10-04 02:15 Australia/Lord_Howe", "does not exist");
    assert_refused("2026-04-05 01:45 Australia/Lord_Howe", "exists twice");
    assert_int_equal(parsed("2026-04-05 01:15 Australia/Lord_Howe"), parsed("2026-04-05 01:15+11"));
    assert_int_equal(parsed("2100-07-01 12:00 Europe/Vienna"), parsed("2100-07-01 12:00+02"));
    assert_int_equal(parsed("2026-07-01 12:00 Asia/Kathmandu"), parsed("2026-07-01 12:00+05:45"));
    assert_refused("2011-12-30 12:00 Pacific/Apia", "does not exist");
}

static void so_long_ago_is_counted_from_now(void **state)
{
    static const struct {
        const char *text;
        int64_t seconds;
    } cases[] = {{"-0s", 0}, {"-90s", 90}, {"-15min", 900}, {" -2h", 7200}, {"-3d", 259200}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        TimeUs before = time_now() - cases[i].seconds * 1000000;
        TimeUs instant = parsed(cases[i].text);

        assert_true(instant >= before && instant <= time_now() - cases[i].seconds * 1000000);
    }
    assert_refused("-2", "is not a time");
    assert_refused("-2 h", "is not a time");
    assert_refused("+2h", "is not a time");
    assert_refused("-2m", "is not a time");
    assert_refused("-1h30min", "is not a time");
    assert_refused("--2h", "is not a time");
    assert_refused("-99999999999999h", "is not a time");
}

/* What a calendar of that zone says, asked of the C library; again when midnight passes. */
static void a_day_may_be_named_by_its_zone(void **state)
{
    static const struct {
        const char *zone;
        int64_t offset;
    } zones[] = {{"UTC", 0}, {"+14", 50400}, {"-11:30", -41400}, {"Asia/Kathmandu", 20700}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(zones); i++) {
        for (int days_ago = 0; days_ago < 2; days_ago++) {
            CLEANUP(text_freep)
            char *text =
                text_format("%s 00:30 %s", days_ago == 0 ? "today" : "yesterday", zones[i].zone);
            int64_t day = (time_now() / 1000000 + zones[i].offset) / 86400 - days_ago;
            TimeUs instant = parsed(text);
            int64_t later = (time_now() / 1000000 + zones[i].offset) / 86400 - days_ago;

            if (day == later) {
                assert_int_equal(instant,
                                 (day * 86400 + 1800 - zones[i].offset) * INT64_C(1000000));
            }
        }
    }
    assert_refused("yesterday 14:00", "has no time zone");
    assert_refused("yesterday", "is not a time");
    assert_refused("tomorrow 14:00 UTC", "is not a time");
    assert_refused("yesterday 14:00 CET", "is not clear");
}

static void people_see_the_clock_of_their_zone(void **state)
{
    static const struct {
        const char *zone;
        const char *text;
    } cases[] = {{"UTC", "2026-11-22 13:30:00.123456+00"},
                 {"Europe/Vienna", "2026-11-22 14:30:00.123456+01"},
                 {"Asia/Kathmandu", "2026-11-22 19:15:00.123456+05:45"},
                 {"America/New_York", "2026-11-22 08:30:00.123456-05"},
                 {"America/St_Johns", "2026-11-22 10:00:00.123456-03:30"}};
    const TimeUs instant = parsed("2026-11-22 13:30:00.123456+00");
    char text[TIME_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(setenv("TZ", cases[i].zone, 1), 0);
        tzset();
        assert_string_equal(time_text_local(instant, text), cases[i].text);
        assert_int_equal(parsed(text), instant);
    }
    assert_string_equal(time_text_local(TIME_US_MAX, text), "infinity");
    assert_int_equal(unsetenv("TZ"), 0);
    tzset();
}

static void the_zone_of_the_process_does_not_change(void **state)
{
    time_t winter = 1795354200;
    struct tm parts;

    (void)state;
    assert_int_equal(setenv("TZ", "Asia/Tokyo", 1), 0);
    tzset();
    (void)parsed("2026-11-22 14:30 Europe/Vienna");
    assert_string_equal(getenv("TZ"), "Asia/Tokyo");
    assert_non_null(localtime_r(&winter, &parts));
    assert_int_equal(parts.tm_gmtoff, 9 * 3600);
    assert_int_equal(unsetenv("TZ"), 0);
    (void)parsed("2026-11-22 14:30 Europe/Vienna");
    assert_null(getenv("TZ"));
}

static void texts_can_be_read_back(void **state)
{
    static const TimeUs instants[] = {
        0, -1, 1, 1795354200000000, 1795354200123456, 951782400999999};
    char text[TIME_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(instants); i++) {
        assert_int_equal(parsed(time_text_postgres(instants[i], text)), instants[i]);
        TimeUs ms = parsed(time_text(instants[i], text));
        assert_in_range(instants[i] - ms, 0, 999);
    }
    assert_string_equal(time_text(1795354200123456, text), "2026-11-22T13:30:00.123Z");
    assert_string_equal(time_text_postgres(1795354200123456, text),
                        "2026-11-22 13:30:00.123456+00");
    assert_string_equal(time_text(TIME_US_NONE, text), "unknown");
    assert_string_equal(time_text(TIME_US_MAX, text), "infinity");
}

/* Each day of 400 years, against the C library. */
static void days_are_counted_as_the_calendar_does(void **state)
{
    (void)state;
    for (time_t day = -70L * 365; day < 330L * 365; day++) {
        char text[64];
        time_t seconds = day * 86400;
        struct tm parts;

        assert_non_null(gmtime_r(&seconds, &parts));
        assert_true(strftime(text, sizeof text, "%Y-%m-%d 00:00Z", &parts) > 0);
        assert_int_equal(parsed(text), (TimeUs)seconds * 1000000);
    }
}

static void postgres_counts_from_2000(void **state)
{
    (void)state;
    assert_int_equal(time_from_postgres(0), parsed("2000-01-01 00:00Z"));
    assert_int_equal(time_from_postgres(-1), parsed("1999-12-31 23:59:59.999999Z"));
    assert_true(time_from_postgres(INT64_MAX) == TIME_US_MAX);
    assert_true(time_from_postgres(INT64_MIN) == TIME_US_NONE);
}

static void clocks_go_forward(void **state)
{
    TimeUs before = time_monotonic();

    (void)state;
    time_sleep_ms(20);
    assert_true(time_monotonic() - before >= 20000);
    assert_true(time_now() > 1700000000000000);
}

static void utc_has_no_leap_seconds_and_asks_no_zone(void **state)
{
    static const char *const zones[] = {"UTC", "right/UTC", "right/Europe/Vienna", NULL};
    static const int64_t seconds[] = {INT64_C(1795354200),  0,           -1,
                                      INT64_C(951782400),   68169600,    INT64_C(4107542400),
                                      INT64_C(-2208988801), -62135596800};

    (void)state;
    for (size_t z = 0; zones[z] != NULL; z++) {
        for (size_t i = 0; i < ARRAY_SIZE(seconds); i++) {
            struct tm expected = {0}, found = {0};
            time_t clock = seconds[i];

            assert_int_equal(unsetenv("TZ"), 0);
            tzset();
            assert_non_null(gmtime_r(&clock, &expected));
            assert_int_equal(setenv("TZ", zones[z], 1), 0);
            tzset();
            assert_true(time_split_utc(seconds[i], &found));
            assert_int_equal(found.tm_year, expected.tm_year);
            assert_int_equal(found.tm_mon, expected.tm_mon);
            assert_int_equal(found.tm_mday, expected.tm_mday);
            assert_int_equal(found.tm_hour, expected.tm_hour);
            assert_int_equal(found.tm_min, expected.tm_min);
            assert_int_equal(found.tm_sec, expected.tm_sec);
            assert_int_equal(found.tm_wday, expected.tm_wday);
            assert_int_equal(found.tm_yday, expected.tm_yday);
        }
    }
    assert_int_equal(unsetenv("TZ"), 0);
    tzset();
    struct tm ignored;
    assert_false(time_split_utc(INT64_MAX, &ignored));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_to_write_an_instant_is_the_same_instant),
        cmocka_unit_test(fractions_are_exact),
        cmocka_unit_test(what_is_no_instant_is_refused),
        cmocka_unit_test(a_zone_must_be_there_and_clear),
        cmocka_unit_test(hours_that_a_zone_skips_or_repeats_are_refused),
        cmocka_unit_test(odd_zones_are_understood),
        cmocka_unit_test(so_long_ago_is_counted_from_now),
        cmocka_unit_test(a_day_may_be_named_by_its_zone),
        cmocka_unit_test(people_see_the_clock_of_their_zone),
        cmocka_unit_test(the_zone_of_the_process_does_not_change),
        cmocka_unit_test(texts_can_be_read_back),
        cmocka_unit_test(days_are_counted_as_the_calendar_does),
        cmocka_unit_test(postgres_counts_from_2000),
        cmocka_unit_test(utc_has_no_leap_seconds_and_asks_no_zone),
        cmocka_unit_test(clocks_go_forward),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
