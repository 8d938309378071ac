#include "after/checks.h"
#include "after_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void a_list_says_which_checks_are_made(void **state)
{
    static const struct {
        const char *text;
        bool is_valid, answer, probes, status;
    } cases[] = {
        {"all", true, true, true, true},
        {"none", true, false, false, false},
        {"probes", true, false, true, false},
        {"answer, status", true, true, false, true},
        {"status,answer,probes", true, true, true, true},
        {"", false, false, false, false},
        {"prob", false, false, false, false},
        {"probess", false, false, false, false},
        {"answer,,status", false, false, false, false},
        {"answer;status", false, false, false, false},
        {"all,none", false, false, false, false},
        {"all, content", true, true, true, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        bool wanted[CHECK_KINDS];
        Error err = {0};

        assert_int_equal(checks_parse(cases[i].text, wanted, &err), cases[i].is_valid);
        if (!cases[i].is_valid) {
            assert_int_equal(err.code, ERR_USAGE);
            continue;
        }
        assert_int_equal(wanted[CHECK_ANSWER], cases[i].answer);
        assert_int_equal(wanted[CHECK_PROBES], cases[i].probes);
        assert_int_equal(wanted[CHECK_STATUS], cases[i].status);
        assert_int_equal(wanted[CHECK_ARCHIVE], strncmp(cases[i].text, "all", 3) == 0);
        assert_int_equal(wanted[CHECK_CONTENT], strstr(cases[i].text, "content") != NULL);
    }
}

static void the_worst_is_what_failed_first_and_else_what_is_unknown(void **state)
{
    CLEANUP(checks_done) CheckList list = {.count = 0};

    (void)state;
    checks_begin(&list);
    checks_put(&list, CHECK_ANSWER, CHECK_PASSED, "a", "");
    checks_put(&list, CHECK_BACKUP, CHECK_TO_DO, "b", "");
    checks_put(&list, CHECK_STATUS, CHECK_NOTED, "c", "");
    assert_null(checks_worst(&list));
    checks_put(&list, CHECK_STATUS, CHECK_UNKNOWN, "d", "");
    assert_string_equal(checks_worst(&list)->text, "d");
    checks_put(&list, CHECK_ARCHIVE, CHECK_FAILED, "e", "");
    checks_put(&list, CHECK_STATUS, CHECK_FAILED, "f", "");
    assert_string_equal(checks_worst(&list)->text, "e");
    assert_int_equal(checks_count(&list, CHECK_FAILED), 2);
    for (int i = 0; i < 2 * CHECKS_MAX; i++)
        checks_put(&list, CHECK_STATUS, CHECK_NOTED, "g", "");
    assert_int_equal(list.count, CHECKS_MAX);
}

static void names_that_are_missing_are_told(void **state)
{
    static const struct {
        const char *wanted, *there, *missing;
    } cases[] = {
        {"", "a", ""},       {"a", "a", ""},      {"a", "", "a"},
        {"a,b", "b,a", ""},  {"a, b", "b", "a"},  {"a,b,c", "b", "a, c"},
        {"ab", "a,b", "ab"}, {"a", "ab,ba", "a"}, {" a ,", "a", ""},
    };
    CLEANUP(arena_done) Arena arena = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(names_missing(cases[i].wanted, cases[i].there, &arena),
                            cases[i].missing);
}

static void what_was_wrong_before_is_not_held_against_a_restore(void **state)
{
    (void)state;
    assert_int_equal(result_of_finding(HEALTH_OK, "archive"), CHECK_PASSED);
    assert_int_equal(result_of_finding(HEALTH_WARNING, "archiver"), CHECK_NOTED);
    assert_int_equal(result_of_finding(HEALTH_UNKNOWN, "exposure"), CHECK_UNKNOWN);
    assert_int_equal(result_of_finding(HEALTH_CRITICAL, "archive"), CHECK_FAILED);
    assert_int_equal(result_of_finding(HEALTH_CRITICAL, "backup"), CHECK_NOTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_says_which_checks_are_made),
        cmocka_unit_test(the_worst_is_what_failed_first_and_else_what_is_unknown),
        cmocka_unit_test(what_was_wrong_before_is_not_held_against_a_restore),
        cmocka_unit_test(names_that_are_missing_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
