#include "recovery/recovery.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "base/process.h"
#include "server/presence.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

/* ERR_REFUSED while a server runs there; what a dead one left behind the server itself removes. */
static bool start_check_free(const char *data, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    ServerLock lock;
    bool found;

    if (!server_lock_read(data, &arena, &lock, &found, err))
        return false;
    if (found && presence_answers(data, &lock)) {
        return error_set(err, ERR_REFUSED, "a server runs on %s already (process %d)", data,
                         (int)lock.pid);
    }
    return true;
}

static const char *const *arguments_of(const StartSetup *setup, Arena *arena)
{
    size_t count = 0, used = 0;

    while (setup->settings != NULL && setup->settings[count] != NULL)
        count++;
    const char **argv = arena_alloc(arena, (2 * count + 4) * sizeof *argv);
    argv[used++] = arena_format(arena, "%s/postgres", setup->programs);
    argv[used++] = "-D";
    argv[used++] = setup->data;
    for (size_t i = 0; i < count; i++) {
        argv[used++] = "-c";
        argv[used++] = setup->settings[i];
    }
    return argv;
}

/* The server opens it as its own user, who may not be allowed to create it there. */
static bool start_prepare_log(const StartSetup *setup, Error *err)
{
    if (setup->log_path == NULL)
        return true;
    CLEANUP(fd_done)
    int fd = open(setup->log_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return true;
    if (fd < 0)
        return error_set_errno(err, ERR_IO, errno, "create the server's log %s", setup->log_path);
    return true;
}

bool recovery_start(const StartSetup *setup, pid_t *pid, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};

    if (!start_check_free(setup->data, err) || !start_prepare_log(setup, err))
        return false;
    const ProcessSetup process = {
        .argv = arguments_of(setup, &arena),
        .directory = setup->data,
        .log_path = setup->log_path,
        .env = setup->env,
        .in_child = setup->in_child,
    };
    return process_start(&process, pid, err) || error_context(err, "start the server");
}

/* Also reaps it when it was our child. */
static bool is_gone(pid_t pid)
{
    int status;

    return process_has_ended(pid, &status);
}

bool recovery_stop(const char *data, uint64_t timeout_ms, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    TimeUs deadline = time_monotonic() + (TimeUs)timeout_ms * 1000;
    ServerLock lock;
    bool found;

    if (!server_lock_read(data, &arena, &lock, &found, err))
        return false;
    if (!found || !lock.is_alive)
        return true;
    if (kill(lock.pid, SIGINT) != 0 && errno != ESRCH)
        return error_set_errno(err, ERR_IO, errno, "stop the server (process %d)", (int)lock.pid);
    while (!is_gone(lock.pid)) {
        if (!interrupt_check(err))
            return false;
        if (time_monotonic() > deadline) {
            return error_set(err, ERR_UNREACHABLE, "the server (process %d) did not stop in time",
                             (int)lock.pid);
        }
        time_sleep_ms(50);
    }
    return true;
}
