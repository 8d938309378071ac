#include "restore_parts.h"

#include "base/log.h"
#include "base/process.h"
#include "ledger/ledger.h"
#include "repo/journal.h"

#include <inttypes.h>

TimeUs restore_last_commit(const RestoreStory *story)
{
    const Decision *decision = &story->plan.decision;
    const WalEvent *before = &decision->point.last_before;
    bool is_known = story->is_verified && decision->target.kind != TARGET_LATEST &&
                    before->time != TIME_US_NONE && before->time != 0;

    return is_known ? before->time : story->sight.last_commit;
}

/* A backup is compressed in one way, but for what does not get smaller. */
static const char *backup_codec(const Manifest *manifest)
{
    for (size_t i = 0; i < manifest->entry_count; i++) {
        const ManifestEntry *entry = &manifest->entries[i];

        if (entry->kind == ENTRY_FILE && entry->is_small && entry->size > 0 &&
            entry->content.codec != CODEC_NONE)
            return codec_name(entry->content.codec);
    }
    return codec_name(CODEC_NONE);
}

static void restore_describe(const RestoreStory *story, RestoreMeasure *measure)
{
    restore_measure_init(measure, storage_address(story->cluster->repo->storage),
                         (unsigned)story->options->jobs);
    (void)snprintf(measure->codec, sizeof measure->codec, "%s",
                   backup_codec(&story->plan.decision.manifest));
    measure->is_delta = story->plan.old.replacement == OVERWRITES_OLD;
}

void restore_estimate(RestoreStory *story)
{
    CLEANUP(arena_done) Arena arena = {0};
    const RestorePlan *plan = &story->plan;
    const Lsn start = plan->decision.manifest.header.start;
    const Lsn end = plan->decision.point.replay_end;
    const RestoreLoad load = {
        .bytes = plan->decision.bytes,
        .files = plan->decision.manifest.header.file_count,
        .wal_bytes = end > start ? end - start : 0,
        .has_target = plan->decision.target.kind != TARGET_LATEST,
        .has_check = plan->old.state == DATA_CLUSTER && !story->options->no_wal_check,
    };
    RestoreMeasure own;
    RestoreMeasure *past;
    size_t count;
    RestoreRates rates;
    Error problem = {0};

    restore_describe(story, &own);
    story->kind = restore_kind_of(&own);
    if (!ledger_load_measures(story->cluster, &arena, &past, &count, &problem)) {
        log_debug("the journal can't be read", log_str("error", problem.message));
        return;
    }
    story->has_estimate = rates_measure(past, count, &story->kind, &rates);
    if (story->has_estimate)
        forecast_make(&rates, &load, &story->estimate);
}

/* Replay and what comes before and after it count only where they ended as they should. */
static void restore_measure_server(const RestoreStory *story, RestoreMeasure *measure)
{
    TimeUs replay = story->elapsed_replay - story->elapsed_start - story->elapsed_checkpoint;
    Lsn start = story->plan.decision.manifest.header.start;

    measure->phases[PHASE_START] = story->elapsed_start;
    measure->phases[PHASE_REPLAY] = replay > 0 ? replay : 0;
    measure->phases[PHASE_CHECKPOINT] = story->elapsed_checkpoint;
    if (story->elapsed_open > 0)
        measure->phases[PHASE_SECOND_START] = story->elapsed_open;
    measure->wal_bytes = story->reached > start ? story->reached - start : 0;
}

void restore_measured(const RestoreStory *story, const Error *failure, RestoreMeasure *measure)
{
    const RestoreReport *report = &story->report;
    const RestorePlan *plan = &story->plan;

    restore_describe(story, measure);
    if (story->elapsed_plan > 0)
        measure->phases[PHASE_PLAN] = story->elapsed_plan;
    if (!story->is_restored)
        return;
    measure->files = report->rebuilt.files;
    measure->bytes = report->rebuilt.bytes;
    if (plan->old.state == DATA_CLUSTER && !story->options->no_wal_check)
        measure->phases[PHASE_CHECK] = report->elapsed_check;
    /* What was held back by a limit says nothing of the next one, which may have another; nor does
     * what an earlier one had not got to. */
    if (story->options->rate_limit == 0 && plan->old.state != DATA_HALF_RESTORED)
        measure->phases[PHASE_FILES] = report->elapsed_rebuild - report->elapsed_check;
    measure->phases[PHASE_SYNC] = report->elapsed_sync;
    if (story->is_started && (failure->code == ERR_NONE || failure->code == ERR_DEGRADED))
        restore_measure_server(story, measure);
}

/* What is kept, and what is known to be left out: an incident's report tells it. */
static void restore_put_loss(const RestoreStory *story, RecordWriter *record)
{
    const RestorePlan *plan = &story->plan;
    const WalEvent *after = &plan->decision.point.first_after;
    const DirectoryReport *directory = &plan->old.report;
    uint64_t elsewhere = 0;
    TimeUs last = restore_last_commit(story);

    for (size_t i = 0; i < plan->decision.branch_count; i++)
        elsewhere += plan->decision.branches[i].gain.commits;
    if (last != TIME_US_NONE)
        record_time(record, "last_commit", last);
    if (after->time != TIME_US_NONE && after->time != 0)
        record_time(record, "first_left_out", after->time);
    if (elsewhere > 0)
        record_u64(record, "commits_on_other_branches", elsewhere);
    if (directory->timeline != 0 && directory->commits > 0 &&
        (directory->is_given_up || plan->old.local_wal_count == 0))
        record_u64(record, "commits_only_in_old_directory", directory->commits);
}

static void restore_put_phases(const RestoreStory *story, const Error *failure,
                               RecordWriter *record)
{
    RestoreMeasure measure;
    char lsn[LSN_TEXT_SIZE];

    if (story->is_restored) {
        record_text(record, "backup", story->plan.decision.manifest.header.id);
        record_u64(record, "bytes", story->report.rebuilt.bytes);
        record_u64(record, "elapsed_rebuild_us", (uint64_t)story->report.elapsed);
        restore_put_loss(story, record);
    }
    if (story->is_started) {
        record_text(record, "state", recovery_state_name(story->sight.state));
        record_text(record, "verified", story->is_verified ? "yes" : "no");
        record_text(record, "reached", lsn_text(story->reached, lsn));
        record_u64(record, "elapsed_replay_us", (uint64_t)story->elapsed_replay);
    }
    if (story->new_timeline != 0)
        record_u64(record, "new_timeline", story->new_timeline);
    restore_measured(story, failure, &measure);
    restore_measure_put(&measure, record);
}

bool restore_is_copy(const RestoreStory *story)
{
    return story->request->as_copy || story->plan.decision.left_out.kept != NULL;
}

void restore_write_journal(const RestoreStory *story, const Error *failure)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};
    Error problem = {0};
    char text[256];

    record_begin(&record, "journal", 1);
    record_text(&record, "operation", "restore");
    record_u64(&record, "status", (uint64_t)failure->code);
    record_time(&record, "started", story->started_at);
    record_time(&record, "finished", time_now()); /* checks and a backup come after it */
    record_text(&record, "host", process_host_name());
    record_text(&record, "options",
                story->options->command_line != NULL ? story->options->command_line : "");
    record_text(
        &record, "target",
        restore_target_text(&story->request->target, time_text_postgres, text, sizeof text));
    record_text(&record, "data", story->request->data);
    record_text(&record, "as_copy", restore_is_copy(story) ? "yes" : "no");
    for (size_t i = 0; story->slots_before != NULL && story->slots_before[i] != NULL; i++)
        record_text(&record, "slot", story->slots_before[i]);
    restore_put_phases(story, failure, &record);
    if (failure->code != ERR_NONE)
        record_text(&record, "error", failure->message);
    /* Read-only access to the repository is enough for a restore: no warning then. */
    if (!journal_store(story->cluster, "restore", &record, &problem))
        log_debug("journal entry not written", log_str("error", problem.message));
}
