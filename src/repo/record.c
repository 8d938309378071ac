#include "repo/record.h"

#include "repo/percent.h"
#include "stream/digest.h"

#include <assert.h>
#include <inttypes.h>
#include <time.h>

/* docs/format.md, chapter 3. A record is small: a reader never takes more than this. */
enum { RECORD_SIZE_MAX = 1 << 20 };

static const char first_word[] = "pgcairn ";
static const char checksum_key[] = "sha256=";

/* Length of the last line, with its LF. */
enum { CHECKSUM_LINE_LENGTH = sizeof checksum_key - 1 + SHA256_TEXT_SIZE };

static bool is_word(const char *text)
{
    return text[0] != '\0' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_.") == strlen(text);
}

void record_begin(RecordWriter *writer, const char *kind, unsigned version)
{
    assert(is_word(kind) && version >= 1);
    writer->text.size = 0;
    buffer_print(&writer->text, "%s%s %u\n", first_word, kind, version);
}

void record_text(RecordWriter *writer, const char *key, const char *value)
{
    assert(is_word(key) && strcmp(key, "sha256") != 0);
    buffer_print(&writer->text, "%s=", key);
    percent_encode(&writer->text, value, 0x20);
    buffer_append(&writer->text, "\n", 1);
}

void record_u64(RecordWriter *writer, const char *key, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, value);
    record_text(writer, key, text);
}

/* Exact: a time that was read back is the one that was written. */
void record_time(RecordWriter *writer, const char *key, TimeUs value)
{
    char text[64] = "-";
    struct tm parts;
    TimeUs fraction = value % 1000000;

    if (value != TIME_US_NONE) {
        if (fraction < 0)
            fraction += 1000000;
        if (time_split_utc((value - fraction) / 1000000, &parts)) {
            snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     (int)fraction);
        }
    }
    record_text(writer, key, text);
}

void record_finish(RecordWriter *writer)
{
    uint8_t digest[SHA256_SIZE];
    char text[SHA256_TEXT_SIZE];

    sha256_of(writer->text.data, writer->text.size, digest);
    buffer_print(&writer->text, "%s%s\n", checksum_key, sha256_text(digest, text));
}

bool record_store(RecordWriter *writer, Storage *storage, const char *name, Error *err)
{
    record_finish(writer);
    if (!storage_put(storage, name, WRITE_NEW, writer->text.data, writer->text.size, err))
        return error_context(err, "store \"%s\"", name);
    return true;
}

void record_writer_done(RecordWriter *writer)
{
    buffer_done(&writer->text);
}

/* "pgcairn KIND VERSION": its kind and version are read before anything else is trusted. */
static bool record_check_first_line(const char *line, size_t length, const char *kind,
                                    unsigned version_max, unsigned *version, Error *err)
{
    size_t word = strlen(first_word);
    size_t kind_length = strlen(kind);
    unsigned found = 0;

    if (length < word || memcmp(line, first_word, word) != 0)
        return error_set(err, ERR_CORRUPT, "not a record of pgcairn");
    if (length < word + kind_length + 2 || memcmp(line + word, kind, kind_length) != 0 ||
        line[word + kind_length] != ' ')
        return error_set(err, ERR_CORRUPT, "not a record of kind \"%s\"", kind);
    for (size_t i = word + kind_length + 1; i < length; i++) {
        bool is_first = i == word + kind_length + 1;

        if (line[i] < (is_first ? '1' : '0') || line[i] > '9' || found > 99999)
            return error_set(err, ERR_CORRUPT, "%s record has no version", kind);
        found = found * 10 + (unsigned)(line[i] - '0');
    }
    if (found > version_max) {
        error_set(err, ERR_VERSION, "%s record has version %u, this program knows %u", kind, found,
                  version_max);
        return error_hint(err, "use a newer pgcairn");
    }
    *version = found;
    return true;
}

static bool check_checksum(const char *text, size_t size, Error *err)
{
    uint8_t digest[SHA256_SIZE];
    char expected[SHA256_TEXT_SIZE];
    size_t body = size - CHECKSUM_LINE_LENGTH;
    const char *line = text + body;

    sha256_of(text, body, digest);
    if (memcmp(line, checksum_key, strlen(checksum_key)) != 0 ||
        memcmp(line + strlen(checksum_key), sha256_text(digest, expected), SHA256_TEXT_SIZE - 1) !=
            0)
        return error_set(err, ERR_CORRUPT, "record has a bad checksum");
    return true;
}

/* "!" before a key: who does not know it can't use the record. No version has one yet. */
static bool check_key(const char *key, Error *err)
{
    if (key[0] == '!' && is_word(key + 1)) {
        error_set(err, ERR_VERSION, "record has \"%s\", which a reader must understand", key + 1);
        return error_hint(err, "use a newer pgcairn");
    }
    return is_word(key) || error_set(err, ERR_CORRUPT, "record has an ill-formed line");
}

/* The lines between the first and the last; text ends with LF. */
static bool record_parse_fields(const char *text, size_t size, Record *record, Error *err)
{
    size_t count = 0;

    for (size_t i = 0; i < size; i++)
        count += text[i] == '\n';
    if (count > 0)
        record->fields = arena_alloc(&record->arena, count * sizeof *record->fields);
    for (const char *end = text + size; text < end;) {
        const char *line_end = memchr(text, '\n', (size_t)(end - text));
        const char *equals = memchr(text, '=', (size_t)(line_end - text));

        if (equals == NULL)
            return error_set(err, ERR_CORRUPT, "record has a line without \"=\"");
        size_t value_size = (size_t)(line_end - equals - 1);
        char *value = arena_alloc(&record->arena, value_size + 1);
        char *key = arena_text_part(&record->arena, text, (size_t)(equals - text));
        if (!check_key(key, err))
            return false;
        if (!percent_decode(equals + 1, value_size, value))
            return error_set(err, ERR_CORRUPT, "record has an ill-formed line");
        record->fields[record->count++] = (RecordField){.key = key, .value = value};
        text = line_end + 1;
    }
    return true;
}

bool record_parse(const char *text, size_t size, const char *kind, unsigned version_max,
                  Record *record, Error *err)
{
    const char *line_end = size == 0 ? NULL : memchr(text, '\n', size);
    CLEANUP(record_done) Record parsed = {0};

    if (line_end == NULL)
        return error_set(err, ERR_CORRUPT, "not a record of pgcairn");
    if (!record_check_first_line(text, (size_t)(line_end - text), kind, version_max,
                                 &parsed.version, err))
        return false;

    size_t first_size = (size_t)(line_end - text) + 1;
    if (size < first_size + CHECKSUM_LINE_LENGTH || text[size - 1] != '\n' ||
        text[size - CHECKSUM_LINE_LENGTH - 1] != '\n')
        return error_set(err, ERR_CORRUPT, "%s record is cut", kind);
    if (!check_checksum(text, size, err) ||
        !record_parse_fields(text + first_size, size - first_size - CHECKSUM_LINE_LENGTH, &parsed,
                             err))
        return false;
    parsed.kind = arena_text(&parsed.arena, kind);
    *record = parsed;
    parsed = (Record){0};
    return true;
}

bool record_load(Storage *storage, const char *name, const char *kind, unsigned version_max,
                 Record *record, Error *err)
{
    CLEANUP(buffer_done) Buffer content = {0};

    if (!storage_read(storage, name, RECORD_SIZE_MAX, &content, err) ||
        !record_parse((const char *)content.data, content.size, kind, version_max, record, err))
        return error_context(err, "read \"%s\"", name);
    return true;
}

void record_done(Record *record)
{
    arena_done(&record->arena);
    *record = (Record){0};
}

const char *record_find(const Record *record, const char *key)
{
    for (size_t i = 0; i < record->count; i++) {
        if (strcmp(record->fields[i].key, key) == 0)
            return record->fields[i].value;
    }
    return NULL;
}

bool record_get_text(const Record *record, const char *key, const char **value, Error *err)
{
    const char *found = record_find(record, key);

    if (found == NULL)
        return error_set(err, ERR_CORRUPT, "%s record has no \"%s\"", record->kind, key);
    *value = found;
    return true;
}

bool record_get_u64(const Record *record, const char *key, uint64_t *value, Error *err)
{
    const char *text;
    uint64_t number = 0;

    if (!record_get_text(record, key, &text, err))
        return false;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number)) {
            return error_set(err, ERR_CORRUPT, "%s record has \"%s\" as %s", record->kind, text,
                             key);
        }
    }
    if (text[0] == '\0')
        return error_set(err, ERR_CORRUPT, "%s record has an empty %s", record->kind, key);
    *value = number;
    return true;
}

bool record_get_time(const Record *record, const char *key, TimeUs *value, Error *err)
{
    const char *text;
    Error parse_err = {0}; /* says it in words for an operator's input; damage is what it is here */
    TimeUs instant = TIME_US_NONE;

    if (!record_get_text(record, key, &text, err))
        return false;
    if (strcmp(text, "-") != 0 && !time_parse(text, &instant, &parse_err))
        return error_set(err, ERR_CORRUPT, "%s record has \"%s\" as %s", record->kind, text, key);
    *value = instant;
    return true;
}
