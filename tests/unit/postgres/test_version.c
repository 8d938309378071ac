#include "postgres/version.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void every_supported_major_is_found_by_each_of_its_numbers(void **state)
{
    (void)state;
    for (unsigned major = PG_MAJOR_MIN; major <= PG_MAJOR_MAX; major++) {
        const PgVersion *version = pg_version_of_major(major);

        assert_non_null(version);
        assert_int_equal(version->major, major);
        assert_ptr_equal(pg_version_of_catalog(version->catalog_version), version);
        assert_ptr_equal(pg_version_of_wal_magic(version->wal_magic), version);
        assert_int_equal(version->control_version,
                         major <= 16 ? 1300U : 1700U + (major - 17) * 100);
    }
}

static void others_are_unknown(void **state)
{
    (void)state;
    assert_null(pg_version_of_major(PG_MAJOR_MIN - 1));
    assert_null(pg_version_of_major(PG_MAJOR_MAX + 1));
    assert_null(pg_version_of_catalog(0));
    assert_null(pg_version_of_wal_magic(0));
    assert_null(pg_version_of_wal_magic(0xD101)); /* 12 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_supported_major_is_found_by_each_of_its_numbers),
        cmocka_unit_test(others_are_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
