#include "drill/probe_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void a_file_is_read(void **state)
{
    static const char text[] = "-- what must be true of the shop\n"
                               "-- probe: orders are there \n"
                               "-- database: shop\n"
                               "-- expect: t\n"
                               "SELECT count(*) > 0\n"
                               "-- only those of today\n"
                               "  FROM orders;\n"
                               "\n"
                               "-- probe:customers\n"
                               "--at-least: 10\r\n"
                               "-- at-most: 20.5\n"
                               "SELECT count(*) FROM customer";
    CLEANUP(probe_file_done) ProbeFile probes = {0};
    Error err = {0};

    (void)state;
    assert_true(probe_file_parse(text, "shop.sql", &probes, &err));

    assert_int_equal(probes.count, 2);
    assert_string_equal(probes.items[0].name, "orders are there");
    assert_string_equal(probes.items[0].database, "shop");
    assert_string_equal(probes.items[0].expect, "t");
    assert_string_equal(probes.items[0].sql, "SELECT count(*) > 0\n  FROM orders;\n\n");
    assert_string_equal(probes.items[1].name, "customers");
    assert_string_equal(probes.items[1].database, "postgres");
    assert_null(probes.items[1].expect);
    assert_string_equal(probes.items[1].at_least, "10");
    assert_string_equal(probes.items[1].at_most, "20.5");
    assert_string_equal(probes.items[1].sql, "SELECT count(*) FROM customer\n");
}

static void what_is_wrong_is_told_with_its_line(void **state)
{
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"", "no probe in it"},
        {"-- nothing\n", "no probe in it"},
        {"SELECT 1\n", "line 1: SQL before"},
        {"\n-- expect: 1\n", "line 2: there is no probe yet"},
        {"-- probe:\nSELECT 1\n", "line 1: a probe needs a name"},
        {"-- probe: a\n-- probe: b\nSELECT 1\n", "line 1: a probe without SQL"},
        {"-- probe: a\n ;\n", "line 1: a probe without SQL"},
        {"-- probe: a\n-- at-least: many\nSELECT 1\n", "line 2: a bound must be a number"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        CLEANUP(probe_file_done) ProbeFile probes = {0};
        Error err = {0};

        assert_false(probe_file_parse(wrong[i].text, "shop.sql", &probes, &err));
        assert_int_equal(err.code, ERR_USAGE);
        assert_non_null(strstr(err.message, wrong[i].says));
    }
}

static void an_answer_is_what_was_expected_or_why_not(void **state)
{
    static const struct {
        SqlProbe probe;
        bool has_row;
        const char *answer;
        const char *why; /* NULL: it holds */
    } cases[] = {
        {{.expect = "t"}, true, "t", NULL},
        {{.expect = "t"}, true, "f", "expected t, found f"},
        {{.expect = "t"}, true, NULL, "expected t, found NULL"},
        {{.expect = "t"}, false, NULL, "expected t, found no row"},
        {{.sql = ""}, false, NULL, NULL},
        {{.at_least = "3"}, true, "3", NULL},
        {{.at_least = "3"}, true, "2.9", "expected at least 3, found 2.9"},
        {{.at_most = "3"}, true, "4", "expected at most 3, found 4"},
        {{.at_least = "1", .at_most = "3"},
         true,
         "0",
         "expected at least 1 and at most 3, found 0"},
        {{.at_least = "1"}, true, "many", "expected at least 1, found many"},
        {{.at_least = "1"}, true, NULL, "expected at least 1, found NULL"},
        {{.at_least = "1"}, true, "", "expected at least 1, found "},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(arena_done) Arena arena = {0};
        const char *why;
        const bool holds =
            sql_probe_holds(&cases[i].probe, cases[i].has_row, cases[i].answer, &arena, &why);

        assert_int_equal(holds, cases[i].why == NULL);
        assert_string_equal(why, cases[i].why != NULL ? cases[i].why : "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read),
        cmocka_unit_test(what_is_wrong_is_told_with_its_line),
        cmocka_unit_test(an_answer_is_what_was_expected_or_why_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
