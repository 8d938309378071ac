#include "postgres/backup_manifest.h"

#include "base/memory.h"
#include "postgres/version.h"
#include "stream/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* One small manifest; with `empties` the text is moved away after every call. */
static void make(unsigned major, bool empties, Buffer *text)
{
    CLEANUP(buffer_done) Buffer out = {0};
    CLEANUP(backup_manifest_freep)
    BackupManifestWriter *writer = backup_manifest_new(major, UINT64_C(18446744073709551615), &out);

    for (int step = 0; step < 4; step++) {
        if (step == 0)
            backup_manifest_file(writer, "PG_VERSION", 3, 1795000000123456, 0x994e7be2);
        if (step == 1)
            backup_manifest_file(writer, "base/5/\"odd\\name\n", 0, TIME_US_NONE, 0);
        if (step == 2)
            backup_manifest_file(writer, "\xff\xfe", UINT64_MAX, 0, 1);
        if (step == 3)
            backup_manifest_finish(writer, 7, UINT64_C(0xA94000028), UINT64_C(0xA94000138));
        if (empties) {
            buffer_append(text, out.data, out.size);
            out.size = 0;
        }
    }
    if (!empties)
        buffer_append(text, out.data, out.size);
    buffer_append(text, "", 1);
}

#define FILES                                                                                      \
    "\"Files\": [\n"                                                                               \
    "{ \"Path\": \"PG_VERSION\", \"Size\": 3, "                                                    \
    "\"Last-Modified\": \"2026-11-18 11:06:40 GMT\", "                                             \
    "\"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"e27b4e99\" },\n"                          \
    "{ \"Path\": \"base/5/\\\"odd\\\\name\\u000a\", \"Size\": 0, "                                 \
    "\"Last-Modified\": \"1970-01-01 00:00:00 GMT\", "                                             \
    "\"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"00000000\" },\n"                          \
    "{ \"Encoded-Path\": \"fffe\", \"Size\": 18446744073709551615, "                               \
    "\"Last-Modified\": \"1970-01-01 00:00:00 GMT\", "                                             \
    "\"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"01000000\" }\n"                           \
    "],\n\"WAL-Ranges\": [\n"                                                                      \
    "{ \"Timeline\": 7, \"Start-LSN\": \"A/94000028\", \"End-LSN\": \"A/94000138\" }\n],\n"

static void assert_manifest(const Buffer *text, const char *expected)
{
    CLEANUP(text_freep) char *body = NULL;
    uint8_t digest[SHA256_SIZE];
    char hex[SHA256_TEXT_SIZE];

    sha256_of(expected, strlen(expected), digest);
    body = text_format("%s\"Manifest-Checksum\": \"%s\"}\n", expected, sha256_text(digest, hex));
    assert_string_equal((const char *)text->data, body);
}

static void text_is_that_of_the_server(void **state)
{
    (void)state;
    for (unsigned major = PG_MAJOR_MIN; major <= PG_MAJOR_MAX; major++) {
        CLEANUP(buffer_done) Buffer text = {0};
        make(major, false, &text);
        assert_manifest(&text, major < 17 ? "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n" FILES
                                          : "{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n"
                                            "\"System-Identifier\": 18446744073709551615,\n" FILES);
    }
}

static void text_taken_away_in_between_is_in_the_checksum_all_the_same(void **state)
{
    CLEANUP(buffer_done) Buffer whole = {0};
    CLEANUP(buffer_done) Buffer pieces = {0};

    (void)state;
    make(15, false, &whole);
    make(15, true, &pieces);

    assert_string_equal((char *)whole.data, (char *)pieces.data);
}

static void only_valid_utf8_is_a_plain_path(void **state)
{
    static const struct {
        const char *path;
        bool is_plain;
    } cases[] = {
        {"a", true},
        {"\xc3\xa4", true},
        {"\xe2\x82\xac", true},
        {"\xf0\x9f\x98\x80", true},
        {"\xed\x9f\xbf", true},
        {"\xf4\x8f\xbf\xbf", true},
        {"\x80", false},             /* continuation alone */
        {"\xc3", false},             /* cut */
        {"\xe2\x82", false},         /* cut */
        {"\xf0\x9f\x98", false},     /* cut */
        {"\xc0\xaf", false},         /* overlong */
        {"\xc1\xbf", false},         /* overlong */
        {"\xe0\x9f\xbf", false},     /* overlong */
        {"\xf0\x8f\xbf\xbf", false}, /* overlong */
        {"\xed\xa0\x80", false},     /* surrogate */
        {"\xf4\x90\x80\x80", false}, /* beyond Unicode */
        {"\xf5\x80\x80\x80", false},
        {"a\xff", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(buffer_done) Buffer out = {0};
        CLEANUP(backup_manifest_freep)
        BackupManifestWriter *writer = backup_manifest_new(15, 1, &out);
        backup_manifest_file(writer, cases[i].path, 0, 0, 0);
        assert_int_equal(strstr((char *)out.data, "\"Path\"") != NULL, cases[i].is_plain);
        assert_int_equal(strstr((char *)out.data, "\"Encoded-Path\"") != NULL, !cases[i].is_plain);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_that_of_the_server),
        cmocka_unit_test(text_taken_away_in_between_is_in_the_checksum_all_the_same),
        cmocka_unit_test(only_valid_utf8_is_a_plain_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
