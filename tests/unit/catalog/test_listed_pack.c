/*
 * A pack is found in a listing by its id, by search and by index alike.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"
#include "catalog/listed_pack.h"
#include "stream/digest.h"

enum { PACKS = 300 };

static void pack_id_of(size_t number, char id[33])
{
    /* Many with the same first digits, so that places are taken. */
    (void)snprintf(id, 33, "%016llx%016llx",
                   (unsigned long long)(number / 100 * 0x0123456789abcdef),
                   (unsigned long long)xxh3_of(1, &number, sizeof number));
}

static int by_name(const void *one, const void *other)
{
    return strcmp(((const ObjectInfo *)one)->name, ((const ObjectInfo *)other)->name);
}

static void search_and_index_find_the_same(void **state)
{
    static char names[PACKS + 1][64];
    static ObjectInfo objects[PACKS + 1];
    const ObjectList packs = {.objects = objects, .count = PACKS + 1};
    CLEANUP(pack_index_done) PackIndex index = {0};
    char id[33];

    (void)state;
    for (size_t i = 0; i < PACKS; i++) {
        pack_id_of(i, id);
        (void)snprintf(names[i], sizeof names[i], "main/pack/%.2s/%s", id, id);
        objects[i] = (ObjectInfo){.name = names[i], .size = i};
    }
    objects[PACKS] = (ObjectInfo){.name = "main/pack/x"}; /* somebody's file */
    qsort(objects, PACKS + 1, sizeof objects[0], by_name);
    pack_index_make(&index, &packs);
    for (size_t i = 0; i < PACKS; i++) {
        pack_id_of(i, id);
        const ObjectInfo *found = pack_index_find(&index, id);
        assert_non_null(found);
        assert_int_equal(found->size, i);
        id[31] = id[31] == '0' ? '1' : '0';
        assert_null(pack_index_find(&index, id));
    }
    assert_null(pack_index_find(&index, "main/pack/x"));
    assert_null(pack_index_find(&index, ""));
}

static void nothing_is_found_in_an_empty_listing(void **state)
{
    const ObjectList packs = {.count = 0};
    CLEANUP(pack_index_done) PackIndex index = {0};
    char id[33];

    (void)state;
    pack_id_of(7, id);
    pack_index_make(&index, &packs);
    assert_null(pack_index_find(&index, id));
    assert_null(pack_find_listed(&packs, id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(search_and_index_find_the_same),
        cmocka_unit_test(nothing_is_found_in_an_empty_listing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
