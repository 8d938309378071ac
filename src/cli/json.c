#include "cli/output.h"

#include "base/plain.h"
#include "base/utf8.h"
#include "postgres/wal_name.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>

static void json_put(Json *json, const char *text)
{
    buffer_append(&json->text, text, strlen(text));
}

static void put_string(Json *json, const char *text)
{
    json_put(json, "\"");
    while (*text != '\0') {
        size_t size = utf8_size(text);

        if (size == 0) {
            json_put(json, "\\ufffd");
        } else if (*text == '"' || *text == '\\') {
            buffer_print(&json->text, "\\%c", *text);
        } else if (*text == '\n') {
            json_put(json, "\\n");
        } else if (*text == '\t') {
            json_put(json, "\\t");
        } else if (size == 1 && !plain_is_fit(text, size)) {
            buffer_print(&json->text, "\\u%04x", (unsigned)*text);
        } else if (!plain_is_fit(text, size)) {
            plain_append_character(&json->text, text, size);
        } else {
            buffer_append(&json->text, text, size);
        }
        text += size > 0 ? size : 1;
    }
    json_put(json, "\"");
}

/* The comma before, and the key. */
static void begin_value(Json *json, const char *key)
{
    if (json->needs_comma)
        json_put(json, ",");
    json->needs_comma = true;
    if (key != NULL) {
        put_string(json, key);
        json_put(json, ":");
    }
}

static void json_begin(Json *json, const char *key, const char *bracket)
{
    begin_value(json, key);
    json_put(json, bracket);
    json->depth++;
    json->needs_comma = false;
}

static void json_end_bracket(Json *json, const char *bracket)
{
    assert(json->depth > 0);
    json_put(json, bracket);
    json->depth--;
    json->needs_comma = true;
}

void json_begin_object(Json *json, const char *key)
{
    json_begin(json, key, "{");
}

void json_begin_array(Json *json, const char *key)
{
    json_begin(json, key, "[");
}

void json_end_object(Json *json)
{
    json_end_bracket(json, "}");
}

void json_end_array(Json *json)
{
    json_end_bracket(json, "]");
}

void json_text(Json *json, const char *key, const char *value)
{
    begin_value(json, key);
    if (value != NULL) {
        put_string(json, value);
    } else {
        json_put(json, "null");
    }
}

void json_u64(Json *json, const char *key, uint64_t value)
{
    begin_value(json, key);
    buffer_print(&json->text, "%" PRIu64, value);
}

void json_bool(Json *json, const char *key, bool value)
{
    begin_value(json, key);
    json_put(json, value ? "true" : "false");
}

void json_double(Json *json, const char *key, double value)
{
    begin_value(json, key);
    if (isfinite(value)) {
        buffer_print(&json->text, "%.15g", value);
    } else {
        json_put(json, "null"); /* JSON has no infinity */
    }
}

void json_time(Json *json, const char *key, TimeUs value)
{
    char text[TIME_TEXT_SIZE];

    json_text(json, key, value != TIME_US_NONE ? time_text(value, text) : NULL);
}

void json_time_exact(Json *json, const char *key, TimeUs value)
{
    char text[TIME_TEXT_SIZE];

    json_text(json, key, value != TIME_US_NONE ? time_text_postgres(value, text) : NULL);
}

void json_lsn(Json *json, const char *key, uint64_t lsn)
{
    char text[LSN_TEXT_SIZE];

    json_text(json, key, lsn != 0 ? lsn_text(lsn, text) : NULL);
}

/* One process gives its answers on one standard output, from its main thread. */
static bool was_printed;

bool json_print(Json *json, Error *err)
{
    assert(json->depth == 0);
    json_put(json, "\n");
    /* A short count is remembered by the stream; out_flush() looks. */
    (void)!fwrite(json->text.data, 1, json->text.size, stdout);
    was_printed = true;
    return out_flush(err);
}

bool json_was_printed(void)
{
    return was_printed;
}

void json_done(Json *json)
{
    buffer_done(&json->text);
    *json = (Json){.depth = 0};
}
