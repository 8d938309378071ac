#include "pack/page_table.h"

#include "../stored_bytes.h"
#include "base/bytes.h"
#include "base/memory.h"
#include "stream/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Pages 0, 1, 5, 6, 7 and the short last one, in two extents. */
static uint32_t pages[] = {0, 1, 5, 6, 7, 9};
static PageEntry entries[ARRAY_SIZE(pages)];
static Frame extents[] = {
    {.codec = CODEC_ZSTD,
     .offset = 80,
     .stored_size = 5000,
     .raw_size = 4 * PAGE_BYTES,
     .checksum = 1},
    {.codec = CODEC_LZ4,
     .offset = 5080,
     .stored_size = 900,
     .raw_size = PAGE_BYTES + 100,
     .checksum = 2},
};

static PageTable example(void)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(pages); i++) {
        entries[i] = (PageEntry){.hash = 1000 + i,
                                 .crc32c = 2000 + i,
                                 .extent = (uint16_t)(i / 4),
                                 .slot = (uint16_t)(i % 4)};
    }
    return (PageTable){
        .range = 7,
        .range_size = 9 * PAGE_BYTES + 100,
        .is_settled = true,
        .extent_count = ARRAY_SIZE(extents),
        .extents = extents,
        .page_count = ARRAY_SIZE(pages),
        .pages = pages,
        .entries = entries,
    };
}

static void assert_same_table(const PageTable *a, const PageTable *b)
{
    assert_int_equal(a->range, b->range);
    assert_true(a->range_size == b->range_size);
    assert_int_equal(a->is_settled, b->is_settled);
    assert_int_equal(a->extent_count, b->extent_count);
    assert_int_equal(a->page_count, b->page_count);
    for (uint32_t i = 0; i < a->extent_count; i++) {
        assert_int_equal(a->extents[i].codec, b->extents[i].codec);
        assert_true(a->extents[i].offset == b->extents[i].offset);
        assert_int_equal(a->extents[i].stored_size, b->extents[i].stored_size);
        assert_int_equal(a->extents[i].raw_size, b->extents[i].raw_size);
        assert_true(a->extents[i].checksum == b->extents[i].checksum);
    }
    for (uint32_t i = 0; i < a->page_count; i++) {
        assert_int_equal(a->pages[i], b->pages[i]);
        assert_true(a->entries[i].hash == b->entries[i].hash);
        assert_int_equal(a->entries[i].crc32c, b->entries[i].crc32c);
        assert_int_equal(a->entries[i].extent, b->entries[i].extent);
        assert_int_equal(a->entries[i].slot, b->entries[i].slot);
    }
}

static void decode_returns_what_encode_wrote(void **state)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    CLEANUP(page_table_done) PageTable found = {0};
    PageTable table = example();
    Error err = {0};

    (void)state;
    page_table_encode(&table, &bytes);
    assert_int_equal(bytes.size, 40 + 8 * 3 + 32 * 2 + 16 * 6);
    assert_memory_equal(bytes.data, "PGPT", 4);
    assert_true(page_table_decode(&found, bytes.data, bytes.size, &err));
    assert_same_table(&found, &table);
}

static void the_largest_and_the_smallest_table_fit(void **state)
{
    CLEANUP(page_table_done)
    PageTable large = {
        .range_size = RANGE_SIZE,
        .extent_count = RANGE_PAGES,
        .extents = mem_alloc(RANGE_PAGES * sizeof(Frame)),
        .page_count = RANGE_PAGES,
        .pages = mem_alloc(RANGE_PAGES * sizeof(uint32_t)),
        .entries = mem_alloc(RANGE_PAGES * sizeof(PageEntry)),
    };
    PageTable tables[3] = {large};
    PageTable *scattered = &tables[1]; /* every other page: as many runs as there can be */

    (void)state;
    for (uint32_t i = 0; i < RANGE_PAGES; i++) {
        large.pages[i] = i;
        large.entries[i] = (PageEntry){.extent = (uint16_t)i};
        large.extents[i] = (Frame){.offset = 80 + i, .stored_size = 1, .raw_size = PAGE_BYTES};
    }
    uint32_t odd[RANGE_PAGES / 2];
    for (uint32_t i = 0; i < RANGE_PAGES / 2; i++)
        odd[i] = 2 * i + 1;
    *scattered = large;
    scattered->pages = odd;
    scattered->page_count = RANGE_PAGES / 2;
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) { /* the last one is empty */
        CLEANUP(buffer_done) Buffer bytes = {0};
        CLEANUP(page_table_done) PageTable found = {0};
        Error err = {0};

        page_table_encode(&tables[i], &bytes);
        assert_true(page_table_decode(&found, bytes.data, bytes.size, &err));
        assert_same_table(&found, &tables[i]);
    }
}

static void any_cut_or_addition_is_noticed(void **state)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    PageTable table = example();
    PageTable found;

    (void)state;
    page_table_encode(&table, &bytes);
    buffer_append(&bytes, "", 1);
    for (size_t size = 0; size <= bytes.size; size++) {
        Error err = {0};

        if (size == bytes.size - 1)
            continue;
        assert_false(page_table_decode(&found, bytes.data, size, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
    }
}

/* Its frame's checksum covers it; a table made up by somebody must still not lead astray. */
static void changed_bits_never_lead_outside(void **state)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    PageTable table = example();

    (void)state;
    page_table_encode(&table, &bytes);
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        CLEANUP(page_table_done) PageTable found = {0};
        Error err = {0};

        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (!page_table_decode(&found, bytes.data, bytes.size, &err)) {
            assert_true(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
        } else {
            assert_true(found.range_size <= RANGE_SIZE);
            for (uint32_t i = 0; i < found.page_count; i++) {
                uint64_t start = (uint64_t)found.pages[i] * PAGE_BYTES;

                assert_true(start < found.range_size);
                assert_true(i == 0 || found.pages[i] > found.pages[i - 1]);
                assert_true(found.entries[i].extent < found.extent_count);
                assert_true((uint64_t)found.entries[i].slot * PAGE_BYTES <
                            found.extents[found.entries[i].extent].raw_size);
            }
        }
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void unknown_optional_flags_are_ignored(void **state)
{
    const PageTable table = example();
    CLEANUP(buffer_done) Buffer bytes = {0};
    CLEANUP(page_table_done) PageTable found = {0};
    Error err = {0};

    (void)state;
    page_table_encode(&table, &bytes);
    put_le16(bytes.data + 6, 1 << 15 | 1);
    put_le32(bytes.data + 36, UINT32_MAX); /* what comes with it */
    assert_true(page_table_decode(&found, bytes.data, bytes.size, &err));
    assert_same_table(&found, &table);
}

static void wrong_tables_are_refused(void **state)
{
    static const struct {
        size_t offset;
        uint32_t value;
        ErrorCode code;
    } cases[] = {
        {0, 0, ERR_CORRUPT},                /* magic */
        {4, 0, ERR_CORRUPT},                /* version */
        {4, 2, ERR_VERSION},                /* version */
        {4, 1 | 2 << 16, ERR_VERSION},      /* flag */
        {36, 1, ERR_VERSION},               /* reserved */
        {8, 4096, ERR_VERSION},             /* page size */
        {20, 1, ERR_CORRUPT},               /* range size */
        {16, RANGE_SIZE + 1, ERR_CORRUPT},  /* range size */
        {16, 9 * PAGE_BYTES, ERR_CORRUPT},  /* too small for page 9 */
        {24, UINT32_MAX, ERR_CORRUPT},      /* runs */
        {28, UINT32_MAX, ERR_CORRUPT},      /* pages */
        {32, UINT32_MAX, ERR_CORRUPT},      /* extents */
        {40, 4, ERR_CORRUPT},               /* a run that touches the next */
        {48, 1, ERR_CORRUPT},               /* runs overlap */
        {44, 0, ERR_CORRUPT},               /* an empty run */
        {44, 1, ERR_CORRUPT},               /* fewer pages than there are entries */
        {60, UINT32_MAX, ERR_CORRUPT},      /* an endless run */
        {64, 0, ERR_CORRUPT},               /* extent in the header of the pack */
        {64 + 16, 0, ERR_CORRUPT},          /* stored size */
        {64 + 16, 1 << 20, ERR_CORRUPT},    /* stored size out of proportion */
        {64 + 20, 2 << 20, ERR_CORRUPT},    /* raw size */
        {64 + 20, PAGE_BYTES, ERR_CORRUPT}, /* too small for its pages */
        {64 + 24, 9, ERR_VERSION},          /* codec */
        {64 + 28, 1 << 24, ERR_VERSION},    /* reserved */
        {128 + 72, 2, ERR_CORRUPT},         /* extent of the first page */
        {128 + 72, 4 << 16, ERR_CORRUPT},   /* slot of the first page */
    };
    PageTable table = example();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(buffer_done) Buffer bytes = {0};
        PageTable found;
        Error err = {0};

        page_table_encode(&table, &bytes);
        put_le32(bytes.data + cases[i].offset, cases[i].value);
        assert_false(page_table_decode(&found, bytes.data, bytes.size, &err));
        assert_int_equal(err.code, cases[i].code);
    }
}

/* Its pages are all inside, only the range is longer than any can be. */
static void a_range_that_is_too_long_is_refused(void **state)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    CLEANUP(page_table_done) PageTable good = {0};
    PageTable table = example();
    PageTable found;
    Error err = {0};

    (void)state;
    table.page_count = 4; /* without the short page at the end */
    table.range_size = RANGE_SIZE;
    page_table_encode(&table, &bytes);
    assert_true(page_table_decode(&good, bytes.data, bytes.size, &err));
    put_le64(bytes.data + 16, (uint64_t)RANGE_SIZE + PAGE_BYTES);
    assert_false(page_table_decode(&found, bytes.data, bytes.size, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

static void range_hash_depends_on_size_seed_and_every_page(void **state)
{
    uint64_t hashes[] = {1, 2, 3};
    uint8_t bytes[32];
    uint64_t hash = range_hash(9, 20000, hashes, 3);

    (void)state;
    put_le64(bytes, 20000);
    for (size_t i = 0; i < 3; i++)
        put_le64(bytes + 8 + 8 * i, hashes[i]);
    assert_true(hash == xxh3_of(9, bytes, sizeof bytes));
    assert_true(hash != range_hash(8, 20000, hashes, 3));
    assert_true(hash != range_hash(9, 20001, hashes, 3));
    assert_true(hash != range_hash(9, 20000, hashes, 2));
    for (size_t i = 0; i < 3; i++) {
        hashes[i]++;
        assert_true(hash != range_hash(9, 20000, hashes, 3));
        hashes[i]--;
    }
}

static void what_is_stored_stays_as_it_is(void **state)
{
    const PageTable table = example();
    CLEANUP(buffer_done) Buffer bytes = {0};

    (void)state;
    page_table_encode(&table, &bytes);
    assert_stored_bytes(bytes.data, bytes.size,
                        "5c551ec837174e38def39e1e73539704c4b04bb012e9cfaa7a7d6e76cee12bf1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_stored_stays_as_it_is),
        cmocka_unit_test(decode_returns_what_encode_wrote),
        cmocka_unit_test(the_largest_and_the_smallest_table_fit),
        cmocka_unit_test(any_cut_or_addition_is_noticed),
        cmocka_unit_test(changed_bits_never_lead_outside),
        cmocka_unit_test(unknown_optional_flags_are_ignored),
        cmocka_unit_test(wrong_tables_are_refused),
        cmocka_unit_test(range_hash_depends_on_size_seed_and_every_page),
        cmocka_unit_test(a_range_that_is_too_long_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
