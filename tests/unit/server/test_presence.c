#include "server/presence.h"

#include "../folder.h"
#include "base/file.h"
#include "base/memory.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SECONDS(n) ((TimeUs)(n)*1000000)

static const struct {
    const char *what;
    PresenceFacts facts;
    Presence presence;
} judgements[] = {
    {"crashed here: stale lock file, nothing runs",
     {.has_lock = true, .sees_all = true},
     PRESENCE_NONE},
    {"ended at once (immediate), here", {.sees_all = true}, PRESENCE_NONE},
    {"a server's process is here",
     {.process = 7, .has_lock = true, .sees_all = true, .is_stopped = true},
     PRESENCE_SERVER},
    {"its lock file was removed", {.process = 7, .sees_all = true}, PRESENCE_SERVER},
    {"backends are left over",
     {.memory = MEMORY_ATTACHED, .has_lock = true, .sees_all = true},
     PRESENCE_SERVER},
    {"its files are being changed",
     {.tool = 7, .sees_all = true, .is_stopped = true},
     PRESENCE_SERVER},
    {"a server's process that may not be looked at",
     {.unseen = 7, .has_lock = true},
     PRESENCE_DOUBT},
    {"it answers on its socket", {.socket = SOCKET_ANSWERS, .has_lock = true}, PRESENCE_SERVER},

    {"shut down", {.is_stopped = true, .may_be_shared = true}, PRESENCE_NONE},
    {"shut down, with an old lock file",
     {.is_stopped = true, .has_lock = true, .lock_age = SECONDS(3600), .may_be_shared = true},
     PRESENCE_NONE},
    {"it has just begun to start, elsewhere",
     {.is_stopped = true, .has_lock = true, .lock_age = SECONDS(2), .may_be_shared = true},
     PRESENCE_DOUBT},

    {"in a container, and another one may have it", {.has_lock = true}, PRESENCE_DOUBT},
    {"crashed in this container: its socket refuses",
     {.has_lock = true, .socket = SOCKET_REFUSES},
     PRESENCE_NONE},
    {"crashed in this container: its memory is left",
     {.has_lock = true, .memory = MEMORY_LEFT},
     PRESENCE_NONE},
    {"crashed before the host was started again",
     {.has_lock = true, .is_lock_before_boot = true},
     PRESENCE_NONE},
    {"no lock file, changed just now", {.quiet = SECONDS(10)}, PRESENCE_DOUBT},
    {"no lock file for minutes: it would have ended", {.quiet = SECONDS(200)}, PRESENCE_NONE},
    {"no lock file for minutes, and who may not be looked at is there",
     {.quiet = SECONDS(200), .unseen = 7},
     PRESENCE_DOUBT},
    {"restored, never started", {.is_untouched = true}, PRESENCE_NONE},
    {"restored, and being started elsewhere",
     {.is_untouched = true, .has_lock = true},
     PRESENCE_DOUBT},

    {"shared storage: all processes of this host are not all",
     {.has_lock = true, .may_be_shared = true, .sees_all = true},
     PRESENCE_DOUBT},
    {"shared storage: the other host was not started again",
     {.has_lock = true, .may_be_shared = true, .sees_all = true, .is_lock_before_boot = true},
     PRESENCE_DOUBT},
    {"shared storage: crashed on this host",
     {.has_lock = true, .may_be_shared = true, .memory = MEMORY_LEFT},
     PRESENCE_NONE},
    {"shared storage, no lock file: clocks differ",
     {.may_be_shared = true, .quiet = SECONDS(200)},
     PRESENCE_DOUBT},
    {"shared storage, no lock file for long",
     {.may_be_shared = true, .quiet = SECONDS(700)},
     PRESENCE_NONE},
};

static void facts_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(judgements); i++) {
        if (presence_judge(&judgements[i].facts) != judgements[i].presence)
            fail_msg("%s", judgements[i].what);
    }
}

static void time_settles_only_a_missing_lock_file(void **state)
{
    PresenceFacts facts = {.quiet = SECONDS(100)};

    (void)state;
    assert_in_range(presence_wait(&facts), SECONDS(50), SECONDS(52));
    facts.sees_all = true;
    assert_int_equal(presence_wait(&facts), 0);
    facts = (PresenceFacts){.has_lock = true};
    assert_int_equal(presence_wait(&facts), 0);
    facts = (PresenceFacts){.unseen = 7};
    assert_int_equal(presence_wait(&facts), 0);
    facts = (PresenceFacts){.may_be_shared = true};
    assert_int_equal(presence_wait(&facts), 0);
}

static void put(const char *path, const char *text)
{
    Error err = {0};
    CLEANUP(file_writer_done) FileWriter file = FILE_WRITER_CLOSED;

    assert_true(file_writer_open(&file, path, 0600, &err));
    assert_true(file_writer_write(&file, text, strlen(text), &err));
    assert_true(file_writer_replace(&file, &err));
}

static void put_lock(const char *path, int pid, TimeUs started, const char *last)
{
    CLEANUP(text_freep)
    char *text = text_format("%d\n%s\n%lld\n5432\n%s\n\n%s\nready   \n", pid, folder_path(),
                             (long long)(started / 1000000), folder_path(), last);

    put(path, text);
}

static PresenceFacts look(void)
{
    PresenceFacts facts;
    Error err = {0};

    if (!presence_look(folder_path(), &facts, &err))
        fail_msg("%s", err.message);
    return facts;
}

static void nothing_there_is_nothing_seen(void **state)
{
    (void)state;
    PresenceFacts facts = look();
    assert_int_equal(facts.process, 0);
    assert_false(facts.has_lock || facts.is_untouched || facts.is_stopped);
    assert_in_range(facts.quiet, 0, SECONDS(60));

    put("backup_label", "");
    assert_false(look().is_untouched); /* a running one of 13 or 14 can have it */
    put("recovery.signal", "");
    assert_true(look().is_untouched);
}

static pid_t start_as(const char *name)
{
    int ready[2];
    char byte;

    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)prctl(PR_SET_NAME, name);
        (void)!write(ready[1], "x", 1);
        for (;;)
            pause();
    }
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    return child;
}

static void end(pid_t child)
{
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void a_server_is_seen_by_where_it_lives(void **state)
{
    (void)state;
    pid_t shell = start_as("bash");
    assert_int_equal(look().process, 0);
    pid_t exporter = start_as("postgres_export");
    assert_int_equal(look().process, 0);
    pid_t server = start_as("postgres");
    assert_int_equal(look().process, server);
    end(server);
    assert_int_equal(look().process, 0);
    end(exporter);
    end(shell);
}

/* A shell under that name, with the directory among its arguments. */
static pid_t start_tool(const char *name, const char *argument)
{
    CLEANUP(text_freep) char *program = text_format("%s/%s", folder_path(), name);
    int ready[2];
    char byte;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(symlink("/bin/sh", program), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(ready[1], STDOUT_FILENO);
        (void)!chdir("/");
        (void)execl(program, name, "-c", "echo; kill -STOP $$", argument, (char *)NULL);
        _exit(1);
    }
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    return child;
}

static void a_program_that_changes_files_is_seen_by_what_it_was_told(void **state)
{
    CLEANUP(text_freep) char *here = text_format("--target-pgdata=%s/", folder_path());
    CLEANUP(text_freep) char *relative = text_format("%s", folder_path() + 1);

    (void)state;
    pid_t elsewhere = start_tool("pg_basebackup", "--pgdata=/tmp");
    pid_t harmless = start_tool("pg_verifybackup", here);
    assert_int_equal(look().tool, 0);
    pid_t rewind = start_tool("pg_rewind", here);
    assert_int_equal(look().tool, rewind);
    assert_string_equal(look().tool_name, "pg_rewind");
    assert_int_equal(presence_judge(&(PresenceFacts){.tool = rewind}), PRESENCE_SERVER);
    end(rewind);
    pid_t reset = start_tool("pg_resetwal", relative);
    assert_int_equal(look().tool, reset);
    end(reset);
    end(harmless);
    end(elsewhere);
}

/* Its group is a different one: the kernel does not say where it works. */
static PresenceFacts look_from_another_group(void)
{
    PresenceFacts facts = {0};
    int answer[2];

    assert_int_equal(pipe(answer), 0);
    pid_t looker = fork();
    if (looker == 0) {
        if (setgid(65533) != 0 || setuid(65534) != 0)
            _exit(1);
        facts = look();
        (void)!write(answer[1], &facts, sizeof facts);
        _exit(0);
    }
    assert_int_equal(read(answer[0], &facts, sizeof facts), sizeof facts);
    assert_int_equal(waitpid(looker, NULL, 0), looker);
    return facts;
}

static void a_server_that_may_not_be_looked_at_is_a_doubt(void **state)
{
    int ready[2];
    char byte;

    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(chown(folder_path(), 65534, 65534), 0);
    pid_t server = fork();
    if (server == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)prctl(PR_SET_NAME, "postgres");
        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(1);
        (void)!write(ready[1], "x", 1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    const PresenceFacts facts = look_from_another_group();
    assert_int_equal(facts.process, 0);
    assert_int_not_equal(facts.unseen, 0); /* or another one of the kind on this host */
    assert_false(facts.sees_all);

    /* Dead, and reaped by nobody, as in a container: it works nowhere. */
    assert_int_equal(kill(server, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)server, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
    assert_int_not_equal(look_from_another_group().unseen, server);
    end(server);
}

static void its_socket_tells_whether_it_is_its_own(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const TimeUs started = time_now();
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)state;
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/.s.PGSQL.5432", folder_path());
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    put_lock("postmaster.pid", 1, started, "");
    assert_int_equal(look().socket, SOCKET_UNKNOWN); /* whose is it? */
    put_lock(".s.PGSQL.5432.lock", 1, started + SECONDS(7), "");
    assert_int_equal(look().socket, SOCKET_UNKNOWN); /* another server's, or another start's */
    put_lock(".s.PGSQL.5432.lock", 1, started, "");
    assert_int_equal(look().socket, SOCKET_ANSWERS);
    (void)close(fd);
    assert_int_equal(look().socket, SOCKET_REFUSES);
    assert_true(look().has_lock);
    assert_int_equal(look().lock_pid, 1);
}

static void its_memory_tells_whether_it_is_in_use(void **state)
{
    const key_t key = (key_t)(0x50470000 + getpid() % 65536);
    int id = shmget(key, 64, IPC_CREAT | IPC_EXCL | 0600);
    CLEANUP(text_freep) char *line = text_format("%9u %9d", (unsigned)key, id);
    CLEANUP(text_freep) char *other = text_format("%9u %9d", (unsigned)key + 1, id);

    (void)state;
    if (id < 0)
        skip();
    void *at = shmat(id, NULL, 0);
    put_lock("postmaster.pid", getpid(), time_now(), line);
    MemoryState used = look().memory;
    (void)shmdt(at);
    MemoryState left = look().memory;
    put_lock("postmaster.pid", 1, time_now(), line);
    MemoryState of_another = look().memory;
    put_lock("postmaster.pid", getpid(), time_now() + SECONDS(60), line);
    MemoryState of_an_earlier_start = look().memory;
    put_lock("postmaster.pid", getpid(), time_now(), other);
    MemoryState of_another_key = look().memory;
    (void)shmctl(id, IPC_RMID, NULL);

    assert_int_equal(used, MEMORY_ATTACHED);
    assert_int_equal(left, MEMORY_LEFT);
    assert_int_equal(of_another, MEMORY_UNKNOWN);
    assert_int_equal(of_an_earlier_start, MEMORY_UNKNOWN);
    assert_int_equal(of_another_key, MEMORY_UNKNOWN);
}

static void a_lock_file_of_just_now_is_not_from_before_the_boot(void **state)
{
    (void)state;
    put_lock("postmaster.pid", 1, time_now() - SECONDS(5), "");
    assert_false(look().is_lock_before_boot);
    assert_in_range(look().lock_age, SECONDS(4), SECONDS(60));
    put_lock("postmaster.pid", 1, SECONDS(1000000), "");
    assert_false(look().is_lock_before_boot); /* the file itself is new */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_are_judged),
        cmocka_unit_test(time_settles_only_a_missing_lock_file),
        cmocka_unit_test_setup_teardown(nothing_there_is_nothing_seen, enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(a_server_is_seen_by_where_it_lives, enter_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(a_program_that_changes_files_is_seen_by_what_it_was_told,
                                        enter_folder, leave_folder),
        cmocka_unit_test_setup_teardown(a_server_that_may_not_be_looked_at_is_a_doubt, enter_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(its_socket_tells_whether_it_is_its_own, enter_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(its_memory_tells_whether_it_is_in_use, enter_folder,
                                        leave_folder),
        cmocka_unit_test_setup_teardown(a_lock_file_of_just_now_is_not_from_before_the_boot,
                                        enter_folder, leave_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
