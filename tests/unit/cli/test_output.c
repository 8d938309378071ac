#include "cli/output.h"

#include "base/file.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

/* What a function prints to standard output. */
static void printed(void (*print)(void), Buffer *text)
{
    char path[] = "/tmp/test-output-XXXXXX";
    Error err = {0};
    int fd = mkstemp(path), kept = dup(STDOUT_FILENO);

    (void)fflush(stdout);
    assert_int_equal(dup2(fd, STDOUT_FILENO), STDOUT_FILENO);
    print();
    assert_true(out_flush(&err));
    assert_int_equal(dup2(kept, STDOUT_FILENO), STDOUT_FILENO);
    fd_done(&kept);
    fd_done(&fd);
    assert_true(file_read_whole(path, 1 << 20, text, &err));
    assert_int_equal(unlink(path), 0);
}

static void print_json(void)
{
    CLEANUP(json_done) Json json = {.depth = 0};
    Error err = {0};

    json_begin_object(&json, NULL);
    json_text(&json, "text", "a");
    json_u64(&json, "number", UINT64_MAX);
    json_begin_array(&json, "list");
    json_u64(&json, NULL, 1);
    json_begin_object(&json, NULL);
    json_end_object(&json);
    json_begin_array(&json, NULL);
    json_end_array(&json);
    json_text(&json, NULL, NULL);
    json_end_array(&json);
    json_bool(&json, "yes", true);
    json_double(&json, "half", 0.5);
    json_double(&json, "endless", INFINITY);
    json_time(&json, "time", 1795354200123456);
    json_time(&json, "never", TIME_US_NONE);
    json_lsn(&json, "lsn", 0xA94000028);
    json_lsn(&json, "nowhere", 0);
    json_end_object(&json);
    assert_true(json_print(&json, &err));
}

static void json_has_its_commas_and_its_nulls(void **state)
{
    CLEANUP(buffer_done) Buffer text = {0};

    (void)state;
    printed(print_json, &text);
    assert_string_equal((const char *)text.data,
                        "{\"text\":\"a\",\"number\":18446744073709551615,"
                        "\"list\":[1,{},[],null],\"yes\":true,\"half\":0.5,\"endless\":null,"
                        "\"time\":\"2026-11-22T13:30:00.123Z\",\"never\":null,"
                        "\"lsn\":\"A/94000028\",\"nowhere\":null}\n");
}

/* Every byte, between two others; then what is and what is not UTF-8. */
static void json_text_is_escaped(void **state)
{
    static const struct {
        const char *text, *json;
    } cases[] = {
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\xc3", "\"\\ufffd\""},
        {"\xe2\x82", "\"\\ufffd\\ufffd\""},
        {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},
        {"\xc0\x80", "\"\\ufffd\\ufffd\""},
        {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
        {"", "\"\""},
    };

    (void)state;
    for (int byte = 1; byte < 256; byte++) {
        CLEANUP(json_done) Json json = {.depth = 0};
        char text[] = {'a', (char)byte, 'z', '\0'}, expected[32];

        if (byte == '"' || byte == '\\') {
            (void)snprintf(expected, sizeof expected, "\"a\\%cz\"", byte);
        } else if (byte == '\n' || byte == '\t') {
            (void)snprintf(expected, sizeof expected, "\"a\\%cz\"", byte == '\n' ? 'n' : 't');
        } else if (byte < 0x20 || byte == 0x7f) {
            (void)snprintf(expected, sizeof expected, "\"a\\u%04xz\"", (unsigned)byte);
        } else if (byte < 0x80) {
            (void)snprintf(expected, sizeof expected, "\"a%cz\"", byte);
        } else {
            (void)snprintf(expected, sizeof expected, "\"a\\ufffdz\"");
        }
        json_text(&json, NULL, text);
        assert_int_equal(json.text.size, strlen(expected));
        assert_memory_equal(json.text.data, expected, strlen(expected));
    }
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(json_done) Json json = {.depth = 0};
        json_text(&json, NULL, cases[i].text);
        assert_int_equal(json.text.size, strlen(cases[i].json));
        assert_memory_equal(json.text.data, cases[i].json, json.text.size);
    }
}

static void print_table(void)
{
    CLEANUP(table_freep) Table *table = table_new(3);

    table_row(table, (const char *const[]){"name", "bytes", "note"});
    table_row(table, (const char *const[]){"a", "1.2 GiB", "fine"});
    table_row(table, (const char *const[]){"b\xc3\xa4r", "12 B", NULL});
    table_row(table, (const char *const[]){"longest", "-", "x"});
    table_print(table);
}

static void columns_are_as_wide_as_they_must_be(void **state)
{
    CLEANUP(buffer_done) Buffer text = {0};

    (void)state;
    printed(print_table, &text);
    assert_string_equal((const char *)text.data, "name       bytes  note\n"
                                                 "a        1.2 GiB  fine\n"
                                                 "b\xc3\xa4r         12 B\n"
                                                 "longest  -        x\n");
}

static void print_many_rows(void)
{
    CLEANUP(table_freep) Table *table = table_new(1);

    for (int i = 0; i < 1000; i++) {
        char cell[16];
        (void)snprintf(cell, sizeof cell, "%d", i);
        table_row(table, (const char *const[]){cell});
    }
    table_print(table);
}

static void a_table_has_as_many_rows_as_it_was_given(void **state)
{
    CLEANUP(buffer_done) Buffer text = {0};

    (void)state;
    printed(print_many_rows, &text);
    assert_int_equal(text.size, 4000);
    assert_memory_equal(text.data, "  0\n  1\n", 8);
    assert_memory_equal(text.data + 3996, "999\n", 4);
}

static void sizes_have_three_digits(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1.00 KiB"},
        {1536, "1.50 KiB"},
        {10229, "9.99 KiB"},
        {10239, "10.0 KiB"},
        {104857, "102 KiB"},
        {1048575, "1.00 MiB"},
        {UINT64_C(1) << 30, "1.00 GiB"},
        {UINT64_C(1234567890123), "1.12 TiB"},
        {UINT64_MAX, "16.0 EiB"},
    };
    char text[OUT_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(out_bytes(cases[i].bytes, text), cases[i].text);
    assert_string_equal(out_rate(310 << 20, 1000000, text), "310 MiB/s");
    assert_string_equal(out_rate(100, 0, text), "-");
    assert_string_equal(out_rate(UINT64_MAX, 1, text), "16.0 EiB/s");
}

static void durations_are_read_at_a_glance(void **state)
{
    static const struct {
        TimeUs elapsed;
        const char *text;
    } cases[] = {
        {-5, "0 ms"},         {0, "0 ms"},
        {1499, "1 ms"},       {999499, "999 ms"},
        {999500, "1.0 s"},    {4200000, "4.2 s"},
        {59949999, "59.9 s"}, {59950000, "1 min"},
        {60000000, "1 min"},  {192000000, "3 min 12 s"},
        {3599600000, "1 h"},  {7500000000, "2 h 5 min"},
        {86400000000, "1 d"}, {INT64_C(270000000000), "3 d 3 h"},
    };
    char text[OUT_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(out_duration(cases[i].elapsed, text), cases[i].text);
}

static void an_answer_cut_short_is_a_failure(void **state)
{
    CLEANUP(json_done) Json json = {.depth = 0};
    Error err = {0};
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC), kept = dup(STDOUT_FILENO);

    (void)state;
    (void)fflush(stdout);
    assert_int_equal(dup2(full, STDOUT_FILENO), STDOUT_FILENO);
    json_text(&json, NULL, "answer");
    bool ok = json_print(&json, &err);
    clearerr(stdout);
    assert_int_equal(dup2(kept, STDOUT_FILENO), STDOUT_FILENO);
    fd_done(&kept);
    fd_done(&full);
    assert_false(ok);
    assert_int_equal(err.code, ERR_IO);
    assert_string_equal(err.message,
                        "write the answer to standard output: No space left on device");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_has_its_commas_and_its_nulls),
        cmocka_unit_test(json_text_is_escaped),
        cmocka_unit_test(columns_are_as_wide_as_they_must_be),
        cmocka_unit_test(a_table_has_as_many_rows_as_it_was_given),
        cmocka_unit_test(sizes_have_three_digits),
        cmocka_unit_test(durations_are_read_at_a_glance),
        cmocka_unit_test(an_answer_cut_short_is_a_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
