#include "verify/verify.h"

#include "base/log.h"
#include "base/process.h"
#include "cli/output.h"
#include "command/commands.h"
#include "ledger/measure.h"
#include "repo/journal.h"
#include "repo/lease.h"
#include "setup/repository.h"

#include <inttypes.h>

static const FindingSeverity severities[] = {FINDING_DAMAGE, FINDING_MISSING, FINDING_INCONSISTENT,
                                             FINDING_DEGRADED, FINDING_NOTE};

/* A verification, and how it went. */
typedef struct Verification {
    const Options *options;
    Cluster cluster;
    VerifyReport report;
    TimeUs started, finished, elapsed;
} Verification;

static size_t findings_count(const VerifyReport *report, FindingSeverity severity)
{
    size_t count = 0;

    for (size_t i = 0; i < report->count; i++)
        count += report->findings[i].severity == severity;
    return count;
}

/* What is not as it was stored. */
static size_t bad_count(const VerifyReport *report)
{
    return report->count - findings_count(report, FINDING_DEGRADED) -
           findings_count(report, FINDING_NOTE);
}

/* As the exit status says it. */
static ErrorCode verify_exit_status(const VerifyReport *report)
{
    switch (verify_worst(report)) {
    case FINDING_NOTE:
        return ERR_NONE;
    case FINDING_DEGRADED:
        return ERR_DEGRADED;
    case FINDING_INCONSISTENT:
    case FINDING_MISSING:
    case FINDING_DAMAGE:
        break;
    }
    return ERR_CORRUPT;
}

static const char *verify_status_name(const Verification *verification)
{
    const VerifyReport *report = &verification->report;

    if (!report->is_complete)
        return "incomplete";
    if (verify_exit_status(report) == ERR_DEGRADED)
        return "degraded";
    if (verify_exit_status(report) != ERR_NONE)
        return "damaged";
    return verification->options->stored_only ? "stored-good" : "good";
}

/* Losing an entry loses no data, and reading needs no write access: a warning. */
static void verify_write_journal(const Verification *verification, const Error *err)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};
    const VerifyReport *report = &verification->report;
    const Options *options = verification->options;
    Error problem = {0};
    ErrorCode code = report->is_complete ? verify_exit_status(report) : ERR_NONE;
    char class[HOST_CLASS_SIZE];

    record_begin(&record, "journal", 1);
    record_text(&record, "operation", "verify");
    record_u64(&record, "status", err->code != ERR_NONE ? err->code : code);
    record_time(&record, "started", verification->started);
    record_time(&record, "finished", verification->finished);
    record_text(&record, "host", process_host_name());
    record_text(&record, "host_class",
                host_class(storage_address(verification->cluster.repo->storage), class));
    record_u64(&record, "jobs", options->jobs);
    record_u64(&record, "elapsed_us", (uint64_t)verification->elapsed);
    record_text(&record, "options", options->command_line != NULL ? options->command_line : "");
    if (options->backup != NULL)
        record_text(&record, "backup", options->backup);
    if (options->stored_only)
        record_text(&record, "stored_only", "yes");
    record_u64(&record, "objects", report->objects);
    record_u64(&record, "bytes", report->bytes);
    record_u64(&record, "bytes_raw", report->bytes_raw);
    for (size_t i = 0; i < ARRAY_SIZE(severities); i++) {
        record_u64(&record, finding_severity_name(severities[i]),
                   findings_count(report, severities[i]));
    }
    if (report->believed.oldest_at != TIME_US_NONE) {
        record_u64(&record, "believed_bytes", report->believed.bytes);
        record_time(&record, "believed_oldest", report->believed.oldest_at);
    }
    if (bad_count(report) > 0)
        record_text(&record, "worst", report->findings[0].object);
    if (err->code != ERR_NONE)
        record_text(&record, "error", err->message);
    if (!journal_store(&verification->cluster, "verify", &record, &problem))
        log_warn("journal entry not written", log_str("error", problem.message));
}

static void print_finding(const Finding *finding)
{
    out_print("\n%s  %s\n", finding_severity_name(finding->severity), finding->object);
    out_print("  what      %s\n", finding->what);
    if (*finding->expected != '\0')
        out_print("  expected  %s\n", finding->expected);
    if (*finding->found != '\0')
        out_print("  found     %s\n", finding->found);
    if (*finding->meaning != '\0')
        out_print("  means     %s\n", finding->meaning);
}

/* What was not read, and how long that was good news. */
static void print_believed(const Verification *verification)
{
    const VerifyBelief *believed = &verification->report.believed;
    char bytes[OUT_TEXT_SIZE], age[OUT_TEXT_SIZE];

    if (believed->oldest_at == TIME_US_NONE)
        return;
    out_print("  not read  %" PRIu64 " segments, %" PRIu64 " backups in %" PRIu64 " packs, %s:\n",
              believed->segments, believed->backups, believed->packs,
              out_bytes(believed->bytes, bytes));
    out_print("            earlier runs found them good, and they have not changed; the oldest of "
              "these was read %s ago\n",
              out_duration(verification->started - believed->oldest_at, age));
}

/* So that nobody takes it for more than it is. */
static void print_not_looked_at(const Verification *verification)
{
    if (!verification->options->stored_only)
        return;
    out_print("  only the stored bytes of packs and WAL were compared with their checksums. Not "
              "looked at:\n");
    out_print(
        "            whether they decompress, whether pages are what page tables and manifests "
        "say,\n");
    out_print("            whether the WAL is what its trailers say; `pgcairn verify` looks at all "
              "of it\n");
}

static const char *verify_praise(const Verification *verification)
{
    const VerifyReport *report = &verification->report;

    if (!report->is_complete)
        return "nothing was wrong";
    if (verification->options->stored_only)
        return "All stored bytes are as they were stored; what they hold was not looked at";
    if (findings_count(report, FINDING_DEGRADED) > 0)
        return "All of it is as it was stored";
    return report->believed.oldest_at == TIME_US_NONE
               ? "All of it is good"
               : "All that was read is good, and the rest was when it was read last";
}

static void verify_print_count(size_t count, const char *word, const char *more)
{
    if (count > 0)
        out_print("; %zu %s%s%s", count, word, count == 1 ? "" : "s", more);
}

static void print_summary(const Verification *verification)
{
    const VerifyReport *report = &verification->report;
    const size_t bad = bad_count(report);

    out_print("\n");
    if (!report->is_complete)
        out_print("Not everything could be looked at; until then ");
    if (bad > 0) {
        out_print("%zu finding%s", bad, bad == 1 ? "" : "s");
    } else {
        out_print("%s", verify_praise(verification));
    }
    verify_print_count(findings_count(report, FINDING_DEGRADED), "backup", " with bad pages");
    verify_print_count(findings_count(report, FINDING_NOTE), "note", "");
    out_print(".\n");
    if (report->unmarked[0] != '\0') {
        out_print("This could not be remembered: %s. Until it is, list, status and restore do not "
                  "know of it: run verify as a user who may write to the repository.\n",
                  report->unmarked);
    }
}

static bool verify_print_all(const Verification *verification, Error *err)
{
    const VerifyReport *report = &verification->report;
    char bytes[OUT_TEXT_SIZE], raw[OUT_TEXT_SIZE], elapsed[OUT_TEXT_SIZE], rate[OUT_TEXT_SIZE];

    out_print("cluster \"%s\"%s%s: read %" PRIu64 " objects, %s\n", verification->cluster.name,
              verification->options->backup != NULL ? ", backup " : "",
              verification->options->backup != NULL ? verification->options->backup : "",
              report->objects, out_bytes(report->bytes, bytes));
    out_print("  backups   %" PRIu64 ", in %" PRIu64 " packs of %" PRIu64 " frames\n",
              report->backups, report->packs, report->frames);
    out_print("  WAL       %" PRIu64 " segments, %" PRIu64 " history files\n", report->segments,
              report->histories);
    const uint64_t looked_at =
        verification->options->stored_only ? report->bytes : report->bytes_raw;
    out_print("  %s   %s in %s (%s)\n", verification->options->stored_only ? "stored " : "content",
              out_bytes(looked_at, raw), out_duration(verification->elapsed, elapsed),
              out_rate(looked_at, verification->elapsed, rate));
    print_believed(verification);
    print_not_looked_at(verification);
    for (size_t i = 0; i < report->count; i++)
        print_finding(&report->findings[i]);
    print_summary(verification);
    return out_flush(err);
}

static void finding_to_json(const Finding *finding, Json *json)
{
    json_begin_object(json, NULL);
    json_text(json, "severity", finding_severity_name(finding->severity));
    json_text(json, "object", finding->object);
    json_text(json, "what", finding->what);
    json_text(json, "expected", *finding->expected != '\0' ? finding->expected : NULL);
    json_text(json, "found", *finding->found != '\0' ? finding->found : NULL);
    json_text(json, "meaning", finding->meaning);
    json_end_object(json);
}

static void checked_to_json(const Verification *verification, Json *json)
{
    const VerifyReport *report = &verification->report;

    json_begin_object(json, "checked");
    json_u64(json, "objects", report->objects);
    json_u64(json, "bytes", report->bytes);
    json_u64(json, "raw_bytes", report->bytes_raw);
    json_u64(json, "backups", report->backups);
    json_u64(json, "packs", report->packs);
    json_u64(json, "frames", report->frames);
    json_u64(json, "segments", report->segments);
    json_u64(json, "histories", report->histories);
    json_u64(json, "records", report->records);
    json_double(json, "elapsed_s", (double)verification->elapsed / 1e6);
    json_end_object(json);
}

static void believed_to_json(const VerifyBelief *believed, Json *json)
{
    json_begin_object(json, "believed");
    json_u64(json, "segments", believed->segments);
    json_u64(json, "backups", believed->backups);
    json_u64(json, "packs", believed->packs);
    json_u64(json, "bytes", believed->bytes);
    json_time(json, "oldest_time", believed->oldest_at);
    json_end_object(json);
}

static bool verify_print_json(const Verification *verification, Error *err)
{
    CLEANUP(json_done) Json json = {0};
    const VerifyReport *report = &verification->report;

    json_begin_object(&json, NULL);
    json_text(&json, "cluster", verification->cluster.name);
    json_text(&json, "backup", verification->options->backup);
    json_bool(&json, "is_stored_only", verification->options->stored_only);
    json_text(&json, "status", verify_status_name(verification));
    json_bool(&json, "remembered", report->unmarked[0] == '\0');
    json_text(&json, "not_remembered", report->unmarked[0] != '\0' ? report->unmarked : NULL);
    json_begin_array(&json, "findings");
    for (size_t i = 0; i < report->count; i++)
        finding_to_json(&report->findings[i], &json);
    json_end_array(&json);
    checked_to_json(verification, &json);
    believed_to_json(&report->believed, &json);
    json_end_object(&json);
    return json_print(&json, err);
}

static bool verify_do(Verification *verification, Error *err)
{
    const Options *options = verification->options;
    Progress progress = {.phase = "list"};
    VerifyRequest request = {
        .backup = options->backup,
        .jobs = (unsigned)options->jobs,
        .progress = &progress,
        .is_stored_only = options->stored_only,
    };
    TimeUs begun = time_monotonic();

    verification->started = time_now();
    request.now = verification->started;
    if (options->reread_after_ms > 0)
        request.believe_since = request.now - (TimeUs)options->reread_after_ms * 1000;
    progress_to_terminal(&progress, !options->no_progress);
    bool ok = verify_run(&verification->cluster, &request, &verification->report, err);
    progress_end(&progress);
    verification->finished = time_now();
    verification->elapsed = time_monotonic() - begun;
    return ok;
}

/* Law 13: what is damaged, missing or inconsistent is never exit 0. */
static bool verify_judge(const VerifyReport *report, Error *err)
{
    size_t bad = bad_count(report);
    size_t degraded = findings_count(report, FINDING_DEGRADED);

    if (bad == 0 && degraded > 0) {
        error_set(err, ERR_DEGRADED,
                  "all of it is as it was stored, but %zu backup%s taken of bad "
                  "pages: %s",
                  degraded, degraded == 1 ? " was" : "s were", report->findings[0].object);
        return error_hint(err, "the report says which; look at these pages on the server");
    }
    if (bad == 0)
        return true;
    error_set(err, ERR_CORRUPT, "%zu finding%s; the worst: %s: %s", bad, bad == 1 ? "" : "s",
              report->findings[0].object, report->findings[0].what);
    return error_hint(err, "the report says of each what it means for recovery");
}

static void verification_done(Verification *verification)
{
    verify_report_done(&verification->report);
}

bool command_verify(const Options *options, Error *err)
{
    CLEANUP(repo_done) Repo repo = {0};
    CLEANUP(verification_done) Verification verification = {.options = options};
    CLEANUP(lease_freep) Lease *lease = NULL;
    Error unsaid = {0};

    if (!repository_open(options, REPOSITORY_FOR_READING, &repo, &verification.cluster, err))
        return false;
    lease_take_to_read(&verification.cluster, options->backup, LEASE_READ_EVERY_MS, &lease);
    bool ok = verify_do(&verification, err);
    /* A backup that is not there is an answer to a question nobody has an interest in later. */
    if (!ok && err->code == ERR_NOT_FOUND)
        return false;
    verify_write_journal(&verification, err);
    if (verification.report.unremembered[0] != '\0') {
        log_warn("what was found good is not remembered",
                 log_str("error", verification.report.unremembered));
    }
    if (verification.report.unmarked[0] != '\0') {
        log_warn("what was found is not remembered: list, status and restore do not know of it",
                 log_str("error", verification.report.unmarked));
    }
    if (!(options->json ? verify_print_json(&verification, &unsaid)
                        : verify_print_all(&verification, &unsaid))) {
        if (ok)
            *err = unsaid;
        return false;
    }
    return ok && verify_judge(&verification.report, err);
}
