#include "postgres/settings.h"

#include "../folder.h"
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void save(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void values_are_read_as_the_server_reads_them(void **state)
{
    static const struct {
        const char *line, *name, *value;
    } cases[] = {
        {"port = 5432", "port", "5432"},
        {"port=5432", "port", "5432"},
        {"port 5432", "port", "5432"},
        {"  port\t=\t5432  \r", "port", "5432"},
        {"PORT = 5432 # comment", "port", "5432"},
        {"port = 5432#comment", "port", "5432"},
        {"a = ''", "a", ""},
        {"a = 'it''s'", "a", "it's"},
        {"a = 'it\\'s'", "a", "it's"},
        {"a = 'c:\\\\x'", "a", "c:\\x"},
        {"a = '\\n\\t\\r\\b\\f\\x'", "a", "\n\t\r\b\fx"},
        {"a = '\\101\\60\\0601'", "a", "A001"},
        {"a = '# no comment = here' # one", "a", "# no comment = here"},
        {"a = on", "a", "on"},
        {"a = read-only", "a", "read-only"},
        {"a = /no", "a", NULL},
        {"a = C.UTF-8/x:y", "a", "C.UTF-8/x:y"},
        {"a = -1", "a", "-1"},
        {"a = 0x1F", "a", "0x1F"},
        {"a = 128MB", "a", "128MB"},
        {"a = 0.5", "a", "0.5"},
        {"a = .5e-3", "a", ".5e-3"},
        {"a = 1.", "a", "1."},
        {"my.Setting = x", "my.setting", "x"},
        {"a'b'", "a", "b"},
        {"\xc3\xa4 = 1", "\xc3\xa4", "1"},
        {"a = b.c", "a", NULL}, /* a qualified name is not a value */
        {"a = b.c.d", "a", "b.c.d"},
        {"a =", "a", NULL},
        {"a", "a", NULL},
        {"= 1", "a", NULL},
        {"a = 1 2", "a", NULL},
        {"a == 1", "a", NULL},
        {"a = 'x", "a", NULL},
        {"a = 'x\\", "a", NULL},
        {"a = 'x\\'", "a", NULL},
        {"a = 'x' 'y'", "a", NULL},
        {"'a' = 1", "a", NULL},
        {"1a = 1", "a", NULL},
        {"a-b = 1", "a", NULL},
        {"a = \"x\"", "a", NULL},
        {"a.b.c = 1", "a", NULL},
        {"\x01", "a", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(settings_done) SettingList list = {0};
        CLEANUP(text_freep) char *text = text_format("# first\n\n%s\n", cases[i].line);
        Error err = {0};
        bool ok = settings_parse(text, "test.conf", &list, &err);
        if (ok != (cases[i].value != NULL))
            print_error("%s\n", cases[i].line);
        assert_int_equal(ok, cases[i].value != NULL);
        if (!ok) {
            assert_int_equal(err.code, ERR_USAGE);
            assert_string_equal(err.message, "test.conf line 3: syntax error");
            continue;
        }
        assert_int_equal(list.count, 1);
        assert_string_equal(list.items[0].name, cases[i].name);
        assert_string_equal(list.items[0].value, cases[i].value);
        assert_string_equal(list.items[0].file, "test.conf");
        assert_int_equal(list.items[0].line, 3);
        assert_string_equal(settings_value(&list, cases[i].name), cases[i].value);
    }
}

static void the_last_value_counts(void **state)
{
    CLEANUP(settings_done) SettingList list = {0};
    Error err = {0};

    (void)state;
    assert_true(settings_parse("a = 1\nb = 2\nA = 3\n", "x", &list, &err));

    assert_string_equal(settings_value(&list, "a"), "3");
    assert_string_equal(settings_value(&list, "B"), "2");
    assert_null(settings_value(&list, "c"));
}

static void included_files_stand_where_they_are_included(void **state)
{
    CLEANUP(settings_done) SettingList list = {0};
    Error err = {0};

    (void)state;
    assert_int_equal(mkdir("conf.d", 0700), 0);
    assert_int_equal(mkdir("conf.d/directory.conf", 0700), 0);
    save("main.conf", "a = 1\nInclude 'conf.d/one.conf'\ninclude_if_exists = 'nowhere.conf'\n"
                      "include_dir = 'conf.d'\nb = 9\n");
    save("conf.d/one.conf", "a = 2\nb = 2\ninclude_if_exists 'two.conf'\n");
    save("conf.d/two.conf", "c = 3\n");
    save("conf.d/.hidden.conf", "c = hidden\n");
    save("conf.d/zero.txt", "c = text\n");
    save("conf.d/a.conf", "d = 4");

    assert_true(settings_read("main.conf", &list, &err));

    /* main, one, two; then the directory by name: a, one, two; two again. */
    assert_string_equal(settings_value(&list, "a"), "2");
    assert_string_equal(settings_value(&list, "b"), "9");
    assert_string_equal(settings_value(&list, "c"), "3");
    assert_string_equal(settings_value(&list, "d"), "4");
    assert_int_equal(list.count, 1 + 3 + (1 + 3 + 1) + 1);
    assert_string_equal(list.items[1].file, "conf.d/one.conf");
    assert_int_equal(list.items[2].line, 2);
}

static void save_bytes(const char *name, const void *bytes, size_t size)
{
    FILE *file = fopen(name, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void a_zero_byte_hides_nothing_after_it(void **state)
{
    static const char comment[] = "port = 5555 # \0 x\nport = 6666\n";
    static const char plain[] = "port = 5555 \0 x\nport = 6666\n";
    CLEANUP(settings_done) SettingList list = {0};
    CLEANUP(settings_done) SettingList refused = {0};
    Error err = {0};

    (void)state;
    save_bytes("main.conf", comment, sizeof comment - 1);
    assert_true(settings_read("main.conf", &list, &err));
    assert_string_equal(settings_value(&list, "port"), "6666");

    save_bytes("main.conf", plain, sizeof plain - 1);
    assert_false(settings_read("main.conf", &refused, &err));
    assert_int_equal(err.code, ERR_USAGE);
}

static void what_is_missing_is_told(void **state)
{
    CLEANUP(settings_done) SettingList list = {0};
    Error err = {0};

    (void)state;
    assert_false(settings_read("nowhere.conf", &list, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);

    error_clear(&err);
    save("main.conf", "include 'nowhere.conf'\n");
    assert_false(settings_read("main.conf", &list, &err));
    assert_int_equal(err.code, ERR_USAGE);
    assert_non_null(strstr(err.context, "main.conf line 1"));

    error_clear(&err);
    save("main.conf", "include_dir nowhere\n");
    assert_false(settings_read("main.conf", &list, &err));
    assert_int_equal(err.code, ERR_USAGE);
}

static void a_file_that_includes_itself_is_refused(void **state)
{
    CLEANUP(settings_done) SettingList list = {0};
    Error err = {0};

    (void)state;
    save("main.conf", "include 'main.conf'\n");

    assert_false(settings_read("main.conf", &list, &err));

    assert_int_equal(err.code, ERR_USAGE);
    assert_non_null(strstr(err.message, "10 levels"));
}

/* "/was/x" lies in "is/x" now. */
static const char *locate_moved(void *context, const char *path, bool is_directory, Arena *arena)
{
    (void)context, (void)is_directory;
    if (strncmp(path, "/was/", 5) != 0)
        return NULL;
    const char *there = arena_format(arena, "is/%s", path + 5);
    return access(there, F_OK) == 0 ? there : NULL;
}

static void files_are_read_where_they_lie_now(void **state)
{
    static const char main_file[] =
        "A = 1\ninclude '/was/one'\ninclude_dir 'd'\n"
        "include_if_exists '/was/no'\ninclude_dir '/gone'\nb = = 2\nC = 3\n";
    static const struct {
        const char *spelling, *value;
    } expected[] = {{"A", "1"}, {"one", "11"}, {"two", "12"}, {"C", "3"}};
    CLEANUP(settings_done) SettingList list = {0};
    SettingsPlaces places = {.locate = locate_moved};

    (void)state;
    assert_int_equal(mkdir("is", 0700), 0);
    assert_int_equal(mkdir("is/d", 0700), 0);
    save_bytes("is/main", main_file, sizeof main_file - 1);
    save_bytes("is/one", "one = 11\n", 9);
    save_bytes("is/d/x.conf", "two = 12\n", 9);
    settings_read_from("/was/main", &places, &list);
    assert_int_equal(list.count, ARRAY_SIZE(expected));
    for (size_t i = 0; i < list.count; i++) {
        assert_string_equal(list.items[i].spelling, expected[i].spelling);
        assert_string_equal(list.items[i].value, expected[i].value);
    }
    assert_non_null(strstr(places.problem.message, "/gone")); /* the first one */
    assert_string_equal(list.items[2].file, "/was/d/x.conf");
}

static void lines_go_by_name_and_comments_stay(void **state)
{
    static const char text[] = "# pgcairn: begin\n"
                               "Restore_Command = 'x' # why\n"
                               "  recovery_target_time '2026'\n"
                               "recovery_target=immediate\r\n"
                               "recovery_target_xid = 'broken\n"
                               "recovery_targets = 1\n"
                               "not_recovery_target = 1\n"
                               "#recovery_target = 1\n"
                               "recovery_target-x = 1\n"
                               "port = 5432";
    const Setting additions[] = {
        {.name = "restore_command", .value = "it's \\ %f"},
        {.name = "recovery_target", .value = "immediate"},
    };
    CLEANUP(buffer_done) Buffer result = {0};

    (void)state;
    settings_rewrite(text, recovery_parameters, additions, 2, &result);

    assert_string_equal((char *)result.data, "# pgcairn: begin\n"
                                             "recovery_targets = 1\n"
                                             "not_recovery_target = 1\n"
                                             "#recovery_target = 1\n"
                                             "recovery_target-x = 1\n"
                                             "port = 5432\n"
                                             "restore_command = 'it''s \\\\ %f'\n"
                                             "recovery_target = 'immediate'\n");
}

static void a_star_removes_by_prefix(void **state)
{
    static const char *const names[] = {"recovery_target*", NULL};
    CLEANUP(buffer_done) Buffer result = {0};

    (void)state;
    settings_rewrite("recovery_targets = 1\nRECOVERY_TARGET = 2\nrecovery_targe = 3\n", names, NULL,
                     0, &result);

    assert_string_equal((char *)result.data, "recovery_targe = 3\n");
}

static void nothing_rewritten_is_an_empty_text(void **state)
{
    CLEANUP(buffer_done) Buffer result = {0};

    (void)state;
    settings_rewrite("", recovery_parameters, NULL, 0, &result);

    assert_int_equal(result.size, 0);
    assert_string_equal((char *)result.data, "");
}

/* Every byte, alone and beside the ones that are escaped. */
static void whatever_is_quoted_is_read_back(void **state)
{
    (void)state;
    for (int byte = 1; byte < 256; byte++) {
        for (int pattern = 0; pattern < 4; pattern++) {
            static const char *const formats[] = {"%c", "'%c\\", "\\%c'", "%c1%c"};
            char value[8];
            CLEANUP(settings_done) SettingList list = {0};
            CLEANUP(buffer_done) Buffer text = {0};
            Error err = {0};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            (void)snprintf(value, sizeof value, formats[pattern], byte, byte);
#pragma GCC diagnostic pop
            const Setting addition = {.name = "a", .value = value};
            settings_rewrite("a = 1\n", recovery_parameters, &addition, 1, &text);
            assert_true(settings_parse((char *)text.data, "x", &list, &err));
            assert_string_equal(settings_value(&list, "a"), value);
        }
    }
}

/* Nothing that the parser is fed may make it read past the end (run under a sanitizer). */
static void cut_text_is_read_to_its_end_only(void **state)
{
    static const char text[] = "a.b = 'x\\'''\\101' # c\ninclude_if_exists 'n'\nc 0x1.5e+3kB\n";

    (void)state;
    for (size_t size = 0; size < sizeof text; size++) {
        CLEANUP(settings_done) SettingList list = {0};
        CLEANUP(text_freep) char *cut = text_format("%.*s", (int)size, text);
        CLEANUP(buffer_done) Buffer result = {0};
        Error err = {0};
        bool ok = settings_parse(cut, "x", &list, &err);
        assert_int_equal(ok, err.code == ERR_NONE);
        settings_rewrite(cut, recovery_parameters, NULL, 0, &result);
        assert_true(result.size == size || result.size == size + 1 || size == sizeof text - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read_as_the_server_reads_them),
        cmocka_unit_test(the_last_value_counts),
        cmocka_unit_test_setup_teardown(included_files_stand_where_they_are_included, enter_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(a_zero_byte_hides_nothing_after_it, enter_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(what_is_missing_is_told, enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(files_are_read_where_they_lie_now, enter_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(a_file_that_includes_itself_is_refused, enter_folder,
                                        leave_folder),
        cmocka_unit_test(lines_go_by_name_and_comments_stay),
        cmocka_unit_test(a_star_removes_by_prefix),
        cmocka_unit_test(nothing_rewritten_is_an_empty_text),
        cmocka_unit_test(whatever_is_quoted_is_read_back),
        cmocka_unit_test(cut_text_is_read_to_its_end_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
