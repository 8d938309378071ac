#include "base/process.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/time.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const ProcessSetup as_we_are = {0};

/* Runs a shell script; output and status of it. */
static const char *shell(ProcessSetup setup, const char *script, int *status, Buffer *output)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    Error err = {0};

    setup.argv = argv;
    output->size = 0;
    buffer_print(output, "%s", "");
    if (!process_run(&setup, 60000, status, output, &err))
        fail_msg("%s: %s", script, err.message);
    buffer_reserve(output, output->size + 1);
    output->data[output->size] = '\0';
    return (const char *)output->data;
}

static void output_and_status_are_told(void **state)
{
    CLEANUP(buffer_done) Buffer output = {0};
    int status;

    (void)state;
    assert_string_equal(shell(as_we_are, "echo out; echo err >&2; exit 3", &status, &output),
                        "out\nerr\n");
    assert_int_equal(status, 3);
    assert_string_equal(shell(as_we_are, "kill -TERM $$", &status, &output), "");
    assert_int_equal(status, 128 + SIGTERM);
}

static void setup_is_followed(void **state)
{
    static const char *const env[] = {"PGCAIRN_TEST=a b", "HOME=/nowhere", NULL};
    ProcessSetup setup = as_we_are;
    CLEANUP(buffer_done) Buffer output = {0};
    int status;

    (void)state;
    setup.directory = "/usr";
    setup.env = env;
    assert_string_equal(shell(setup, "pwd; echo $PGCAIRN_TEST $HOME", &status, &output),
                        "/usr\na b /nowhere\n");
}

static void output_is_kept_to_a_mebibyte(void **state)
{
    CLEANUP(buffer_done) Buffer output = {0};
    int status;

    (void)state;
    (void)shell(as_we_are, "head -c 3000000 /dev/zero; exit 4", &status, &output);
    assert_int_equal(output.size, 1 << 20);
    assert_int_equal(status, 4);
}

/* A server started in the background holds the pipe; the end of its starter counts. It holds it for
 * longer than shell() has time. */
static void what_stays_behind_is_not_waited_for(void **state)
{
    CLEANUP(buffer_done) Buffer output = {0};
    int status;

    (void)state;
    (void)shell(as_we_are, "sleep 1000 & echo $!", &status, &output);
    pid_t left = (pid_t)strtol((const char *)output.data, NULL, 10);
    assert_true(left > 1);
    assert_int_equal(kill(left, SIGKILL), 0);
}

static void too_slow_is_killed(void **state)
{
    const char *const argv[] = {"sleep", "1000", NULL};
    ProcessSetup setup = as_we_are;
    CLEANUP(buffer_done) Buffer output = {0};
    Error err = {0};
    int status;

    (void)state;
    setup.argv = argv;
    assert_false(process_run(&setup, 50, &status, &output, &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
    assert_string_equal(err.message, "sleep did not end within 50 ms");
}

static void what_cannot_be_started_is_told(void **state)
{
    const char *const absent[] = {"/no/such/program", NULL};
    const char *const unknown[] = {"no-such-program-on-path", NULL};
    const char *const fine[] = {"true", NULL};
    ProcessSetup setup = as_we_are;
    Error err = {0};
    pid_t pid;

    (void)state;
    setup.argv = absent;
    assert_false(process_start(&setup, &pid, &err));
    assert_string_equal(err.message,
                        "start /no/such/program: execute it: No such file or directory");
    error_clear(&err);
    setup.argv = unknown;
    assert_false(process_start(&setup, &pid, &err));
    assert_string_equal(err.message, "program no-such-program-on-path is not on the PATH");
    error_clear(&err);
    setup.argv = fine;
    setup.directory = "/no/such/folder";
    assert_false(process_start(&setup, &pid, &err));
    assert_non_null(strstr(err.message, "enter its directory: No such file or directory"));
}

/* It waits for us at a pipe, so that it lives as long as we look. */
static void a_started_process_is_followed_to_its_end(void **state)
{
    char folder[] = "/tmp/test-process-XXXXXX";
    const char *const argv[] = {"sh", "-c", "read line < pipe; exit 7", NULL};
    ProcessSetup setup = as_we_are;
    Error err = {0};
    int status = 0;
    pid_t pid;

    (void)state;
    assert_non_null(mkdtemp(folder));
    CLEANUP(text_freep) char *path = text_format("%s/pipe", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    setup.argv = argv;
    setup.directory = folder;
    assert_true(process_start(&setup, &pid, &err));
    assert_false(process_has_ended(pid, &status));
    assert_true(process_exists(pid));
    assert_true(process_start_time(pid) > 0);
    assert_int_equal(getsid(pid), pid);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    fd_done(&fd);
    for (int i = 0; i < 6000 && !process_has_ended(pid, &status); i++)
        time_sleep_ms(10);
    assert_int_equal(status, 7);
    assert_false(process_exists(pid));
    assert_int_equal(process_start_time(pid), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void a_zombie_is_dead(void **state)
{
    siginfo_t info;

    (void)state;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(kill(pid, 0), 0);
    assert_false(process_exists(pid));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void output_goes_to_the_log_file(void **state)
{
    char log[] = "/tmp/test-process-XXXXXX";
    const char *const argv[] = {"sh", "-c", "echo out; echo err >&2", NULL};
    CLEANUP(buffer_done) Buffer content = {0};
    ProcessSetup setup = as_we_are;
    Error err = {0};

    (void)state;
    int fd = mkstemp(log);
    assert_true(file_write_all(fd, "before\n", 7, log, &err));
    fd_done(&fd);
    setup.argv = argv;
    setup.log_path = log;
    for (int i = 0; i < 2; i++) {
        pid_t pid;
        int status;

        assert_true(process_start(&setup, &pid, &err));
        while (!process_has_ended(pid, &status))
            time_sleep_ms(2);
        assert_int_equal(status, 0);
    }
    assert_true(file_read_whole(log, 4096, &content, &err));
    assert_string_equal((const char *)content.data, "before\nout\nerr\nout\nerr\n");
    assert_int_equal(unlink(log), 0);
}

/* Signals that we ignore or block are as usual in other programs: a server lives by them. */
static void signals_are_as_usual_in_the_child(void **state)
{
    CLEANUP(buffer_done) Buffer output = {0};
    sigset_t all, before;
    int status;

    (void)state;
    /* Whoever started us in the background or by nohup had us ignore some, and that stays. */
    for (int number = 1; number < SIGRTMIN; number++)
        (void)signal(number, SIG_DFL);
    (void)sigfillset(&all);
    assert_int_equal(sigprocmask(SIG_SETMASK, &all, &before), 0);
    void (*kept)(int) = signal(SIGPIPE, SIG_IGN);
    const char *text =
        shell(as_we_are, "grep -E '^Sig(Blk|Ign):' /proc/self/status", &status, &output);
    (void)signal(SIGPIPE, kept);
    assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
    assert_non_null(strstr(text, "SigBlk:\t0000000000000000"));
    assert_non_null(strstr(text, "SigIgn:\t0000000000000000"));
}

/* What calls us may have secrets in its environment; a server's SQL can read what its process has.
 */
static void only_what_a_program_needs_of_our_environment_is_passed_on(void **state)
{
    static const char *const own[] = {"PGCAIRN_TEST_OWN=1", NULL};
    ProcessSetup setup = {.env = own};
    CLEANUP(buffer_done) Buffer output = {0};
    int status;

    (void)state;
    assert_int_equal(setenv("PGPASSWORD", "sesame", 1), 0);
    assert_int_equal(setenv("LC_MESSAGES", "C", 1), 0);
    assert_int_equal(setenv("LD_PRELOADED", "x", 1), 0);
    assert_string_equal(shell(setup,
                              "env | sed 's/=.*//' | grep -vxE '_|SHLVL|PWD|OLDPWD' |"
                              " grep -vxE 'PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|TZ|LC_.*'",
                              &status, &output),
                        "PGCAIRN_TEST_OWN\n");
    assert_string_equal(shell(setup, "echo $LC_MESSAGES", &status, &output), "C\n");
    assert_int_equal(unsetenv("PGPASSWORD") + unsetenv("LC_MESSAGES") + unsetenv("LD_PRELOADED"),
                     0);
}

static void we_and_init_exist_and_nonsense_does_not(void **state)
{
    (void)state;
    assert_true(process_exists(getpid()));
    assert_true(process_exists(1));
    assert_false(process_exists(0));
    assert_false(process_exists(-1));
    assert_true(process_start_time(getpid()) >= process_start_time(getppid()));
    assert_true(strlen(process_host_name()) > 0);
    assert_int_equal(strlen(process_boot_id()), 36);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_and_status_are_told),
        cmocka_unit_test(setup_is_followed),
        cmocka_unit_test(output_is_kept_to_a_mebibyte),
        cmocka_unit_test(what_stays_behind_is_not_waited_for),
        cmocka_unit_test(too_slow_is_killed),
        cmocka_unit_test(what_cannot_be_started_is_told),
        cmocka_unit_test(a_started_process_is_followed_to_its_end),
        cmocka_unit_test(a_zombie_is_dead),
        cmocka_unit_test(output_goes_to_the_log_file),
        cmocka_unit_test(signals_are_as_usual_in_the_child),
        cmocka_unit_test(only_what_a_program_needs_of_our_environment_is_passed_on),
        cmocka_unit_test(we_and_init_exist_and_nonsense_does_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
