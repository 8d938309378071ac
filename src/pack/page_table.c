#include "pack/page_table.h"

#include "base/bytes.h"
#include "base/memory.h"
#include "pack_format.h"
#include "repo/envelope.h"
#include "stream/digest.h"

#include <assert.h>
#include <inttypes.h>

/* docs/format.md, chapter 4.3 */
enum {
    FLAG_SETTLED = 1,
    HEADER_SIZE = 40,
    RUN_SIZE = 8,
    EXTENT_ENTRY_SIZE = 32,
    /* They are hash, CRC and place of a page, which stand in columns of their own. */
    PAGE_SIZE = 8 + 4 + 4,
};

static const EnvelopeShape header_shape = {.what = "page table",
                                           .magic = "PGPT",
                                           .size = HEADER_SIZE,
                                           .version = 1,
                                           .flags = FLAG_SETTLED,
                                           .cover = ENVELOPE_COVERED,
                                           .reserved = {{36, 4}}};

static_assert(HEADER_SIZE + RANGE_PAGES * (RUN_SIZE + EXTENT_ENTRY_SIZE + PAGE_SIZE) ==
                  PAGE_TABLE_SIZE_MAX,
              "the limit of a page table's frame is its largest size");

static uint32_t count_runs(const PageTable *table)
{
    uint32_t runs = 0;

    for (uint32_t i = 0; i < table->page_count; i++)
        runs += i == 0 || table->pages[i] != table->pages[i - 1] + 1;
    return runs;
}

static uint8_t *put_runs(const PageTable *table, uint8_t *to)
{
    for (uint32_t i = 0; i < table->page_count;) {
        uint32_t first = i++;

        while (i < table->page_count && table->pages[i] == table->pages[i - 1] + 1)
            i++;
        put_le32(to, table->pages[first]);
        put_le32(to + 4, i - first);
        to += RUN_SIZE;
    }
    return to;
}

static uint8_t *put_extents(const PageTable *table, uint8_t *to)
{
    for (uint32_t i = 0; i < table->extent_count; i++, to += EXTENT_ENTRY_SIZE) {
        const Frame *extent = &table->extents[i];

        put_le64(to, extent->offset);
        put_le64(to + 8, extent->checksum);
        put_le32(to + 16, extent->stored_size);
        put_le32(to + 20, extent->raw_size);
        to[24] = (uint8_t)extent->codec;
    }
    return to;
}

static void put_pages(const PageTable *table, uint8_t *to)
{
    uint8_t *crcs = to + (size_t)8 * table->page_count;
    uint8_t *places = crcs + (size_t)4 * table->page_count;

    for (uint32_t i = 0; i < table->page_count; i++) {
        const PageEntry *entry = &table->entries[i];

        put_le64(to + (size_t)8 * i, entry->hash);
        put_le32(crcs + (size_t)4 * i, entry->crc32c);
        put_le16(places + (size_t)4 * i, entry->extent);
        put_le16(places + (size_t)4 * i + 2, entry->slot);
    }
}

void page_table_encode(const PageTable *table, Buffer *out)
{
    uint32_t runs = count_runs(table);
    size_t size = HEADER_SIZE + (size_t)RUN_SIZE * runs +
                  (size_t)EXTENT_ENTRY_SIZE * table->extent_count +
                  (size_t)PAGE_SIZE * table->page_count;

    assert(table->page_count <= RANGE_PAGES && table->extent_count <= RANGE_PAGES);
    buffer_reserve(out, out->size + size);
    uint8_t *bytes = out->data + out->size;
    memset(bytes, 0, size);
    envelope_begin(&header_shape, table->is_settled ? FLAG_SETTLED : 0, bytes);
    put_le32(bytes + 8, PAGE_BYTES);
    put_le32(bytes + 12, table->range);
    put_le64(bytes + 16, table->range_size);
    put_le32(bytes + 24, runs);
    put_le32(bytes + 28, table->page_count);
    put_le32(bytes + 32, table->extent_count);
    put_pages(table, put_extents(table, put_runs(table, bytes + HEADER_SIZE)));
    out->size += size;
}

/* The fixed part; gives the number of runs. */
static bool get_header(PageTable *table, const uint8_t *bytes, size_t size, uint32_t *runs,
                       Error *err)
{
    /* The checksum of its frame covers it, and was checked. */
    if (!envelope_check(&header_shape, 0, bytes, size, err))
        return false;
    if (get_le32(bytes + 8) != PAGE_BYTES) {
        return error_set(err, ERR_VERSION, "page table is for pages of %u bytes",
                         get_le32(bytes + 8));
    }
    table->is_settled = (envelope_flags(&header_shape, bytes) & FLAG_SETTLED) != 0;
    table->range = get_le32(bytes + 12);
    table->range_size = get_le64(bytes + 16);
    *runs = get_le32(bytes + 24);
    table->page_count = get_le32(bytes + 28);
    table->extent_count = get_le32(bytes + 32);
    if (table->range_size > RANGE_SIZE || table->page_count > RANGE_PAGES ||
        table->extent_count > RANGE_PAGES || *runs > RANGE_PAGES ||
        size != HEADER_SIZE + (size_t)RUN_SIZE * *runs +
                    (size_t)EXTENT_ENTRY_SIZE * table->extent_count +
                    (size_t)PAGE_SIZE * table->page_count)
        return error_set(err, ERR_CORRUPT, "page table is cut or has impossible counts");
    return true;
}

/* Runs ascend and don't touch, lie in the range, and add up to the number of pages. */
static bool get_runs(PageTable *table, const uint8_t *bytes, uint32_t runs, Error *err)
{
    uint64_t pages_in_range = (table->range_size + PAGE_BYTES - 1) / PAGE_BYTES;
    uint64_t end = 0;
    uint32_t count = 0;

    for (uint32_t i = 0; i < runs; i++, bytes += RUN_SIZE) {
        uint64_t first = get_le32(bytes);
        uint32_t length = get_le32(bytes + 4);

        if (length == 0 || (i > 0 && first <= end) || first + length > pages_in_range ||
            length > table->page_count - count)
            return error_set(err, ERR_CORRUPT, "page table has an impossible run of pages");
        for (uint32_t page = 0; page < length; page++)
            table->pages[count++] = (uint32_t)first + page;
        end = first + length;
    }
    if (count != table->page_count)
        return error_set(err, ERR_CORRUPT, "page table has fewer pages than it says");
    return true;
}

static bool get_extents(PageTable *table, const uint8_t *bytes, Error *err)
{
    for (uint32_t i = 0; i < table->extent_count; i++, bytes += EXTENT_ENTRY_SIZE) {
        if (!codec_is_known(bytes[24]))
            return error_set(err, ERR_VERSION, "page table has an extent of codec %u", bytes[24]);
        for (size_t reserved = 25; reserved < EXTENT_ENTRY_SIZE; reserved++) {
            if (bytes[reserved] != 0)
                return error_set(err, ERR_VERSION, "page table has fields of a newer version");
        }
        table->extents[i] = (Frame){
            .codec = (Codec)bytes[24],
            .offset = get_le64(bytes),
            .checksum = get_le64(bytes + 8),
            .stored_size = get_le32(bytes + 16),
            .raw_size = get_le32(bytes + 20),
        };
        /* How large the pack is, only the manifest knows: reading beyond it is noticed then. */
        if (!frame_check(&table->extents[i], UINT64_MAX, EXTENT_SIZE, err))
            return false;
    }
    return true;
}

/* Every page lies within its extent: nobody has to ask again before copying it. */
static bool get_pages(PageTable *table, const uint8_t *bytes, Error *err)
{
    const uint8_t *crcs = bytes + (size_t)8 * table->page_count;
    const uint8_t *places = crcs + (size_t)4 * table->page_count;

    for (uint32_t i = 0; i < table->page_count; i++) {
        PageEntry entry = {
            .hash = get_le64(bytes + (size_t)8 * i),
            .crc32c = get_le32(crcs + (size_t)4 * i),
            .extent = get_le16(places + (size_t)4 * i),
            .slot = get_le16(places + (size_t)4 * i + 2),
        };
        uint64_t start = (uint64_t)table->pages[i] * PAGE_BYTES;
        uint64_t left = table->range_size - start;
        uint64_t length = left < PAGE_BYTES ? left : PAGE_BYTES;

        if (entry.extent >= table->extent_count ||
            (uint64_t)entry.slot * PAGE_BYTES + length > table->extents[entry.extent].raw_size)
            return error_set(err, ERR_CORRUPT, "page table has a page outside its extent");
        table->entries[i] = entry;
    }
    return true;
}

bool page_table_decode(PageTable *table, const uint8_t *bytes, size_t size, Error *err)
{
    CLEANUP(page_table_done) PageTable found = {0};
    uint32_t runs = 0;

    if (!get_header(&found, bytes, size, &runs, err))
        return false;
    /* One more than none: an empty table has arrays too, so that nobody meets NULL. */
    found.pages = mem_alloc((found.page_count + 1) * sizeof *found.pages);
    found.entries = mem_alloc((found.page_count + 1) * sizeof *found.entries);
    found.extents = mem_alloc((found.extent_count + 1) * sizeof *found.extents);

    const uint8_t *extents = bytes + HEADER_SIZE + (size_t)RUN_SIZE * runs;
    if (!get_runs(&found, bytes + HEADER_SIZE, runs, err) || !get_extents(&found, extents, err) ||
        !get_pages(&found, extents + (size_t)EXTENT_ENTRY_SIZE * found.extent_count, err))
        return false;
    *table = found;
    found = (PageTable){0};
    return true;
}

void page_table_done(PageTable *table)
{
    mem_free(table->pages);
    mem_free(table->entries);
    mem_free(table->extents);
    *table = (PageTable){0};
}

uint64_t range_hash(uint64_t seed, uint64_t range_size, const uint64_t *page_hashes,
                    uint32_t page_count)
{
    uint8_t bytes[8 + 8 * RANGE_PAGES];

    assert(page_count <= RANGE_PAGES);
    put_le64(bytes, range_size);
    for (uint32_t i = 0; i < page_count; i++)
        put_le64(bytes + 8 + (size_t)8 * i, page_hashes[i]);
    return xxh3_of(seed, bytes, 8 + (size_t)8 * page_count);
}
