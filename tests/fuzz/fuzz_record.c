/*
 * Records: small text objects. Input: a choice, then the text; the checksum line is put after it,
 * except when the choice is 0.
 */
#include "fuzz.h"
#include "repo/record.h"
#include "stream/digest.h"

static void add_checksum(Buffer *text)
{
    uint8_t digest[SHA256_SIZE];
    char hex[SHA256_TEXT_SIZE];

    sha256_of(text->data, text->size, digest);
    buffer_print(text, "sha256=%s\n", sha256_text(digest, hex));
}

static void check_values(const Record *record)
{
    for (size_t i = 0; i < record->count; i++) {
        const char *key = record->fields[i].key;
        Error err = {0};
        Error time_err = {0};
        uint64_t number;
        TimeUs instant;

        assert(record_find(record, key) != NULL);
        assert(record_get_u64(record, key, &number, &err) || err.code == ERR_CORRUPT);
        assert(record_get_time(record, key, &instant, &time_err) || time_err.code == ERR_CORRUPT);
    }
}

/* What was read, written again, says the same. */
static void check_again(const Record *record)
{
    CLEANUP(record_writer_done) RecordWriter writer = {0};
    CLEANUP(record_done) Record again = {0};
    Error err = {0};

    record_begin(&writer, "lease", record->version);
    for (size_t i = 0; i < record->count; i++) {
        if (strcmp(record->fields[i].key, "sha256") == 0)
            return; /* the writer keeps that one for itself */
        record_text(&writer, record->fields[i].key, record->fields[i].value);
    }
    record_finish(&writer);
    bool is_record =
        record_parse((char *)writer.text.data, writer.text.size, "lease", 3, &again, &err);
    assert(is_record && again.count == record->count && again.version == record->version);
    for (size_t i = 0; i < record->count; i++) {
        assert(strcmp(again.fields[i].key, record->fields[i].key) == 0);
        assert(strcmp(again.fields[i].value, record->fields[i].value) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(record_done) Record record = {0};
    FuzzInput input = {data, size};
    bool is_raw = fuzz_u8(&input) == 0;
    Error err = {0};

    buffer_append(&text, input.at, input.left);
    if (!is_raw)
        add_checksum(&text);
    char *exact = (char *)fuzz_copy(text.data, text.size);
    if (record_parse(exact, text.size, "lease", 3, &record, &err)) {
        check_values(&record);
        check_again(&record);
        fuzz_accepted();
    } else {
        assert(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
    }
    mem_free(exact);
    return 0;
}

void fuzz_seeds(void)
{
    CLEANUP(record_writer_done) RecordWriter writer = {0};
    CLEANUP(buffer_done) Buffer bytes = {0};
    uint8_t choice = 1;

    record_begin(&writer, "lease", 1);
    record_text(&writer, "host", "db1 %\n\x7f\xc3\xa4");
    record_u64(&writer, "pid", UINT64_MAX);
    record_time(&writer, "since", 1795000000123456);
    record_time(&writer, "until", TIME_US_NONE);
    record_text(&writer, "packs", "");
    buffer_append(&bytes, &choice, 1);
    buffer_append(&bytes, writer.text.data, writer.text.size);
    fuzz_seed("lease", bytes.data, bytes.size);

    choice = 0;
    record_finish(&writer);
    bytes.size = 0;
    buffer_append(&bytes, &choice, 1);
    buffer_append(&bytes, writer.text.data, writer.text.size);
    fuzz_seed("whole", bytes.data, bytes.size);
}
