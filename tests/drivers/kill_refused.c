/*
 * kill_refused.c - for LD_PRELOAD: signals that would end a process whose name (comm) is
 * KILL_REFUSED do not reach it, as if it hung in the kernel, on a file system that is away.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_meant(pid_t pid)
{
    const char *name = getenv("KILL_REFUSED");
    char path[64], comm[64] = "";
    FILE *file;

    if (name == NULL || pid <= 0)
        return 0;
    (void)snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fgets(comm, sizeof comm, file) != NULL)
        comm[strcspn(comm, "\n")] = '\0';
    (void)fclose(file);
    return strcmp(comm, name) == 0;
}

int kill(pid_t pid, int number)
{
    if ((number == SIGTERM || number == SIGKILL) && is_meant(pid)) {
        errno = EPERM;
        return -1;
    }
    return (int)syscall(SYS_kill, pid, number);
}
