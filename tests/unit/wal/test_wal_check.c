#include "wal/wal_check.h"

#include "../postgres/wal_builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MIB = 1 << 20 };

static const Cluster cluster = {
    .name = "main", .system_identifier = BUILDER_SYSTEM, .major = 15, .wal_segment_size = MIB};
static const WalName name = {.kind = WAL_SEGMENT, .timeline = 3, .segment = 2};

static bool check(const uint8_t *bytes, size_t size, ErrorCode *code)
{
    WalSegmentHeader header;
    Error err = {0};
    bool ok = wal_check_header(&cluster, &name, ERR_REFUSED, bytes, size, &header, &err);

    *code = err.code;
    return ok;
}

/* Page header: magic 2, info 2, timeline 4, address 8, remaining 4, padding 4, then 16 bytes. */
static bool may_differ(size_t offset)
{
    return offset >= 16 && offset < 24;
}

static void any_changed_bit_of_a_header_is_refused(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, 2 * MIB, 3);
    ErrorCode code;

    (void)state;
    wal_builder_filler(&wal, 100);
    assert_true(check(wal.bytes.data, WAL_SEGMENT_HEADER_SIZE, &code));
    for (size_t bit = 0; bit < WAL_SEGMENT_HEADER_SIZE * 8; bit++) {
        size_t offset = bit / 8;

        wal.bytes.data[offset] ^= (uint8_t)(1 << bit % 8);
        bool ok = check(wal.bytes.data, WAL_SEGMENT_HEADER_SIZE, &code);
        /* An older timeline is a matter of histories, other info bits one of the reader. */
        bool is_older = offset == 4 && (wal.bytes.data[4] == 1 || wal.bytes.data[4] == 2);
        if (ok)
            assert_true(may_differ(offset) || is_older || offset == 2);
        else
            assert_int_equal(code, ERR_REFUSED);
        wal.bytes.data[offset] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t size = 0; size < WAL_SEGMENT_HEADER_SIZE; size++)
        assert_false(check(wal.bytes.data, size, &code));
}

static void wal_of_another_version_is_refused(void **state)
{
    ErrorCode code;

    (void)state;
    for (unsigned major = PG_MAJOR_MIN; major <= PG_MAJOR_MAX; major++) {
        CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(major, MIB, 2 * MIB, 3);

        wal_builder_filler(&wal, 100);
        assert_int_equal(check(wal.bytes.data, WAL_SEGMENT_HEADER_SIZE, &code), major == 15);
    }
}

/* The place agrees by chance: segment 1 of 2 MiB begins where segment 2 of 1 MiB does. */
static void wal_of_another_segment_size_is_refused(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, 2 * MIB, 2 * MIB, 3);
    ErrorCode code;

    (void)state;
    wal_builder_filler(&wal, 100);
    assert_false(check(wal.bytes.data, WAL_SEGMENT_HEADER_SIZE, &code));
    assert_int_equal(code, ERR_REFUSED);
}

static void a_history_names_older_parents_and_nothing_else(void **state)
{
    static const struct {
        const char *text;
        bool is_good;
    } cases[] = {
        {"1\t0/100000\tx\n", true},
        {"1\t0/100000\tx\n\n2\t0/200000\ty\n", true},
        {"# a comment\n2\t0/200000\n", true},
        {"", false},
        {"\n\n", false},
        {"# only a comment\n", false},
        {"3\t0/100000\tx\n", false},
        {"2\t0/100000\tx\n1\t0/200000\ty\n", false},
        {"1 somewhere\n", false},
    };
    const WalName history = {.kind = WAL_HISTORY, .timeline = 3};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Error err = {0};

        assert_int_equal(wal_check_history(&history, ERR_CORRUPT, cases[i].text, &err),
                         cases[i].is_good);
        assert_int_equal(err.code, cases[i].is_good ? ERR_NONE : ERR_CORRUPT);
    }
}

static void a_backup_history_tells_of_the_place_in_its_name(void **state)
{
    static const struct {
        const char *text;
        bool is_good;
    } cases[] = {
        {"START WAL LOCATION: 0/200028 (file 000000030000000000000002)\n", true},
        {"START WAL LOCATION: 0/200028", true},
        {"START WAL LOCATION: 0/200029 (file 000000030000000000000002)\n", false},
        {"START WAL LOCATION: 1/200028 (file 000000030000000000000002)\n", false},
        {"START WAL LOCATION:\n", false},
        {"START WAL LOCATION: \n", false},
        {"STOP WAL LOCATION: 0/200028\n", false},
        {"", false},
    };
    const WalName backup = {
        .kind = WAL_BACKUP_HISTORY, .timeline = 3, .segment = 2, .offset = 0x28};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Error err = {0};

        assert_int_equal(
            wal_check_backup_history(&cluster, &backup, ERR_CORRUPT, cases[i].text, &err),
            cases[i].is_good);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_changed_bit_of_a_header_is_refused),
        cmocka_unit_test(wal_of_another_version_is_refused),
        cmocka_unit_test(a_history_names_older_parents_and_nothing_else),
        cmocka_unit_test(a_backup_history_tells_of_the_place_in_its_name),
        cmocka_unit_test(wal_of_another_segment_size_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
