#include "repo/record.h"

#include "../stored_bytes.h"
#include "fixture.h"
#include "stream/digest.h"

/* Every byte that text can have. */
static void all_bytes(char text[256])
{
    for (int i = 1; i < 256; i++)
        text[i - 1] = (char)i;
    text[255] = '\0';
}

static void write_example(RecordWriter *writer)
{
    char text[256];

    all_bytes(text);
    record_begin(writer, "example", 1);
    record_text(writer, "text", "a = b, 100%");
    record_text(writer, "bytes", text);
    record_text(writer, "empty", "");
    record_u64(writer, "number", UINT64_MAX);
    record_time(writer, "time", INT64_C(1795000000123456));
    record_time(writer, "early", INT64_C(-1));
    record_time(writer, "never", TIME_US_NONE);
    record_finish(writer);
}

static bool parse(const Buffer *text, unsigned version_max, Error *err)
{
    CLEANUP(record_done) Record record = {0};

    return record_parse((const char *)text->data, text->size, "example", version_max, &record, err);
}

static void parse_returns_what_was_written(void **state)
{
    CLEANUP(record_writer_done) RecordWriter writer = {0};
    CLEANUP(record_done) Record record = {0};
    char bytes[256];
    const char *text;
    uint64_t number;
    TimeUs instant;
    Error err = {0};

    (void)state;
    write_example(&writer);

    assert_true(record_parse((const char *)writer.text.data, writer.text.size, "example", 1,
                             &record, &err));
    assert_int_equal(record.version, 1);
    assert_int_equal(record.count, 7);
    assert_string_equal(record.fields[0].key, "text");
    assert_string_equal(record.fields[0].value, "a = b, 100%");
    all_bytes(bytes);
    assert_true(record_get_text(&record, "bytes", &text, &err));
    assert_string_equal(text, bytes);
    assert_string_equal(record_find(&record, "empty"), "");
    assert_null(record_find(&record, "missing"));
    assert_true(record_get_u64(&record, "number", &number, &err));
    assert_true(number == UINT64_MAX);
    assert_true(record_get_time(&record, "time", &instant, &err));
    assert_true(instant == INT64_C(1795000000123456));
    assert_true(record_get_time(&record, "early", &instant, &err));
    assert_true(instant == -1);
    assert_true(record_get_time(&record, "never", &instant, &err));
    assert_true(instant == TIME_US_NONE);
}

static void a_record_is_read_with_cat(void **state)
{
    CLEANUP(record_writer_done) RecordWriter writer = {0};
    static const char expected[] = "pgcairn example 1\nkey=a%0A%25b\n"
                                   "time=2026-11-18T11:06:40.000007Z\nsha256=";

    (void)state;
    record_begin(&writer, "example", 1);
    record_text(&writer, "key", "a\n%b");
    record_time(&writer, "time", INT64_C(1795000000000007));
    record_finish(&writer);

    assert_int_equal(writer.text.size, strlen(expected) + 65);
    assert_memory_equal(writer.text.data, expected, strlen(expected));
}

static void any_changed_bit_is_noticed(void **state)
{
    CLEANUP(record_writer_done) RecordWriter writer = {0};
    size_t newer = 0;

    (void)state;
    write_example(&writer);
    for (size_t bit = 0; bit < writer.text.size * 8; bit++) {
        Error err = {0};

        writer.text.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(parse(&writer.text, 1, &err));
        assert_true(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
        newer += err.code == ERR_VERSION;
        writer.text.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(newer, 3); /* "1" becomes 3, 5 or 9 */
}

static void any_cut_or_addition_is_noticed(void **state)
{
    CLEANUP(record_writer_done) RecordWriter writer = {0};
    Error err = {0};

    (void)state;
    write_example(&writer);
    for (size_t size = 0; size < writer.text.size; size++) {
        Buffer cut = {.data = writer.text.data, .size = size};

        err = (Error){0};
        assert_false(parse(&cut, 1, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
    }
    buffer_append(&writer.text, "\n", 1);
    err = (Error){0};
    assert_false(parse(&writer.text, 1, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

static void newer_version_is_newer_whatever_follows(void **state)
{
    static const char text[] = "pgcairn example 2\nwhatever\n";
    CLEANUP(record_done) Record record = {0};
    Error err = {0};

    (void)state;
    assert_false(record_parse(text, strlen(text), "example", 1, &record, &err));
    assert_int_equal(err.code, ERR_VERSION);
    assert_string_equal(err.message, "example record has version 2, this program knows 1");
}

static void another_kind_is_refused(void **state)
{
    static const char *const others[] = {"exampl", "examplee", "lease"};
    CLEANUP(record_writer_done) RecordWriter writer = {0};

    (void)state;
    write_example(&writer);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        CLEANUP(record_done) Record record = {0};
        Error err = {0};

        assert_false(record_parse((const char *)writer.text.data, writer.text.size, others[i], 1,
                                  &record, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
    }
}

/* Whoever knows SHA-256 can write anything: well-formed is another question. */
/* Their checksum is right. */
static void what_begins_or_ends_otherwise_is_no_record(void **state)
{
    static const char *const bodies[] = {
        "pgCairn example 1\nkey=value\n",  "Pgcairn example 1\nkey=value\n",
        "pgcairn exampl3 1\nkey=value\n",  "pgcairn examples 1\nkey=value\n",
        "pgcairn example\t1\nkey=value\n", "pgcairn example 01\nkey=value\n",
        "pgcairn example 1 \nkey=value\n", "pgcairn example \nkey=value\n",
        "pgcairn example 1\nkey=value",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        CLEANUP(record_writer_done) RecordWriter writer = {0};
        Error err = {0};

        buffer_append(&writer.text, bodies[i], strlen(bodies[i]));
        record_finish(&writer);
        assert_false(parse(&writer.text, 1, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
    }
}

static void ill_formed_lines_are_refused(void **state)
{
    static const char *const bodies[] = {"no equals\n", "=no key\n", "key=%\n",
                                         "key=%4\n",    "key=%zz\n", "key=%00\n",
                                         "Key=upper\n", "key=%4a\n", "\n"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        CLEANUP(record_writer_done) RecordWriter writer = {0};
        Error err = {0};

        record_begin(&writer, "example", 1);
        buffer_append(&writer.text, bodies[i], strlen(bodies[i]));
        record_finish(&writer);
        assert_false(parse(&writer.text, 1, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
    }
}

static void wrong_values_are_damage(void **state)
{
    static const char *const numbers[] = {"",   "-1",  "1x", "18446744073709551616",
                                          " 1", "0x1", "+1", "/"};
    CLEANUP(record_done) Record record = {0};
    CLEANUP(record_writer_done) RecordWriter writer = {0};
    uint64_t number = 7;
    TimeUs instant = 7;
    Error err = {0};

    (void)state;
    record_begin(&writer, "example", 1);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        char key[8];

        snprintf(key, sizeof key, "k%zu", i);
        record_text(&writer, key, numbers[i]);
    }
    record_finish(&writer);
    assert_true(record_parse((const char *)writer.text.data, writer.text.size, "example", 1,
                             &record, &err));
    for (size_t i = 0; i <= ARRAY_SIZE(numbers); i++) {
        char key[8];

        snprintf(key, sizeof key, "k%zu", i); /* the last one is missing */
        assert_false(record_get_u64(&record, key, &number, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
        err = (Error){0};
        assert_false(record_get_time(&record, key, &instant, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
        err = (Error){0};
    }
    assert_int_equal(number, 7);
    assert_int_equal(instant, 7);
}

static void a_stored_record_is_loaded_once_and_never_replaced(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(record_writer_done) RecordWriter writer = {0};
    CLEANUP(record_done) Record record = {0};
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    record_begin(&writer, "example", 1);
    record_text(&writer, "key", "value");
    assert_true(record_store(&writer, fixture.repo.storage, "main/x", &err));
    assert_true(record_load(fixture.repo.storage, "main/x", "example", 1, &record, &err));
    assert_string_equal(record_find(&record, "key"), "value");

    record_begin(&writer, "example", 1);
    assert_false(record_store(&writer, fixture.repo.storage, "main/x", &err));
    assert_int_equal(err.code, ERR_EXISTS);
}

static void what_is_stored_stays_as_it_is(void **state)
{
    CLEANUP(record_writer_done) RecordWriter writer = {0};

    (void)state;
    write_example(&writer);
    assert_stored_bytes(writer.text.data, writer.text.size,
                        "cb40b20a3eb9ed67e295de6b0ca1d0ebaafd85775dc24ab2fee004f94e8a9385");
}

/* As a newer version would write it: its line, and a checksum that is right. */
static ErrorCode parse_with_line(const char *line, Record *record, Error *err)
{
    CLEANUP(buffer_done) Buffer text = {0};
    uint8_t digest[SHA256_SIZE];
    char hex[SHA256_TEXT_SIZE];

    buffer_print(&text, "pgcairn example 1\nfirst=1\n%s\nlast=2\n", line);
    sha256_of(text.data, text.size, digest);
    buffer_print(&text, "sha256=%s\n", sha256_text(digest, hex));
    *err = (Error){0};
    return record_parse((const char *)text.data, text.size, "example", 1, record, err) ? ERR_NONE
                                                                                       : err->code;
}

static void a_newer_record_is_read_or_refused_but_not_misread(void **state)
{
    static const struct {
        const char *line;
        ErrorCode code;
    } cases[] = {
        {"newer=x", ERR_NONE},      {"new.er_2=", ERR_NONE},    {"first=again", ERR_NONE},
        {"!newer=x", ERR_VERSION},  {"!first=1", ERR_VERSION},  {"!=x", ERR_CORRUPT},
        {"!new er=x", ERR_CORRUPT}, {"!!newer=x", ERR_CORRUPT}, {"newer!=x", ERR_CORRUPT},
        {"NEWER=x", ERR_CORRUPT},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(record_done) Record record = {0};
        Error err;

        if (parse_with_line(cases[i].line, &record, &err) != cases[i].code)
            fail_msg("\"%s\" gives %d: %s", cases[i].line, err.code, err.message);
        if (cases[i].code == ERR_NONE) {
            assert_int_equal(record.count, 3);
            assert_string_equal(record_find(&record, "first"), "1");
            assert_string_equal(record_find(&record, "last"), "2");
            assert_null(record_find(&record, "third"));
        }
        if (cases[i].code == ERR_VERSION)
            assert_string_equal(err.hint, "use a newer pgcairn");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_stored_stays_as_it_is),
        cmocka_unit_test(a_newer_record_is_read_or_refused_but_not_misread),
        cmocka_unit_test(parse_returns_what_was_written),
        cmocka_unit_test(a_record_is_read_with_cat),
        cmocka_unit_test(any_changed_bit_is_noticed),
        cmocka_unit_test(any_cut_or_addition_is_noticed),
        cmocka_unit_test(newer_version_is_newer_whatever_follows),
        cmocka_unit_test(another_kind_is_refused),
        cmocka_unit_test(ill_formed_lines_are_refused),
        cmocka_unit_test(wrong_values_are_damage),
        cmocka_unit_test(a_stored_record_is_loaded_once_and_never_replaced),
        cmocka_unit_test(what_begins_or_ends_otherwise_is_no_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
