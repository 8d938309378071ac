#include "base/process.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "base/time.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUTPUT_MAX = 1 << 20, LOOK_EVERY_MS = 20 };

/* All a child needs, prepared before fork(): between fork and exec nothing may allocate. */
typedef struct ChildPlan {
    const ProcessSetup *setup;
    const char *program;
    const char **env;
    int output; /* The child writes its stdout and stderr to it. -1 means that it is not set. */
    int report; /* Here the child says why it could not start. */
    Arena arena;
} ChildPlan;

/* What the child sends when it fails before exec. */
typedef struct Failure {
    int os_errno;
    char step; /* See step_name(). */
} Failure;

static void child_plan_done(ChildPlan *plan)
{
    arena_done(&plan->arena);
}

static bool setting_has_name(const char *setting, const char *name_and_more)
{
    size_t size = strcspn(name_and_more, "=");

    return strncmp(setting, name_and_more, size) == 0 && setting[size] == '=';
}

/* Put a "NAME=value" in place of one of the same name, or at the end. */
static void env_put(ChildPlan *plan, size_t *count, const char *setting)
{
    for (size_t i = 0; i < *count; i++) {
        if (setting_has_name(plan->env[i], setting)) {
            plan->env[i] = setting;
            return;
        }
    }
    plan->env[(*count)++] = setting;
}

/*
 * What a program that we start needs to know of us; PGPORT is the server's own way to be told its
 * port where the configuration says none. The rest is nobody else's business: secrets of whoever
 * called us would be readable in its /proc/PID/environ, by a server's SQL, too.
 */
static bool is_passed_on(const char *setting)
{
    static const char *const names[] = {"PATH", "HOME",     "USER", "LOGNAME",
                                        "LANG", "LANGUAGE", "TZ",   "PGPORT"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (setting_has_name(setting, names[i]))
            return true;
    }
    return strncmp(setting, "LC_", 3) == 0;
}

static void plan_env(ChildPlan *plan)
{
    size_t count = 0, inherited = 0, added = 0;

    while (environ[inherited] != NULL)
        inherited++;
    while (plan->setup->env != NULL && plan->setup->env[added] != NULL)
        added++;
    plan->env = arena_alloc(&plan->arena, (inherited + added + 1) * sizeof plan->env[0]);
    for (size_t i = 0; i < inherited; i++) {
        if (is_passed_on(environ[i]))
            plan->env[count++] = environ[i];
    }
    for (size_t i = 0; i < added; i++)
        env_put(plan, &count, plan->setup->env[i]);
}

static bool plan_program(ChildPlan *plan, Error *err)
{
    const char *name = plan->setup->argv[0];
    const char *path = getenv("PATH");

    plan->program = name;
    if (strchr(name, '/') != NULL)
        return true;
    if (path == NULL)
        path = "/usr/local/bin:/usr/bin:/bin";
    for (const char *part = path;; part++) {
        size_t size = strcspn(part, ":");
        plan->program = arena_format(&plan->arena, "%.*s/%s", (int)size, part, name);
        if (size > 0 && access(plan->program, X_OK) == 0)
            return true;
        part += size;
        if (*part == '\0')
            return error_set(err, ERR_IO, "program %s is not on the PATH", name);
    }
}

static void child_fail(const ChildPlan *plan, char step) __attribute__((noreturn));

static void child_fail(const ChildPlan *plan, char step)
{
    Failure failure = {.os_errno = errno, .step = step};

    (void)!write(plan->report, &failure, sizeof failure);
    _exit(127);
}

/* Ours are blocked in workers, and two are ignored: none of it is for other programs. */
static void child_signals(void)
{
    struct sigaction fallback = {.sa_handler = SIG_DFL};
    sigset_t none;

    (void)sigemptyset(&none);
    (void)sigaction(SIGPIPE, &fallback, NULL);
    (void)sigaction(SIGXFSZ, &fallback, NULL);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A pipe that nobody reads would keep it waiting here, and us with it. */
static int open_log(const char *path)
{
    int log = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK, 0600);

    if (log >= 0)
        (void)fcntl(log, F_SETFL, O_APPEND);
    return log;
}

static void child_output(const ChildPlan *plan)
{
    int input = open("/dev/null", O_RDONLY);
    int output = plan->output;

    if (plan->setup->log_path != NULL)
        output = open_log(plan->setup->log_path);
    if (input < 0 || dup2(input, STDIN_FILENO) < 0)
        child_fail(plan, 'i');
    if (output >= 0) {
        if (dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
            child_fail(plan, 'l');
    } else if (plan->setup->log_path != NULL) {
        child_fail(plan, 'l');
    }
}

static void child_run(const ChildPlan *plan) __attribute__((noreturn));

static void child_run(const ChildPlan *plan)
{
    const ProcessSetup *setup = plan->setup;

    child_signals();
    (void)setsid();
    if (setup->directory != NULL && chdir(setup->directory) != 0)
        child_fail(plan, 'd');
    child_output(plan);

    /* Ours are all close-on-exec; a library's may not be. Without the call (before 5.11) so be it.
     */
    (void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    if (setup->in_child != NULL && !setup->in_child())
        child_fail(plan, 'g');
    execve(plan->program, (char *const *)setup->argv, (char *const *)plan->env);
    child_fail(plan, 'x');
}

static const char *step_name(char step)
{
    switch (step) {
    case 'd':
        return "enter its directory";
    case 'i':
        return "open /dev/null";
    case 'l':
        return "open its log file";
    case 'g':
        return "give up what it must not have";
    default:
        return "execute it";
    }
}

static void wait_for_process(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* The report pipe closes when exec succeeds. */
static bool await_exec(const ChildPlan *plan, int reports, pid_t pid, Error *err)
{
    Failure failure;
    ssize_t size;

    do {
        size = read(reports, &failure, sizeof failure);
    } while (size < 0 && errno == EINTR);
    if (size == 0)
        return true;
    wait_for_process(pid);
    if (size != sizeof failure)
        return error_set(err, ERR_IO, "start %s: no word from the child", plan->program);
    return error_set_errno(err, ERR_IO, failure.os_errno, "start %s: %s", plan->program,
                           step_name(failure.step));
}

static bool start_process(const ProcessSetup *setup, int output, pid_t *pid, Error *err)
{
    CLEANUP(child_plan_done) ChildPlan plan = {.setup = setup, .output = output};
    int ends[2];

    if (!plan_program(&plan, err))
        return false;
    plan_env(&plan);
    if (pipe2(ends, O_CLOEXEC) != 0)
        return error_set_errno(err, ERR_IO, errno, "create a pipe");
    CLEANUP(fd_done) int reports = ends[0];
    CLEANUP(fd_done) int report = ends[1];
    plan.report = report;

    pid_t child = fork();
    if (child < 0)
        return error_set_errno(err, ERR_IO, errno, "start %s", plan.program);
    if (child == 0)
        child_run(&plan);
    fd_done(&report);
    if (!await_exec(&plan, reports, child, err))
        return false;
    *pid = child;
    return true;
}

bool process_start(const ProcessSetup *setup, pid_t *pid, Error *err)
{
    return start_process(setup, -1, pid, err);
}

static int exit_status(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

bool process_has_ended(pid_t pid, int *status)
{
    int raw;
    pid_t found = waitpid(pid, &raw, WNOHANG);

    if (found == pid) {
        *status = exit_status(raw);
        return true;
    }
    if (found == 0 || errno == EINTR || process_exists(pid))
        return false;
    *status = -1; /* not a child of ours, so nobody told us */
    return true;
}

/* Take what the pipe has; closes it at its end. Beyond OUTPUT_MAX it is read and dropped. */
static void read_output(int *from, Buffer *output, size_t *kept)
{
    char part[16384];
    ssize_t size;

    while (*from >= 0 && (size = read(*from, part, sizeof part)) != 0) {
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0) /* EAGAIN: nothing more for now */
            return;
        size_t room = OUTPUT_MAX - *kept;
        size_t step = (size_t)size < room ? (size_t)size : room;
        buffer_append(output, part, step);
        *kept += step;
    }
    fd_done(from);
}

/* Whole session: what it started in the background would keep its files open. */
static void kill_all(pid_t pid)
{
    (void)kill(-pid, SIGKILL);
    (void)kill(pid, SIGKILL);
    wait_for_process(pid);
}

bool process_run(const ProcessSetup *setup, uint64_t timeout_ms, int *status, Buffer *output,
                 Error *err)
{
    const TimeUs begin = time_monotonic();
    const int signal_before = interrupt_signal(); /* cleaning up after one may need programs too */
    size_t kept = 0;
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return error_set_errno(err, ERR_IO, errno, "create a pipe");
    CLEANUP(fd_done) int from = ends[0];
    CLEANUP(fd_done) int to = ends[1];
    if (fcntl(from, F_SETFL, O_NONBLOCK) != 0)
        return error_set_errno(err, ERR_IO, errno, "set up a pipe");
    if (!start_process(setup, to, &pid, err))
        return false;
    fd_done(&to);

    /* Its end counts, not that of the pipe: a server that it started may hold that for years. */
    for (;;) {
        struct pollfd wanted = {.fd = from, .events = POLLIN};
        (void)poll(&wanted, 1, from >= 0 ? LOOK_EVERY_MS : 1);
        bool has_ended = process_has_ended(pid, status);
        read_output(&from, output, &kept);
        if (has_ended)
            return true;
        if (interrupt_signal() != signal_before) {
            kill_all(pid);
            error_set(err, ERR_INTERRUPTED, "interrupted by a signal");
            return error_context(err, "run %s", setup->argv[0]);
        }
        if ((uint64_t)(time_monotonic() - begin) / 1000 >= timeout_ms) {
            kill_all(pid);
            return error_set(err, ERR_UNREACHABLE, "%s did not end within %llu ms", setup->argv[0],
                             (unsigned long long)timeout_ms);
        }
    }
}

/* From its second field on, the program's name in brackets, which may hold blanks and brackets. */
static const char *read_stat(pid_t pid, Buffer *content)
{
    CLEANUP(text_freep) char *path = text_format("/proc/%d/stat", (int)pid);
    Error ignored = {0}; /* no such process, or not for us to see */

    if (!file_read_whole(path, 64 << 10, content, &ignored))
        return NULL;
    return strrchr((const char *)content->data, ')');
}

bool process_exists(pid_t pid)
{
    CLEANUP(buffer_done) Buffer content = {0};

    if (pid <= 0 || (kill(pid, 0) != 0 && errno != EPERM))
        return false;

    /* A zombie is dead. Where process 1 reaps no orphans, as in a container, it stays one. */
    const char *name_end = read_stat(pid, &content);
    return name_end == NULL ||
           (strncmp(name_end, ") Z", 3) != 0 && strncmp(name_end, ") X", 3) != 0);
}

uint64_t process_start_time(pid_t pid)
{
    CLEANUP(buffer_done) Buffer content = {0};

    const char *field = read_stat(pid, &content);
    for (int number = 2; field != NULL && number < 22; number++)
        field = strchr(field + 1, ' ');
    return field != NULL ? strtoull(field + 1, NULL, 10) : 0;
}

static char host_name[256];
static char boot_id[64];
static char machine_id[64];

/* Empty where there is none: then no two boots, or machines, can be told apart. */
static void learn_id(const char *path, char id[64])
{
    CLEANUP(buffer_done) Buffer content = {0};
    Error ignored = {0};

    if (file_read_whole(path, 63, &content, &ignored))
        memcpy(id, content.data, strcspn((const char *)content.data, "\n"));
}

static void learn_names(void)
{
    if (gethostname(host_name, sizeof host_name - 1) != 0)
        host_name[0] = '\0';
    learn_id("/proc/sys/kernel/random/boot_id", boot_id);
    learn_id("/etc/machine-id", machine_id);
}

static pthread_once_t names_once = PTHREAD_ONCE_INIT;

const char *process_host_name(void)
{
    (void)pthread_once(&names_once, learn_names);
    return host_name;
}

const char *process_boot_id(void)
{
    (void)pthread_once(&names_once, learn_names);
    return boot_id;
}

const char *process_machine_id(void)
{
    (void)pthread_once(&names_once, learn_names);
    return machine_id;
}
