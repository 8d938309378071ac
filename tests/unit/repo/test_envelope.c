#include "repo/envelope.h"

#include "base/bytes.h"
#include "stream/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { SIZE = 40 };

static const uint64_t seed = UINT64_C(0x0123456789abcdef);

/* Fields at 12 and 20; flag 1 and flag 9 have a meaning. */
static EnvelopeShape shape_of(EnvelopeCover cover)
{
    return (EnvelopeShape){.what = "test header",
                           .magic = "TESTMAGI",
                           .size = SIZE,
                           .version = 3,
                           .flags = 1 << 1 | 1 << 9,
                           .cover = cover,
                           .reserved = {{16, 4}, {30, 2}}};
}

static void make(const EnvelopeShape *shape, uint16_t flags, uint8_t bytes[SIZE])
{
    envelope_begin(shape, flags, bytes);
    put_le32(bytes + 12, 77);
    put_le64(bytes + 20, UINT64_MAX);
    if (shape->cover == ENVELOPE_SEALED)
        envelope_seal(shape, seed, bytes);
}

/* What is said of the bytes when a newer writer had made them: with a good checksum. */
static ErrorCode judged(const EnvelopeShape *shape, const uint8_t bytes[SIZE], Error *err)
{
    uint8_t sealed[SIZE];

    memcpy(sealed, bytes, SIZE);
    if (shape->cover == ENVELOPE_SEALED)
        put_le64(sealed + SIZE - 8, xxh3_of(seed, sealed, SIZE - 8));
    *err = (Error){0};
    return envelope_check(shape, seed, sealed, SIZE, err) ? ERR_NONE : err->code;
}

static void an_envelope_has_its_fields_where_the_format_says(void **state)
{
    const EnvelopeShape shape = shape_of(ENVELOPE_SEALED);
    uint8_t bytes[SIZE];
    Error err = {0};

    (void)state;
    memset(bytes, 0xff, sizeof bytes);
    make(&shape, 1 << 1, bytes);
    assert_memory_equal(bytes, "TESTMAGI\3\0\2\0\x4d\0\0\0\0\0\0\0", 20);
    assert_int_equal(envelope_flags(&shape, bytes), 2);
    assert_true(get_le64(bytes + SIZE - 8) == xxh3_of(seed, bytes, SIZE - 8));
    assert_true(envelope_check(&shape, seed, bytes, SIZE, &err));
}

static void a_version_is_judged_before_the_checksum(void **state)
{
    const EnvelopeShape shape = shape_of(ENVELOPE_SEALED);
    uint8_t bytes[SIZE];
    Error err = {0};

    (void)state;
    make(&shape, 0, bytes);
    put_le16(bytes + 8, 4); /* the checksum is wrong now */
    assert_false(envelope_check(&shape, seed, bytes, SIZE, &err));
    assert_int_equal(err.code, ERR_VERSION);
    assert_string_equal(err.message, "test header has version 4, this program knows 3");
    assert_string_equal(err.hint, "use a newer pgcairn");
    put_le16(bytes + 8, 2); /* an older one, and a checksum that is wrong */
    err = (Error){0};
    assert_false(envelope_check(&shape, seed, bytes, SIZE, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_int_equal(judged(&shape, bytes, &err), ERR_NONE);
    put_le16(bytes + 8, 0);
    assert_int_equal(judged(&shape, bytes, &err), ERR_CORRUPT);
}

static void any_changed_bit_is_noticed(void **state)
{
    const EnvelopeShape shape = shape_of(ENVELOPE_SEALED);
    uint8_t bytes[SIZE];

    (void)state;
    make(&shape, 1 << 9, bytes);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        Error err = {0};

        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(envelope_check(&shape, seed, bytes, SIZE, &err));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void what_is_cut_or_something_else_is_damage(void **state)
{
    const EnvelopeShape shape = shape_of(ENVELOPE_SEALED);
    uint8_t bytes[SIZE];

    (void)state;
    make(&shape, 0, bytes);
    for (size_t size = 0; size < SIZE; size++) {
        Error err = {0};

        assert_false(envelope_check(&shape, seed, bytes, size, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
        assert_string_equal(err.message, "not a test header");
    }
    for (size_t i = 0; i < 8; i++) {
        Error err = {0};

        bytes[i] ^= 1; /* with a checksum that is right */
        assert_int_equal(judged(&shape, bytes, &err), ERR_CORRUPT);
        assert_string_equal(err.message, "not a test header");
        bytes[i] ^= 1;
    }
}

/* Flags 0 to 7: who does not know one can't read the object. */
static void an_unknown_critical_flag_is_a_newer_version(void **state)
{
    static const EnvelopeCover covers[] = {ENVELOPE_SEALED, ENVELOPE_COVERED};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(covers); i++) {
        const EnvelopeShape shape = shape_of(covers[i]);

        for (unsigned flag = 0; flag < 8; flag++) {
            uint8_t bytes[SIZE];
            Error err = {0};

            make(&shape, 0, bytes);
            put_le16(bytes + 10, (uint16_t)(1U << flag));
            assert_int_equal(judged(&shape, bytes, &err), flag == 1 ? ERR_NONE : ERR_VERSION);
            if (flag == 0) {
                assert_non_null(strstr(err.message, "encrypted"));
            } else if (flag > 1) {
                assert_string_equal(err.message, "test header has flags of a newer version");
            }
        }
    }
}

/* Flags 8 to 15: ignored, with what their writer put into reserved bytes. */
static void an_unknown_optional_flag_is_ignored_with_its_fields(void **state)
{
    const EnvelopeShape shape = shape_of(ENVELOPE_SEALED);
    uint8_t bytes[SIZE];
    Error err = {0};

    (void)state;
    for (unsigned flag = 8; flag < 16; flag++) {
        make(&shape, 0, bytes);
        put_le16(bytes + 10, (uint16_t)(1U << flag));
        assert_int_equal(judged(&shape, bytes, &err), ERR_NONE);
        bytes[31] = 5;
        /* Flag 9 is known, and has no field: this one belongs to something else. */
        assert_int_equal(judged(&shape, bytes, &err), flag == 9 ? ERR_VERSION : ERR_NONE);
        /* With a critical one beside it. */
        put_le16(bytes + 10, (uint16_t)(1U << flag | 1U << 7));
        assert_int_equal(judged(&shape, bytes, &err), ERR_VERSION);
    }
}

static void reserved_bytes_without_a_flag_are_a_newer_version(void **state)
{
    static const size_t reserved[] = {16, 17, 18, 19, 30, 31};
    static const EnvelopeCover covers[] = {ENVELOPE_SEALED, ENVELOPE_COVERED};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(covers) * ARRAY_SIZE(reserved); i++) {
        const EnvelopeShape shape = shape_of(covers[i / ARRAY_SIZE(reserved)]);
        uint8_t bytes[SIZE];
        Error err = {0};

        make(&shape, 0, bytes);
        bytes[reserved[i % ARRAY_SIZE(reserved)]] = 1;
        assert_int_equal(judged(&shape, bytes, &err), ERR_VERSION);
        assert_string_equal(err.message, "test header has fields of a newer version");
    }
}

static void stored_bytes_are_those_that_were_stored_or_damaged(void **state)
{
    Error err = {0};

    (void)state;
    assert_true(stored_checksum_check(5, 5, &err));
    assert_false(stored_checksum_check(5, 6, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_string_equal(err.message, "stored bytes have a bad checksum");
}

static void a_skippable_frame_is_known_by_magic_and_size(void **state)
{
    uint8_t bytes[SKIPPABLE_HEADER_SIZE];

    (void)state;
    skippable_begin(72, bytes);
    assert_memory_equal(bytes, "\x5e\x2a\x4d\x18\x48\0\0\0", 8);
    assert_true(skippable_is_at(72, bytes));
    assert_false(skippable_is_at(73, bytes));
    assert_true(skippable_is_first(bytes, sizeof bytes));
    assert_false(skippable_is_first(bytes, sizeof bytes - 1));
    bytes[0] ^= 1;
    assert_false(skippable_is_first(bytes, sizeof bytes));
    assert_false(skippable_is_at(72, bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_envelope_has_its_fields_where_the_format_says),
        cmocka_unit_test(a_version_is_judged_before_the_checksum),
        cmocka_unit_test(any_changed_bit_is_noticed),
        cmocka_unit_test(what_is_cut_or_something_else_is_damage),
        cmocka_unit_test(an_unknown_critical_flag_is_a_newer_version),
        cmocka_unit_test(an_unknown_optional_flag_is_ignored_with_its_fields),
        cmocka_unit_test(reserved_bytes_without_a_flag_are_a_newer_version),
        cmocka_unit_test(stored_bytes_are_those_that_were_stored_or_damaged),
        cmocka_unit_test(a_skippable_frame_is_known_by_magic_and_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
