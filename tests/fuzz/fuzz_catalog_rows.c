/*
 * Rows of catalogues on pages of any content, and the map of their files. Input: catalogue 1,
 * version 1, an oid 4, then pages (the last one is filled up) or a map.
 */
#include "base/bytes.h"
#include "base/memory.h"
#include "fuzz.h"
#include "postgres/catalog_rows.h"

enum { PAGE_SIZE = 8192, PAGES_MAX = 4 };

static void take_row(void *context, const CatalogRow *row)
{
    size_t *count = context;

    assert(row->oid != 0 && *row->name != '\0' && strlen(row->name) < sizeof row->name);
    (*count)++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t catalogs[] = {PG_CLASS_OID, PG_DATABASE_OID, PG_NAMESPACE_OID};
    FuzzInput input = {data, size};
    uint32_t catalog = catalogs[fuzz_u8(&input) % 3];
    const PgVersion *version = pg_version_of_major(PG_MAJOR_MIN + fuzz_u8(&input) % 6);
    uint32_t oid = fuzz_u32(&input);
    size_t left =
        input.left < (size_t)PAGES_MAX * PAGE_SIZE ? input.left : (size_t)PAGES_MAX * PAGE_SIZE;
    size_t pages = (left + PAGE_SIZE - 1) / PAGE_SIZE;
    uint8_t *bytes = mem_alloc(pages * PAGE_SIZE + 1);
    size_t count = 0;

    memcpy(bytes, input.at, left);
    uint8_t *exact = fuzz_copy(bytes, pages * PAGE_SIZE);
    catalog_rows(catalog, version, exact, pages * PAGE_SIZE, take_row, &count);
    mem_free(exact);
    exact = fuzz_copy(bytes, left);
    uint32_t file = filenode_map_find(exact, left, oid);
    if (count > 0 || file != 0)
        fuzz_accepted();
    mem_free(exact);
    mem_free(bytes);
    return 0;
}

void fuzz_seeds(void)
{
    uint8_t page[6 + PAGE_SIZE] = {0, 2};
    uint8_t map[6 + 24] = {0, 2, 0xEB, 4, 0, 0};

    /* One row of pg_class at 1000, of 200 bytes, with 24 of header. */
    put_le16(page + 6 + 12, 28);
    put_le32(page + 6 + 24, 1000 | 1 << 15 | 200U << 17);
    put_le16(page + 6 + 1000 + 20, 0x0900);
    page[6 + 1000 + 22] = 24;
    put_le32(page + 6 + 1024, 16384);
    memcpy(page + 6 + 1028, "orders", 7);
    put_le32(page + 6 + 1024 + 88, 16390);
    page[6 + 1024 + 115] = 'r';
    fuzz_seed("class", page, sizeof page);
    page[0] = 1;
    fuzz_seed("database", page, sizeof page);
    put_le32(map + 6, 0x592717);
    put_le32(map + 10, 2);
    put_le32(map + 14, 1259);
    put_le32(map + 18, 1259);
    fuzz_seed("map", map, sizeof map);
}
