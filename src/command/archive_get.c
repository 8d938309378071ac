#include "get/get.h"

#include "base/file.h"
#include "base/log.h"
#include "command/commands.h"
#include "setup/repository.h"

#include <unistd.h>

/*
 * The server runs restore_command in its data directory (xlogarchive.c; the paths of %p are
 * relative to it), so without --data the current directory is it, if it looks like one.
 */
static const char *data_directory(const Options *options)
{
    if (options->data != NULL)
        return options->data;
    return file_exists("PG_VERSION") ? "." : NULL;
}

static bool archive_get_file(const Options *options, GetRequest *request, Error *err)
{
    CLEANUP(repo_done) Repo repo = {0};
    Cluster cluster;

    if (!repository_open(options, REPOSITORY_FOR_SERVER, &repo, &cluster, err))
        return error_context(err, "fetch %s", request->name);
    request->threads = repository_segment_threads(options);
    return archive_get(&cluster, request, err);
}

/* An answer that the server goes on with; the log says what it was. */
static bool archive_get_spare(const Options *options, const char *why, Error *err)
{
    log_warn(why, log_str("file", options->wal_name), log_str("reason", err->message),
             log_u64("status", (uint64_t)err->code));
    error_clear(err);
    error_set(err, ERR_ABSENT, "not available for now");
    return error_context(err, "fetch %s", options->wal_name);
}

/*
 * A standby asks again in a few seconds and never opens by itself, so nothing that goes wrong may
 * stop it: every failure is "not yet". Nor may a server be stopped that is about to open.
 */
static bool get_or_spare(const Options *options, GetRequest *request, Error *err)
{
    if (archive_get_file(options, request, err))
        return true;
    if (err->code == ERR_ABSENT)
        return false;
    if (archive_get_is_standby(request->data))
        return archive_get_spare(options, "not available for now; a standby asks again", err);
    if (!archive_get_is_promoting(request))
        return false;
    prefetch_end(request->ahead);
    return archive_get_spare(options,
                             "not available; the server takes its copy in pg_wal and opens", err);
}

/*
 * The process that fetches ahead. What it can't have at once it leaves to the server's request,
 * which tries again and says what is wrong.
 */
static void fetch_ahead(const Options *options, Prefetch *ahead) __attribute__((noreturn));

static void fetch_ahead(const Options *options, Prefetch *ahead)
{
    Repo repo = {0};
    Cluster cluster;
    Error ignored = {0};

    if (repository_open(options, REPOSITORY_ONCE, &repo, &cluster, &ignored))
        prefetch_run(ahead, &cluster);
    _exit(0);
}

bool command_archive_get(const Options *options, Error *err)
{
    const char *data = data_directory(options);
    CLEANUP(prefetch_freep)
    Prefetch *ahead = prefetch_open(&(PrefetchRequest){.path = options->wal_path,
                                                       .data = data,
                                                       .size = options->prefetch,
                                                       .threads = (unsigned)options->jobs});
    GetRequest request = {
        .name = options->wal_name,
        .path = options->wal_path,
        .data = data,
        .timeline = (uint32_t)options->recovery_timeline,
        .hole_wait_ms = options->hole_wait_ms,
        .ahead = ahead,
    };

    if (archive_get_is_known(request.name, err)) {
        prefetch_end(ahead);
        return error_context(err, "fetch %s", request.name);
    }
    bool ok = get_or_spare(options, &request, err);
    if (ok)
        log_debug("fetched", log_str("segment", options->wal_name));
    if (ok && prefetch_fork(ahead))
        fetch_ahead(options, ahead);
    return ok;
}
