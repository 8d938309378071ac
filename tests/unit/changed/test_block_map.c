#include "block_map.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { WORDS = 2048, FILE_BLOCKS = 64 * WORDS /* of a file of 1 GB */ };

static bool is_set(const uint64_t *words, uint32_t block)
{
    return (words[block / 64] >> block % 64 & 1) != 0;
}

static const RelationFile first = {.tablespace = 1663, .database = 5, .number = 16384};
static const RelationFile second = {.tablespace = 1663, .database = 5, .number = 16385};

/* Few, many, and very many of a chunk; each block that was added is named, and no other. */
static void what_was_added_is_named(void **state)
{
    static const uint32_t steps[] = {50000, 4000, 97, 3, 1};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        CLEANUP(block_map_freep) BlockMap *map = block_map_new(64 << 20);
        uint64_t words[WORDS];

        for (uint32_t n = 0; n < 2 * FILE_BLOCKS; n += steps[i]) {
            block_map_add(map, &first, (n * 7919U) % (2 * FILE_BLOCKS) / steps[i] * steps[i]);
            block_map_add(map, &first, n);
        }
        assert_int_equal(block_map_answer(map, &second, 0, FILE_BLOCKS, words), CHANGED_NONE);
        for (uint32_t file = 0; file < 2; file++) {
            assert_int_equal(block_map_answer(map, &first, file * FILE_BLOCKS, FILE_BLOCKS, words),
                             CHANGED_SOME);
            for (uint32_t n = 0; n < FILE_BLOCKS; n++)
                assert_int_equal(is_set(words, n), (file * FILE_BLOCKS + n) % steps[i] == 0);
        }
    }
}

static void a_part_of_a_file_can_be_asked_for(void **state)
{
    CLEANUP(block_map_freep) BlockMap *map = block_map_new(64 << 20);
    uint64_t words[2];

    (void)state;
    block_map_add(map, &first, 65535);
    block_map_add(map, &first, 65536);
    assert_int_equal(block_map_answer(map, &first, 65472, 64, words), CHANGED_SOME);
    assert_true(words[0] == UINT64_C(1) << 63);
    assert_int_equal(block_map_answer(map, &first, 65472, 63, words), CHANGED_NONE);
    assert_int_equal(block_map_answer(map, &first, 65472, 65, words), CHANGED_SOME);
    assert_true(words[0] == UINT64_C(1) << 63 && words[1] == 1);
}

static void a_cut_names_all_from_there_on(void **state)
{
    static const struct {
        uint32_t cut;
        ChangedAnswer answer;
        uint32_t named; /* of 128 from 1024 on */
    } cases[] = {{0, CHANGED_ALL, 128},     {1023, CHANGED_ALL, 128}, {1024, CHANGED_ALL, 128},
                 {1025, CHANGED_SOME, 127}, {1151, CHANGED_SOME, 1},  {1152, CHANGED_NONE, 0}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(block_map_freep) BlockMap *map = block_map_new(64 << 20);
        uint64_t words[2];

        block_map_cut(map, &first, cases[i].cut);
        block_map_cut(map, &first, 900000); /* the lowest counts */
        assert_int_equal(block_map_answer(map, &first, 1024, 128, words), cases[i].answer);
        assert_int_equal(__builtin_popcountll(words[0]) + __builtin_popcountll(words[1]),
                         cases[i].named);
        assert_int_equal(block_map_answer(map, &second, 1024, 128, words), CHANGED_NONE);
    }
}

static void databases_and_tablespaces_are_named_whole(void **state)
{
    static const RelationFile other_database = {1663, 6, 16384};
    static const RelationFile other_tablespace = {70000, 5, 16384};
    CLEANUP(block_map_freep) BlockMap *map = block_map_new(64 << 20);
    uint64_t words[1];

    (void)state;
    block_map_database(map, 1663, 5);
    assert_int_equal(block_map_answer(map, &first, 0, 64, words), CHANGED_ALL);
    assert_int_equal(block_map_answer(map, &other_database, 0, 64, words), CHANGED_NONE);
    assert_int_equal(block_map_answer(map, &other_tablespace, 0, 64, words), CHANGED_NONE);
    block_map_tablespace(map, 70000);
    assert_int_equal(block_map_answer(map, &other_tablespace, 0, 64, words), CHANGED_ALL);
    assert_int_equal(block_map_answer(map, &other_database, 0, 64, words), CHANGED_NONE);
}

/* When memory ends more is named, never less. */
static void little_memory_names_more(void **state)
{
    CLEANUP(block_map_freep) BlockMap *map = block_map_new(1 << 20);
    uint64_t words[WORDS];
    uint32_t named = 0;

    (void)state;
    for (uint32_t file = 0; file < 400; file++) {
        for (uint32_t n = 0; n < 5000; n++)
            block_map_add(map, &first, file * FILE_BLOCKS / 2 + n * 13);
    }
    block_map_add(map, &second, 3);
    assert_false(block_map_is_full(map));
    for (uint32_t file = 0; file < 400; file++) {
        assert_int_equal(
            block_map_answer(map, &first, file * FILE_BLOCKS / 2, FILE_BLOCKS / 2, words),
            CHANGED_SOME);
        for (uint32_t n = 0; n < 5000; n++)
            assert_true(is_set(words, n * 13));
        for (uint32_t n = 0; n < FILE_BLOCKS / 2; n++)
            named += is_set(words, n);
    }
    assert_true(named > 400 * 5000);
    assert_int_equal(block_map_answer(map, &second, 0, 64, words), CHANGED_SOME);
    assert_true(words[0] == 8);
}

static void too_many_files_are_given_up(void **state)
{
    CLEANUP(block_map_freep) BlockMap *map = block_map_new(1 << 20);

    (void)state;
    for (uint32_t n = 0; n < 100000; n++)
        block_map_add(map, &(RelationFile){1663, 5, 16384 + n}, 0);
    assert_true(block_map_is_full(map));
    block_map_add(map, &first, 1);
    block_map_cut(map, &first, 1);
    block_map_database(map, 1, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_is_named),
        cmocka_unit_test(a_part_of_a_file_can_be_asked_for),
        cmocka_unit_test(a_cut_names_all_from_there_on),
        cmocka_unit_test(databases_and_tablespaces_are_named_whole),
        cmocka_unit_test(little_memory_names_more),
        cmocka_unit_test(too_many_files_are_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
