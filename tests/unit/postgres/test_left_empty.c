#include "postgres/left_empty.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void a_path_tells_its_database(void **state)
{
    static const struct {
        const char *path;
        uint32_t database;
    } cases[] = {
        {"base/5", 5},
        {"base/16385/1259_vm", 16385},
        {"base/4294967295/1259.7", 4294967295},
        {"pg_tblspc/16384/PG_15_202209061/5", 5},
        {"pg_tblspc/16384/PG_15_202209061/16385/1259", 16385},
        /* of none, or of all */
        {"base", 0},
        {"base/", 0},
        {"base/pgsql_tmp/pgsql_tmp1.0", 0},
        {"base/5x/1259", 0},
        {"base/4294967296/1259", 0},
        {"global/1262", 0},
        {"pg_tblspc/16384", 0},
        {"pg_tblspc/16384/PG_15_202209061", 0},
        {"pg_tblspc/16384/PG_15_202209061/pgsql_tmp/x", 0},
        {"pg_xact/0000", 0},
        {"PG_VERSION", 0},
        {"database/5/1259", 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (database_of_path(cases[i].path) != cases[i].database)
            fail_msg("%s: %u", cases[i].path, database_of_path(cases[i].path));
    }
}

/* ValidatePgVersion(), miscinit.c: fscanf "%63s", strtol, and something must be a number. */
static void the_server_shows_it_whole_and_takes_it_for_no_version_of_its_own(void **state)
{
    const char *text = LEFT_EMPTY_VERSION;

    (void)state;
    assert_true(strlen(text) <= 63);
    for (const char *at = text; *at != '\0'; at++)
        assert_true(isgraph((unsigned char)*at));
    assert_true(text[0] == '0' && !isdigit((unsigned char)text[1]));
    assert_true(left_empty_is(text, strlen(text)));
    assert_false(left_empty_is("15\n", 3));
    assert_false(left_empty_is("0", 1));
    assert_false(left_empty_is("", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_tells_its_database),
        cmocka_unit_test(the_server_shows_it_whole_and_takes_it_for_no_version_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
