#include "crc32c_engine.h"
#include "stream/digest.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { SAMPLE_SIZE = 70000 };

static uint8_t sample[SAMPLE_SIZE];

static int fill_sample(void **state)
{
    uint64_t random = 88172645463325252;

    (void)state;
    for (size_t i = 0; i < SAMPLE_SIZE; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        sample[i] = (uint8_t)random;
    }
    return 0;
}

/* The definition, bit by bit: shares nothing with what is tested. */
static uint32_t by_definition(uint32_t crc, const uint8_t *data, size_t size)
{
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? UINT32_C(0x82F63B78) : 0);
    }
    return ~crc;
}

/* RFC 3720, B.4, and the check value of the catalogue of CRCs. */
static void published_vectors_hold(void **state)
{
    uint8_t bytes[32];

    (void)state;
    assert_int_equal(crc32c_update(0, "123456789", 9), 0xE3069283);
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(crc32c_update(0, bytes, sizeof(bytes)), 0x8A9136AA);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(crc32c_update(0, bytes, sizeof(bytes)), 0x62A8AB43);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(crc32c_update(0, bytes, sizeof(bytes)), 0x46DD794E);
    assert_int_equal(crc32c_update(0, NULL, 0), 0);
}

static void every_length_and_alignment_agrees_with_the_definition(void **state)
{
    (void)state;
    for (size_t start = 0; start < 9; start++) {
        uint32_t expected = 0;
        /* Past three short blocks, three long ones, and their leftovers. */
        for (size_t size = 0; size <= 9100; size++) {
            uint32_t crc = crc32c_update(0, sample + start, size);
            assert_int_equal(crc, expected);
            assert_int_equal(~crc32c_by_table(~UINT32_C(0), sample + start, size), expected);
            expected = by_definition(expected, sample + start + size, 1);
        }
    }
    assert_int_equal(crc32c_update(0, sample, SAMPLE_SIZE), by_definition(0, sample, SAMPLE_SIZE));
}

static void two_updates_are_one_of_both(void **state)
{
    uint32_t whole = crc32c_update(0, sample, 3000);

    (void)state;
    for (size_t cut = 0; cut <= 3000; cut++) {
        uint32_t first = crc32c_update(0, sample, cut);
        assert_int_equal(crc32c_update(first, sample + cut, 3000 - cut), whole);
    }
}

static void combining_agrees_with_the_crc_of_the_whole(void **state)
{
    uint32_t first = crc32c_update(0, sample, 1000);

    (void)state;
    for (size_t size = 0; size <= 20000; size++) {
        uint32_t second = crc32c_update(0, sample + 1000, size);
        uint32_t whole = crc32c_update(first, sample + 1000, size);
        assert_int_equal(crc32c_combine(first, second, size), whole);
    }
}

/* Files are larger than any test: zeros are taken in steps that are known to be right. */
static void combining_works_for_sizes_beyond_four_gigabytes(void **state)
{
    static uint8_t zeros[1 << 20];
    uint32_t million = crc32c_update(0, zeros, sizeof(zeros));
    uint32_t large = million;
    uint64_t size = sizeof(zeros);

    (void)state;
    for (; size < (UINT64_C(1) << 40); size *= 2)
        large = crc32c_combine(large, large, size);

    uint32_t one_by_one = 0;
    for (size_t i = 0; i < 8192; i++)
        one_by_one = crc32c_update(one_by_one, zeros, sizeof(zeros));
    uint32_t doubled = million;
    for (uint64_t part = sizeof(zeros); part < (UINT64_C(1) << 33); part *= 2)
        doubled = crc32c_combine(doubled, doubled, part);
    assert_int_equal(doubled, one_by_one);

    uint32_t left = crc32c_combine(crc32c_combine(1234, large, size), 77, 5);
    uint32_t right = crc32c_combine(1234, crc32c_combine(large, 77, 5), size + 5);
    assert_int_equal(left, right);
}

static void page_crcs_combine_to_the_crc_of_the_file(void **state)
{
    enum { PAGE = 8192 };
    uint32_t crc = 0;
    size_t offset = 0;

    (void)state;
    for (; offset + PAGE <= SAMPLE_SIZE; offset += PAGE)
        crc = crc32c_combine(crc, crc32c_update(0, sample + offset, PAGE), PAGE);
    size_t rest = SAMPLE_SIZE - offset;
    crc = crc32c_combine(crc, crc32c_update(0, sample + offset, rest), rest);
    assert_int_equal(crc, by_definition(0, sample, SAMPLE_SIZE));
}

static void any_changed_bit_is_noticed(void **state)
{
    uint8_t *page = sample;
    uint32_t crc = crc32c_update(0, page, 8192);

    (void)state;
    for (size_t bit = 0; bit < (size_t)8192 * 8; bit++) {
        page[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(crc32c_update(0, page, 8192), crc);
        page[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors_hold),
        cmocka_unit_test(every_length_and_alignment_agrees_with_the_definition),
        cmocka_unit_test(two_updates_are_one_of_both),
        cmocka_unit_test(combining_agrees_with_the_crc_of_the_whole),
        cmocka_unit_test(combining_works_for_sizes_beyond_four_gigabytes),
        cmocka_unit_test(page_crcs_combine_to_the_crc_of_the_file),
        cmocka_unit_test(any_changed_bit_is_noticed),
    };

    return cmocka_run_group_tests(tests, fill_sample, NULL);
}
