/*
 * main.c - start here: find the command, run it, report one error, return one exit status.
 */
#include "base/buffer.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/plain.h"
#include "cli/hint.h"
#include "cli/output.h"
#include "command/commands.h"
#include "setup/acting_user.h"
#include "setup/secrets.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static LogLevel log_level(const char *name)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};

    for (size_t i = 0; name != NULL && i < ARRAY_SIZE(names); i++) {
        if (strcmp(names[i], name) == 0)
            return (LogLevel)i;
    }
    return LOG_INFO;
}

/* Names of files and messages of servers can hold anything; a terminal gets none of it. */
static void put_plain(Buffer *text, const char *head, const char *value)
{
    if (*value == '\0')
        return;
    buffer_print(text, "%s", head);
    for (const char *tab = strchr(value, '\t'); tab != NULL; tab = strchr(value, '\t')) {
        /* libpq's second lines begin so. */
        CLEANUP(text_freep) char *part = text_format("%.*s ", (int)(tab - value), value);
        plain_append(text, part);
        value = tab + 1;
    }
    plain_append(text, value);
    buffer_print(text, "\n");
}

/* What a status that is not 0 says about the work: was it done, not there, or not done? */
static LogLevel error_severity(const Error *err)
{
    switch ((int)err->code) {
    case ERR_ABSENT:
        return LOG_INFO;
    case ERR_DEGRADED:
        return LOG_WARN;
    case ERR_WARNING: /* the answer on standard output has said it all */
    case ERR_CRITICAL:
    case ERR_UNKNOWN:
        return LOG_DEBUG;
    default:
        return LOG_ERROR;
    }
}

static void report_text(const Error *err)
{
    static const char *const heads[] = {
        [LOG_ERROR] = "pgcairn: error: ",
        [LOG_WARN] = "pgcairn: warning: ",
        [LOG_INFO] = "pgcairn: ",
        [LOG_DEBUG] = "pgcairn: ",
    };
    CLEANUP(buffer_done) Buffer text = {0};

    put_plain(&text, heads[error_severity(err)], err->message);
    put_plain(&text, "  while: ", err->context);
    put_plain(&text, "  hint:  ", err->hint);
    (void)!write(STDERR_FILENO, text.data, text.size);
}

static void report_json(const Command *command, const Error *err, int status)
{
    const LogField fields[] = {
        log_str("message", error_severity(err) == LOG_ERROR ? "failed" : "ended"),
        log_str("command", command != NULL ? command->name : ""),
        log_str("cause", err->message),
        log_str("while", err->context),
        log_str("hint", err->hint),
        log_u64("code", err->code),
        log_u64("status", (uint64_t)status),
    };

    log_write(error_severity(err), fields, ARRAY_SIZE(fields));
}

/*
 * For who asked with --json and got no answer: the error is the answer. After an answer, as of a
 * list with a damaged backup in it, it would be a second one, and the first has said it.
 */
static void answer_json(const Command *command, const Error *err, int status)
{
    CLEANUP(json_done) Json json = {0};
    Error unsaid = {0}; /* the error itself is told on standard error, too */

    json_begin_object(&json, NULL);
    json_text(&json, "command", command != NULL ? command->name : NULL);
    json_u64(&json, "code", err->code);
    json_u64(&json, "status", (uint64_t)status);
    json_text(&json, "message", err->message);
    json_text(&json, "context", *err->context != '\0' ? err->context : NULL);
    json_text(&json, "hint", *err->hint != '\0' ? err->hint : NULL);
    json_end_object(&json);
    (void)!json_print(&json, &unsaid);
}

/* Both may be NULL while options are not known. */
static bool text_is(const char *text, const char *word)
{
    return text != NULL && strcmp(text, word) == 0;
}

static bool main_run(int argc, char **argv, const Command **command, Options *options, Error *err)
{
    bool ok = options_parse(argc, argv, command_table, command, options, err);

    log_setup(log_level(options->log_level),
              text_is(options->log_format, "json") ? LOG_JSON : LOG_TEXT);
    if (!ok)
        return false;
    secrets_guard(options);
    if (options->help) {
        options_help(command_table, *command);
    } else if (!acting_user_become(*command, options, err) || !(*command)->run(options, err)) {
        return false;
    }
    return out_flush(err);
}

/* What does not fit stays as it was: half a command is worse than a short one. */
static void complete_hint(const Options *options, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *hint = hint_complete(options, err->hint, &arena);
    const size_t size = strlen(hint) + 1;

    if (size <= sizeof err->hint)
        memcpy(err->hint, hint, size);
}

/* A status above 125 would not be counted as a failed attempt by the server's archiver. */
static void exit_on_abort(int number)
{
    (void)number;
    _exit(ERR_INTERNAL);
}

static bool asks_for_version(const char *word)
{
    return text_is(word, "--version") || text_is(word, "-V") || text_is(word, "-v") ||
           text_is(word, "version");
}

/*
 * Of the three that every program has one may be closed (">&-"). The next file that is opened gets
 * its number, and what is printed would go into a pack, or into a file of the database.
 */
static void occupy_standard_descriptors(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
        /* No /dev: what is printed is lost all the same. */
        if (fd < 0)
            fd = open("/", O_RDONLY | O_DIRECTORY);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        (void)close(fd);
}

/*
 * The server stops its restore_command with SIGTERM when it shuts down, and takes a death by it for
 * that (xlogarchive.c); any other end would look like a failure of recovery.
 */
static void die_of_sigterm(void)
{
    (void)signal(SIGTERM, SIG_DFL);
    (void)raise(SIGTERM);
}

int main(int argc, char **argv)
{
    CLEANUP(options_done) Options options = {.repo = NULL};
    const Command *command = NULL;
    Error err = {0};

    occupy_standard_descriptors();
    interrupt_setup();
    if (argc == 2 && asks_for_version(argv[1])) {
        out_print("pgcairn %s\n", PGCAIRN_VERSION);
        return out_flush(&err) ? 0 : ERR_IO;
    }
    for (int i = 1; i < argc; i++) {
        if (text_is(argv[i], "archive-push"))
            (void)signal(SIGABRT, exit_on_abort);
    }

    /* The modes that we give are meant as they are; others never get rights. */
    (void)umask(S_IRWXO);
    bool ok = main_run(argc, argv, &command, &options, &err);
    if (!ok && err.code == ERR_NONE)
        error_set(&err, ERR_INTERNAL, "a failure without a reason: this is a bug");
    int status = command_exit_status(argc, argv, &options, ok, &err);
    complete_hint(&options, &err);
    if (!ok && options.json && !json_was_printed())
        answer_json(command, &err, status);
    if (!ok && error_severity(&err) <= log_level(options.log_level)) {
        if (text_is(options.log_format, "json")) {
            report_json(command, &err, status);
        } else {
            report_text(&err);
        }
    }
    if (!ok && command != NULL && command->bit == FOR_GET && interrupt_signal() == SIGTERM)
        die_of_sigterm();
    return status;
}
