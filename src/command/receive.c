#include "receive/receive.h"

#include "base/log.h"
#include "base/time.h"
#include "cli/output.h"
#include "command/commands.h"
#include "server/server.h"
#include "setup/command_place.h"
#include "setup/repository.h"
#include "setup/service.h"

#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is said to whom, and when it was said. */
typedef struct Telling {
    const Options *options;
    uint64_t watchdog_ms;
    TimeUs watchdog_at;
    TimeUs status_at;
    bool is_waiting;
    bool is_drawn; /* The line is on a terminal, and is drawn again and again. */
    Lsn durable;
} Telling;

enum { STATUS_EVERY_MS = 1000 };

/*
 * Its lock file is read each time, because it may have been restarted with another port. Its
 * processes may not be seen from this container: whether it answers decides.
 */
static bool locate_by_data(const Options *options, Buffer *conninfo, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    ServerLock lock;
    bool found;

    if (!server_lock_read(options->data, &arena, &lock, &found, err))
        return false;
    if (!found && options->conninfo == NULL)
        return error_set(err, ERR_UNREACHABLE, "no server runs on %s", options->data);
    server_conninfo(found ? &lock : NULL, options->conninfo, NULL, conninfo);
    buffer_append(conninfo, "", 1);
    return true;
}

static bool receive_locate(void *context, Buffer *conninfo, Error *err)
{
    const Telling *telling = context;
    const Options *options = telling->options;

    if (options->data != NULL)
        return locate_by_data(options, conninfo, err);
    if (options->conninfo != NULL)
        buffer_append(conninfo, options->conninfo, strlen(options->conninfo) + 1);
    return true;
}

static bool is_over(TimeUs since, uint64_t ms)
{
    return time_monotonic() - since >= (TimeUs)ms * 1000;
}

static void receive_beat(Telling *telling)
{
    if (telling->watchdog_ms == 0 || !is_over(telling->watchdog_at, telling->watchdog_ms))
        return;
    telling->watchdog_at = time_monotonic();
    service_notify("WATCHDOG=1");
}

/* On a terminal, where nobody else would say how far it is. */
static void receive_draw(const char *status)
{
    CLEANUP(text_freep) char *line = text_format("\r\033[K%s", status);
    size_t size = strlen(line);
    size_t most = out_terminal_width(STDERR_FILENO) + strlen("\r\033[K") - 1;

    (void)!write(STDERR_FILENO, line, size < most ? size : most);
    log_over_progress(true);
}

static void say_durable(Telling *telling, const ReceiveNews *news)
{
    char place[LSN_TEXT_SIZE];

    telling->durable = news->durable;
    if (!is_over(telling->status_at, STATUS_EVERY_MS))
        return;
    telling->status_at = time_monotonic();
    CLEANUP(text_freep)
    char *status = text_format(
        "STATUS=durable up to %s on timeline %" PRIu32 "%s", lsn_text(news->durable, place),
        news->timeline, telling->options->wal_spool != NULL ? ", in the spool at least" : "");
    service_notify(status);
    if (telling->is_drawn)
        receive_draw(status + strlen("STATUS="));
}

static void say_ended(const Telling *telling)
{
    char place[LSN_TEXT_SIZE];

    if (telling->is_drawn) {
        (void)!write(STDERR_FILENO, "\r\033[K", strlen("\r\033[K"));
        log_over_progress(false);
    }
    if (telling->durable != 0)
        log_info("receiving ended", log_str("durable", lsn_text(telling->durable, place)));
}

static void say_waiting(Telling *telling, const ReceiveNews *news)
{
    CLEANUP(text_freep)
    char *status = text_format("STATUS=waiting, tries again: %s", news->error->message);

    /* The same each time, until it is over: once is enough for those who read the log. */
    if (!telling->is_waiting) {
        log_warn("not receiving for now; trying again until it works",
                 log_str("reason", news->error->message), log_str("while", news->error->context));
    } else {
        log_debug("still not receiving", log_str("reason", news->error->message),
                  log_u64("pause_ms", news->pause_ms));
    }
    telling->is_waiting = true;
    service_notify(status);
}

static void say_full(Telling *telling, const ReceiveNews *news)
{
    if (!is_over(telling->status_at, STATUS_EVERY_MS))
        return;
    telling->status_at = time_monotonic();
    CLEANUP(text_freep)
    char *status =
        text_format("STATUS=waiting, the spool is full: %" PRIu64 " MiB", news->spooled >> 20);
    service_notify(status);
}

static void receive_news(void *context, const ReceiveNews *news)
{
    Telling *telling = context;

    receive_beat(telling);
    switch (news->event) {
    case RECEIVE_ALIVE:
        break;
    case RECEIVE_STREAMING:
        telling->is_waiting = false;
        service_notify("READY=1\nSTATUS=streaming");
        break;
    case RECEIVE_DURABLE:
        say_durable(telling, news);
        break;
    case RECEIVE_WAITING:
        say_waiting(telling, news);
        break;
    case RECEIVE_FULL:
        say_full(telling, news);
        break;
    case RECEIVE_STOPPING:
        service_notify("STOPPING=1");
        break;
    }
}

static bool read_request(const Options *options, ReceiveRequest *request, Error *err)
{
    if (options->data == NULL && options->conninfo == NULL) {
        error_set(err, ERR_USAGE, "which server is it?");
        return error_hint(err, "give --conninfo, or --data with its data directory");
    }
    if (options->until_lsn != NULL && !lsn_parse(options->until_lsn, &request->until, err))
        return error_context(err, "read --until-lsn");
    return compression_parse(options->compress, &request->compression, err);
}

/*
 * The repository that is there, or, while it does not answer, what a spool knows of it that was
 * used before: that is when WAL must be taken to safety.
 */
static bool receive_open_repository(const Options *options, Repo *repo, Cluster *cluster,
                                    Error *err)
{
    Error attempt = {0};
    Error unknown = {0};
    bool is_away;

    if (repository_open(options, REPOSITORY_FOR_SERVER, repo, cluster, &attempt))
        return true;
    /* Nothing in the place: its file system is not mounted. A cluster that is not there is another
     * matter: then the repository has answered. */
    is_away = attempt.code == ERR_UNREACHABLE || attempt.code == ERR_IO ||
              (attempt.code == ERR_NOT_FOUND && repo->id[0] == '\0');
    if (!is_away || options->wal_spool == NULL)
        return error_pass(err, &attempt);
    if (archive_receive_recall(options->wal_spool, options->cluster, repo, cluster, &unknown))
        return true;
    if (unknown.code != ERR_NOT_FOUND && unknown.code != ERR_UNREACHABLE)
        return error_pass(err, &unknown);
    *err = attempt;
    return error_context(err, "the repository has to answer at the first run with the spool %s",
                         options->wal_spool);
}

/* It holds what is nowhere else, and must not be replaced along with the data directory. */
static bool check_spool_place(const Options *options, Error *err)
{
    return options->wal_spool == NULL ||
           place_check_outside("the spool", options->wal_spool, options->data, err);
}

bool command_receive(const Options *options, Error *err)
{
    CLEANUP(repo_done) Repo repo = {0};
    Cluster cluster = {0};
    Telling telling = {.options = options,
                       .watchdog_ms = service_watchdog_ms(),
                       .is_drawn = !options->no_progress && isatty(STDERR_FILENO) == 1};
    ReceiveRequest request = {
        .slot = options->slot,
        .application = options->application_name,
        .is_synchronous = options->synchronous,
        .interval_ms = options->interval_ms,
        .spool = options->wal_spool,
        .spool_size = options->wal_spool_size,
        .locate = receive_locate,
        .tell = receive_news,
        .context = &telling,
    };

    if (!read_request(options, &request, err) || !check_spool_place(options, err) ||
        !receive_open_repository(options, &repo, &cluster, err))
        return false;
    request.threads = repository_segment_threads(options);
    bool ok = archive_receive(&cluster, &request, err);
    say_ended(&telling);
    return ok;
}
