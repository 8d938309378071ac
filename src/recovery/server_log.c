#include "server_log.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { TAIL_SIZE = 256 << 10 };

/* A line of the log; the text is not ours. */
typedef struct ServerLogLine {
    const char *text;
    size_t length;
} ServerLogLine;

static bool line_before(const char *text, const char **end, ServerLogLine *line)
{
    if (*end == text)
        return false;
    const char *stop = *end;
    while (stop > text && stop[-1] == '\n')
        stop--;
    const char *start = stop;
    while (start > text && start[-1] != '\n')
        start--;
    *line = (ServerLogLine){.text = start, .length = (size_t)(stop - start)};
    *end = start;
    return true;
}

static const char *find_in(const ServerLogLine *line, const char *part)
{
    return memmem(line->text, line->length, part, strlen(part));
}

static bool has_one_of(const ServerLogLine *line, const char *const *parts)
{
    for (; *parts != NULL; parts++) {
        if (find_in(line, *parts) != NULL)
            return true;
    }
    return false;
}

/*
 * Where the last start begins: the server's version text, which is not translated, stands in one of
 * its first lines ("starting PostgreSQL 15.18 on x86_64-pc-linux-gnu, compiled by gcc ...").
 */
static const char *last_start(const char *text)
{
    const char *found = text;

    for (const char *at = text; (at = strstr(at, ", compiled by ")) != NULL; at++)
        found = at;
    return found;
}

/* The severities in the server's languages (src/backend/po), as stderr, csvlog and jsonlog say it.
 */
static const char *severity_in(const ServerLogLine *line)
{
    static const char *const words[] = {
        "FATAL:",      "PANIC:",    "FATALE:",
        "PANIK:",      "PANICO:",   "PÁNICO:",
        "FATÁLNÍ:",    "PANIKA:",   "KATASTROFALNY:",
        "ВАЖНО:",      "ПАНИКА:",   "ФАТАЛЬНО:",
        "ПАНІКА:",     "致命错误:", "比致命错误还过分的错误:",
        "치명적오류:", "손상:",     "ÖLÜMCÜL:",
        "PANİK:",      ",FATAL,",   ",PANIC,",
        "\"FATAL\"",   "\"PANIC\"", NULL,
    };

    for (const char *const *word = words; *word != NULL; word++) {
        const char *found = find_in(line, *word);
        if (found != NULL)
            return found;
    }
    return NULL;
}

/* What any client, or a walreceiver that tries again, may cause: it never ends a recovery. */
static bool is_of_a_client(const ServerLogLine *line)
{
    static const char *const parts[] = {
        "the database system is",
        "terminating ",
        "role \"",
        "database \"",
        "authentication failed",
        "no pg_hba.conf entry",
        "too many clients",
        "connection slots",
        "connection to client lost",
        "could not connect to the primary",
        "from WAL stream",
        "frontend protocol",
        NULL,
    };

    return has_one_of(line, parts);
}

/*
 * The process whose end the postmaster reported last: "startup process (PID 4711) exited with exit
 * code 1". The part in brackets is the same in all languages.
 */
static bool last_ended_process(const char *text, char mark[32])
{
    const char *end = text + strlen(text);
    ServerLogLine line;

    while (line_before(text, &end, &line)) {
        const char *found = find_in(&line, "(PID ");
        if (found != NULL && severity_in(&line) == NULL) {
            unsigned long pid = strtoul(found + strlen("(PID "), NULL, 10);
            (void)snprintf(mark, 32, "[%lu]", pid); /* as the default log_line_prefix has it */
            return true;
        }
    }
    return false;
}

/* The last fatal line, with the mark if one is given. */
static bool find_fatal(const char *text, const char *mark, ServerLogLine *line)
{
    const char *end = text + strlen(text);

    while (line_before(text, &end, line)) {
        if (severity_in(line) == NULL)
            continue;
        if (mark != NULL ? find_in(line, mark) != NULL : !is_of_a_client(line))
            return true;
    }
    return false;
}

static void reason_append(char *reason, size_t size, const char *text, size_t length)
{
    size_t used = strlen(reason);

    (void)snprintf(reason + used, size - used, "%.*s", (int)(length < size ? length : size), text);
}

/* A DETAIL belongs to the message before it; so does a line that begins with a tab. */
static void append_details(const ServerLogLine *line, char *reason, size_t size)
{
    const char *at = line->text + line->length;

    for (int i = 0; i < 4 && *at == '\n'; i++) {
        ServerLogLine next = {.text = at + 1, .length = strcspn(at + 1, "\n")};
        const char *detail = find_in(&next, "DETAIL:");
        if (detail == NULL && next.text[0] == '\t')
            detail = next.text + 1;
        if (detail == NULL)
            return;
        reason_append(reason, size, "; ", 2);
        reason_append(reason, size, detail, (size_t)(next.text + next.length - detail));
        at = next.text + next.length;
    }
}

void server_log_reason_of(const char *text, char *reason, size_t size)
{
    char mark[32];
    ServerLogLine line;

    reason[0] = '\0';
    text = last_start(text);
    if (!(last_ended_process(text, mark) && find_fatal(text, mark, &line)) &&
        !find_fatal(text, NULL, &line))
        return;
    const char *start = severity_in(&line);
    /* csvlog and jsonlog have their severity somewhere in the middle: the whole line then. */
    start = *start == ',' || *start == '"' ? line.text : start;
    reason_append(reason, size, start, (size_t)(line.text + line.length - start));
    append_details(&line, reason, size);
}

/* The file's last part; false when it can't be read. */
static bool read_tail(const char *path, Buffer *content)
{
    CLEANUP(fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    size_t got;
    Error ignored = {0}; /* a log that can't be read tells nothing, that is all */

    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return false;
    uint64_t size = (uint64_t)status.st_size;
    buffer_reserve(content, TAIL_SIZE + 1);
    if (!file_read_at(fd, content->data, TAIL_SIZE, size > TAIL_SIZE ? size - TAIL_SIZE : 0, &got,
                      path, &ignored))
        return false;
    /* A zero inside would hide what follows. */
    for (size_t i = 0; i < got; i++)
        content->data[i] = content->data[i] != 0 ? content->data[i] : ' ';
    content->data[got] = '\0';
    content->size = got;
    return true;
}

/* "stderr log/postgresql-2026-11-22.log", relative to the data directory; NULL when there is none.
 */
static const char *current_log(const char *data, Arena *arena)
{
    CLEANUP(buffer_done) Buffer content = {0};
    CLEANUP(text_freep) char *path = text_format("%s/current_logfiles", data);
    Error ignored = {0}; /* no logging collector */

    if (!file_read_whole(path, 64 << 10, &content, &ignored))
        return NULL;
    const char *name = strchr((const char *)content.data, ' ');
    if (name == NULL)
        return NULL;
    int length = (int)strcspn(name + 1, "\n");
    if (name[1] == '/')
        return arena_text_part(arena, name + 1, (size_t)length);
    return arena_format(arena, "%s/%.*s", data, length, name + 1);
}

typedef void FindReason(const char *text, char *reason, size_t size);

/* The first that says something, the newest first: a collector leaves only a remark in log_path. */
static void search_logs(const char *data, const char *log_path, const char *error_path,
                        FindReason *find, char *reason, size_t size)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *paths[] = {log_path, error_path, current_log(data, &arena)};
    TimeUs newest = TIME_US_NONE;

    reason[0] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        CLEANUP(buffer_done) Buffer content = {0};
        CLEANUP(text_freep) char *found = mem_alloc(size);
        struct stat status;
        if (paths[i] == NULL || stat(paths[i], &status) != 0 || !read_tail(paths[i], &content))
            continue;
        TimeUs written = (TimeUs)status.st_mtim.tv_sec * 1000000 + status.st_mtim.tv_nsec / 1000;
        find((const char *)content.data, found, size);
        if (found[0] != '\0' && written > newest) {
            newest = written;
            memcpy(reason, found, size);
        }
    }
}

void server_log_reason(const char *data, const char *log_path, const char *error_path, char *reason,
                       size_t size)
{
    search_logs(data, log_path, error_path, server_log_reason_of, reason, size);
}

static void pause_reason_of(const char *text, char *reason, size_t size)
{
    static const char *const parts[] = {"insufficient parameter settings", NULL};
    const char *end = text + strlen(text);
    const char *start = last_start(text);
    ServerLogLine line;

    reason[0] = '\0';
    while (line_before(start, &end, &line)) {
        if (has_one_of(&line, parts)) {
            reason_append(reason, size, line.text, line.length);
            append_details(&line, reason, size);
            return;
        }
    }
}

void server_log_pause_reason(const char *data, const char *log_path, const char *error_path,
                             char *reason, size_t size)
{
    search_logs(data, log_path, error_path, pause_reason_of, reason, size);
}

/* LOG messages of recoveryPausesHere(), xlogrecovery.c: the last of them counts. */
static void pause_by_hand_of(const char *text, char *reason, size_t size)
{
    static const char *const at_target[] = {"pausing at the end of recovery", NULL};
    static const char *const by_hand[] = {"recovery has paused", NULL};
    const char *end = text + strlen(text);
    const char *start = last_start(text);
    ServerLogLine line;

    reason[0] = '\0';
    while (line_before(start, &end, &line) && !has_one_of(&line, at_target)) {
        if (has_one_of(&line, by_hand)) {
            reason_append(reason, size, line.text, line.length);
            return;
        }
    }
}

bool server_log_paused_by_hand(const char *data, const char *log_path, const char *error_path)
{
    char reason[64];

    search_logs(data, log_path, error_path, pause_by_hand_of, reason, sizeof reason);
    return reason[0] != '\0';
}
