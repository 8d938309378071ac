/*
 * What docs/format.md says in "How the format grows" of manifests: an older one lacks a key and is
 * as good as ever, of a newer one nothing is misread.
 */
#include "manifest_format.h"

#include "../../fuzz/manifest_example.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* The keys of the first version of the format. This list never grows. */
static const char *const first_keys[] = {
    "backup",       "cluster",      "system_identifier", "server_version", "major",
    "tool_version", "timeline",     "history",           "start",          "stop",
    "started_at",   "stopped_at",   "commit_time_max",   "backup_label",   "tablespace_map",
    "host",         "boot_id",      "data_directory",    "options",        "wal_segment_size",
    "checksums",    "from_standby", "libc_version",      "bad_pages",      "file_count",
    "bytes",        "bytes_new",
};

static bool is_first(const char *key)
{
    for (size_t i = 0; i < ARRAY_SIZE(first_keys); i++) {
        if (strcmp(first_keys[i], key) == 0)
            return true;
    }
    return false;
}

static void a_key_that_is_added_is_optional(void **state)
{
    size_t required = 0;

    (void)state;
    for (size_t i = 0; i < manifest_header_field_count; i++) {
        const HeaderField *field = &manifest_header_fields[i];

        required += !field->is_optional;
        if (!field->is_optional && !is_first(field->key)) {
            fail_msg(
                "the header key \"%s\" must be OPTIONAL: the manifests of all backups that were "
                "taken before it was added don't have it, and would be called damaged",
                field->key);
        }
    }
    assert_int_equal(required, ARRAY_SIZE(first_keys));
}

/* A manifest's text without its end line. */
static void body(Buffer *text)
{
    manifest_example(true, text);
    text->size = manifest_body_size(text);
    buffer_append(text, "", 1);
    text->size--;
}

/* In place of the first `from`, with an end line that fits: as another version would write it. */
static void rewrite(const char *from, const char *to, Buffer *changed)
{
    CLEANUP(buffer_done) Buffer text = {0};

    body(&text);
    const char *at = strstr((const char *)text.data, from);
    if (at == NULL)
        fail_msg("not in the manifest: %s", from);
    const size_t before = (size_t)(at - (const char *)text.data);
    buffer_append(changed, text.data, before);
    buffer_append(changed, to, strlen(to));
    buffer_append(changed, at + strlen(from), text.size - before - strlen(from));
    manifest_seal(changed);
}

static ErrorCode read_text(const Buffer *text, Manifest *manifest, Error *err)
{
    *err = (Error){0};
    return manifest_decode(manifest, (const char *)text->data, text->size, err) ? ERR_NONE
                                                                                : err->code;
}

/* Every key that came later: a manifest without any of them is whole, and says the defaults. */
static void an_older_manifest_has_defaults_for_what_it_lacks(void **state)
{
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(buffer_done) Buffer older = {0};
    CLEANUP(manifest_done) Manifest manifest = {0};
    Error err;

    (void)state;
    body(&text);
    for (const char *line = (const char *)text.data; *line != '\0';) {
        const char *end = strchr(line, '\n') + 1;
        char key[64] = "";

        if (strncmp(line, "h\t", 2) != 0 || sscanf(line + 2, "%63[^\t]", key) != 1 || is_first(key))
            buffer_append(&older, line, (size_t)(end - line));
        line = end;
    }
    manifest_seal(&older);
    if (read_text(&older, &manifest, &err) != ERR_NONE)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < manifest_header_field_count; i++) {
        const HeaderField *field = &manifest_header_fields[i];
        const void *at = (const char *)&manifest.header + field->offset;

        if (field->is_optional && field->kind == HEADER_TEXT) {
            assert_string_equal(*(const char *const *)at, "");
        } else if (field->is_optional && field->kind == HEADER_TIME) {
            assert_true(*(const TimeUs *)at == TIME_US_NONE);
        } else if (field->is_optional && field->kind == HEADER_U64) {
            assert_true(*(const uint64_t *)at == 0);
        }
    }
}

/* But what was always there is always needed. */
static void a_first_key_that_is_missing_is_damage(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(first_keys); i++) {
        CLEANUP(text_freep) char *from = text_format("\nh\t%s\t", first_keys[i]);
        CLEANUP(text_freep)
        char *message = text_format("manifest header has no \"%s\"", first_keys[i]);
        CLEANUP(buffer_done) Buffer text = {0};
        CLEANUP(manifest_done) Manifest manifest = {0};
        Error err;

        rewrite(from, "\nh\tsomething_else\t", &text);
        assert_int_equal(read_text(&text, &manifest, &err), ERR_CORRUPT);
        assert_string_equal(err.message, message);
    }
}

static void a_newer_manifest_is_read_or_refused_but_not_misread(void **state)
{
    static const struct {
        const char *from, *to;
        ErrorCode code;
        const char *message;
    } cases[] = {
        /* Header keys. */
        {"\nh\tcluster\t", "\nh\tnewer\twhatever\nh\tcluster\t", ERR_NONE, NULL},
        {"\nh\tcluster\t", "\nh\tnewer\t-\tx=1\nh\tcluster\t", ERR_NONE, NULL},
        {"\nh\tcluster\t", "\nh\t!newer\t1\nh\tcluster\t", ERR_VERSION,
         "manifest line 3 has \"newer\", which a reader must understand"},
        {"\nh\tchecksums\t1\n", "\nh\tchecksums\tx\n", ERR_CORRUPT,
         "manifest line 22: ill-formed \"checksums\""},
        /* Lines: those that begin with "?" are for whoever knows them, wherever they stand. */
        {"\nh\tcluster\t", "\n?new\tx\ty\nh\tcluster\t", ERR_NONE, NULL},
        {"\nt\t16400\t", "\n?\nt\t16400\t", ERR_NONE, NULL},
        {"\nr\t1\t", "\n?r\t1\nr\t1\t", ERR_NONE, NULL},
        {"\nx\t", "\n?new\nx\t", ERR_NONE, NULL},
        {"\nt\t16400\t", "\nn\tx\nt\t16400\t", ERR_VERSION, NULL},
        {"\nt\t16400\t", "\nnew\tx\nt\t16400\t", ERR_VERSION, NULL},
        /* Fields after those of a line: optional ones are told by their form. */
        {"\t/srv/a%20b\n", "\t/srv/a%20b\tnew_1=2\tx=\n", ERR_NONE, NULL},
        {"00000000\t" EXAMPLE_BACKUP "\n", "00000000\t" EXAMPLE_BACKUP "\tnew=2\n", ERR_NONE, NULL},
        {"\tbase\t700\tpostgres\ta%20b\n", "\tbase\t700\tpostgres\ta%20b\tnew=2\n", ERR_NONE, NULL},
        {"\tbase\t700\tpostgres\ta%20b\n", "\tbase\t700\tpostgres\ta%20b\t2\n", ERR_VERSION, NULL},
        {"\tbase\t700\tpostgres\ta%20b\n", "\tbase\t700\tpostgres\ta%20b\t!new=2\n", ERR_VERSION,
         NULL},
        {"\tbase\t700\tpostgres\ta%20b\n", "\tbase\t700\tpostgres\ta%20b\t=2\n", ERR_VERSION, NULL},
        {"\tbase\t700\tpostgres\ta%20b\n", "\tbase\t700\tpostgres\n", ERR_CORRUPT, NULL},
        {"\tdeadbeef\t-\t-\n", "\tdeadbeef\t-\t-\tnew=2\n", ERR_NONE, NULL},
        {"\tdeadbeef\t-\t-\n", "\tdeadbeef\t-\t-\tnew\n", ERR_VERSION, NULL},
        {"\tdeadbeef\t2\n", "\tdeadbeef\t2\tnew=2\n", ERR_NONE, NULL},
        {"\tdeadbeef\t2\n", "\tdeadbeef\t2\tNEW=2\n", ERR_VERSION, NULL},
        {"\nr\t1\t8192\t0\t0000000000000000\tdeadbeef\t1:300:40:100:1:0000000000000abc/1\n",
         "\nr\t1\t8192\t0\t0000000000000000\tdeadbeef\t1:300:40:100:1:0000000000000abc/1\tnew=2\n",
         ERR_NONE, NULL},
        /* More of them than anybody would make. */
        {"\tbase\t700\tpostgres\ta%20b\n",
         "\tbase\t700\tpostgres\ta%20b\ta=\ta=\ta=\ta=\ta=\ta=\ta=\ta=\ta=\ta=\ta=\ta=\ta=\ta=\ta="
         "\ta=\ta=\ta=\ta=\ta=\n",
         ERR_VERSION, NULL},
        /* Frames. */
        {"\t1:300:40:100:1:0000000000000abc/1\n", "\t1:300:40:100:1:0000000000000abc/1/1/17\n",
         ERR_VERSION, NULL},
        {"\t1:300:40:100:1:", "\t1:300:40:100:9:", ERR_VERSION, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(buffer_done) Buffer text = {0};
        CLEANUP(manifest_done) Manifest manifest = {0};
        Error err;

        rewrite(cases[i].from, cases[i].to, &text);
        if (read_text(&text, &manifest, &err) != cases[i].code) {
            fail_msg("\"%s\" for \"%s\" gives %d: %s", cases[i].to, cases[i].from, err.code,
                     err.message);
        }
        if (cases[i].message != NULL)
            assert_string_equal(err.message, cases[i].message);
        if (cases[i].code == ERR_VERSION)
            assert_string_equal(err.hint, "use a newer pgcairn");
    }
}

/* Of what is passed over nothing is taken for something else. */
static void what_is_known_of_a_newer_manifest_is_as_it_was(void **state)
{
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(buffer_done) Buffer plain = {0};
    CLEANUP(manifest_done) Manifest manifest = {0};
    CLEANUP(buffer_done) Buffer again = {0};
    Error err;

    (void)state;
    manifest_example(true, &plain);
    rewrite("\tdeadbeef\t2\n", "\tdeadbeef\t2\tcluster=other\n?h\tcluster\tother\n", &text);
    assert_int_equal(read_text(&text, &manifest, &err), ERR_NONE);
    manifest_encode(&manifest, &again);
    assert_int_equal(again.size, plain.size);
    assert_memory_equal(again.data, plain.data, plain.size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_is_added_is_optional),
        cmocka_unit_test(an_older_manifest_has_defaults_for_what_it_lacks),
        cmocka_unit_test(a_first_key_that_is_missing_is_damage),
        cmocka_unit_test(a_newer_manifest_is_read_or_refused_but_not_misread),
        cmocka_unit_test(what_is_known_of_a_newer_manifest_is_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
