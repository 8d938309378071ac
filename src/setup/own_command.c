#include "setup/own_command.h"

#include "base/interrupt.h"
#include "base/time.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILD_PAUSE_MS = 100 };

pid_t own_command_start(const char *const *argv, bool is_quiet, Error *err)
{
    (void)fflush(stdout);
    pid_t pid = fork();

    if (pid < 0)
        (void)error_set_errno(err, ERR_IO, errno, "start `pgcairn %s`", argv[1]);
    if (pid != 0)
        return pid;
    if (!is_quiet || dup2(STDERR_FILENO, STDOUT_FILENO) >= 0)
        (void)execv("/proc/self/exe", (char *const *)argv);
    _exit(ERR_INTERNAL);
}

bool own_command_wait(pid_t pid, OwnCommandOver *is_over, void *context, OwnCommandEnd *end,
                      Error *err)
{
    bool is_interrupted = false;
    int status = 0;

    *end = (OwnCommandEnd){.is_asked = false};
    for (;;) {
        pid_t ended = waitpid(pid, &status, WNOHANG);

        if (ended == pid || (ended < 0 && errno != EINTR))
            break;
        is_interrupted = is_interrupted || !interrupt_check(err);
        if (!end->is_asked && (is_interrupted || (is_over != NULL && is_over(context)))) {
            (void)kill(pid, SIGTERM);
            end->is_asked = true;
        }
        time_sleep_ms(CHILD_PAUSE_MS);
    }
    end->status = WIFEXITED(status) ? WEXITSTATUS(status) : ERR_INTERRUPTED;
    return !is_interrupted;
}
