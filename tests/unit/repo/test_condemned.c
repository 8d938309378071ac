#include "repo/condemned.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void a_record_that_cannot_be_read_may_name_any_older_pack(void **state)
{
    static const char *named[] = {"b"};
    static const struct {
        const char *pack;
        bool is_own, has_unreadable, is_taken;
    } cases[] = {
        {"a", true, false, false}, {"a", false, false, false}, {"b", true, false, true},
        {"b", false, false, true}, {"a", true, true, false},   {"a", false, true, true},
        {"b", false, true, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const CondemnedList list = {
            .packs = named, .pack_count = 1, .has_unreadable = cases[i].has_unreadable};

        if (condemned_takes_from(&list, cases[i].pack, cases[i].is_own) != cases[i].is_taken)
            fail_msg("case %zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_that_cannot_be_read_may_name_any_older_pack),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
