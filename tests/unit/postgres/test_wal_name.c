#include "postgres/wal_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MIB = 1 << 20 };

static void lsn_is_written_as_the_server_does(void **state)
{
    static const struct {
        Lsn lsn;
        const char *text;
    } cases[] = {
        {0, "0/0"},
        {0x28, "0/28"},
        {0xA94000028, "A/94000028"},
        {UINT64_MAX, "FFFFFFFF/FFFFFFFF"},
    };
    char text[LSN_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Error err = {0};
        Lsn lsn = 1;

        assert_string_equal(lsn_text(cases[i].lsn, text), cases[i].text);
        assert_true(lsn_parse(cases[i].text, &lsn, &err));
        assert_int_equal(lsn, cases[i].lsn);
    }
}

static void lsn_may_be_written_in_lower_case(void **state)
{
    Error err = {0};
    Lsn lsn;

    (void)state;
    assert_true(lsn_parse("a/0000bEEf", &lsn, &err));
    assert_int_equal(lsn, 0xA0000BEEF);
}

static void what_is_no_lsn_is_refused(void **state)
{
    static const char *const texts[] = {"",     "/",    "0",   "0/",          "/0",
                                        "0/0 ", " 0/0", "G/0", "0/0x1",       "0//0",
                                        "-1/0", "0/0/", "0-0", "100000000/0", "0/123456789"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        Error err = {0};
        Lsn lsn = 77;

        assert_false(lsn_parse(texts[i], &lsn, &err));
        assert_int_equal(err.code, ERR_USAGE);
        assert_int_equal(lsn, 77);
    }
}

static void names_are_read_and_written(void **state)
{
    static const struct {
        const char *text;
        uint32_t segment_size;
        WalName name;
    } cases[] = {
        {"00000001000000000000002A", 16 * MIB, {WAL_SEGMENT, 1, 0x2A, 0}},
        {"0000000100000000000000FF", 16 * MIB, {WAL_SEGMENT, 1, 0xFF, 0}},
        {"000000010000000100000000", 16 * MIB, {WAL_SEGMENT, 1, 0x100, 0}},
        {"000000010000000000000014", 1 * MIB, {WAL_SEGMENT, 1, 0x14, 0}},
        {"000000010000000100000FFF", 1 * MIB, {WAL_SEGMENT, 1, 0x1FFF, 0}},
        {"0000000A0000000A00000025", 64 * MIB, {WAL_SEGMENT, 10, 10 * 64 + 0x25, 0}},
        {"000000010000000200000003", 1024 * MIB, {WAL_SEGMENT, 1, 11, 0}},
        {"FFFFFFFFFFFFFFFF000000FF", 16 * MIB, {WAL_SEGMENT, UINT32_MAX, 0xFFFFFFFFFF, 0}},
        {"00000001000000000000002A.partial", 16 * MIB, {WAL_PARTIAL, 1, 0x2A, 0}},
        {"00000001000000000000002A.00000028.backup", 16 * MIB, {WAL_BACKUP_HISTORY, 1, 0x2A, 0x28}},
        {"00000001000000000000002A.00FFFFF8.backup",
         16 * MIB,
         {WAL_BACKUP_HISTORY, 1, 0x2A, 0xFFFFF8}},
        {"00000002.history", 16 * MIB, {WAL_HISTORY, 2, 0, 0}},
    };
    char text[WAL_NAME_SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Error err = {0};
        WalName name;

        assert_true(wal_name_parse(cases[i].text, cases[i].segment_size, &name, &err));
        assert_int_equal(name.kind, cases[i].name.kind);
        assert_int_equal(name.timeline, cases[i].name.timeline);
        assert_int_equal(name.segment, cases[i].name.segment);
        assert_int_equal(name.offset, cases[i].name.offset);
        assert_string_equal(wal_name_text(&name, cases[i].segment_size, text), cases[i].text);
    }
}

static void other_names_are_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "00000001",
        "0000000100000000000000",
        "00000001000000000000002",
        "00000001000000000000002a",
        "00000001000000000000002A0",
        "00000001000000000000002A.",
        "00000001000000000000002A.partia",
        "00000001000000000000002A.partial2",
        "00000001000000000000002A.Partial",
        "00000001000000000000002A.00000028",
        "00000001000000000000002A.00000028.backup2",
        "00000001000000000000002A.0000028.backup",
        "00000001000000000000002A.01000000.backup", /* offset not in a segment of 16 MiB */
        "000000010000000000000100",                 /* no such segment of 16 MiB */
        "000000000000000000000001",                 /* timeline 0 */
        "000000010000000000000000", /* segment 0: holds LSN 0, which is not a place */
        "00000000.history",
        "0000001.history",
        "00000002.histor",
        "00000002.history.",
        "0x000002.history",
        "+0000002.history",
        "../0000000100000000000000",
        "RECOVERYXLOG",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        Error err = {0};
        WalName name;

        assert_false(wal_name_parse(texts[i], 16 * MIB, &name, &err));
        assert_int_equal(err.code, ERR_USAGE);
        assert_non_null(strstr(err.message, "segments of 16 MiB"));
    }
}

static void last_segment_of_a_half_depends_on_the_size(void **state)
{
    (void)state;
    for (unsigned shift = 20; shift <= 30; shift++) {
        uint32_t size = 1U << shift;
        uint32_t per_half = (uint32_t)((UINT64_C(1) << 32) / size);
        char text[64];
        WalName name;
        Error err = {0};
        Error refused = {0};

        snprintf(text, sizeof text, "0000000100000003%08X", per_half - 1);
        assert_true(wal_name_parse(text, size, &name, &err));
        assert_int_equal(wal_segment_start(name.segment + 1, size), UINT64_C(4) << 32);
        snprintf(text, sizeof text, "0000000100000003%08X", per_half);
        assert_false(wal_name_parse(text, size, &name, &refused));
    }
}

static void a_boundary_belongs_to_what_follows_and_an_end_to_what_precedes(void **state)
{
    (void)state;
    assert_int_equal(wal_segment_of(0x3000000, 16 * MIB), 3);
    assert_int_equal(wal_segment_before(0x3000000, 16 * MIB), 2);
    assert_int_equal(wal_segment_before(0x3000001, 16 * MIB), 3);
}

static void segment_sizes_are_powers_of_two_of_1_mib_to_1_gib(void **state)
{
    (void)state;
    for (unsigned shift = 0; shift < 64; shift++) {
        assert_int_equal(wal_segment_size_is_valid(UINT64_C(1) << shift),
                         shift >= 20 && shift <= 30);
        assert_false(wal_segment_size_is_valid((UINT64_C(1) << shift) + 1) && shift > 0);
    }
    assert_false(wal_segment_size_is_valid(0));
    assert_false(wal_segment_size_is_valid(3 * MIB));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lsn_is_written_as_the_server_does),
        cmocka_unit_test(lsn_may_be_written_in_lower_case),
        cmocka_unit_test(what_is_no_lsn_is_refused),
        cmocka_unit_test(names_are_read_and_written),
        cmocka_unit_test(other_names_are_refused),
        cmocka_unit_test(last_segment_of_a_half_depends_on_the_size),
        cmocka_unit_test(a_boundary_belongs_to_what_follows_and_an_end_to_what_precedes),
        cmocka_unit_test(segment_sizes_are_powers_of_two_of_1_mib_to_1_gib),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
