#include "aftermath.h"

#include "base/log.h"
#include "base/process.h"
#include "cli/hint.h"
#include "ledger/incident_record.h"
#include "repo/journal.h"
#include "setup/own_command.h"
#include "setup/repository.h"

#include <inttypes.h>

bool aftermath_prepare(Aftermath *aftermath, const Options *options, Error *err)
{
    *aftermath =
        (Aftermath){.options = options, .places = options, .data = options->data, .no_cluster = ""};
    closing_init(&aftermath->closing);
    return checks_parse(options->checks, aftermath->wanted, err) &&
           (options->probes == NULL || probe_file_read(options->probes, &aftermath->probes, err));
}

void aftermath_done(Aftermath *aftermath)
{
    probe_file_done(&aftermath->probes);
    checks_done(&aftermath->checks);
}

/* A command of its own, as run-duties takes one; its report stands before ours. */
static bool aftermath_take_backup(void *context, Arena *arena, const char **text, Error *err)
{
    enum { ARGUMENTS_MAX = 10 };
    const Aftermath *aftermath = context;
    const Options *options = aftermath->options;
    const char *argv[ARGUMENTS_MAX] = {"pgcairn", "backup"};
    size_t count = 2;
    OwnCommandEnd end;

    argv[count++] =
        arena_format(arena, "--repo=%s", storage_address(aftermath->cluster->repo->storage));
    argv[count++] = arena_format(arena, "--cluster=%s", aftermath->cluster->name);
    argv[count++] = arena_format(arena, "--data=%s", aftermath->data);
    if (options->config != NULL)
        argv[count++] = arena_format(arena, "--config=%s", options->config);
    if (options->conninfo != NULL && !options->conninfo_is_from_file)
        argv[count++] = arena_format(arena, "--conninfo=%s", options->conninfo);
    argv[count++] = "--no-progress";
    pid_t pid = own_command_start(argv, true, err);
    if (pid <= 0 || !own_command_wait(pid, NULL, NULL, &end, err))
        return false;
    *text = "the first backup of this timeline is taken";
    if (end.status == ERR_NONE)
        return true;
    error_set(err, (ErrorCode)end.status, "`pgcairn backup` ended with exit status %d", end.status);
    return error_hint(err, "what it said stands above; then `pgcairn backup` again");
}

static HealthRequest health_of(const Aftermath *aftermath, const Error *no_cluster)
{
    const Options *options = aftermath->options;
    HealthRequest request = {
        .name = options->cluster,
        .cluster = aftermath->cluster,
        .no_cluster = no_cluster,
        .store = repository_setup(options, REPOSITORY_ONCE),
        .data = aftermath->data,
        .conninfo = options->conninfo,
        .rpo = (TimeUs)options->rpo_ms * 1000,
        .rto = (TimeUs)options->rto_ms * 1000,
    };

    if (aftermath->cluster != NULL)
        request.name = aftermath->cluster->name;
    return request;
}

static bool aftermath_check(Aftermath *aftermath, Error *err)
{
    const Options *options = aftermath->options;
    Error no_cluster = {.code = ERR_NOT_FOUND};
    const HealthRequest health = health_of(aftermath, &no_cluster);
    AfterRequest request = {
        .data = aftermath->data,
        .conninfo = options->conninfo,
        .cluster = aftermath->cluster,
        .no_cluster = aftermath->no_cluster,
        .health = &health,
        .is_copy = aftermath->is_copy,
        .probes = aftermath->probes.count > 0 ? &aftermath->probes : NULL,
        .slots = options->expected_slots,
        .standbys = options->expected_standbys,
        .slots_before = aftermath->slots_before,
        .archive_wait_ms = options->archive_wait_ms,
        .take_backup = options->backup_after ? aftermath_take_backup : NULL,
        .context = aftermath,
    };

    memcpy(request.wanted, aftermath->wanted, sizeof request.wanted);
    if (options->backup_after)
        request.wanted[CHECK_BACKUP] = true;
    return after_check(&request, &aftermath->checks, &aftermath->sight, err);
}

/* The only one that is open: since when people wait. Best effort. */
static void closing_find_incident(Aftermath *aftermath)
{
    CLEANUP(incident_list_done) IncidentList list = {0};
    const Incident *incident = NULL;
    Error unread = {0}; /* then it is not told */

    if (incident_list_load(&list, aftermath->cluster, &unread) &&
        incident_choose(&list, NULL, true, &incident, &unread) &&
        (aftermath->closing.began == TIME_US_NONE || incident->began <= aftermath->closing.began))
        aftermath->closing.incident_began = incident->began;
}

static void closing_complete(Aftermath *aftermath)
{
    Closing *closing = &aftermath->closing;
    const Options *options = aftermath->options;
    Error uncounted = {0};

    closing->rpo_objective = (TimeUs)options->rpo_ms * 1000;
    closing->rto_objective = (TimeUs)options->rto_ms * 1000;
    if (!aftermath->sight.is_open)
        closing->open_at = TIME_US_NONE;
    if (aftermath->cluster == NULL || aftermath->is_copy)
        return;
    closing_find_incident(aftermath);
    if (aftermath->sight.is_open &&
        !closing_count_lost(closing, aftermath->cluster, aftermath->data, aftermath->sight.timeline,
                            (unsigned)options->jobs, &uncounted))
        log_warn("what is not in it could not be counted", log_str("reason", uncounted.message));
}

static void closing_put(const Closing *closing, RecordWriter *record)
{
    const TimeUs rpo = closing_rpo(closing);
    const TimeUs rto = closing_rto(closing);

    if (closing->last_commit != TIME_US_NONE)
        record_time(record, "last_commit", closing->last_commit);
    if (closing->is_counted) {
        record_u64(record, "commits_lost", closing->lost);
        record_u64(record, "commits_only_in_old_directory", closing->lost_in_directory);
    }
    if (closing->lost_last != TIME_US_NONE)
        record_time(record, "last_commit_lost", closing->lost_last);
    if (rpo != TIME_US_NONE)
        record_u64(record, "rpo_us", (uint64_t)rpo);
    if (rto != TIME_US_NONE)
        record_u64(record, "rto_us", (uint64_t)rto);
    record_u64(record, "rpo_objective_us", (uint64_t)closing->rpo_objective);
    record_u64(record, "rto_objective_us", (uint64_t)closing->rto_objective);
}

static void checks_put_record(const CheckList *checks, RecordWriter *record)
{
    record_u64(record, "checks", checks->count);
    for (size_t i = 0; i < checks->count; i++) {
        const AfterCheck *check = &checks->items[i];
        CLEANUP(text_freep)
        char *text = text_format("%s %s: %s", after_check_name(check->kind),
                                 check_result_name(check->result), check->text);
        record_text(record, "check", text);
    }
}

static void aftermath_write_journal(const Aftermath *aftermath, TimeUs started)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};
    const AfterCheck *worst = checks_worst(&aftermath->checks);
    Error problem = {0};

    if (aftermath->cluster == NULL)
        return;
    record_begin(&record, "journal", 1);
    record_text(&record, "operation", "aftermath");
    record_u64(&record, "status", worst != NULL ? ERR_DEGRADED : ERR_NONE);
    record_time(&record, "started", started);
    record_time(&record, "finished", time_now());
    record_text(&record, "host", process_host_name());
    record_text(&record, "after", aftermath->command);
    record_text(&record, "data", aftermath->data);
    record_text(&record, "as_copy", aftermath->is_copy ? "yes" : "no");
    record_text(&record, "state", aftermath->sight.is_open ? "open" : "paused");
    if (aftermath->sight.timeline != 0)
        record_u64(&record, "timeline", aftermath->sight.timeline);
    closing_put(&aftermath->closing, &record);
    checks_put_record(&aftermath->checks, &record);
    if (worst != NULL)
        record_text(&record, "error", worst->text);
    if (!journal_store(aftermath->cluster, "aftermath", &record, &problem))
        log_debug("journal entry not written", log_str("error", problem.message));
}

bool aftermath_run(Aftermath *aftermath, Error *err)
{
    const TimeUs started = time_now();

    if (!aftermath_check(aftermath, err))
        return false;
    closing_complete(aftermath);
    for (size_t i = 0; i < aftermath->checks.count; i++) {
        AfterCheck *check = &aftermath->checks.items[i];
        check->next = hint_complete(aftermath->places, check->next, &aftermath->checks.arena);
    }
    aftermath_write_journal(aftermath, started);
    return true;
}

bool aftermath_judge(const Aftermath *aftermath, Error *err)
{
    const AfterCheck *worst = checks_worst(&aftermath->checks);

    if (worst == NULL)
        return true;
    error_set(err, ERR_DEGRADED, "the database is back, but the check \"%s\" %s: %s",
              after_check_name(worst->kind),
              worst->result == CHECK_FAILED ? "failed" : "could not be made", worst->text);
    if (*worst->next != '\0')
        return error_hint(err, "%s", worst->next);
    return false;
}
