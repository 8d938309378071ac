#include "command/commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static int status_of(char **argv, bool help, bool ok, ErrorCode code)
{
    const Options options = {.help = help};
    const Error err = {.code = code};
    int argc = 0;

    while (argv[argc] != NULL)
        argc++;
    return command_exit_status(argc, argv, &options, ok, &err);
}

#define ARGV(...) ((char *[]){"pgcairn", __VA_ARGS__, NULL})
#define WAL       "00000001000000000000002A"

static const ErrorCode codes[] = {
    ERR_USAGE,       ERR_DEGRADED, ERR_REFUSED, ERR_BUSY,     ERR_NOT_FOUND,
    ERR_UNREACHABLE, ERR_CORRUPT,  ERR_KEY,     ERR_POSTGRES, ERR_VERSION,
    ERR_INTERRUPTED, ERR_RECOVERY, ERR_IO,      ERR_EXISTS,   ERR_INTERNAL,
};

static void the_code_is_the_status(void **state)
{
    static char *const names[] = {"init",  "backup",  "archive-push", "restore",
                                  "watch", "promote", "list",         "bogus"};

    (void)state;
    for (size_t name = 0; name < ARRAY_SIZE(names); name++) {
        for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
            assert_int_equal(status_of(ARGV(names[name]), false, false, codes[i]), codes[i]);
        assert_int_equal(status_of(ARGV(names[name]), false, true, ERR_NONE), 0);
        assert_int_equal(status_of(ARGV(names[name], "--help"), true, true, ERR_NONE), 0);
    }
}

/* 1 is archive-get's alone, and a failure without a code is a bug, not a success. */
static void nothing_else_ever_answers_absent(void **state)
{
    static char *const names[] = {"init",  "backup",  "archive-push", "restore",
                                  "watch", "promote", "list",         "bogus"};

    (void)state;
    for (size_t name = 0; name < ARRAY_SIZE(names); name++) {
        assert_int_equal(status_of(ARGV(names[name]), false, false, ERR_ABSENT), ERR_INTERNAL);
        assert_int_equal(status_of(ARGV(names[name]), false, false, ERR_NONE), ERR_INTERNAL);
    }
}

static void archive_get_stops_the_server_unless_proven_absent(void **state)
{
    char **const calls[] = {
        ARGV("archive-get", "--repo=r", WAL, "pg_wal/RECOVERYXLOG"),
        ARGV("archive-get", WAL, "p", "--bogus"),
        ARGV("archive-get"),
        ARGV("--repo=r", "archive-get", WAL, "p"),
        ARGV("--repo", "r", "archive-get"),
        ARGV("archive_get", WAL, "p"),
        ARGV("get", "00000002.history", "p"),
        ARGV("-x", WAL, "p"),
        ARGV(WAL, "p"),
        ARGV("list", "--repo=r", WAL, "p"),
        ARGV("restore", "0000000100000000000000FF", "p"),
        ARGV("init", WAL ".00000028.backup", "p"),
        ARGV("bogus", WAL ".partial", "p"),
    };

    (void)state;
    for (size_t call = 0; call < ARRAY_SIZE(calls); call++) {
        for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
            assert_int_equal(status_of(calls[call], false, false, codes[i]), 255);
        assert_int_equal(status_of(calls[call], false, false, ERR_NONE), 255);
        assert_int_equal(status_of(calls[call], false, false, ERR_ABSENT), 1);
        assert_int_equal(status_of(calls[call], false, true, ERR_NONE), 0);
    }
}

/* Help is a success for people; with the server's arguments no file was handed over. */
static void help_of_archive_get_is_no_file(void **state)
{
    (void)state;
    assert_int_equal(status_of(ARGV("archive-get", "--help"), true, true, ERR_NONE), 0);
    assert_int_equal(status_of(ARGV("archive-get", "--help", WAL, "p"), true, true, ERR_NONE), 255);
    assert_int_equal(status_of(ARGV("list", "-h", WAL, "p"), true, true, ERR_NONE), 255);
}

/* archive_command may be given the bare name, when somebody calls it inside pg_wal. */
static void archive_push_never_exits_above_125(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
        assert_int_equal(status_of(ARGV("archive-push", WAL), false, false, codes[i]), codes[i]);
    assert_int_equal(status_of(ARGV("archive-push", WAL), false, false, (ErrorCode)200),
                     ERR_INTERNAL);
}

/* A line that can't be read is not an answer, least of all that something is critical. */
static void status_answers_as_monitoring_plugins_do(void **state)
{
    char **const calls[] = {
        ARGV("status"),
        ARGV("status", "--repo=r", "--bogus"),
        ARGV("--repo=r", "status"),
        ARGV("--repo", "r", "status", "--rpo=x"),
    };

    (void)state;
    for (size_t call = 0; call < ARRAY_SIZE(calls); call++) {
        for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
            assert_int_equal(status_of(calls[call], false, false, codes[i]), 3);
        assert_int_equal(status_of(calls[call], false, false, ERR_NONE), 3);
        assert_int_equal(status_of(calls[call], false, false, ERR_ABSENT), 3);
        assert_int_equal(status_of(calls[call], false, true, ERR_NONE), 0);
        assert_int_equal(status_of(calls[call], false, false, ERR_WARNING), 1);
        assert_int_equal(status_of(calls[call], false, false, ERR_CRITICAL), 2);
    }
    /* The name of a cluster, say, is not a command. */
    assert_int_equal(status_of(ARGV("list", "--cluster", "status"), false, false, ERR_NOT_FOUND),
                     ERR_NOT_FOUND);
}

static void every_command_has_a_bit_of_its_own_and_a_help(void **state)
{
    unsigned bits = 0;
    size_t count = 0;

    (void)state;
    for (const Command *command = command_table; command->name != NULL; command++, count++) {
        assert_true(command->bit != 0 && (command->bit & (command->bit - 1)) == 0);
        assert_int_equal(bits & command->bit, 0);
        bits |= command->bit;
        assert_non_null(command->run);
        assert_in_range(strlen(command->help), 10, 63);
        assert_true(strlen(command->synopsis) > 0 && strlen(command->details) > 80);
    }
    assert_int_equal(bits, (1U << count) - 1); /* without a gap, so none was forgotten */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_code_is_the_status),
        cmocka_unit_test(nothing_else_ever_answers_absent),
        cmocka_unit_test(archive_get_stops_the_server_unless_proven_absent),
        cmocka_unit_test(help_of_archive_get_is_no_file),
        cmocka_unit_test(archive_push_never_exits_above_125),
        cmocka_unit_test(status_answers_as_monitoring_plugins_do),
        cmocka_unit_test(every_command_has_a_bit_of_its_own_and_a_help),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
