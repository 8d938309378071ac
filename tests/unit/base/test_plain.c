#include "base/plain.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void what_a_terminal_would_obey_is_shown_instead(void **state)
{
    static const struct {
        const char *text, *plain;
    } cases[] = {
        {"", ""},
        {"orders", "orders"},
        {"Größe 数", "Größe 数"},
        {"a\\b\"c", "a\\b\"c"},
        {"ok\nFORGED", "ok\\nFORGED"},
        {"a\tb", "a\\tb"},
        {"\x1b[2J", "\\x1b[2J"},
        {"\r\a\x7f", "\\x0d\\x07\\x7f"},
        {"\xc2\x9b"
         "2J",
         "\\u009b2J"},
        {"\xc2\xa0", "\xc2\xa0"},
        {"\xe2\x80\xae"
         "cba",
         "\\u202ecba"},
        {"\xe2\x80\xa8", "\\u2028"},
        {"\xe2\x81\xa7", "\\u2067"},
        {"\xd8\x9c", "\\u061c"},
        {"caf\xe9", "caf\\xe9"},
        {"\xc2", "\\xc2"},
        {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(buffer_done) Buffer text = {0};
        plain_append(&text, cases[i].text);
        buffer_append(&text, "", 1);
        assert_string_equal((const char *)text.data, cases[i].plain);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_terminal_would_obey_is_shown_instead),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
