#include "leftover.h"

#include "base/file.h"
#include "base/process.h"
#include "server/server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

enum { QUIT_MS = 10000, KILL_MS = 10000, LOOK_MS = 20 };

/* What is known of it while it is there: afterwards nothing tells whose the memory was. */
typedef struct Memory {
    key_t key;
    int id;
} Memory;

static bool works_in(const char *pid, const struct stat *data)
{
    CLEANUP(text_freep) char *path = text_format("/proc/%s/cwd", pid);
    struct stat found;

    return stat(path, &found) == 0 && found.st_dev == data->st_dev && found.st_ino == data->st_ino;
}

/* How many there are. Which of them is the postmaster does not matter: SIGQUIT ends each. */
static size_t signal_all(const struct stat *data, int signal_number)
{
    CLEANUP(directory_done) DIR *list = opendir("/proc");
    size_t count = 0;

    for (const struct dirent *entry = list != NULL ? readdir(list) : NULL; entry != NULL;
         entry = readdir(list)) {
        const long pid = strtol(entry->d_name, NULL, 10);

        if (pid <= 1 || pid == getpid() || !works_in(entry->d_name, data))
            continue;
        count++;
        if (signal_number != 0)
            (void)kill((pid_t)pid, signal_number);
    }
    return count;
}

/* Also reaps it when it was our child. */
static bool server_runs(pid_t server)
{
    int status;

    return server > 0 && !process_has_ended(server, &status);
}

static bool wait_until_gone(const struct stat *data, pid_t server, int timeout_ms)
{
    const TimeUs deadline = time_monotonic() + (TimeUs)timeout_ms * 1000;

    while (server_runs(server) || (data != NULL && signal_all(data, 0) > 0)) {
        if (time_monotonic() > deadline)
            return false;
        time_sleep_ms(LOOK_MS);
    }
    return true;
}

static Memory find_memory(const char *data)
{
    CLEANUP(arena_done) Arena arena = {0};
    ServerLock server;
    Error unread = {0};
    bool found = false;

    if (!server_lock_read(data, &arena, &server, &found, &unread) || !found ||
        server.memory_key == 0)
        return (Memory){.id = -1};
    return (Memory){.key = (key_t)server.memory_key, .id = (int)server.memory_id};
}

/* A server that was killed leaves it: of this key, ours, and nobody uses it any more. */
static void remove_memory(const Memory *memory)
{
    struct shmid_ds found;

    if (memory->id < 0 || shmctl(memory->id, IPC_STAT, &found) != 0)
        return;
    if (found.shm_perm.__key == memory->key && found.shm_perm.cuid == geteuid() &&
        found.shm_nattch == 0)
        (void)shmctl(memory->id, IPC_RMID, NULL);
}

static bool leftover_end_all(const struct stat *data, pid_t server, Error *err)
{
    static const struct {
        int signal_number, timeout_ms;
    } steps[] = {{SIGQUIT, QUIT_MS}, {SIGKILL, KILL_MS}};

    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        if (server_runs(server))
            (void)kill(server, steps[i].signal_number);
        if (data != NULL)
            (void)signal_all(data, steps[i].signal_number);
        if (wait_until_gone(data, server, steps[i].timeout_ms))
            return true;
    }
    return error_set(err, ERR_IO, "the drill's server does not end");
}

bool leftover_end_server(const char *data, pid_t server, Error *err)
{
    struct stat found;
    const bool is_there = stat(data, &found) == 0;
    const Memory memory = is_there ? find_memory(data) : (Memory){.id = -1};

    if (!leftover_end_all(is_there ? &found : NULL, server, err))
        return error_context(err, "end what works in %s", data);
    remove_memory(&memory);
    return true;
}
