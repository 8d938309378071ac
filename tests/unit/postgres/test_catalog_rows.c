#include "postgres/catalog_rows.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { PAGE_SIZE = 8192, ROW_SIZE = 200, DATA = 24, ROWS_MAX = 8 };

typedef struct Found {
    CatalogRow rows[ROWS_MAX];
    size_t count;
} Found;

static void take(void *context, const CatalogRow *row)
{
    Found *found = context;

    assert_true(found->count < ROWS_MAX);
    found->rows[found->count++] = *row;
}

/* Rows of 200 bytes from the end of the page on; what is in them is the caller's business. */
static uint8_t *put_row(uint8_t *page, unsigned index, uint16_t mask, uint32_t oid,
                        const char *name)
{
    size_t at = PAGE_SIZE - (size_t)(index + 1) * ROW_SIZE;
    uint8_t *row = page + at;

    put_le16(page + 12, (uint16_t)(24 + 4 * (index + 1)));
    put_le32(page + 24 + (size_t)4 * index, (uint32_t)at | 1 << 15 | (uint32_t)ROW_SIZE << 17);
    put_le16(row + 20, mask);
    row[22] = DATA;
    put_le32(row + DATA, oid);
    memcpy(row + DATA + 4, name, strlen(name));
    return row;
}

static void rows_of_pg_class_are_read_in_every_version(void **state)
{
    (void)state;
    for (unsigned major = PG_MAJOR_MIN; major <= PG_MAJOR_MAX; major++) {
        uint8_t pages[2 * PAGE_SIZE] = {0};
        Found found = {.count = 0};
        uint8_t *row = put_row(pages + PAGE_SIZE, 0, 0x0900, 16385, "orders");

        put_le32(row + DATA + 68, 2200);
        put_le32(row + DATA + 88, 16390);
        row[DATA + (major >= 18 ? 119 : 115)] = 'r';
        catalog_rows(PG_CLASS_OID, pg_version_of_major(major), pages, sizeof pages, take, &found);

        assert_int_equal(found.count, 1);
        assert_int_equal(found.rows[0].oid, 16385);
        assert_string_equal(found.rows[0].name, "orders");
        assert_int_equal(found.rows[0].schema, 2200);
        assert_int_equal(found.rows[0].file, 16390);
        assert_int_equal(found.rows[0].kind, 'r');
        assert_true(found.rows[0].is_current);
    }
}

static void a_row_says_whether_it_is_the_current_version(void **state)
{
    uint8_t page[PAGE_SIZE] = {0};
    Found found = {.count = 0};

    (void)state;
    put_le32(put_row(page, 0, 0x0100, 1, "updated") + 4, 700); /* xmax */
    put_row(page, 1, 0x0900, 2, "current");
    put_row(page, 2, 0x0A00, 3, "never committed");
    put_row(page, 3, 0x0B00, 4, "frozen");
    put_row(page, 4, 0x0100, 5, "just made");
    put_row(page, 5, 0x0900, 0, "no oid");
    put_row(page, 6, 0x0900, 7, "");
    put_row(page, 7, 0x0900, 8, "a pointer to nothing");
    put_le32(page + 24 + 4 * 7, 100 | 3U << 15);
    catalog_rows(PG_DATABASE_OID, pg_version_of_major(15), page, sizeof page, take, &found);

    assert_int_equal(found.count, 4);
    assert_string_equal(found.rows[0].name, "updated");
    assert_false(found.rows[0].is_current);
    for (size_t i = 1; i < 4; i++)
        assert_true(found.rows[i].is_current);
    assert_string_equal(found.rows[2].name, "frozen");
}

static void the_map_names_the_files_of_mapped_catalogues(void **state)
{
    uint8_t map[512] = {0};

    (void)state;
    put_le32(map, 0x592717);
    put_le32(map + 4, 2);
    put_le32(map + 8, 1255);
    put_le32(map + 12, 1255);
    put_le32(map + 16, PG_CLASS_OID);
    put_le32(map + 20, 16500);
    assert_int_equal(filenode_map_find(map, sizeof map, PG_CLASS_OID), 16500);
    assert_int_equal(filenode_map_find(map, sizeof map, 1249), 0);
    assert_int_equal(filenode_map_find(map, 20, PG_CLASS_OID), 0);
    map[0] ^= 1;
    assert_int_equal(filenode_map_find(map, sizeof map, PG_CLASS_OID), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_pg_class_are_read_in_every_version),
        cmocka_unit_test(a_row_says_whether_it_is_the_current_version),
        cmocka_unit_test(the_map_names_the_files_of_mapped_catalogues),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
