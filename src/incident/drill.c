#include "drill_parts.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/owner.h"
#include "base/process.h"
#include "cli/output.h"
#include "incident/incident_commands.h"
#include "repo/journal.h"
#include "repo/mark.h"
#include "setup/command_place.h"
#include "setup/repository.h"

#include <unistd.h>

static void drill_done(Drill *drill)
{
    scratch_done(&drill->scratch);
    if (drill->is_planned)
        restore_plan_done(&drill->story.plan);
    probe_file_done(&drill->file);
    probe_report_done(&drill->probes);
    arena_done(&drill->arena);
}

/* A copy of the options that says what a restore of ours is: where, and that it starts. */
static void take_options(Drill *drill, const Options *options)
{
    drill->asked = options;
    drill->options = *options;
    drill->options.data = drill->scratch.data;
    drill->options.socket = drill->scratch.socket;
    drill->options.server_log = drill->scratch.log;
    drill->options.as_copy = true;
    drill->options.start = true;
    drill->options.target_action = "promote";
    if (options->target != NULL && strcmp(options->target, "random") == 0)
        drill->options.target = NULL;
    if (options->backup != NULL &&
        (strcmp(options->backup, "newest") == 0 || strcmp(options->backup, "random") == 0))
        drill->options.backup = NULL;
}

static const char *user_name(Arena *arena)
{
    Account account = {.name = ""};
    Error unknown = {0}; /* then it has no name */

    (void)!account_find(geteuid(), getegid(), arena, &account, &unknown);
    return account.name;
}

static bool begin_evidence(Drill *drill, Error *err)
{
    const Options *options = drill->asked;

    drill->evidence =
        (Evidence){.verdict = "",
                   .error = "",
                   .started = time_now(),
                   .finished = TIME_US_NONE,
                   .host = process_host_name(),
                   .user = user_name(&drill->arena),
                   .tool = PGCAIRN_VERSION,
                   .options = options->command_line != NULL ? options->command_line : "",
                   .system_identifier = drill->cluster->system_identifier,
                   .jobs = options->jobs,
                   .chosen = "",
                   .target = "",
                   .backup = "",
                   .last_commit = TIME_US_NONE,
                   .has_network = true,
                   .read_all = options->read_all,
                   .log_sha256 = ""};
    return backup_id_new(drill->evidence.id, err);
}

static bool drill_make_request(Drill *drill, Error *err)
{
    char text[256];

    if (!restore_make_request(&drill->options, &drill->arena, &drill->story, &drill->request, err))
        return false;
    drill->request.tablespaces = drill->scratch.tablespaces;
    drill->evidence.target =
        arena_text(&drill->arena, restore_target_text(&drill->request.target, time_text_postgres,
                                                      text, sizeof text));
    return true;
}

static bool drill_prepare(Drill *drill, Error *err)
{
    const Options *options = drill->asked;

    drill->story = (RestoreStory){
        .options = &drill->options, .cluster = drill->cluster, .request = &drill->request};
    drill->story.sight.last_commit = TIME_US_NONE;
    if (options->probes != NULL && !probe_file_read(options->probes, &drill->file, err))
        return false;
    return begin_evidence(drill, err) && drill_choose(drill, err) && drill_make_request(drill, err);
}

static void finish_evidence(Drill *drill, const Error *failure)
{
    Evidence *evidence = &drill->evidence;

    evidence->finished = time_now();
    evidence->status = (uint64_t)failure->code;
    evidence->verdict =
        failure->code == ERR_NONE || failure->code == ERR_DEGRADED ? "passed" : "failed";
    evidence->error = failure->code == ERR_NONE
                          ? ""
                          : arena_format(&drill->arena, "%s%s%s", failure->context,
                                         *failure->context != '\0' ? ": " : "", failure->message);
    evidence->probes = drill->probes.items;
    evidence->probe_count = drill->probes.count;
    evidence->counts = drill->probes.counts;
    evidence->count_count = drill->probes.count_count;
}

/* Its last part, if it is long. Best effort: there is none before the server was started. */
static void drill_read_log(const Drill *drill, Buffer *log)
{
    CLEANUP(fd_done) int fd = open(drill->scratch.log, O_RDONLY | O_CLOEXEC);
    struct stat found;
    size_t got = 0;
    Error unread = {0};

    if (fd < 0 || fstat(fd, &found) != 0 || found.st_size == 0)
        return;
    const uint64_t size = (uint64_t)found.st_size;
    const uint64_t part = size < EVIDENCE_LOG_MAX ? size : EVIDENCE_LOG_MAX;
    buffer_reserve(log, part + 1);
    if (file_read_at(fd, log->data, part, size - part, &got, drill->scratch.log, &unread))
        log->size = got;
    log->data[log->size] = '\0';
}

static void drill_write_journal(const Drill *drill, const Error *failure)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};
    const Evidence *evidence = &drill->evidence;
    Error problem = {0};
    char lsn[LSN_TEXT_SIZE];

    if (*evidence->id == '\0')
        return; /* it was not begun */
    record_begin(&record, "journal", 1);
    record_text(&record, "operation", "drill");
    record_u64(&record, "status", (uint64_t)failure->code);
    record_time(&record, "started", evidence->started);
    record_time(&record, "finished", time_now());
    record_text(&record, "host", evidence->host);
    record_text(&record, "options", evidence->options);
    record_text(&record, "drill", evidence->id);
    record_text(&record, "kind", evidence->has_seed && evidence->read_all ? "full" : "restore");
    if (*evidence->verdict != '\0')
        record_text(&record, "verdict", evidence->verdict);
    record_text(&record, "target", evidence->target);
    if (drill->is_planned) {
        record_text(&record, "backup", evidence->backup);
        record_u64(&record, "files", evidence->files);
        record_u64(&record, "bytes", evidence->bytes);
        record_u64(&record, "wal_segments", evidence->wal_segments);
        record_u64(&record, "wal_stored_bytes", evidence->wal_stored_bytes);
        record_text(&record, "reached", lsn_text(evidence->reached, lsn));
    }
    if (drill->is_planned) {
        const Error none = {0}; /* probes that fail take nothing from what the recovery took */
        RestoreMeasure measure;

        restore_measured(&drill->story, drill->story.is_verified ? &none : failure, &measure);
        if (evidence->phases[DRILL_PROBE] > 0)
            measure.phases[PHASE_PROBES] = (TimeUs)evidence->phases[DRILL_PROBE];
        restore_measure_put(&measure, &record);
    }
    if (failure->code != ERR_NONE)
        record_text(&record, "error", failure->message);
    if (!journal_store(drill->cluster, "drill", &record, &problem))
        log_warn("journal entry not written", log_str("error", problem.message));
}

/* What was found stays where it was found out; a hint that names what is gone would mislead. */
static void point_to_evidence(const Drill *drill, Error *err)
{
    if (err->code == ERR_NONE || drill->trouble.code != ERR_NONE)
        return;
    if (*err->hint != '\0' && strstr(err->hint, drill->scratch.place) == NULL)
        return;
    err->hint[0] = '\0';
    error_hint(err, "`pgcairn drill --show=%s` has all that was found, and the server's messages",
               drill->evidence.id);
}

/* The newest word of drills about a backup: one mark says it, the other no longer does. */
static bool drill_store_mark(const Drill *drill, const char *kind, bool is_void, Error *err)
{
    const Evidence *evidence = &drill->evidence;
    CLEANUP(text_freep) char *object = layout_evidence_record(drill->cluster->name, evidence->id);
    CLEANUP(mark_list_done) MarkList marks = {.count = 0};

    if (!mark_list_load(&marks, drill->cluster, err))
        return false;
    if (is_void && mark_find(&marks, kind, MARK_OF_BACKUP, evidence->backup) == NULL)
        return true;
    return mark_store(
        drill->cluster,
        &(Mark){.kind = kind,
                .what = MARK_OF_BACKUP,
                .subject = evidence->backup,
                .is_void = is_void,
                .at = evidence->finished,
                .until = TIME_US_NONE,
                .by = "drill",
                .host = evidence->host,
                .reason = *evidence->error != '\0' ? evidence->error : "a drill passed",
                .evidence = object},
        err);
}

/* Nothing is noted about the backup when none was chosen, or when the host is to blame. */
static bool drill_mark(const Drill *drill, Error *err)
{
    const bool has_passed = strcmp(drill->evidence.verdict, "passed") == 0;

    if (!drill->is_planned || (!has_passed && drill->is_hosts_fault))
        return true;
    return drill_store_mark(drill, has_passed ? MARK_PROVEN : MARK_SUSPECT, false, err) &&
           drill_store_mark(drill, has_passed ? MARK_SUSPECT : MARK_PROVEN, true, err);
}

/* What there is to keep is kept, then everything is removed. */
static void drill_keep(Drill *drill, const Error *failure)
{
    CLEANUP(buffer_done) Buffer log = {0};
    const TimeUs begin = time_monotonic();
    Error unremoved = {0};

    drill_read_log(drill, &log);
    if (!scratch_remove(&drill->scratch, &unremoved)) {
        log_warn("the drill's directory could not be removed: `pgcairn drill --clean` does it",
                 log_str("directory", drill->scratch.place), log_str("reason", unremoved.message));
        drill->scratch.keeps = true;
    }
    drill->evidence.phases[DRILL_CLEAN] = (uint64_t)(time_monotonic() - begin);
    finish_evidence(drill, failure);
    if (!FAULT_POINT("drill.before-evidence", &drill->trouble) ||
        !evidence_store(drill->cluster, &drill->evidence, &log, &drill->arena, &drill->trouble) ||
        !drill_mark(drill, &drill->trouble))
        error_context(&drill->trouble, "keep the evidence");
}

/* A drill that leaves no evidence has shown nothing to those who come later. */
static bool drill_judge(const Drill *drill, bool ok, Error *err)
{
    if (drill->trouble.code == ERR_NONE || !ok)
        return ok;
    return error_set(err, ERR_DEGRADED,
                     "the drill passed, but its evidence is not in the repository: %s",
                     drill->trouble.message);
}

static bool drill_run(Drill *drill, Error *err)
{
    bool ok = drill_prepare(drill, err) && drill_try(drill, err);
    const bool is_verdict = drill_is_verdict(err) && *drill->evidence.id != '\0';

    if (is_verdict) {
        drill_keep(drill, err);
        point_to_evidence(drill, err);
    }
    drill_write_journal(drill, err);
    if (is_verdict) {
        Error unsaid = {0};
        if (!drill_tell(drill, &unsaid) && ok)
            return error_pass(err, &unsaid);
    }
    return drill_judge(drill, ok, err);
}

/* What would be tried: nothing is made, and no server is needed. */
static bool drill_run_dry(Drill *drill, Error *err)
{
    if (!drill_prepare(drill, err))
        return false;
    drill->request.only_looks = drill->request.believes_known = true;
    if (!restore_plan(drill->cluster, &drill->request, &drill->story.plan, err))
        return false;
    drill->is_planned = true;
    drill->evidence.backup = drill->story.plan.decision.manifest.header.id;
    return drill_tell_plan(drill, err);
}

static bool drill_scratch(const Options *options, const Cluster *cluster, Error *err)
{
    CLEANUP(drill_done) Drill drill = {.cluster = cluster, .scratch = SCRATCH_NONE};

    if (!place_check_outside("the scratch directory", options->scratch, NULL, err))
        return false;
    if (options->dry_run ? !scratch_name(&drill.scratch, options->scratch, err)
                         : !scratch_take(&drill.scratch, options->scratch, err))
        return false;
    take_options(&drill, options);
    return options->dry_run ? drill_run_dry(&drill, err) : drill_run(&drill, err);
}

static bool drill_clean(const Options *options, Error *err)
{
    bool found;

    if (!scratch_clean(options->scratch, &found, err))
        return error_context(err, "clean up");
    out_print("%s\n", found ? "removed what a drill had left" : "nothing was left there");
    return out_flush(err);
}

bool command_drill(const Options *options, Error *err)
{
    CLEANUP(repo_done) Repo repo = {0};
    Cluster cluster;

    if (options->clean)
        return drill_clean(options, err);
    if (!repository_open(options,
                         options->list || options->show != NULL ? REPOSITORY_FOR_ANSWER
                                                                : REPOSITORY_FOR_READING,
                         &repo, &cluster, err))
        return false;
    if (options->list)
        return drill_tell_list(&cluster, options->json, err);
    if (options->show != NULL)
        return drill_tell_one(&cluster, options->show, options->json, err);
    return drill_scratch(options, &cluster, err);
}
