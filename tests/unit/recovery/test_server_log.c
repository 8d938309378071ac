#include "server_log.h"

#include "base/file.h"
#include "base/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define START                                                                                      \
    "2026-11-22 09:12:57.109 UTC [10] LOG:  starting PostgreSQL 15.18 on x86_64-pc-linux-gnu, "    \
    "compiled by gcc (Debian 12.2.0) 12.2.0, 64-bit\n"
#define T "2026-11-22 09:12:58.000 UTC "

static void the_fatal_line_that_ended_the_server_is_found(void **state)
{
    static const struct {
        const char *text;
        const char *reason;
    } cases[] = {
        {"", ""},
        {"\n\n", ""},
        {START T "[12] LOG:  redo starts at 0/900028\n", ""},
        {START T "[12] FATAL:  recovery ended before configured recovery target was reached\n" T
                 "[10] LOG:  startup process (PID 12) exited with exit code 1\n",
         "FATAL:  recovery ended before configured recovery target was reached"},
        /* Clients fail too while a server goes down. */
        {START T "[12] FATAL:  could not restore file \"x\" from archive\n" T
                 "[10] LOG:  startup process (PID 12) exited with exit code 1\n" T
                 "[44] FATAL:  the database system is shutting down\n" T
                 "[45] FATAL:  no pg_hba.conf entry for host\n",
         "FATAL:  could not restore file \"x\" from archive"},
        /* Another process that ended last, without a message of its own. */
        {START T "[12] FATAL:  one\n" T "[10] LOG:  archiver process (PID 13) exited with exit "
                 "code 1\n",
         "FATAL:  one"},
        /* Its message and not that of a client between, whatever that says. */
        {START T "[12] FATAL:  one\n" T "[44] FATAL:  something of a client\n" T
                 "[10] LOG:  startup process (PID 12) exited with exit code 1\n",
         "FATAL:  one"},
        {START T "[12] PANIC:  could not open file\n", "PANIC:  could not open file"},
        /* Of an earlier start: it is over. */
        {START T "[12] FATAL:  old\n" START T "[12] LOG:  redo starts at 0/900028\n", ""},
        {START T "[12] FATAL:  old\n" T "[99] FATAL:  configuration file contains errors\n",
         "FATAL:  configuration file contains errors"},
        {START T "[12] FATAL:  one\n" T "[12] DETAIL:  why\n" T "[12] HINT:  what\n",
         "FATAL:  one; DETAIL:  why"},
        {START T "[12] FATAL:  one\n\tmore of it\n", "FATAL:  one; more of it"},
        {START T "[12] FATAL:  cut", "FATAL:  cut"},
        /* In other languages, from a server that speaks German, Russian, Chinese. */
        {START T "[12] FATAL:  Wiederherstellung endete\n" T
                 "[10] LOG:  Startprozess (PID 12) beendete mit Status 1\n",
         "FATAL:  Wiederherstellung endete"},
        {START T "[12] ВАЖНО:  восстановление\n" T
                 "[10] СООБЩЕНИЕ:  стартовый процесс (PID 12) завершился\n",
         "ВАЖНО:  восстановление"},
        {START T "[12] 致命错误:  恢复\n", "致命错误:  恢复"},
        /* csvlog: all of the line. */
        {"2026-11-22 09:12:58.000 UTC,,,12,,x,1,,,0,FATAL,XX000,\"reason\",,,,,,,,,\"\"\n",
         "2026-11-22 09:12:58.000 UTC,,,12,,x,1,,,0,FATAL,XX000,\"reason\",,,,,,,,,\"\""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char reason[512] = "x";
        server_log_reason_of(cases[i].text, reason, sizeof reason);
        assert_string_equal(reason, cases[i].reason);
    }
}

static void a_long_reason_is_cut_and_nothing_else(void **state)
{
    CLEANUP(text_freep)
    char *text = text_format(START T "[12] FATAL:  %02000d\n" T "[12] DETAIL:  %02000d\n", 1, 2);

    (void)state;
    for (size_t size = 1; size < 600; size++) {
        char *reason = mem_alloc(size); /* on the heap: a sanitizer sees one byte too many */
        server_log_reason_of(text, reason, size);
        assert_int_equal(strlen(reason), size - 1);
        mem_free(reason);
    }
}

/* The parser must stop at the end of any text (run under a sanitizer). */
static void a_log_may_be_cut_anywhere(void **state)
{
    static const char text[] = START T "[12] FATAL:  one\n" T "[12] DETAIL:  why\n" T
                                       "[10] LOG:  startup process (PID 12) exited\n";

    (void)state;
    for (size_t size = 0; size < sizeof text; size++) {
        CLEANUP(text_freep) char *cut = text_format("%.*s", (int)size, text);
        char reason[64];
        server_log_reason_of(cut, reason, sizeof reason);
        assert_true(reason[0] == '\0' || strncmp(reason, "FATAL:", 6) == 0);
    }
}

static void save(const char *directory, const char *name, const char *text)
{
    CLEANUP(text_freep) char *path = text_format("%s/%s", directory, name);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void every_place_of_a_log_is_looked_at(void **state)
{
    char directory[] = "/tmp/test-server-log-XXXXXX";
    CLEANUP(text_freep) char *path = NULL;
    CLEANUP(text_freep) char *log = NULL;
    char reason[128] = "x";
    Error err = {0};

    (void)state;
    assert_non_null(mkdtemp(directory));
    path = text_format("%s/server.log", directory);
    log = text_format("%s/log", directory);

    server_log_reason(directory, NULL, NULL, reason, sizeof reason);
    assert_string_equal(reason, "");
    server_log_reason(directory, path, directory, reason, sizeof reason);
    assert_string_equal(reason, "");

    /* With a collector the first log has but a remark. */
    assert_int_equal(mkdir(log, 0700), 0);
    save(directory, "server.log", "LOG:  redirecting log output\n");
    save(directory, "current_logfiles", "stderr log/one.log\n");
    save(directory, "log/one.log", "FATAL:  from the collector\n");
    server_log_reason(directory, path, NULL, reason, sizeof reason);
    assert_string_equal(reason, "FATAL:  from the collector");

    save(directory, "current_logfiles", "stderr log/another.log\n");
    save(directory, "server.log", "FATAL:  from the server\n");
    server_log_reason(directory, NULL, path, reason, sizeof reason);
    assert_string_equal(reason, "FATAL:  from the server");
    assert_true(tree_remove(directory, &err));
}

static void a_pause_for_settings_is_told_from_one_at_the_target(void **state)
{
    char directory[] = "/tmp/test-server-log-XXXXXX";
    CLEANUP(text_freep) char *path = NULL;
    char reason[512] = "x";
    Error err = {0};

    (void)state;
    assert_non_null(mkdtemp(directory));
    path = text_format("%s/server.log", directory);
    save(directory, "server.log",
         START T "[12] WARNING:  hot standby is not possible because of insufficient parameter "
                 "settings\n" T "[12] DETAIL:  max_connections = 10 is a lower setting\n" T
                 "[12] LOG:  recovery has paused\n");
    server_log_pause_reason(directory, path, NULL, reason, sizeof reason);
    assert_non_null(strstr(reason, "max_connections = 10"));

    save(directory, "server.log", START T "[12] LOG:  pausing at the end of recovery\n");
    server_log_pause_reason(directory, path, NULL, reason, sizeof reason);
    assert_string_equal(reason, "");
    assert_true(tree_remove(directory, &err));
}

static void advice_fits_what_the_server_said(void **state)
{
    static const struct {
        const char *reason;
        int status;
        PgState state;
        const char *part;
    } cases[] = {
        {"FATAL:  recovery ended before configured recovery target was reached", 1,
         PG_IN_ARCHIVE_RECOVERY, "earlier target"},
        {"FATAL:  requested recovery stop point is before consistent recovery point", 1,
         PG_IN_ARCHIVE_RECOVERY, "older backup"},
        {"FATAL:  WAL ends before end of online backup", 1, PG_IN_ARCHIVE_RECOVERY, "missing"},
        {"FATAL:  could not restore file \"00000001000000000000000B\" from archive: child process "
         "exited with exit code 255",
         1, PG_IN_ARCHIVE_RECOVERY, "on purpose"},
        {"FATAL:  something in Klingon", 1, PG_IN_ARCHIVE_RECOVERY, "start the server again"},
        {"the server is gone", 137, PG_IN_ARCHIVE_RECOVERY, "killed"},
        {"FATAL:  something in Klingon", -1, PG_IN_PRODUCTION, "see the server's log"},
        {"FATAL:  could not resize shared memory segment \"/PostgreSQL.1\" to 26976 bytes: No "
         "space "
         "left on device",
         1, PG_IN_ARCHIVE_RECOVERY, "/dev/shm"},
        {"FATAL:  could not map anonymous shared memory: Cannot allocate memory", 1,
         PG_IN_ARCHIVE_RECOVERY, "huge_pages = try"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *advice = recovery_advice(cases[i].reason, cases[i].status, cases[i].state);
        assert_non_null(strstr(advice, cases[i].part));
        assert_true(strlen(advice) < sizeof((RecoverySight *)NULL)->advice);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fatal_line_that_ended_the_server_is_found),
        cmocka_unit_test(a_long_reason_is_cut_and_nothing_else),
        cmocka_unit_test(a_log_may_be_cut_anywhere),
        cmocka_unit_test(every_place_of_a_log_is_looked_at),
        cmocka_unit_test(a_pause_for_settings_is_told_from_one_at_the_target),
        cmocka_unit_test(advice_fits_what_the_server_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
