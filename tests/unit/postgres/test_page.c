#include "postgres/page.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { PAGE = 8192, BLOCK = 4711 };

static const Lsn lsn_of_page = UINT64_C(0x300001234);

/* A heap page as PageInit() leaves it, then filled with bytes that differ from place to place. */
static void make(uint8_t page[PAGE])
{
    uint32_t random = 12345;

    for (int i = 0; i < PAGE; i++) {
        random = random * 1103515245 + 12345;
        page[i] = (uint8_t)(random >> 16);
    }
    put_le32(page, (uint32_t)(lsn_of_page >> 32));
    put_le32(page + 4, (uint32_t)lsn_of_page);
    put_le16(page + 10, 0x0005);
    put_le16(page + 12, 100);
    put_le16(page + 14, 4000);
    put_le16(page + 16, 8192);
    put_le16(page + 18, 0x2004);
    put_le16(page + 8, page_checksum(page, PAGE, BLOCK));
}

/* checksum_impl.h word by word, slow and plain: what the vectors are measured against. */
static uint16_t plain_checksum(const uint8_t *page, uint32_t size, uint32_t block)
{
    /* clang-format off */
    uint32_t sums[32] = {
        0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2,
        0x83E13D2C, 0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C,
        0xF718902A, 0x0B1C9CDB, 0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979,
        0xCCA6C0B2, 0x304A0979, 0x85AA43D4, 0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E,
        0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
    };
    /* clang-format on */
    uint32_t result = 0;

    for (uint32_t at = 0; at < size + 2 * 128; at += 4) {
        uint32_t value = at < size ? get_le32(page + at) : 0;
        if (at == 8)
            value &= 0xFFFF0000;
        uint32_t *sum = &sums[at / 4 % 32];
        uint32_t mixed = *sum ^ value;
        *sum = mixed * 16777619 ^ mixed >> 17;
    }
    for (int i = 0; i < 32; i++)
        result ^= sums[i];
    return (uint16_t)((result ^ block) % 65535 + 1);
}

static void checksum_is_that_of_the_plain_algorithm(void **state)
{
    static uint8_t page[32768];
    uint32_t random = 1;

    (void)state;
    for (size_t i = 0; i < sizeof page; i++) {
        random = random * 1664525 + 1013904223;
        page[i] = (uint8_t)(random >> 24);
    }
    for (uint32_t size = 1024; size <= sizeof page; size *= 2) {
        for (uint32_t block = 0; block < 100; block++)
            assert_int_equal(page_checksum(page, size, block), plain_checksum(page, size, block));
        assert_int_equal(page_checksum(page, size, UINT32_MAX),
                         plain_checksum(page, size, UINT32_MAX));
    }
}

/* Any place in memory: buffers of a queue need not be aligned to vectors. */
static void alignment_does_not_matter(void **state)
{
    uint8_t page[PAGE], moved[PAGE + 16];

    (void)state;
    make(page);
    for (size_t by = 0; by < 16; by++) {
        memcpy(moved + by, page, PAGE);
        assert_int_equal(page_checksum(moved + by, PAGE, BLOCK), get_le16(page + 8));
    }
}

static void any_changed_byte_is_noticed(void **state)
{
    const PageRule rule = {.has_checksums = true};
    uint8_t page[PAGE];

    (void)state;
    make(page);
    assert_int_equal(page_check(page, PAGE, BLOCK, &rule), PAGE_GOOD);
    for (size_t at = 0; at < PAGE; at++) {
        page[at] ^= 0x10;
        assert_int_equal(page_check(page, PAGE, BLOCK, &rule), PAGE_BAD);
        page[at] ^= 0x10;
    }
}

static void a_page_in_the_wrong_place_is_noticed(void **state)
{
    const PageRule rule = {.has_checksums = true};
    uint8_t page[PAGE];

    (void)state;
    make(page);
    assert_int_equal(page_check(page, PAGE, BLOCK + 1, &rule), PAGE_BAD);
    assert_int_equal(page_check(page, PAGE, 0, &rule), PAGE_BAD);
}

static void a_new_page_is_all_zero_or_bad(void **state)
{
    const PageRule rules[] = {{.has_checksums = true}, {.has_checksums = false}};
    uint8_t page[PAGE] = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        assert_int_equal(page_check(page, PAGE, BLOCK, &rules[i]), PAGE_GOOD);
        for (size_t at = 0; at < PAGE; at++) {
            if (at == 14 || at == 15)
                continue; /* pd_upper itself: no new page then */
            page[at] = 1;
            assert_int_equal(page_check(page, PAGE, BLOCK, &rules[i]), PAGE_BAD);
            page[at] = 0;
        }
    }
}

static void newer_pages_are_left_to_wal_and_garbage_is_not(void **state)
{
    static const struct {
        Lsn start, insert;
        PageVerdict good, torn;
    } cases[] = {
        {0, 0, PAGE_GOOD, PAGE_BAD},
        {UINT64_C(0x300001235), 0, PAGE_GOOD, PAGE_BAD},
        {UINT64_C(0x300001234), 0, PAGE_NEWER, PAGE_NEWER},
        {1, 0, PAGE_NEWER, PAGE_NEWER},
        {1, UINT64_C(0x300001234), PAGE_NEWER, PAGE_NEWER},
        {1, UINT64_C(0x300001233), PAGE_BAD, PAGE_BAD},
        {0, UINT64_C(0x300001233), PAGE_BAD, PAGE_BAD},
        {0, UINT64_C(0x300001234), PAGE_GOOD, PAGE_BAD},
    };
    uint8_t page[PAGE];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        PageRule rule = {.has_checksums = true, .start = cases[i].start, .insert = cases[i].insert};
        make(page);
        assert_int_equal(page_check(page, PAGE, BLOCK, &rule), cases[i].good);
        page[5000] ^= 1;
        assert_int_equal(page_check(page, PAGE, BLOCK, &rule), cases[i].torn);
    }
}

static void without_checksums_the_header_is_judged(void **state)
{
    static const struct {
        size_t at;
        uint16_t value;
        PageVerdict verdict;
    } cases[] = {
        {8, 0, PAGE_GOOD},       /* no checksum */
        {10, 0x0007, PAGE_GOOD}, /* flags */
        {10, 0x0008, PAGE_BAD},  {10, 0x8000, PAGE_BAD},
        {12, 4000, PAGE_GOOD},                          /* lower up to upper */
        {12, 4001, PAGE_BAD},    {14, 8192, PAGE_GOOD}, /* upper up to special */
        {14, 8193, PAGE_BAD},    {14, 99, PAGE_BAD},
        {16, 4000, PAGE_GOOD}, /* special within the page, aligned */
        {16, 3992, PAGE_BAD},    {16, 8188, PAGE_BAD},
        {16, 8200, PAGE_BAD},
    };
    const PageRule rule = {.has_checksums = false};
    uint8_t page[PAGE];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        make(page);
        put_le16(page + cases[i].at, cases[i].value);
        assert_int_equal(page_check(page, PAGE, BLOCK, &rule), cases[i].verdict);
    }
}

static void zero_is_told_from_nearly_zero(void **state)
{
    uint8_t bytes[300] = {0};

    (void)state;
    for (size_t size = 0; size <= sizeof bytes; size++)
        assert_true(page_is_zero(bytes, size));
    for (size_t at = 0; at < sizeof bytes; at++) {
        bytes[at] = 0x80;
        assert_false(page_is_zero(bytes, sizeof bytes));
        assert_true(page_is_zero(bytes, at));
        bytes[at] = 0;
    }
}

/* One value all over is not a new page. */
static void a_page_of_one_value_is_not_new(void **state)
{
    uint8_t page[8192];

    (void)state;
    memset(page, 0, sizeof page);
    assert_true(page_is_zero(page, sizeof page));
    memset(page, 7, sizeof page);
    assert_false(page_is_zero(page, sizeof page));
}

static void lsn_has_its_high_half_first(void **state)
{
    static const uint8_t page[8] = {0x0A, 0, 0, 0, 0x28, 0x00, 0x00, 0x94};

    (void)state;
    assert_true(page_lsn(page) == UINT64_C(0xA94000028));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksum_is_that_of_the_plain_algorithm),
        cmocka_unit_test(alignment_does_not_matter),
        cmocka_unit_test(any_changed_byte_is_noticed),
        cmocka_unit_test(a_page_in_the_wrong_place_is_noticed),
        cmocka_unit_test(a_new_page_is_all_zero_or_bad),
        cmocka_unit_test(newer_pages_are_left_to_wal_and_garbage_is_not),
        cmocka_unit_test(without_checksums_the_header_is_judged),
        cmocka_unit_test(zero_is_told_from_nearly_zero),
        cmocka_unit_test(lsn_has_its_high_half_first),
        cmocka_unit_test(a_page_of_one_value_is_not_new),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
