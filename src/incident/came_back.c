#include "came_back.h"

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "health/server_look.h"
#include "ledger/ledger.h"
#include "postgres/settings.h"
#include "repo/journal.h"
#include "repo/recovery_plan.h"
#include "setup/repository.h"

/* Of the restore that wrote the settings: the address and name that its archive-get is called by.
 */
static void places_by_command(CameBack *came)
{
    CLEANUP(settings_done) SettingList settings = {0};
    CLEANUP(text_freep)
    char *file = text_format("%s/postgresql.auto.conf", came->options->data);
    Error unread = {0}; /* then nothing names it */

    (void)!settings_read(file, &settings, &unread);
    const char *command = settings_value(&settings, "restore_command");
    if (command == NULL || strstr(command, "archive-get") == NULL)
        return;
    const char *repo = command_option(command, "repo", &came->arena);
    const char *cluster = command_option(command, "cluster", &came->arena);
    if (repo == NULL)
        return;
    came->places.repo = repo;
    came->places.repo_is_typed = true;
    if (cluster == NULL)
        return;
    came->places.cluster = cluster;
    came->places.cluster_is_typed = strcmp(cluster, "main") != 0;
}

/* A configuration file may name the repository of another cluster of this host. */
static bool is_of_cluster(CameBack *came, Error *err)
{
    PgControl control;

    if (!pg_control_read(came->options->data, &control, NULL, err))
        return false;
    if (control.system_identifier == came->cluster.system_identifier)
        return true;
    return error_set(err, ERR_REFUSED, "\"%s\" in %s is another cluster than that of %s",
                     came->cluster.name, came->places.repo, came->options->data);
}

void came_back_open(CameBack *came, const Options *options)
{
    Error attempt = {0};

    *came = (CameBack){.options = options,
                       .is_ours = file_exists_in(options->data, RECOVERY_PLAN_FILE),
                       .started = time_now(),
                       .why_not = "",
                       .places = *options};
    if (came->is_ours && options->repo == NULL)
        places_by_command(came);
    if (came->places.repo == NULL) {
        came->why_not = "neither --repo nor restore_command names it";
        return;
    }
    came->has_cluster = repository_open(&came->places, REPOSITORY_FOR_ANSWER, &came->repo,
                                        &came->cluster, &attempt) &&
                        is_of_cluster(came, &attempt);
    if (!came->has_cluster)
        came->why_not = arena_text(&came->arena, attempt.message);
}

void came_back_done(CameBack *came)
{
    repo_done(&came->repo);
    arena_done(&came->arena);
}

static TimeUs came_back_time(const LedgerEntry *entry, const char *key)
{
    TimeUs time = TIME_US_NONE;
    Error ignored = {0}; /* not known */

    return record_get_time(&entry->record, key, &time, &ignored) ? time : TIME_US_NONE;
}

/* Of the directory that the restore replaced. */
static const char *const *came_back_slots(const LedgerEntry *entry, Arena *arena)
{
    const Record *record = &entry->record;
    const char **names = arena_alloc(arena, (record->count + 1) * sizeof *names);
    size_t count = 0;

    for (size_t i = 0; i < record->count; i++) {
        if (strcmp(record->fields[i].key, "slot") == 0)
            names[count++] = arena_text(arena, record->fields[i].value);
    }
    names[count] = NULL;
    return (const char *const *)names;
}

static void came_back_take(const LedgerEntry *entry, Aftermath *aftermath)
{
    Closing *closing = &aftermath->closing;
    const char *as_copy = record_find(&entry->record, "as_copy");
    RestoreMeasure measure;
    Error ignored = {0}; /* 0 */

    aftermath->is_copy = as_copy != NULL && strcmp(as_copy, "yes") == 0;
    aftermath->slots_before = came_back_slots(entry, &aftermath->checks.arena);
    closing->began = entry->started;
    if (closing->last_commit == TIME_US_NONE)
        closing->last_commit = came_back_time(entry, "last_commit");
    if (!record_get_u64(&entry->record, "commits_only_in_old_directory",
                        &closing->lost_in_directory, &ignored))
        closing->lost_in_directory = 0;
    if (restore_measure_get(&entry->record, &measure))
        memcpy(closing->phases, measure.phases, sizeof closing->phases);
}

void came_back_describe(const CameBack *came, Aftermath *aftermath)
{
    enum { EACH = 16 };
    static const char *const operations[] = {"restore", NULL};
    CLEANUP(ledger_done) Ledger ledger = {0};
    Error unread = {0}; /* then it counts from now */

    aftermath->cluster = came->has_cluster ? &came->cluster : NULL;
    aftermath->places = &came->places;
    aftermath->no_cluster = came->why_not;
    if (!came->has_cluster || !came->is_ours ||
        !ledger_load(
            &ledger, &came->cluster,
            &(LedgerRequest){.operations = operations, .each = EACH, .since = TIME_US_NONE},
            &unread))
        return;
    for (size_t i = 0; i < ledger.count; i++) {
        const char *data = record_find(&ledger.items[i].record, "data");

        if (data != NULL && strcmp(data, came->options->data) == 0) {
            came_back_take(&ledger.items[i], aftermath);
            return;
        }
    }
}

void came_back_write_journal(const CameBack *came, const char *operation, TimeUs opening,
                             const RecoverySight *sight, const Error *failure)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};
    Error problem = {0};
    char lsn[LSN_TEXT_SIZE];

    if (!came->has_cluster)
        return;
    record_begin(&record, "journal", 1);
    record_text(&record, "operation", operation);
    record_u64(&record, "status", (uint64_t)failure->code);
    record_time(&record, "started", came->started);
    record_time(&record, "finished", time_now());
    record_text(&record, "host", process_host_name());
    record_text(&record, "options",
                came->options->command_line != NULL ? came->options->command_line : "");
    record_text(&record, "data", came->options->data);
    record_text(&record, "state", recovery_state_name(sight->state));
    if (sight->replayed != 0)
        record_text(&record, "reached", lsn_text(sight->replayed, lsn));
    if (sight->state == RECOVERY_OPEN && sight->timeline != 0)
        record_u64(&record, "new_timeline", sight->timeline);
    if (sight->last_commit != TIME_US_NONE)
        record_time(&record, "last_commit", sight->last_commit);
    if (opening != TIME_US_NONE)
        record_u64(&record, "phase_promote_us", (uint64_t)opening);
    if (failure->code != ERR_NONE)
        record_text(&record, "error", failure->message);
    if (!journal_store(&came->cluster, operation, &record, &problem))
        log_debug("journal entry not written", log_str("error", problem.message));
}
