#include "server/server.h"

#include "base/file.h"
#include "base/process.h"
#include "postgres/version.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VERSION_TIMEOUT_MS = 10000 };

/* "postgres (PostgreSQL) 15.18 (Debian 15.18-1)": 15; 0 when it is something else. */
static unsigned major_in(const char *output)
{
    static const char before[] = "(PostgreSQL) ";
    const char *found = strstr(output, before);

    return found != NULL ? (unsigned)strtoul(found + strlen(before), NULL, 10) : 0;
}

/* The major version of directory/postgres, 0 when it can't be run. */
static unsigned major_of(const char *directory)
{
    CLEANUP(buffer_done) Buffer output = {0};
    CLEANUP(text_freep) char *program = text_format("%s/postgres", directory);
    const char *const argv[] = {program, "--version", NULL};
    Error ignored = {0}; /* a candidate that does not run is none */
    int status = -1;

    if (access(program, X_OK) != 0)
        return 0;
    ProcessSetup setup = {.argv = argv};
    if (!process_run(&setup, VERSION_TIMEOUT_MS, &status, &output, &ignored) || status != 0)
        return 0;
    buffer_print(&output, "%s", ""); /* a zero after the end */
    return major_in((const char *)output.data);
}

static const char *find_programs_on_path(unsigned major, Arena *arena)
{
    const char *path = getenv("PATH");

    while (path != NULL && *path != '\0') {
        size_t length = strcspn(path, ":");
        if (length > 0) {
            const char *directory = arena_text_part(arena, path, length);
            if (major_of(directory) == major)
                return directory;
        }
        path += length + (path[length] == ':' ? 1 : 0);
    }
    return NULL;
}

static bool check_wanted(const char *wanted, unsigned major, Arena *arena, const char **directory,
                         Error *err)
{
    unsigned found = major_of(wanted);

    if (found == 0) {
        error_set(err, ERR_NOT_FOUND, "%s/postgres is not a PostgreSQL server that runs here",
                  wanted);
        return error_hint(err, "--pg-bin names the directory that holds postgres");
    }
    if (found != major) {
        error_set(err, ERR_VERSION, "the programs in %s are of PostgreSQL %u, not %u", wanted,
                  found, major);
        return error_hint(err, "data of one major version can't be read by another");
    }
    *directory = arena_text(arena, wanted);
    return true;
}

bool server_find_programs(const char *wanted, unsigned major, Arena *arena, const char **directory,
                          Error *err)
{
    if (wanted != NULL)
        return check_wanted(wanted, major, arena, directory, err);

    const char *places[] = {
        arena_format(arena, "/usr/lib/postgresql/%u/bin", major), /* Debian, off the PATH */
        arena_format(arena, "/usr/pgsql-%u/bin", major),          /* RPMs of the project */
        "/usr/local/pgsql/bin",                                   /* make install */
    };
    const char *found = find_programs_on_path(major, arena);
    for (size_t i = 0; found == NULL && i < ARRAY_SIZE(places); i++) {
        if (major_of(places[i]) == major)
            found = places[i];
    }
    if (found == NULL) {
        error_set(err, ERR_NOT_FOUND, "no server programs of PostgreSQL %u found", major);
        return error_hint(err,
                          "install them (Debian: postgresql-%u) or name their directory with "
                          "--pg-bin",
                          major);
    }
    *directory = found;
    return true;
}

/* Lines of postmaster.pid (miscadmin.h, LOCK_FILE_LINE_*), from 0. */
enum {
    LINE_PID,
    LINE_DATA,
    LINE_START_TIME,
    LINE_PORT,
    LINE_SOCKET,
    LINE_LISTEN,
    LINE_SHARED_MEMORY,
    LINE_STATUS,
    LINE_COUNT,
};

static void split_lines(const char *text, Arena *arena, const char *lines[LINE_COUNT])
{
    for (int i = 0; i < LINE_COUNT; i++) {
        size_t length = strcspn(text, "\n");
        lines[i] = arena_text_part(arena, text, length);
        text += length + (text[length] == '\n' ? 1 : 0);
    }
}

static ServerStatus server_status_of(const char *line)
{
    static const struct {
        const char *text;
        ServerStatus status;
    } known[] = {{"starting", SERVER_STARTING},
                 {"standby", SERVER_STANDBY},
                 {"ready", SERVER_READY},
                 {"stopping", SERVER_STOPPING}};
    size_t length = strcspn(line, " "); /* padded, so that it can be rewritten in place */

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (strlen(known[i].text) == length && strncmp(line, known[i].text, length) == 0)
            return known[i].status;
    }
    return SERVER_UNKNOWN;
}

static bool runs_postgres(pid_t pid)
{
    CLEANUP(text_freep) char *path = text_format("/proc/%d/comm", (int)pid);
    CLEANUP(fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char name[32] = "";

    if (fd < 0)
        return process_exists(pid); /* no /proc, or it is hidden: don't call it dead */
    ssize_t got = read(fd, name, sizeof name - 1);
    /* A thread's name is as its program's: postgres or its old name. */
    return got > 0 && (strncmp(name, "postgres", 8) == 0 || strncmp(name, "postmaster", 10) == 0);
}

/*
 * A postmaster lives in its data directory (ChangeToDataDir), whatever that is called by now. So a
 * lock file left behind, its number reused by a server of another directory, deceives nobody. Who
 * may not look takes it for alive.
 */
static bool lives_in(pid_t pid, const char *data)
{
    CLEANUP(text_freep) char *path = text_format("/proc/%d/cwd", (int)pid);
    struct stat there, here;

    if (stat(path, &there) != 0 || stat(data, &here) != 0)
        return true;
    return there.st_dev == here.st_dev && there.st_ino == here.st_ino;
}

/* The file is created empty and filled at once: empty, it is looked at again. */
static bool read_lock_file(const char *path, Buffer *content, bool *found, Error *err)
{
    enum { SIZE_MAX_LOCK = 64 << 10, TRIES = 10, PAUSE_MS = 10 };

    *found = false;
    for (int i = 0; i < TRIES && content->size == 0; i++) {
        if (i > 0)
            time_sleep_ms(PAUSE_MS);
        if (!file_read_whole(path, SIZE_MAX_LOCK, content, err)) {
            if (err->code != ERR_NOT_FOUND)
                return false;
            error_clear(err);
            return true;
        }
    }
    buffer_print(content, "%s", "");
    *found = true;
    return true;
}

bool server_lock_read(const char *data, Arena *arena, ServerLock *lock, bool *found, Error *err)
{
    CLEANUP(text_freep) char *path = text_format("%s/postmaster.pid", data);
    CLEANUP(buffer_done) Buffer content = {0};
    const char *lines[LINE_COUNT];
    bool is_there;

    if (!read_lock_file(path, &content, &is_there, err))
        return false;
    *found = is_there;
    if (!is_there)
        return true;

    split_lines((const char *)content.data, arena, lines);
    long pid = strtol(lines[LINE_PID], NULL, 10);
    pid = pid < 0 ? -pid : pid; /* negative: a backend of its own (postgres --single) */
    long long started = strtoll(lines[LINE_START_TIME], NULL, 10);
    char *rest;
    uint64_t memory_key = strtoull(lines[LINE_SHARED_MEMORY], &rest, 10);
    *lock = (ServerLock){
        .pid = (pid_t)pid,
        .data = lines[LINE_DATA],
        .started_at =
            started > 0 && started < INT64_MAX / 1000000 ? started * 1000000 : TIME_US_NONE,
        .port = (unsigned)strtoul(lines[LINE_PORT], NULL, 10),
        .socket_directory = lines[LINE_SOCKET],
        .listen_address = lines[LINE_LISTEN],
        .memory_key = memory_key,
        .memory_id = strtoull(rest, NULL, 10),
        .status = server_status_of(lines[LINE_STATUS]),
    };
    lock->is_alive = lock->pid > 0 && process_exists(lock->pid) && runs_postgres(lock->pid) &&
                     lives_in(lock->pid, data);
    return true;
}

/* Words in double quotes, as CreateOptsFile() (postmaster.c) writes them: without any escape. */
static size_t split_quoted(const char *text, Arena *arena, const char **words, size_t max)
{
    size_t count = 0;

    while (count < max && (text = strstr(text, " \"")) != NULL) {
        /* A quote within a word is told from its end by what follows. */
        const char *begin = text + 2;
        const char *end = strchr(begin, '"');
        while (end != NULL && end[1] != '\0' && end[1] != '\n' && strncmp(end + 1, " \"", 2) != 0)
            end = strchr(end + 1, '"');
        if (end == NULL)
            break;
        words[count++] = arena_text_part(arena, begin, (size_t)(end - begin));
        text = end + 1;
    }
    return count;
}

bool server_start_read(const char *data, Arena *arena, ServerStart *start, bool *found, Error *err)
{
    enum { SIZE_MAX_OPTS = 64 << 10, WORDS_MAX = 128 };
    CLEANUP(text_freep) char *path = text_format("%s/postmaster.opts", data);
    CLEANUP(buffer_done) Buffer content = {0};
    const char *words[WORDS_MAX];
    size_t kept = 0;

    *found = false;
    if (!file_read_whole(path, SIZE_MAX_OPTS, &content, err)) {
        if (err->code != ERR_NOT_FOUND)
            return false;
        error_clear(err);
        return true;
    }
    const char *text = (const char *)content.data;
    const char *end = strstr(text, " \"");
    size_t length = end != NULL ? (size_t)(end - text) : strcspn(text, "\n");
    const char *program = arena_text_part(arena, text, length);
    const char *slash = strrchr(program, '/');
    if (slash == NULL)
        return true;

    size_t count = split_quoted(text, arena, words, WORDS_MAX);
    const char *directory = NULL;
    const char **settings = arena_alloc(arena, (count + 1) * sizeof *settings);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], "-c") == 0 && i + 1 < count) {
            settings[kept++] = words[++i];
        } else if (strcmp(words[i], "-D") == 0 && i + 1 < count) {
            directory = words[++i];
        } else if (strcmp(words[i], "-p") == 0 && i + 1 < count) {
            settings[kept++] = arena_format(arena, "port=%s", words[++i]);
        } else if (strncmp(words[i], "--", 2) == 0 && strchr(words[i], '=') != NULL) {
            settings[kept++] = words[i] + 2;
        }
    }
    *start = (ServerStart){
        .programs = arena_text_part(arena, program, (size_t)(slash - program)),
        .data = directory,
        .settings = settings,
    };
    *found = true;
    return true;
}

/* Field 4 of /proc/N/stat. The name in field 2 may hold anything, so begin after its last ')'. */
static pid_t parent_process_of(const char *number)
{
    CLEANUP(text_freep) char *path = text_format("/proc/%s/stat", number);
    CLEANUP(fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[512] = "";

    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0)
        return 0;
    const char *at = strrchr(text, ')');
    return at != NULL && strlen(at) > 4 ? (pid_t)strtol(at + 4, NULL, 10) : 0;
}

/*
 * "postgres: [cluster_name: ]startup recovering 000000010000000000000003" (utils/misc/ps_status.c).
 * What begins with "startup", NULL for any other process.
 */
static const char *startup_words(const char *number, Arena *arena)
{
    CLEANUP(text_freep) char *path = text_format("/proc/%s/cmdline", number);
    CLEANUP(fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[1024] = "";

    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0 || strncmp(text, "postgres: ", 10) != 0)
        return NULL;
    for (char *end = text + strlen(text); end > text && end[-1] == ' '; end--)
        end[-1] = '\0';
    const char *words = text + 10;
    if (strncmp(words, "startup", 7) != 0) {
        words = strstr(words, ": startup");
        words = words != NULL ? words + 2 : NULL;
    }
    if (words == NULL || (words[7] != '\0' && words[7] != ' '))
        return NULL;
    return arena_text(arena, words);
}

bool server_startup_title(pid_t pid, Arena *arena, const char **title)
{
    DIR *processes = opendir("/proc");
    const char *found = NULL;

    while (processes != NULL && found == NULL) {
        const struct dirent *entry = readdir(processes);
        if (entry == NULL)
            break;
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
            parent_process_of(entry->d_name) == pid)
            found = startup_words(entry->d_name, arena);
    }
    if (processes != NULL)
        (void)closedir(processes);
    *title = found != NULL ? found : "";
    return found != NULL;
}
