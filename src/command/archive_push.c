#include "archive/push.h"

#include "base/log.h"
#include "base/process.h"
#include "cli/output.h"
#include "command/commands.h"
#include "hook.h"
#include "repo/journal.h"
#include "repo/layout.h"
#include "requests.h"

static const char *outcome_name(PushOutcome outcome)
{
    switch (outcome) {
    case PUSH_STORED:
        return "stored";
    case PUSH_ALREADY_THERE:
        return "already there";
    case PUSH_REPAIRED:
        return "repaired";
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

/* Best effort: what can't be written down is no reason to fail, nor to hide why the push failed. */
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

/* The server's log gets nothing from a success, but for a repair. */
static bool report(const Options *options, const PushResult *result, TimeUs started, Error *err)
{
    CLEANUP(json_done) Json json = {0};
    const char *outcome = outcome_name(result->outcome);

    if (result->outcome == PUSH_REPAIRED) {
        log_warn("the archived copy was damaged: set aside, stored anew",
                 log_str("file", options->wal_path),
                 log_str("aside", result->aside != NULL ? result->aside : ""));
    }
    log_debug("archived", log_str("file", options->wal_path), log_str("outcome", outcome),
              log_u64("bytes_stored", result->trailer.stored_size),
              log_u64("elapsed_ms", (uint64_t)(time_now() - started) / 1000));
    if (!options->json)
        return true;
    json_begin_object(&json, NULL);
    json_text(&json, "file", options->wal_path);
    json_text(&json, "outcome", outcome);
    json_u64(&json, "bytes", result->trailer.raw_size);
    json_u64(&json, "bytes_stored", result->trailer.stored_size);
    json_text(&json, "aside", result->aside);
    json_end_object(&json);
    return json_print(&json, err);
}

static void push_result_done(PushResult *result)
{
    text_freep(&result->aside);
}

static bool push_file(const Options *options, Error *err)
{
    const TimeUs started = time_now();
    CLEANUP(hook_done) Hook hook = {0};
    CLEANUP(push_result_done) PushResult result = {0};
    PushWish wish = {.path = options->wal_path};

    if (!compression_parse(options->compress, &wish.compression, err) ||
        !hook_open(&hook, options, err)) {
        return false;
    }
    wish.threads = hook.threads;
    if (!archive_push(&hook.cluster, &wish, &result, err)) {
        write_down(&hook.cluster, options->wal_path, started, err, NULL);
        return false;
    }
    if (result.outcome == PUSH_REPAIRED) {
        const Error none = {0};

        write_down(&hook.cluster, options->wal_path, started, &none, result.aside);
    }
    return report(options, &result, started, err);
}

bool command_archive_push(const Options *options, Error *err)
{
    if (options->requests)
        return requests_serve(options, push_file, err);
    return push_file(options, err);
}
