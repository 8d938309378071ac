#include "postgres/relation_map.h"

#include "base/bytes.h"
#include "stream/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* As write_relmap_file() (relmapper.c) writes it: 62 entries before 16, 64 from then on. */
static size_t make(uint8_t bytes[RELATION_MAP_SIZE_MAX], size_t size, uint32_t count)
{
    size_t checked = size == 512 ? 504 : 520;

    memset(bytes, 0, RELATION_MAP_SIZE_MAX);
    put_le32(bytes, 0x592717);
    put_le32(bytes + 4, count);
    for (uint32_t i = 0; i < count && i < 64; i++) {
        put_le32(bytes + 8 + 8 * (size_t)i, 1259 + i);
        put_le32(bytes + 12 + 8 * (size_t)i, 16384 + i);
    }
    put_le32(bytes + checked, crc32c_update(0, bytes, checked));
    return size;
}

static void both_sizes_are_read(void **state)
{
    static const struct {
        size_t size;
        uint32_t count;
    } cases[] = {{512, 17}, {512, 62}, {524, 17}, {524, 64}, {512, 0}};
    uint8_t bytes[RELATION_MAP_SIZE_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        RelationMap map;
        Error err = {0};
        size_t size = make(bytes, cases[i].size, cases[i].count);
        assert_true(relation_map_parse(bytes, size, &map, &err));
        assert_int_equal(map.count, cases[i].count);
        for (uint32_t j = 0; j < map.count; j++)
            assert_int_equal(map.files[j], 16384 + j);
    }
}

static void anything_else_is_refused(void **state)
{
    uint8_t bytes[RELATION_MAP_SIZE_MAX];
    RelationMap map;

    (void)state;
    for (size_t i = 0; i < 508 * 8; i++) { /* what follows the checksum is padding */
        Error err = {0};
        size_t size = make(bytes, 512, 17);
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_false(relation_map_parse(bytes, size, &map, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
    }
    Error too_many = {0}, cut = {0};
    assert_false(relation_map_parse(bytes, make(bytes, 512, 63), &map, &too_many));
    (void)make(bytes, 512, 17);
    assert_false(relation_map_parse(bytes, 511, &map, &cut));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sizes_are_read),
        cmocka_unit_test(anything_else_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
