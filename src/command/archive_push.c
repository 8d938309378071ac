#include "push/push_ahead.h"

#include "base/log.h"
#include "base/process.h"
#include "cli/output.h"
#include "command/commands.h"
#include "repo/journal.h"
#include "repo/layout.h"
#include "requests.h"
#include "setup/repository.h"

/* Where a distribution or the operator has made it for the server's user; else there is none. */
static const char default_spool[] = "/var/spool/pgcairn";

static const char *outcome_name(PushOutcome outcome)
{
    switch (outcome) {
    case PUSH_STORED:
        return "stored";
    case PUSH_ALREADY_THERE:
        return "already there";
    case PUSH_REPAIRED:
        return "repaired";
    case PUSH_ACKNOWLEDGED:
        return "acknowledged";
    }
    return "";
}

/*
 * The server repeats a failing segment every minute for as long as it takes; one entry an hour
 * tells the story. Whether there is one is seen in the names alone.
 */
static bool has_entry_of_this_hour(const Cluster *cluster, const char *operation, bool *has,
                                   Error *err)
{
    CLEANUP(text_freep) char *prefix = layout_journal_prefix(cluster->name);
    CLEANUP(object_list_done) ObjectList list = {0};
    char now[TIME_TEXT_SIZE];
    char hour[] = "YYYYMMDDTHH";

    /* "2026-11-22T03:15:12.123Z" begins the name as "20261122T03". */
    time_text(time_now(), now);
    snprintf(hour, sizeof hour, "%.4s%.2s%.5s", now, now + 5, now + 8);
    CLEANUP(text_freep) char *begin = text_format("%s%s", prefix, hour);

    if (!storage_list(cluster->repo->storage, begin, &list, err))
        return false;
    *has = false;
    for (size_t i = 0; i < list.count && !*has; i++)
        *has = strstr(list.objects[i].name, operation) != NULL;
    return true;
}

/* Best effort: what can't be written down is not a reason to fail, nor to hide why the push failed.
 */
static void write_down(const Cluster *cluster, const char *path, TimeUs started,
                       const Error *failure, const char *aside)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};
    Error err = {0};
    bool has_entry;

    if (failure->code == ERR_UNREACHABLE || failure->code == ERR_INTERRUPTED)
        return;
    if (has_entry_of_this_hour(cluster, "-archive-push-", &has_entry, &err) && has_entry &&
        aside == NULL) {
        return;
    }
    record_begin(&record, "journal", 1);
    record_text(&record, "operation", "archive-push");
    record_u64(&record, "status", (uint64_t)failure->code);
    record_time(&record, "started", started);
    record_time(&record, "finished", time_now());
    record_text(&record, "host", process_host_name());
    record_text(&record, "file", path);
    if (failure->code != ERR_NONE)
        record_text(&record, "error", failure->message);
    if (aside != NULL)
        record_text(&record, "aside", aside);
    error_clear(&err);
    if (!journal_store(cluster, "archive-push", &record, &err))
        log_debug("the journal could not be written", log_str("reason", err.message));
}

static bool push_report(const Options *options, const PushResult *result, TimeUs started,
                        Error *err)
{
    CLEANUP(json_done) Json json = {0};
    const char *outcome = outcome_name(result->outcome);

    log_debug("archived", log_str("file", options->wal_path), log_str("outcome", outcome),
              log_u64("bytes_stored", result->trailer.stored_size),
              log_u64("elapsed_ms", (uint64_t)(time_now() - started) / 1000));
    if (!options->json)
        return true;
    json_begin_object(&json, NULL);
    json_text(&json, "file", options->wal_path);
    json_text(&json, "outcome", outcome);
    json_u64(&json, "bytes", result->trailer.raw_size);
    json_u64(&json, "stored_bytes", result->trailer.stored_size);
    json_text(&json, "aside", result->aside);
    json_end_object(&json);
    return json_print(&json, err);
}

static void push_result_done(PushResult *result)
{
    text_freep(&result->aside);
}

/* The server's log gets nothing of a success, but for a repair. */
static void tell_repair(const Cluster *cluster, const char *path, TimeUs started,
                        const PushResult *result)
{
    const Error none = {0};

    if (result->outcome != PUSH_REPAIRED)
        return;
    log_warn("the archived copy was damaged: set aside, stored anew", log_str("file", path),
             log_str("aside", result->aside != NULL ? result->aside : ""));
    write_down(cluster, path, started, &none, result->aside);
}

/* A segment that was pushed along with the one asked for. */
static void tell_ahead(void *context, const char *path, const PushResult *result)
{
    log_debug("archived ahead", log_str("file", path),
              log_str("outcome", outcome_name(result->outcome)));
    tell_repair(context, path, time_now(), result);
}

/* The file asked for: as an earlier call has left it, or now, with others if they can be noted. */
static bool push_asked(Cluster *cluster, const PushRequest *request, const PushAhead *ahead,
                       PushResult *result, Error *err)
{
    const TimeUs started = time_now();
    bool ok;

    if (push_ahead_has_done(ahead, &result->trailer)) {
        result->outcome = PUSH_ACKNOWLEDGED;
        return true;
    }
    if (ahead != NULL) {
        ok = push_ahead_run(ahead, result, tell_ahead, cluster, err);
    } else {
        ok = archive_push(cluster, request, result, err);
    }
    if (!ok) {
        write_down(cluster, request->path, started, err, NULL);
        return false;
    }
    tell_repair(cluster, request->path, started, result);
    return true;
}

static bool push_file(const Options *options, Error *err)
{
    const TimeUs started = time_now();
    CLEANUP(repo_done) Repo repo = {0};
    Cluster cluster;
    CLEANUP(push_ahead_freep) PushAhead *ahead = NULL;
    CLEANUP(push_result_done) PushResult result = {0};
    PushRequest request = {.path = options->wal_path};

    if (!compression_parse(options->compress, &request.compression, err) ||
        !repository_open(options, REPOSITORY_FOR_SERVER, &repo, &cluster, err)) {
        return false;
    }
    request.threads = repository_segment_threads(options);
    ahead = push_ahead_open(&cluster,
                            &(PushAheadRequest){
                                .path = options->wal_path,
                                .spool = options->spool != NULL ? options->spool : default_spool,
                                .is_spool_asked_for = options->spool != NULL,
                                .count = (unsigned)options->push_ahead,
                                .time_ms = PUSH_AHEAD_MS,
                                .compression = request.compression,
                                .threads = request.threads,
                            });
    if (!push_asked(&cluster, &request, ahead, &result, err))
        return false;
    return push_report(options, &result, started, err);
}

bool command_archive_push(const Options *options, Error *err)
{
    if (options->requests)
        return requests_serve(options, push_file, err);
    return push_file(options, err);
}
