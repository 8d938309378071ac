#include "base/memory.h"

#include "base/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Sizes around alignment, block size and what counts as large; all at once, none overlaps. */
static void arena_memory_is_zeroed_aligned_and_apart(void **state)
{
    static const size_t sizes[] = {0,     1,     15,    16,    17,    100,
                                   16383, 16384, 16385, 65535, 65536, 200000};
    enum { ROUNDS = 40, COUNT = ROUNDS * (int)ARRAY_SIZE(sizes) };
    CLEANUP(arena_done) Arena arena = {0};
    uint8_t *parts[COUNT];
    size_t total = 0;

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        size_t size = sizes[i * 7 % ARRAY_SIZE(sizes)];
        parts[i] = arena_alloc(&arena, size);
        total += size;
        assert_int_equal((uintptr_t)parts[i] % 16, 0);
        for (size_t byte = 0; byte < size; byte++)
            assert_int_equal(parts[i][byte], 0);
        memset(parts[i], (int)(i % 251) + 1, size);
    }
    for (size_t i = 0; i < COUNT; i++) {
        size_t size = sizes[i * 7 % ARRAY_SIZE(sizes)];
        for (size_t byte = 0; byte < size; byte++)
            assert_int_equal(parts[i][byte], i % 251 + 1);
    }
    assert_true(arena.total >= total);
    assert_true(arena.total < total * 2);
}

static void many_small_things_waste_little(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};

    (void)state;
    for (int i = 0; i < 100000; i++)
        (void)!arena_alloc(&arena, 16);
    assert_in_range(arena.total, 1600000, 1700000);
}

static void arena_texts_are_copies(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};
    char text[] = "base/5/1259";

    (void)state;
    char *whole = arena_text(&arena, text);
    char *part = arena_text_part(&arena, text, 6);
    char *formatted = arena_format(&arena, "%s#%d", text, 42);
    memset(text, 'x', sizeof text);
    assert_string_equal(whole, "base/5/1259");
    assert_string_equal(part, "base/5");
    assert_string_equal(formatted, "base/5/1259#42");
    arena_done(&arena);
    assert_int_equal(arena.total, 0);
}

/* Millions of paths: what lies between them would be as much as they are. */
static void texts_lie_side_by_side_and_the_rest_stays_aligned(void **state)
{
    enum { COUNT = 50000 };
    CLEANUP(arena_done) Arena arena = {0};
    static const char *texts[COUNT];
    size_t size = 0;

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        texts[i] = arena_format(&arena, "%d", i);
        size += strlen(texts[i]) + 1;
    }
    assert_in_range(arena.total, size, size + size / 20 + 65536);
    for (size_t i = 1; i < 40; i++) {
        assert_true(
            strlen(arena_text_part(&arena, "0123456789012345678901234567890123456789", i)) == i);
        assert_int_equal((uintptr_t)arena_alloc(&arena, 1) % 16, 0);
    }
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(strtol(texts[i], NULL, 10), i);
}

static void buffer_keeps_what_was_appended(void **state)
{
    CLEANUP(buffer_done) Buffer buffer = {0};
    size_t expected = 0;

    (void)state;
    for (size_t size = 0; size < 300; size++) {
        uint8_t part[300];
        memset(part, (int)(size & 0xff), size);
        buffer_append(&buffer, part, size);
        expected += size;
        assert_int_equal(buffer.size, expected);
        assert_int_equal((uintptr_t)buffer.data % 4096, 0);
    }
    const uint8_t *next = buffer.data;
    for (size_t size = 0; size < 300; size++) {
        for (size_t i = 0; i < size; i++)
            assert_int_equal(*next++, size & 0xff);
    }
}

/* Of every length across the first growth, so that each fit of the rest is met. */
static void printed_text_is_whole_and_ends_in_zero(void **state)
{
    char text[600];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (size_t before = 3500; before < 4200; before += 7) {
        for (size_t size = 0; size < sizeof text; size += 13) {
            CLEANUP(buffer_done) Buffer buffer = {0};
            buffer_reserve(&buffer, before);
            memset(buffer.data, 'y', before);
            buffer.size = before;
            buffer_print(&buffer, "<%.*s>", (int)size, text);
            assert_int_equal(buffer.size, before + size + 2);
            assert_int_equal(buffer.data[before - 1], 'y');
            assert_int_equal(buffer.data[before], '<');
            assert_memory_equal(buffer.data + before + 1, text, size);
            assert_string_equal((const char *)buffer.data + before + 1 + size, ">");
        }
    }
}

static void formatted_text_has_any_length(void **state)
{
    (void)state;
    for (int size = 0; size < 5000; size += 499) {
        CLEANUP(text_freep) char *text = text_format("%*s|", size, "");
        assert_int_equal(strlen(text), size + 1);
    }
}

static void large_memory_is_aligned_and_usable_to_its_end(void **state)
{
    static const size_t sizes[] = {0, 1, 4095, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 5 << 20};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint8_t *memory = mem_alloc_large(sizes[i]);

        assert_int_equal((uintptr_t)memory % 4096, 0);
        memset(memory, 0xee, sizes[i]);
        mem_free(memory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_memory_is_zeroed_aligned_and_apart),
        cmocka_unit_test(many_small_things_waste_little),
        cmocka_unit_test(arena_texts_are_copies),
        cmocka_unit_test(texts_lie_side_by_side_and_the_rest_stays_aligned),
        cmocka_unit_test(buffer_keeps_what_was_appended),
        cmocka_unit_test(printed_text_is_whole_and_ends_in_zero),
        cmocka_unit_test(formatted_text_has_any_length),
        cmocka_unit_test(large_memory_is_aligned_and_usable_to_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
