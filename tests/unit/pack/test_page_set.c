#include "pack/page_set.h"

#include "stream/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { SEED = 4711, PAGES = 5, SHORT = 100 };

static uint8_t local[PAGES * PAGE_BYTES];

/* The last page is a short one. */
static void hash_all(uint64_t hashes[PAGES])
{
    for (size_t page = 0; page < PAGES; page++) {
        hashes[page] =
            xxh3_of(SEED, local + page * PAGE_BYTES, page + 1 < PAGES ? PAGE_BYTES : SHORT);
    }
}

static void changed_pages_differ_and_no_others(void **state)
{
    static const struct {
        size_t at; /* of the byte that changes */
        int page;  /* that differs then; -1: none */
    } cases[] = {
        {0, 0},
        {PAGE_BYTES - 1, 0},
        {PAGE_BYTES, 1},
        {4 * PAGE_BYTES - 1, 3},
        {4 * PAGE_BYTES, 4},
        {4 * PAGE_BYTES + SHORT - 1, 4},
        {4 * PAGE_BYTES + SHORT, -1}, /* after the end of the range: cut off later */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t hashes[PAGES];
        PageSet differs = {0};
        memset(local, 0x5a, sizeof local);
        hash_all(hashes);
        local[cases[i].at] ^= 1;

        page_set_add_differing(&differs, 0, local, 4 * PAGE_BYTES + SHORT, hashes, SEED);

        assert_int_equal(page_set_count(&differs), cases[i].page >= 0 ? 1 : 0);
        for (int page = 0; page < PAGES; page++)
            assert_int_equal(page_set_has(&differs, (uint32_t)page), page == cases[i].page);
    }
}

static void a_part_of_a_range_is_held_against_its_own_hashes(void **state)
{
    uint64_t hashes[PAGES];
    PageSet differs = {0};

    (void)state;
    for (size_t i = 0; i < sizeof local; i++)
        local[i] = (uint8_t)(i / PAGE_BYTES);
    hash_all(hashes);
    page_set_add_differing(&differs, 2, local + 2 * PAGE_BYTES, 2 * PAGE_BYTES, hashes, SEED);
    assert_int_equal(page_set_count(&differs), 0);

    page_set_add_differing(&differs, 2, local, 2 * PAGE_BYTES, hashes, SEED);
    assert_int_equal(page_set_count(&differs), 2);
    assert_true(page_set_has(&differs, 2) && page_set_has(&differs, 3));
}

/* A hole, or what lies after the end of a file that was cut, reads as zeros. */
static void zeros_are_pages_like_others(void **state)
{
    uint64_t hashes[PAGES];
    PageSet differs = {0};

    (void)state;
    memset(local, 0, sizeof local);
    local[PAGE_BYTES] = 1;
    hash_all(hashes);
    memset(local, 0, sizeof local);
    page_set_add_differing(&differs, 0, local, 4 * PAGE_BYTES + SHORT, hashes, SEED);
    assert_int_equal(page_set_count(&differs), 1);
    assert_true(page_set_has(&differs, 1));
}

static void pages_in_a_row_are_one_run(void **state)
{
    static const struct {
        uint32_t from, to; /* pages that are in, `to` not */
    } runs[] = {{0, 1}, {2, 3}, {5, 60}, {62, 67}, {127, 129}, {192, 256}, {8190, 8192}};
    PageSet set = {0};

    (void)state;
    assert_int_equal(page_set_run_count(&set), 0);
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
        for (uint32_t page = runs[i].from; page < runs[i].to; page++)
            page_set_add(&set, page);
        assert_int_equal(page_set_run_count(&set), i + 1);
    }
    for (uint32_t page = 0; page < RANGE_PAGES; page++)
        page_set_add(&set, page);
    assert_int_equal(page_set_run_count(&set), 1);
}

static void sets_know_their_bounds(void **state)
{
    PageSet set = {0};

    (void)state;
    page_set_add(&set, 0);
    page_set_add(&set, 63);
    page_set_add(&set, 64);
    page_set_add(&set, RANGE_PAGES - 1);
    page_set_add(&set, 64);
    assert_int_equal(page_set_count(&set), 4);
    assert_true(page_set_has(&set, RANGE_PAGES - 1));
    assert_false(page_set_has(&set, RANGE_PAGES - 2));
}

static void runs_come_one_after_the_other(void **state)
{
    static const struct {
        uint32_t pages[8];
        size_t count;
        PageRun runs[5]; /* of no page: there are no more */
    } cases[] = {
        {{0}, 0, {{0, 0}}},
        {{0}, 1, {{0, 1}}},
        {{0, 1, 2}, 3, {{0, 3}}},
        {{5, 63, 64, 65, 200}, 5, {{5, 1}, {63, 3}, {200, 1}}},
        {{127, 128, RANGE_PAGES - 2, RANGE_PAGES - 1}, 4, {{127, 2}, {RANGE_PAGES - 2, 2}}},
        {{62, 64, 66}, 3, {{62, 1}, {64, 1}, {66, 1}}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        PageSet set = {0};
        PageRun run = {0};
        size_t count = 0;
        for (size_t page = 0; page < cases[i].count; page++)
            page_set_add(&set, cases[i].pages[page]);

        for (; page_set_next_run(&set, &run); count++) {
            assert_int_equal(run.first, cases[i].runs[count].first);
            assert_int_equal(run.count, cases[i].runs[count].count);
        }
        assert_int_equal(cases[i].runs[count].count, 0);
        assert_int_equal(count, page_set_run_count(&set));
    }
}

static void a_whole_range_is_one_run(void **state)
{
    PageSet set = {0};
    PageRun run = {0};

    (void)state;
    for (uint32_t page = 0; page < RANGE_PAGES; page++)
        page_set_add(&set, page);
    assert_true(page_set_next_run(&set, &run));
    assert_int_equal(run.first, 0);
    assert_int_equal(run.count, RANGE_PAGES);
    assert_false(page_set_next_run(&set, &run));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changed_pages_differ_and_no_others),
        cmocka_unit_test(a_part_of_a_range_is_held_against_its_own_hashes),
        cmocka_unit_test(zeros_are_pages_like_others),
        cmocka_unit_test(pages_in_a_row_are_one_run),
        cmocka_unit_test(sets_know_their_bounds),
        cmocka_unit_test(runs_come_one_after_the_other),
        cmocka_unit_test(a_whole_range_is_one_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
