#include "base/file.h"
#include "base/process.h"
#include "base/text.h"
#include "postgres/control.h"
#include "server/presence.h"
#include "server/server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_SIZE_MAX = 64 << 10, NAME_SIZE_MAX = 64, ARGUMENTS_SIZE_MAX = 4 << 20 };

/* Not postgres_exporter and its like. */
static bool is_server_name(const char *name)
{
    return (text_begins_with(name, "postgres") && name[strlen("postgres")] != '_') ||
           text_begins_with(name, "postmaster") || text_begins_with(name, "edb-postgres");
}

/* What lets other hosts and virtual machines at this one's file systems. */
static bool exports_files(const char *name)
{
    static const char *const names[] = {"nfsd", "smbd", "virtiofsd", "glusterfsd"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (text_begins_with(name, names[i]))
            return true;
    }
    return false;
}

/* What changes files of a data directory while no server runs there; a name is cut at 15. */
static bool is_tool_name(const char *name)
{
    static const char *const names[] = {"pg_rewind",       "pg_resetwal", "pg_checksums",
                                        "pg_basebackup",   "pg_upgrade",  "pg_combinebacku",
                                        "pg_createsubscr", "initdb"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

static bool is_at(const char *path, const struct stat *data)
{
    struct stat found;

    return stat(path, &found) == 0 && found.st_dev == data->st_dev && found.st_ino == data->st_ino;
}

/* One of its arguments, "--target-pgdata=/data", as that process would find it. */
static bool is_argument(const char *pid, const char *argument, const struct stat *data)
{
    const char *absolute = strchr(argument, '/');
    bool is_relative = absolute == NULL || (argument[0] != '-' && argument != absolute);
    CLEANUP(text_freep)
    char *path = is_relative ? text_format("/proc/%s/cwd/%s", pid, argument)
                             : text_format("/proc/%s/root%s", pid, absolute);

    return is_at(path, data);
}

static bool has_as_argument(const char *pid, const struct stat *data)
{
    CLEANUP(text_freep) char *path = text_format("/proc/%s/cmdline", pid);
    CLEANUP(buffer_done) Buffer words = {0};
    Error gone = {0};

    if (!file_read_whole(path, ARGUMENTS_SIZE_MAX, &words, &gone) || words.size == 0)
        return false;
    for (const char *word = (const char *)words.data; word < (const char *)words.data + words.size;
         word += strlen(word) + 1) {
        if (*word != '\0' && is_argument(pid, word, data))
            return true;
    }
    return false;
}

static bool is_in_our_namespace(const char *pid)
{
    CLEANUP(text_freep) char *path = text_format("/proc/%s/ns/pid", pid);
    struct stat its, ours;

    return stat(path, &its) != 0 || stat("/proc/self/ns/pid", &ours) != 0 ||
           (its.st_ino == ours.st_ino && its.st_dev == ours.st_dev);
}

/*
 * A server and all its processes live in the data directory (ChangeToDataDir), whatever it is
 * called by now and whatever name space they are in: the host sees those of its containers. Where a
 * process lives only its own user and group are told, though (ptrace(2)), and a server's group may
 * be another than ours.
 */
static void look_at_server(const char *pid, const struct stat *data, PresenceFacts *facts)
{
    CLEANUP(text_freep) char *home = text_format("/proc/%s/cwd", pid);
    CLEANUP(text_freep) char *process = text_format("/proc/%s", pid);
    const pid_t number = (pid_t)strtol(pid, NULL, 10);
    struct stat found;

    if (!process_exists(number))
        return;
    if (is_at(home, data)) {
        facts->process = number;
        facts->is_elsewhere = !is_in_our_namespace(pid);
    } else if (stat(home, &found) != 0 && errno == EACCES && stat(process, &found) == 0 &&
               (found.st_uid == data->st_uid || found.st_uid == 0)) {
        facts->unseen = number;
    }
}

static void look_at_process(const char *pid, const struct stat *data, PresenceFacts *facts)
{
    CLEANUP(text_freep) char *path = text_format("/proc/%s/comm", pid);
    CLEANUP(text_freep) char *home = text_format("/proc/%s/cwd", pid);
    CLEANUP(buffer_done) Buffer text = {0};
    Error gone = {0}; /* it ended while we looked */

    if (!file_read_whole(path, NAME_SIZE_MAX, &text, &gone))
        return;
    CLEANUP(text_freep)
    char *name = text_format("%.*s", (int)strcspn((char *)text.data, "\n"), (char *)text.data);
    if (exports_files(name))
        facts->may_be_shared = true;
    if (facts->process == 0 && is_server_name(name))
        look_at_server(pid, data, facts);
    if (facts->tool == 0 && is_tool_name(name) &&
        (is_at(home, data) || has_as_argument(pid, data))) {
        facts->tool = (pid_t)strtol(pid, NULL, 10);
        (void)snprintf(facts->tool_name, sizeof facts->tool_name, "%s", name);
    }
}

/* The first name space of all, of which every other one is a part (PROC_PID_INIT_INO, proc_ns.h).
 */
static bool is_in_first_namespace(void)
{
    char text[64];
    ssize_t size = readlink("/proc/self/ns/pid", text, sizeof text - 1);

    if (size <= 0)
        return false;
    text[size] = '\0';
    return strcmp(text, "pid:[4026531836]") == 0;
}

static void look_at_processes(const struct stat *data, PresenceFacts *facts)
{
    CLEANUP(directory_done) DIR *list = opendir("/proc");

    if (list == NULL)
        return;
    for (const struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
            look_at_process(entry->d_name, data, facts);
    }
    /* A server runs as the directory's owner (checkDataDir()); whose processes we may look at. */
    facts->sees_all = is_in_first_namespace() && facts->unseen == 0 &&
                      (geteuid() == 0 || geteuid() == data->st_uid);
}

/* statfs(2). FUSE, because nobody knows what is at its other end. */
static bool is_on_network(const char *path)
{
    static const uint32_t types[] = {
        0x6969,     /* NFS */
        0xff534d42, /* CIFS */
        0xfe534d42, /* SMB2 */
        0x517b,     /* SMB */
        0x65735546, /* FUSE, virtiofs */
        0x00c36400, /* Ceph */
        0x01161970, /* GFS2 */
        0x7461636f, /* OCFS2 */
        0x01021997, /* 9p */
        0x0bd00bd0, /* Lustre */
        0x5346414f, /* AFS */
        0x786f4256, /* VirtualBox */
        0x47504653, /* GPFS */
        0x19830326, /* BeeGFS */
    };
    struct statfs found;

    if (statfs(path, &found) != 0)
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if ((uint32_t)found.f_type == types[i])
            return true;
    }
    return false;
}

/* Of the very server that wrote the lock file: another host's segment can have key and number. */
static MemoryState look_at_memory(const ServerLock *lock)
{
    enum { CLOCK_STEP = 5 };
    struct shmid_ds found;

    if (lock->memory_key == 0 || shmctl((int)lock->memory_id, IPC_STAT, &found) != 0 ||
        (uint32_t)found.shm_perm.__key != (uint32_t)lock->memory_key)
        return MEMORY_UNKNOWN;
    if (found.shm_nattch > 0)
        return MEMORY_ATTACHED;
    bool is_its_own = found.shm_cpid == lock->pid && lock->started_at != TIME_US_NONE &&
                      (TimeUs)(found.shm_ctime + CLOCK_STEP) * 1000000 >= lock->started_at;
    return is_its_own ? MEMORY_LEFT : MEMORY_UNKNOWN;
}

/* Its first five lines are those of postmaster.pid (CreateLockFile()): the first three tell. */
static bool is_socket_of(const char *lock_path, const char *data_lock_path)
{
    CLEANUP(buffer_done) Buffer ours = {0};
    CLEANUP(buffer_done) Buffer its = {0};
    Error unreadable = {0}; /* then it is not known whose it is */

    if (!file_read_whole(lock_path, LOCK_SIZE_MAX, &its, &unreadable) ||
        !file_read_whole(data_lock_path, LOCK_SIZE_MAX, &ours, &unreadable))
        return false;
    const char *a = (const char *)ours.data, *b = (const char *)its.data;
    for (int line = 0; line < 3; line++) {
        size_t length = strcspn(a, "\n");
        if (length == 0 || strncmp(a, b, length + 1) != 0)
            return false;
        a += length + 1;
        b += length + 1;
    }
    return true;
}

static SocketState try_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP(fd_done) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || strlen(path) >= sizeof address.sun_path)
        return SOCKET_UNKNOWN;
    memcpy(address.sun_path, path, strlen(path) + 1);
    /* EAGAIN: so many wait that there is no room for us. */
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN)
        return SOCKET_ANSWERS;
    return errno == ECONNREFUSED ? SOCKET_REFUSES : SOCKET_UNKNOWN;
}

static SocketState look_at_socket(const char *data, const ServerLock *lock)
{
    bool is_relative = lock->socket_directory[0] != '/';
    CLEANUP(text_freep)
    char *folder = text_format("%s%s%s", is_relative ? data : "", is_relative ? "/" : "",
                               lock->socket_directory);
    CLEANUP(text_freep) char *path = text_format("%s/.s.PGSQL.%u", folder, lock->port);
    CLEANUP(text_freep) char *lock_path = text_format("%s.lock", path);
    CLEANUP(text_freep) char *data_lock_path = text_format("%s/postmaster.pid", data);

    /* On a network file system a socket of another host refuses everybody here. */
    if (lock->socket_directory[0] == '\0' || is_on_network(folder) ||
        !is_socket_of(lock_path, data_lock_path))
        return SOCKET_UNKNOWN;
    return try_socket(path);
}

bool presence_answers(const char *data, const ServerLock *lock)
{
    return lock->is_alive || look_at_socket(data, lock) == SOCKET_ANSWERS;
}

static TimeUs time_of_boot(void)
{
    struct timespec since;

    if (clock_gettime(CLOCK_BOOTTIME, &since) != 0)
        return 0;
    return time_now() - ((TimeUs)since.tv_sec * 1000000 + since.tv_nsec / 1000);
}

static bool look_at_lock(const char *data, PresenceFacts *facts, Error *err)
{
    static const TimeUs clock_was_set = (TimeUs)60 * 1000000;
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(text_freep) char *path = text_format("%s/postmaster.pid", data);
    ServerLock lock;
    struct stat file;

    if (!server_lock_read(data, &arena, &lock, &facts->has_lock, err))
        return false;
    if (!facts->has_lock)
        return true;
    facts->lock_pid = lock.pid;
    if (lock.is_alive && facts->process == 0)
        facts->process = lock.pid;
    facts->memory = look_at_memory(&lock);
    facts->socket = look_at_socket(data, &lock);
    if (lock.started_at == TIME_US_NONE)
        return true;
    TimeUs limit = time_of_boot() - clock_was_set;
    facts->lock_age = time_now() - lock.started_at;
    facts->is_lock_before_boot = lock.started_at < limit && lstat(path, &file) == 0 &&
                                 (TimeUs)file.st_ctim.tv_sec * 1000000 < limit;
    return true;
}

/*
 * The first thing that a server does is to rename backup_label. Before 15 one that works can have
 * one (pg_start_backup), but is not in recovery then.
 */
static bool is_untouched(const char *data)
{
    return file_exists_in(data, "backup_label") &&
           (file_exists_in(data, "recovery.signal") || file_exists_in(data, "standby.signal"));
}

static bool is_stopped(const char *data)
{
    PgControl control;
    Error unreadable = {0}; /* then it says nothing */

    return pg_control_read(data, &control, NULL, &unreadable) &&
           (control.state == PG_SHUT_DOWN || control.state == PG_SHUT_DOWN_IN_RECOVERY);
}

bool presence_look(const char *data, PresenceFacts *facts, Error *err)
{
    struct stat found;

    *facts = (PresenceFacts){.may_be_shared = is_on_network(data)};
    if (stat(data, &found) != 0)
        return error_set_errno(err, ERR_IO, errno, "look at %s", data);
    facts->quiet = time_now() - ((TimeUs)found.st_mtim.tv_sec * 1000000);
    facts->is_untouched = is_untouched(data);
    facts->is_stopped = is_stopped(data);
    look_at_processes(&found, facts);
    return look_at_lock(data, facts, err);
}
