#include "postgres/backup_label.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define HEAD  "START WAL LOCATION: A/94000028 (file 000000050000000A00000094)\n"
#define CHECK "CHECKPOINT LOCATION: A/94000060\n"
#define MIDDLE                                                                                     \
    "BACKUP METHOD: streamed\nBACKUP FROM: primary\nSTART TIME: 2026-11-22 06:17:40 UTC\n"
#define TAIL "LABEL: pgcairn\nSTART TIMELINE: 5\n"

static void a_label_is_read(void **state)
{
    static const struct {
        const char *text;
        bool from_standby, is_incremental;
    } cases[] = {
        {HEAD CHECK MIDDLE TAIL, false, false},
        {HEAD CHECK MIDDLE TAIL "\n", false, false},
        {HEAD CHECK "BACKUP METHOD: streamed\nBACKUP FROM: master\nSTART TIME: x\n" TAIL, false,
         false},
        {HEAD CHECK "BACKUP METHOD: streamed\nBACKUP FROM: standby\nSTART TIME: x\n" TAIL, true,
         false},
        {HEAD CHECK MIDDLE TAIL "INCREMENTAL FROM LSN: 0/28\nINCREMENTAL FROM TLI: 1\n", false,
         true},
        {HEAD CHECK MIDDLE "LABEL: \nSTART TIMELINE: 5\n", false, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        BackupLabel label = {0};
        Error err = {0};
        assert_true(backup_label_parse(cases[i].text, &label, &err));
        assert_true(label.start == UINT64_C(0xA94000028));
        assert_true(label.checkpoint == UINT64_C(0xA94000060));
        assert_int_equal(label.timeline, 5);
        assert_int_equal(label.from_standby, cases[i].from_standby);
        assert_int_equal(label.is_incremental, cases[i].is_incremental);
    }
}

static void a_label_that_the_server_would_not_read_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "\n",
        HEAD MIDDLE TAIL,
        CHECK HEAD MIDDLE TAIL,
        /* CRLF: FATAL "invalid data in file" */
        "START WAL LOCATION: 0/28 (file 000000010000000000000000)\r\n" CHECK MIDDLE TAIL,
        HEAD "CHECKPOINT LOCATION: A/94000060\r\n" MIDDLE TAIL,
        HEAD "CHECKPOINT LOCATION: A/94000027\n" MIDDLE TAIL, /* before redo */
        HEAD "CHECKPOINT LOCATION: \n" MIDDLE TAIL,
        "START WAL LOCATION: 0/0 (file 000000010000000000000000)\n" CHECK MIDDLE TAIL,
        "START WAL LOCATION: A/94000028 (file 000000000000000A00000094)\n" CHECK MIDDLE TAIL,
        "START WAL LOCATION: A/94000028 (file 000000050000000A0000009)\n" CHECK MIDDLE TAIL,
        "START WAL LOCATION: A/94000028 (file 000000050000000A000000944)\n" CHECK MIDDLE TAIL,
        "START WAL LOCATION: A/94000028\n" CHECK MIDDLE TAIL,
        "START WAL LOCATION: A94000028 (file 000000050000000A00000094)\n" CHECK MIDDLE TAIL,
        "START WAL LOCATION: A/94000028 (file 000000050000000A00000094)x\n" CHECK MIDDLE TAIL,
        HEAD CHECK "BACKUP METHOD: pg_rewind\nBACKUP FROM: primary\nSTART TIME: x\n" TAIL,
        HEAD CHECK "BACKUP METHOD: streamed\nBACKUP FROM: elsewhere\nSTART TIME: x\n" TAIL,
        HEAD CHECK TAIL,
        HEAD CHECK MIDDLE "LABEL: x\n",
        HEAD CHECK MIDDLE "LABEL: x\nSTART TIMELINE: 6\n", /* not the file's */
        HEAD CHECK MIDDLE "LABEL: x\nSTART TIMELINE: 05\n",
        HEAD CHECK MIDDLE "LABEL: x\nSTART TIMELINE: 5x\n",
        HEAD CHECK MIDDLE "LABEL: x\nSTART TIMELINE: 4294967301\n",
        HEAD CHECK MIDDLE "LABEL: x\nSTART TIMELINE: 7\nSTART TIMELINE: 5\n", /* forged */
        HEAD CHECK MIDDLE TAIL "SOMETHING ELSE\n",
        HEAD CHECK MIDDLE TAIL "SOMETHING ELSE",
        HEAD CHECK "BACKUP METHOD: streamed\nBACKUP FROM: primary\nTIME: x\n" TAIL,
        HEAD CHECK MIDDLE "LABLE: x\nSTART TIMELINE: 5\n",
        "START WAL LOCATION: A/94000028 (file 000000050000000a00000094)\n" CHECK MIDDLE TAIL,
        "START WAL LOCATION: A/94000028 (file 00000005 000000A00000094)\n" CHECK MIDDLE TAIL,
        /* timeline 0, which no line may name */
        "START WAL LOCATION: A/94000028 (file 000000000000000A00000094)\n" CHECK MIDDLE
        "LABEL: x\nSTART TIMELINE: 0\n",
        "START WAL LOCATION: 0/0 (file 000000050000000000000000)\n" CHECK MIDDLE TAIL,
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        BackupLabel label;
        Error err = {0};
        if (backup_label_parse(texts[i], &label, &err))
            print_error("%s\n", texts[i]);
        assert_int_equal(err.code, ERR_CORRUPT);
    }
}

static void a_cut_label_is_refused_wherever_it_is_cut(void **state)
{
    static const char text[] = HEAD CHECK MIDDLE TAIL;

    (void)state;
    for (size_t size = 0; size < strlen(text); size++) {
        CLEANUP(text_freep) char *cut = text_format("%.*s", (int)size, text);
        BackupLabel label;
        Error err = {0};
        assert_false(backup_label_parse(cut, &label, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
    }
}

static void a_very_long_line_is_refused(void **state)
{
    CLEANUP(text_freep)
    char *text = text_format("START WAL LOCATION: %0100000d/28 (file 0)\n%s", 0, CHECK MIDDLE TAIL);
    CLEANUP(text_freep)
    char *last = text_format("%s%0100000d\n", HEAD CHECK MIDDLE TAIL, 0);
    BackupLabel label;
    Error err = {0};

    (void)state;
    assert_false(backup_label_parse(text, &label, &err));
    error_clear(&err);
    assert_false(backup_label_parse(last, &label, &err));
}

static void a_map_is_read_by_oid(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};
    TablespaceList list = {0};
    Error err = {0};

    (void)state;
    assert_true(tablespace_map_parse("16400 ../../b\n16384 /srv/a c\n4294967295 / \n", 15, &arena,
                                     &list, &err));

    assert_int_equal(list.count, 3);
    assert_int_equal(list.items[0].oid, 16384);
    assert_string_equal(list.items[0].path, "/srv/a c");
    assert_int_equal(list.items[1].oid, 16400);
    assert_string_equal(list.items[1].path, "../../b"); /* somebody has moved it */
    assert_int_equal(list.items[2].oid, 4294967295);
    assert_string_equal(list.items[2].path, "/ ");
    assert_true(tablespace_map_parse("", 15, &arena, &list, &err));
    assert_int_equal(list.count, 0);
}

static void escapes_depend_on_the_version(void **state)
{
    static const struct {
        const char *text;
        const char *path_13, *path_14; /* NULL: refused */
    } cases[] = {
        {"1 /a\\\nb\n", "/a\nb", "/a\nb"},   {"1 /a\\\rb\n", "/a\rb", "/a\rb"},
        {"1 /a\\\\b\n", "/a\\\\b", "/a\\b"}, {"1 /a\\b\n", "/a\\b", "/ab"},
        {"1 /a\\\\\n", NULL, "/a\\"}, /* 13: the second one escapes the line feed */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (unsigned major = 13; major <= 14; major++) {
            CLEANUP(arena_done) Arena arena = {0};
            const char *path = major == 13 ? cases[i].path_13 : cases[i].path_14;
            TablespaceList list = {0};
            Error err = {0};
            assert_int_equal(tablespace_map_parse(cases[i].text, major, &arena, &list, &err),
                             path != NULL);
            if (path != NULL)
                assert_string_equal(list.items[0].path, path);
            else
                assert_int_equal(err.code, ERR_CORRUPT);
        }
    }
}

static void hostile_maps_are_refused(void **state)
{
    static const char *const texts[] = {
        "16384 /srv/a", "16384\n",     "16384 \n",        " /srv/a\n",
        "/srv/a\n",     "0 /srv/a\n",  "016384 /srv/a\n", "-1 /srv/a\n",
        "+1 /srv/a\n",  "1x /srv/a\n", "4294967296 /a\n", "99999999999999999999 /a\n",
        "1 \n",         "1\n",         "1\t/srv/a\n",     "1 /a\n1 /b\n",
        "1 /a\\",       "1 /a\n2 /b",  "0x10 /srv/a\n",   "1x ../a\n",
        ":1 /a\n",      "a /srv/a\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        CLEANUP(arena_done) Arena arena = {0};
        TablespaceList list;
        Error err = {0};
        if (tablespace_map_parse(texts[i], 15, &arena, &list, &err))
            print_error("%s\n", texts[i]);
        assert_int_equal(err.code, ERR_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_label_is_read),
        cmocka_unit_test(a_label_that_the_server_would_not_read_is_refused),
        cmocka_unit_test(a_cut_label_is_refused_wherever_it_is_cut),
        cmocka_unit_test(a_very_long_line_is_refused),
        cmocka_unit_test(a_map_is_read_by_oid),
        cmocka_unit_test(escapes_depend_on_the_version),
        cmocka_unit_test(hostile_maps_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
