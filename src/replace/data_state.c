#include "replace/data_state.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/shell_word.h"
#include "postgres/control.h"
#include "rebuild/empty_directory.h"
#include "replace/old_wal.h"
#include "server/server.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINKS_MAX = 10000 };

bool path_resolve(const char *path, Arena *arena, const char **resolved, Error *err)
{
    CLEANUP(text_freep) char *existing = text_format("%s", path);
    const char *rest = "";

    if (path[0] != '/')
        return error_set(err, ERR_USAGE, "\"%s\" is not an absolute path", path);
    if (strstr(path, "/../") != NULL ||
        (strlen(path) >= 3 && strcmp(path + strlen(path) - 3, "/..") == 0))
        return error_set(err, ERR_USAGE, "\"%s\" must not hold \"..\"", path);
    for (;;) {
        CLEANUP(text_freep) char *real = realpath(existing, NULL);
        if (real != NULL) {
            const char *base = strcmp(real, "/") == 0 ? "" : real;
            *resolved =
                *rest == '\0' ? arena_text(arena, real) : arena_format(arena, "%s/%s", base, rest);
            return true;
        }
        if (errno != ENOENT)
            return error_set_errno(err, ERR_IO, errno, "look at %s", existing);
        char *slash = strrchr(existing, '/');
        if (slash == NULL)
            return error_set(err, ERR_IO, "there is no directory above %s", path);
        const char *part = slash + 1;
        if (*part != '\0' && strcmp(part, ".") != 0) {
            rest =
                *rest == '\0' ? arena_text(arena, part) : arena_format(arena, "%s/%s", part, rest);
        }
        if (slash == existing)
            slash++;
        *slash = '\0';
    }
}

bool path_is_inside(const char *path, const char *directory)
{
    size_t size = strlen(directory);

    if (strcmp(directory, "/") == 0)
        return true;
    return strncmp(path, directory, size) == 0 && (path[size] == '\0' || path[size] == '/');
}

bool tablespace_links(const char *data, Arena *arena, const char ***targets, size_t *count,
                      Error *err)
{
    CLEANUP(text_freep) char *directory = text_format("%s/pg_tblspc", data);
    CLEANUP(directory_done) DIR *list = opendir(directory);

    *count = 0;
    *targets = NULL;
    if (list == NULL && (errno == ENOENT || errno == ENOTDIR))
        return true;
    if (list == NULL)
        return error_set_errno(err, ERR_IO, errno, "list %s", directory);
    const char **found = mem_alloc((LINKS_MAX + 1) * sizeof *found);
    size_t links = 0;
    for (const struct dirent *entry = readdir(list); entry != NULL && links < LINKS_MAX;
         entry = readdir(list)) {
        struct stat status;
        CLEANUP(text_freep) char *link = text_format("%s/%s", directory, entry->d_name);
        if (lstat(link, &status) != 0 || !S_ISLNK(status.st_mode))
            continue;
        CLEANUP(text_freep) char *real = realpath(link, NULL);
        if (real != NULL)
            found[links++] = arena_text(arena, real);
    }
    *targets = arena_alloc(arena, (links + 1) * sizeof *found);
    memcpy(*targets, found, links * sizeof *found);
    *count = links;
    mem_free(found);
    return true;
}

static bool is_server(const char *pid)
{
    CLEANUP(text_freep) char *path = text_format("/proc/%s/comm", pid);
    CLEANUP(buffer_done) Buffer comm = {0};
    Error gone = {0}; /* it ended while we looked */

    return pid[0] >= '1' && pid[0] <= '9' && file_read_whole(path, 256, &comm, &gone) &&
           (strcmp((const char *)comm.data, "postgres\n") == 0 ||
            strcmp((const char *)comm.data, "postmaster\n") == 0);
}

const char *tablespace_user(const char *location, const char *data, Arena *arena)
{
    CLEANUP(directory_done) DIR *list = opendir("/proc");

    if (list == NULL)
        return NULL;
    for (const struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
        const char **targets;
        size_t count;
        Error ignored = {0}; /* not ours to see */
        if (!is_server(entry->d_name))
            continue;
        CLEANUP(text_freep) char *link = text_format("/proc/%s/cwd", entry->d_name);
        CLEANUP(text_freep) char *cwd = realpath(link, NULL);
        if (cwd == NULL || strcmp(cwd, data) == 0 ||
            !tablespace_links(cwd, arena, &targets, &count, &ignored))
            continue;
        for (size_t i = 0; i < count; i++) {
            if (strcmp(targets[i], location) == 0)
                return arena_text(arena, cwd);
        }
    }
    return NULL;
}

/* The pg_ctl of the server that was started there last, by its path: few hosts have it on PATH. */
static char *pg_ctl_command(const char *action, const char *data)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(text_freep) char *word = shell_word(data);
    Error unknown = {0};
    ServerStart start;
    bool found = false;

    if (!server_start_read(data, &arena, &start, &found, &unknown) || !found)
        return text_format("pg_ctl %s -D %s", action, word);
    CLEANUP(text_freep) char *path = text_format("%s/pg_ctl", start.programs);
    CLEANUP(text_freep) char *program = shell_word(path);
    return text_format("%s %s -D %s", program, action, word);
}

/* How it is stopped: pg_ctl finds it by its lock file, and by a number of its own name space. */
static bool hint_to_stop(const char *data, const PresenceFacts *facts, Error *err)
{
    if (facts->process == 0 && facts->tool != 0) {
        return error_hint(err, "wait until it has ended; it would write into what is restored");
    }
    if (!facts->has_lock) {
        return error_hint(err,
                          "its postmaster.pid is gone, so it ends by itself within two minutes; or "
                          "stop it: `kill -INT %d`",
                          (int)facts->process);
    }
    CLEANUP(text_freep) char *stop = pg_ctl_command("stop", data);
    if (facts->process == facts->lock_pid && facts->process != 0)
        return error_hint(err, "stop it first: `%s`", stop);
    if (facts->process != 0 && !facts->is_elsewhere) {
        return error_hint(err,
                          "it ends when it notices that its server is gone; if it does not: "
                          "`kill -KILL %d`",
                          (int)facts->process);
    }
    return error_hint(err, "stop it where it runs, in its container for example: `%s`", stop);
}

static bool refuse_running(const char *data, const PresenceFacts *facts, Error *err)
{
    if (presence_judge(facts) != PRESENCE_SERVER)
        return true;
    if (facts->process == 0 && facts->tool != 0) {
        error_set(err, ERR_REFUSED, "%s (process %d) is at work on %s", facts->tool_name,
                  (int)facts->tool, data);
    } else if (facts->process == 0) {
        error_set(err, ERR_REFUSED, "a server runs on %s (%s)", data,
                  facts->socket == SOCKET_ANSWERS ? "it answers on its socket"
                                                  : "its shared memory is in use: see ipcs -mp");
    } else if (facts->has_lock && facts->process != facts->lock_pid && facts->is_elsewhere) {
        error_set(err, ERR_REFUSED,
                  "a server runs on %s (process %d, in a container: its lock file says %d)", data,
                  (int)facts->process, (int)facts->lock_pid);
    } else if (facts->has_lock && facts->process != facts->lock_pid) {
        error_set(err, ERR_REFUSED,
                  "what is left of a server runs on %s (process %d; process %d, which its lock "
                  "file names, is gone)",
                  data, (int)facts->process, (int)facts->lock_pid);
    } else {
        error_set(err, ERR_REFUSED, "a server runs on %s (process %d)", data, (int)facts->process);
    }
    return hint_to_stop(data, facts, err);
}

static const char *why_in_doubt(const PresenceFacts *facts, Arena *arena)
{
    if (facts->may_be_shared)
        return "another host may have its file system, too";
    if (facts->unseen != 0) {
        return arena_format(arena, "where process %d works can't be seen from here",
                            (int)facts->unseen);
    }
    return "this is a container: processes outside it can't be seen";
}

static bool refuse_doubt(const char *data, const PresenceFacts *facts, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *where = why_in_doubt(facts, &arena);

    if (facts->has_lock) {
        error_set(err, ERR_REFUSED,
                  "a server may run on %s: postmaster.pid says process %d, and %s", data,
                  (int)facts->lock_pid, where);
    } else {
        error_set(err, ERR_REFUSED,
                  "a server may run on %s: it was not shut down, its directory was changed %d s "
                  "ago, and %s",
                  data, (int)(facts->quiet / 1000000), where);
    }
    if (facts->unseen != 0 && !facts->may_be_shared) {
        return error_hint(err,
                          "see as root where that is: `ls -l /proc/%d/cwd`; if it is another place "
                          "than %s, add --server-is-stopped",
                          (int)facts->unseen, data);
    }
    CLEANUP(text_freep) char *status = pg_ctl_command("status", data);
    return error_hint(err,
                      "make sure that none does: `%s` on each host and in each "
                      "container that has it; then add --server-is-stopped",
                      status);
}

bool data_is_free(const char *data, const DataLook *look, Error *err)
{
    PresenceFacts facts = look->presence;
    TimeUs wait = presence_wait(&facts);

    if (wait > 0) {
        log_info("a server whose lock file is gone ends within two minutes: waiting for that",
                 log_str("data", data), log_u64("seconds", (uint64_t)wait / 1000000));
    }
    while (wait > 0) {
        time_sleep_ms(1000);
        if (!interrupt_check(err) || !presence_look(data, &facts, err) ||
            !refuse_running(data, &facts, err))
            return false;
        wait = presence_wait(&facts);
    }
    return presence_judge(&facts) == PRESENCE_NONE || refuse_doubt(data, &facts, err);
}

/* By pg_control; when that is lost or damaged, by the WAL that lies there. */
static bool data_identify(const char *data, const Cluster *cluster, DataLook *look, Arena *arena,
                          Error *err)
{
    PgControl control;
    Error no_control = {0};
    OldWal wal;

    if (pg_control_read(data, &control, NULL, &no_control)) {
        look->is_identified = true;
        look->system_identifier = control.system_identifier;
        look->same_cluster = control.system_identifier == cluster->system_identifier;
        return true;
    }
    CLEANUP(text_freep) char *directory = text_format("%s/pg_wal", data);
    if (!old_wal_load(directory, cluster, arena, &wal, err))
        return false;
    look->same_cluster = wal.count > 0;
    look->is_identified = wal.count > 0 || wal.others > 0;
    look->system_identifier = wal.count > 0 ? cluster->system_identifier : 0;
    return true;
}

static bool look_inside(const char *data, const Cluster *cluster, Arena *arena, DataLook *look,
                        Error *err)
{
    CLEANUP(text_freep) char *version = text_format("%s/PG_VERSION", data);
    CLEANUP(text_freep) char *global = text_format("%s/global", data);
    CLEANUP(text_freep) char *control = text_format("%s/global/pg_control", data);
    bool is_empty, has_marker;

    if (!directory_is_empty(data, &is_empty, err))
        return false;
    if (is_empty) {
        look->state = DATA_EMPTY;
        return true;
    }
    if (!marker_load(data, arena, &look->marker, &has_marker, err))
        return error_hint(err, "choose another directory, or move this one away");
    if (has_marker && look->marker.is_running) {
        return error_set(err, ERR_BUSY, "process %llu is restoring into %s",
                         (unsigned long long)look->marker.pid, data);
    }
    if (has_marker && !file_exists(control)) {
        look->state = DATA_HALF_RESTORED;
        look->is_identified = true;
        look->system_identifier = look->marker.system_identifier;
        look->same_cluster = look->marker.system_identifier == cluster->system_identifier;
        return true;
    }
    if (!file_exists(version) || !file_exists(global)) {
        error_set(err, ERR_REFUSED, "%s is neither empty nor a PostgreSQL data directory", data);
        return error_hint(err, "choose a directory that is empty or does not exist yet");
    }
    look->state = DATA_CLUSTER;
    return data_identify(data, cluster, look, arena, err);
}

bool data_look_while_running(const char *data, const Cluster *cluster, Arena *arena, DataLook *look,
                             Error *running, Error *err)
{
    struct stat status, parent_status;
    CLEANUP(text_freep) char *parent = text_format("%s/..", data);

    *look = (DataLook){.state = DATA_ABSENT};
    if (stat(data, &status) != 0) {
        if (errno == ENOENT && file_exists(data)) {
            error_set(err, ERR_REFUSED, "%s is a symbolic link that leads nowhere", data);
            return error_hint(err, "is the file system mounted that it leads to? Else remove it");
        }
        if (errno == ENOENT)
            return true;
        return error_set_errno(err, ERR_IO, errno, "look at %s", data);
    }
    if (!S_ISDIR(status.st_mode))
        return error_set(err, ERR_REFUSED, "%s is not a directory", data);
    if (strcmp(data, "/") == 0)
        return error_set(err, ERR_REFUSED, "%s can't be a data directory", data);
    look->is_own_file_system =
        stat(parent, &parent_status) == 0 && parent_status.st_dev != status.st_dev;
    if (!presence_look(data, &look->presence, err))
        return false;
    (void)!refuse_running(data, &look->presence, running);
    return look_inside(data, cluster, arena, look, err);
}

bool data_look(const char *data, const Cluster *cluster, Arena *arena, DataLook *look, Error *err)
{
    Error running = {0};

    if (!data_look_while_running(data, cluster, arena, look, &running, err))
        return false;
    if (running.code == ERR_NONE)
        return true;
    return error_pass(err, &running);
}
