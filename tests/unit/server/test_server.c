#include "server/server.h"

#include "../folder.h"
#include "base/file.h"
#include "base/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void save(const char *name, const char *text, mode_t mode)
{
    FILE *file = fopen(name, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(name, mode), 0);
}

static void no_lock_file_is_no_server(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};
    ServerLock lock;
    bool found = true;
    Error err = {0};

    (void)state;
    assert_true(server_lock_read(".", &arena, &lock, &found, &err));
    assert_false(found);
}

static void every_line_of_a_lock_file_is_read(void **state)
{
    static const struct {
        const char *status;
        ServerStatus expected;
    } cases[] = {{"starting", SERVER_STARTING}, {"standby ", SERVER_STANDBY},
                 {"ready   ", SERVER_READY},    {"stopping", SERVER_STOPPING},
                 {"", SERVER_UNKNOWN},          {"readyx", SERVER_UNKNOWN},
                 {"read", SERVER_UNKNOWN}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(arena_done) Arena arena = {0};
        CLEANUP(text_freep)
        char *text = text_format("99999999\n/srv/data\n1795000000\n5433\n/run/pg\n*\n  1 2\n%s\n",
                                 cases[i].status);
        ServerLock lock;
        bool found;
        Error err = {0};
        save("postmaster.pid", text, 0600);

        assert_true(server_lock_read(".", &arena, &lock, &found, &err));

        assert_true(found);
        assert_int_equal(lock.pid, 99999999);
        assert_string_equal(lock.data, "/srv/data");
        assert_int_equal(lock.started_at, INT64_C(1795000000000000));
        assert_int_equal(lock.port, 5433);
        assert_string_equal(lock.socket_directory, "/run/pg");
        assert_string_equal(lock.listen_address, "*");
        assert_int_equal(lock.status, cases[i].expected);
        assert_false(lock.is_alive);
    }
}

static void odd_lock_files_are_read_without_harm(void **state)
{
    static const char *const texts[] = {
        "\n", "x\n", "-1\n", "0\n", "99999999999999999999999\n/x\n", "\n\n\n\n\n\n\n\n\n\n\n", "1",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        CLEANUP(arena_done) Arena arena = {0};
        ServerLock lock;
        bool found;
        Error err = {0};
        save("postmaster.pid", texts[i], 0600);
        assert_true(server_lock_read(".", &arena, &lock, &found, &err));
        assert_true(found);
        assert_false(lock.is_alive);
        assert_int_equal(lock.status, SERVER_UNKNOWN);
    }
}

static void a_reused_number_is_no_server(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(text_freep) char *text = text_format("%d\n", (int)getpid());
    ServerLock lock;
    bool found;
    Error err = {0};

    /* We live in this folder: only the name is not that of a server. */
    (void)state;
    save("postmaster.pid", text, 0600);
    assert_true(server_lock_read(".", &arena, &lock, &found, &err));
    assert_false(lock.is_alive);

    /* With the name we are one; the same in another folder is another cluster's. */
    assert_int_equal(prctl(PR_SET_NAME, "postgres", 0, 0, 0), 0);
    assert_true(server_lock_read(".", &arena, &lock, &found, &err));
    assert_true(lock.is_alive);

    assert_int_equal(mkdir("other", 0700), 0);
    save("other/postmaster.pid", text, 0600);
    assert_true(server_lock_read("other", &arena, &lock, &found, &err));
    assert_true(found);
    assert_false(lock.is_alive);
    assert_int_equal(prctl(PR_SET_NAME, "test_server", 0, 0, 0), 0);
}

static void wanted_programs_must_be_of_the_version(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *directory = NULL;
    Error err = {0};

    (void)state;
    assert_int_equal(mkdir("bin", 0755), 0);
    assert_false(server_find_programs("bin", 15, &arena, &directory, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_true(err.hint[0] != '\0');

    error_clear(&err);
    save("bin/postgres", "#!/bin/sh\necho 'postgres (PostgreSQL) 14.9 (Debian 14.9-1)'\n", 0755);
    assert_false(server_find_programs("bin", 15, &arena, &directory, &err));
    assert_int_equal(err.code, ERR_VERSION);

    error_clear(&err);
    assert_true(server_find_programs("bin", 14, &arena, &directory, &err));
    assert_string_equal(directory, "bin");

    save("bin/postgres", "#!/bin/sh\necho 'something else'\n", 0755);
    assert_false(server_find_programs("bin", 14, &arena, &directory, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void programs_are_found_on_the_path(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(text_freep)
    char *path = text_format("/nowhere::%s/13:%s/99", folder_path(), folder_path());
    CLEANUP(text_freep) char *expected = text_format("%s/99", folder_path());
    CLEANUP(text_freep) char *before = text_format("%s", getenv("PATH"));
    const char *directory = NULL;
    Error err = {0};

    (void)state;
    assert_int_equal(mkdir("13", 0755), 0);
    assert_int_equal(mkdir("99", 0755), 0);
    save("13/postgres", "#!/bin/sh\necho 'postgres (PostgreSQL) 13.1'\n", 0755);
    save("99/postgres", "#!/bin/sh\necho 'postgres (PostgreSQL) 99devel'\n", 0755);
    assert_int_equal(setenv("PATH", path, 1), 0);
    bool ok = server_find_programs(NULL, 99, &arena, &directory, &err);
    bool none = server_find_programs(NULL, 98, &arena, &directory, &err);
    assert_int_equal(setenv("PATH", before, 1), 0);

    assert_true(ok);
    assert_string_equal(directory, expected);
    assert_false(none);
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void the_last_start_is_read(void **state)
{
    static const struct {
        const char *text;
        const char *programs; /* NULL: not found */
        const char *settings[3];
        const char *data;
    } cases[] = {
        {"/usr/lib/postgresql/15/bin/postgres\n", "/usr/lib/postgresql/15/bin", {NULL}},
        {"/pg/bin/postgres \"-D\" \"/da ta\" \"-c\" \"config_file=/etc/x y.conf\"\n",
         "/pg/bin",
         {"config_file=/etc/x y.conf"},
         "/da ta"},
        {"/pg/bin/postgres \"-p\" \"5433\" \"--hot_standby=off\" \"-c\"\n",
         "/pg/bin",
         {"port=5433", "hot_standby=off"}},
        {"/pg/bin/postgres \"-c\" \"a=\"b\" c\"\n", "/pg/bin", {"a=\"b\" c"}},
        {"/pg/bin/postgres \"-c\" \"cut", "/pg/bin", {NULL}},
        {"postgres\n", NULL, {NULL}},
        {"", NULL, {NULL}},
    };
    CLEANUP(arena_done) Arena arena = {0};
    ServerStart start;
    bool found = true;
    Error err = {0};

    (void)state;
    assert_true(server_start_read(".", &arena, &start, &found, &err));
    assert_false(found);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        save("postmaster.opts", cases[i].text, 0600);
        assert_true(server_start_read(".", &arena, &start, &found, &err));
        assert_int_equal(found, cases[i].programs != NULL);
        if (!found)
            continue;
        assert_string_equal(start.programs, cases[i].programs);
        assert_string_equal(start.data != NULL ? start.data : "",
                            cases[i].data != NULL ? cases[i].data : "");
        for (size_t j = 0; cases[i].settings[j] != NULL || start.settings[j] != NULL; j++) {
            assert_non_null(cases[i].settings[j]);
            assert_non_null(start.settings[j]);
            assert_string_equal(start.settings[j], cases[i].settings[j]);
        }
    }
}

static void a_process_without_children_has_no_startup_process(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *title = NULL;

    (void)state;
    assert_false(server_startup_title(getpid(), &arena, &title));
    assert_string_equal(title, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_lock_file_is_no_server, enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(every_line_of_a_lock_file_is_read, enter_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(odd_lock_files_are_read_without_harm, enter_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(a_reused_number_is_no_server, enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(wanted_programs_must_be_of_the_version, enter_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(programs_are_found_on_the_path, enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(the_last_start_is_read, enter_folder, leave_folder),
        cmocka_unit_test(a_process_without_children_has_no_startup_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
