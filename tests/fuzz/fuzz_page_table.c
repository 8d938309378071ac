/* Page tables. Input: their bytes. */
#include "base/memory.h"
#include "fuzz.h"
#include "pack/page_table.h"

static void check(const PageTable *table)
{
    for (uint32_t i = 0; i < table->page_count; i++) {
        const PageEntry *entry = &table->entries[i];
        uint64_t start = (uint64_t)table->pages[i] * PAGE_BYTES;

        assert(start < table->range_size && (i == 0 || table->pages[i] > table->pages[i - 1]));
        assert(entry->extent < table->extent_count);
        /* The slot lies in its extent at least with its first byte. */
        assert((uint64_t)entry->slot * PAGE_BYTES < table->extents[entry->extent].raw_size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(page_table_done) PageTable table = {0};
    CLEANUP(buffer_done) Buffer again = {0};
    Error err = {0};

    if (!page_table_decode(&table, data, size, &err)) {
        assert(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
        assert(table.pages == NULL);
        return 0;
    }
    check(&table);
    page_table_encode(&table, &again);
    assert(again.size == size && memcmp(again.data, data, size) == 0);
    fuzz_accepted();
    return 0;
}

void fuzz_seeds(void)
{
    Frame extents[] = {
        {.codec = CODEC_ZSTD, .offset = 80, .stored_size = 500, .raw_size = 3 * PAGE_BYTES},
        {.codec = CODEC_NONE, .offset = 580, .stored_size = 100, .raw_size = 100},
    };
    uint32_t pages[] = {0, 1, 5, 8191};
    PageEntry entries[] = {{1, 2, 0, 0}, {3, 4, 0, 2}, {5, 6, 0, 1}, {7, 8, 1, 0}};
    PageTable table = {
        .range = 3,
        .range_size = RANGE_SIZE - PAGE_BYTES + 100,
        .is_settled = true,
        .extent_count = 2,
        .extents = extents,
        .page_count = 4,
        .pages = pages,
        .entries = entries,
    };
    CLEANUP(buffer_done) Buffer bytes = {0};

    page_table_encode(&table, &bytes);
    fuzz_seed("table", bytes.data, bytes.size);
    bytes.size = 0;
    page_table_encode(&(PageTable){.range_size = 8192}, &bytes);
    fuzz_seed("empty", bytes.data, bytes.size);
}
