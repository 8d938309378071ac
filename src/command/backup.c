#include "backup/backup.h"

#include "answer/expire_tell.h"
#include "answer/room_tell.h"
#include "base/log.h"
#include "base/process.h"
#include "base/time.h"
#include "cli/output.h"
#include "command/commands.h"
#include "health/room_find.h"
#include "ledger/measure.h"
#include "repo/journal.h"
#include "repo/reserve.h"
#include "server/presence.h"
#include "server/server.h"
#include "setup/repository.h"
#include "setup/retention_setup.h"
#include "walk/known_folders.h"
#include "walk/learning.h"

#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

/* What connecting said does not help: nobody listens there. */
static bool backup_without_server(const char *data, Error *err)
{
    error_clear(err);
    if (!presence_check_none(data, err))
        return false;
    error_set(err, ERR_UNREACHABLE, "no server runs on %s", data);
    return error_hint(err, "start it; a base backup is taken from a running server");
}

/*
 * The lock file in the data directory tells where its server listens, also when its processes can't
 * be seen from this container: then whether it answers decides.
 */
static Session *backup_open_by_data(const Options *options, Error *err)
{
    CLEANUP(buffer_done) Buffer conninfo = {0};
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(session_freep) Session *session = NULL;
    ServerLock lock = {0};
    bool has_lock;

    if (!server_lock_read(options->data, &arena, &lock, &has_lock, err))
        return NULL;
    server_conninfo(has_lock ? &lock : NULL, options->conninfo, NULL, &conninfo);
    if (has_lock || options->conninfo != NULL)
        session = session_open((const char *)conninfo.data, err);
    bool is_away = !has_lock || (err->code == ERR_UNREACHABLE && !lock.is_alive);
    if (session == NULL && options->conninfo == NULL && is_away)
        (void)backup_without_server(options->data, err);
    return TAKE(session);
}

static Session *backup_open_session(const Options *options, Error *err)
{
    return options->data != NULL ? backup_open_by_data(options, err)
                                 : session_open(options->conninfo, err);
}

typedef struct BackupOutcome {
    TimeUs started, finished;
    const BackupReport *report;
    const Error *error; /* Its code is ERR_NONE when the backup succeeded. */
} BackupOutcome;

/* What its rates can be compared with. */
static void backup_put_host(const Cluster *cluster, const Options *options, RecordWriter *record)
{
    char class[HOST_CLASS_SIZE];

    record_text(record, "host", process_host_name());
    record_text(record, "host_class", host_class(storage_address(cluster->repo->storage), class));
    record_u64(record, "jobs", options->jobs);
    record_text(record, "compress", options->compress);
}

/* Losing an entry loses no data: a warning. */
static void backup_write_journal(const Cluster *cluster, const Options *options,
                                 const BackupOutcome *outcome)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};
    const BackupReport *report = outcome->report;
    Error problem = {0};
    char lsn[LSN_TEXT_SIZE];

    record_begin(&record, "journal", 1);
    record_text(&record, "operation", "backup");
    record_u64(&record, "status", outcome->error->code);
    record_time(&record, "started", outcome->started);
    record_time(&record, "finished", outcome->finished);
    backup_put_host(cluster, options, &record);
    record_text(&record, "options", options->command_line != NULL ? options->command_line : "");
    if (*report->id != '\0')
        record_text(&record, "backup", report->id);
    if (report->stop != 0) {
        record_u64(&record, "timeline", report->timeline);
        record_text(&record, "start", lsn_text(report->start, lsn));
        record_text(&record, "stop", lsn_text(report->stop, lsn));
        record_u64(&record, "files", report->file_count);
        record_u64(&record, "bytes", report->bytes);
        record_u64(&record, "bytes_stored", report->bytes_stored);
        record_text(&record, "base", report->base);
        record_u64(&record, "bytes_new", report->bytes_new);
        record_u64(&record, "bytes_read", report->bytes_read);
        record_u64(&record, "elapsed_start_us", (uint64_t)report->elapsed_start);
        record_u64(&record, "elapsed_copy_us", (uint64_t)report->elapsed_copy);
        record_u64(&record, "elapsed_stop_us", (uint64_t)report->elapsed_stop);
        record_u64(&record, "elapsed_wal_us", (uint64_t)report->elapsed_wait);
    }
    record_u64(&record, "bad_pages", report->bad_page_count);
    for (size_t i = 0; i < report->bad_page_count && i < BAD_PAGES_KEPT; i++) {
        CLEANUP(text_freep)
        char *page =
            text_format("%" PRIu32 " %s", report->bad_pages[i].block, report->bad_pages[i].path);
        record_text(&record, "bad_page", page);
    }
    if (outcome->error->code != ERR_NONE)
        record_text(&record, "error", outcome->error->message);
    if (!journal_store(cluster, "backup", &record, &problem))
        log_warn("journal entry not written", log_str("error", problem.message));
}

/*
 * By times: the file system, the disk or the clock can't be relied on; or the base had the page
 * from an earlier backup, which did not read it as no WAL named it.
 */
static bool backup_had_surprise(const BackupReport *report, Error *err)
{
    error_set(err, ERR_DEGRADED,
              "backup %s is whole, everything was read for it, but block %" PRIu32
              " of %s is not as backup %s has it, and %s",
              report->id, report->surprise.block, report->surprise.path, report->base,
              report->is_surprise_by_wal ? "no WAL since then names that block"
                                         : "the file's times say that it had not changed");
    if (report->is_surprise_by_wal || report->is_base_by_wal) {
        return error_hint(err,
                          "begin recoveries with this backup or a later one: those since the last "
                          "`pgcairn backup --full` may have an old copy of that block; meanwhile "
                          "give --no-reuse-unread, and find out %s",
                          report->is_surprise_by_wal ? "what writes pages without WAL"
                                                     : "whether the disk or the clock is to blame");
    }
    return error_hint(err, "find out why: a disk that returns other bytes, a file system that lies "
                           "about times, a clock that was set back; meanwhile give "
                           "--no-reuse-unread, and `pgcairn backup --full` stores all anew");
}

/* A success that somebody must look at. */
static bool backup_is_degraded(const BackupReport *report, Error *err)
{
    if (report->surprise_count > 0)
        return backup_had_surprise(report, err);
    char pages[64] = "";

    if (report->bad_page_count == 0 && !report->is_waiting_for_wal)
        return true;
    if (report->bad_page_count > 0) {
        (void)snprintf(pages, sizeof pages, "%" PRIu64 " of its pages %s bad",
                       report->bad_page_count, report->bad_page_count == 1 ? "is" : "are");
    }
    error_set(err, ERR_DEGRADED, "backup %s is kept, but %s%s%s", report->id, pages,
              *pages != '\0' && report->is_waiting_for_wal ? ", and " : "",
              report->is_waiting_for_wal ? "WAL that it needs is not in the archive yet" : "");
    if (report->is_waiting_for_wal) {
        return error_hint(err, "it can be restored once the server has archived that WAL: see "
                               "pg_stat_archiver and the server's log for what holds it up");
    }
    return error_hint(err,
                      "they are stored as they were read; an older backup may have them whole");
}

static TimeUs elapsed_of(const BackupReport *report)
{
    return report->elapsed_start + report->elapsed_copy + report->elapsed_stop +
           report->elapsed_wait;
}

static void backup_print_times(const BackupReport *report)
{
    char all[OUT_TEXT_SIZE], start[OUT_TEXT_SIZE], copy[OUT_TEXT_SIZE], stop[OUT_TEXT_SIZE],
        wait[OUT_TEXT_SIZE];

    out_print("  time       %s: start %s, copy %s, stop %s, WAL %s\n",
              out_duration(elapsed_of(report), all), out_duration(report->elapsed_start, start),
              out_duration(report->elapsed_copy, copy), out_duration(report->elapsed_stop, stop),
              out_duration(report->elapsed_wait, wait));
}

static void print_bad_pages(const BackupReport *report)
{
    out_print("  bad pages  %" PRIu64 "\n", report->bad_page_count);
    for (size_t i = 0; i < report->bad_page_count && i < BAD_PAGES_KEPT; i++) {
        out_print("             %s block %" PRIu32 "\n", report->bad_pages[i].path,
                  report->bad_pages[i].block);
    }
    if (report->bad_page_count > BAD_PAGES_KEPT)
        out_print("             and more\n");
}

/* What the WAL had to say. */
static void print_unnamed(const BackupReport *report)
{
    char bytes[OUT_TEXT_SIZE];

    if (*report->wal_why_not != '\0') {
        out_print("  not asked  the WAL, for what it names: %s\n", report->wal_why_not);
        return;
    }
    out_print("  unread     %s that no WAL since then names, by the lists of %" PRIu64 " segments",
              out_bytes(report->bytes_unnamed, bytes), report->wal_segments);
    if (report->wal_segments_read > 0)
        out_print(" (%" PRIu64 " read for want of a list)", report->wal_segments_read);
    out_print("\n");
}

/* What it shares, and what it was found by. */
static void print_base(const BackupReport *report)
{
    char shared[OUT_TEXT_SIZE], read[OUT_TEXT_SIZE], new[OUT_TEXT_SIZE];

    if (*report->base == '\0') {
        out_print("  base       none: %s; everything was read and stored\n", report->no_base);
        return;
    }
    out_print("  base       %s: %s shared with it, %s new\n", report->base,
              out_bytes(report->bytes - report->bytes_new, shared),
              out_bytes(report->bytes_new, new));
    if (*report->times_why_not != '\0') {
        out_print("  read       %s; none by its file's times: %s\n",
                  out_bytes(report->bytes_read, read), report->times_why_not);
    } else {
        out_print("  read       %s; %" PRIu64 " ranges were unchanged by their files' times\n",
                  out_bytes(report->bytes_read, read), report->ranges_unread);
    }
    print_unnamed(report);
}

static void print_report(const Cluster *cluster, const BackupReport *report)
{
    char bytes[OUT_TEXT_SIZE], stored[OUT_TEXT_SIZE], new[OUT_TEXT_SIZE], rate[OUT_TEXT_SIZE];
    char start[LSN_TEXT_SIZE], stop[LSN_TEXT_SIZE];
    const uint64_t divisor = report->bytes_stored > 0 ? report->bytes_stored : 1;

    out_print("backup %s of cluster \"%s\"\n", report->id, cluster->name);
    out_print("  content    %" PRIu64 " files, %s; %s stored in %s (%.1f : 1)\n",
              report->file_count, out_bytes(report->bytes, bytes),
              out_bytes(report->bytes_new, new), out_bytes(report->bytes_stored, stored),
              (double)report->bytes_new / (double)divisor);
    print_base(report);
    backup_print_times(report);
    out_print("  rate       %s\n", out_rate(report->bytes, report->elapsed_copy, rate));
    out_print("  WAL        timeline %" PRIu32 ", %s to %s, %s\n", report->timeline,
              lsn_text(report->start, start), lsn_text(report->stop, stop),
              report->is_waiting_for_wal ? "not whole in the archive yet" : "whole in the archive");
    if (report->skipped_count > 0) {
        out_print("  left out   %" PRIu64
                  " (vanished meanwhile, sockets, what is not the server's)\n",
                  report->skipped_count);
    }
    print_bad_pages(report);
}

static void report_to_json(const Cluster *cluster, const BackupReport *report, bool has_policy,
                           const RepositoryRoom *room, Json *json)
{
    json_begin_object(json, NULL);
    json_text(json, "backup", report->id);
    json_text(json, "cluster", cluster->name);
    json_u64(json, "timeline", report->timeline);
    json_lsn(json, "start_lsn", report->start);
    json_lsn(json, "stop_lsn", report->stop);
    json_u64(json, "files", report->file_count);
    json_u64(json, "bytes", report->bytes);
    json_u64(json, "stored_bytes", report->bytes_stored);
    json_text(json, "base", *report->base != '\0' ? report->base : NULL);
    json_text(json, "no_base", *report->base == '\0' ? report->no_base : NULL);
    json_text(json, "changes_by", report->changes_by);
    json_u64(json, "read_bytes", report->bytes_read);
    json_text(json, "times_not_used",
              *report->times_why_not != '\0' ? report->times_why_not : NULL);
    json_u64(json, "ranges_unread", report->ranges_unread);
    json_text(json, "wal_not_used", *report->wal_why_not != '\0' ? report->wal_why_not : NULL);
    json_u64(json, "unnamed_bytes", report->bytes_unnamed);
    json_u64(json, "wal_segments", report->wal_segments);
    json_u64(json, "wal_read_count", report->wal_segments_read);
    json_u64(json, "surprises", report->surprise_count);
    json_u64(json, "new_bytes", report->bytes_new);
    json_u64(json, "shared_bytes", report->bytes - report->bytes_new);
    json_u64(json, "left_out", report->skipped_count);
    json_double(json, "elapsed_start_s", time_seconds(report->elapsed_start));
    json_double(json, "elapsed_copy_s", time_seconds(report->elapsed_copy));
    json_double(json, "elapsed_stop_s", time_seconds(report->elapsed_stop));
    json_double(json, "elapsed_wal_s", time_seconds(report->elapsed_wait));
    json_bool(json, "waiting_for_wal", report->is_waiting_for_wal);
    json_bool(json, "has_policy", has_policy);
    room_growth_to_json(room, json);
    json_u64(json, "bad_page_count", report->bad_page_count);
    json_begin_array(json, "bad_pages");
    for (size_t i = 0; i < report->bad_page_count && i < BAD_PAGES_KEPT; i++) {
        json_begin_object(json, NULL);
        json_text(json, "file", report->bad_pages[i].path);
        json_u64(json, "block", report->bad_pages[i].block);
        json_end_object(json);
    }
    json_end_array(json);
    json_end_object(json);
}

/* keeping: what `expire` with these options would go by. */
static bool backup_tell(const Options *options, const Cluster *cluster, const BackupReport *report,
                        const RetentionPolicy *keeping, Error *err)
{
    CLEANUP(json_done) Json json = {0};
    CLEANUP(arena_done) Arena arena = {0};
    RepositoryRoom room = {.reason = "", .full_in = TIME_US_NONE};
    const bool has_policy = retention_policy_is_set(keeping);
    Error ignored = {0}; /* The backup is there, whatever else is known. */

    if (!has_policy && !room_load(cluster, &arena, &room, &ignored))
        room = (RepositoryRoom){.reason = "", .full_in = TIME_US_NONE};
    if (!options->json) {
        print_report(cluster, report);
        if (!has_policy) {
            out_print("  kept       forever: no policy says what is kept, nothing is removed%s\n",
                      room_growth_text(&room, &arena));
        }
        return out_flush(err);
    }
    report_to_json(cluster, report, has_policy, &room, &json);
    return json_print(&json, err);
}

static DiskPriority disk_priority_of(const char *class)
{
    if (strcmp(class, "idle") == 0)
        return DISK_PRIORITY_IDLE;
    return strcmp(class, "none") == 0 ? DISK_PRIORITY_KEPT : DISK_PRIORITY_LOW;
}

static bool backup_make_request(const Options *options, Progress *progress, BackupRequest *request,
                                Error *err)
{
    *request = (BackupRequest){
        .data = options->data,
        .label = options->label,
        .jobs = (unsigned)options->jobs,
        .rate_limit = options->rate_limit,
        .nice = (unsigned)options->nice,
        .disk_priority = disk_priority_of(options->ionice),
        .pack_size = options->pack_size,
        .is_full = options->full,
        .must_check_unchanged = options->check_unchanged,
        .must_read_all = options->no_reuse_unread,
        .fast_checkpoint = strcmp(options->checkpoint, "fast") == 0,
        .bad_pages = strcmp(options->bad_pages, "fail") == 0 ? BAD_PAGES_FAIL : BAD_PAGES_WARN,
        .wal_wait_ms = options->wal_wait_ms,
        .options_text = options->command_line,
        .progress = progress,
    };
    return compression_parse(options->compress, &request->compression, err);
}

static bool backup_take_one(const Options *options, const Cluster *cluster, BackupReport *report,
                            Error *err)
{
    CLEANUP(session_freep) Session *session = NULL;
    Progress progress = {.phase = "start"};
    BackupRequest request;

    if (!backup_make_request(options, &progress, &request, err))
        return false;
    session = backup_open_session(options, err);
    if (session == NULL)
        return false;
    progress_to_terminal(&progress, !options->no_progress);
    bool ok = backup_take(cluster, session, &request, report, err);
    progress_end(&progress);
    return ok;
}

/*
 * Now and then somebody has to remember what the trailers of the archive say, and what is in its
 * full folders, so that list, status and restore need not read each of them; that nobody does costs
 * no more than their time.
 */
static void remember_wal(const Cluster *cluster)
{
    Error problem = {0};

    if (!wal_learning_refresh(cluster, time_now(), &problem) ||
        !known_folders_refresh(cluster, time_now(), &problem)) {
        log_warn("the cache of WAL trailers was not stored", log_str("error", problem.message));
    }
}

/* Whatever comes of this, `state` is how it is with the backup: what could not be removed is told,
 * no more. */
static bool backup_expire(const Options *options, const Cluster *cluster,
                          const ExpireRequest *request, const char *state, Error *err)
{
    CLEANUP(expire_report_done) ExpireReport report = {.until = TIME_US_NONE};
    Error failure = {0};

    if (!expire_run(cluster, request, &report, &failure))
        return error_set(err, ERR_DEGRADED, "%s, but expire failed: %s", state, failure.message);
    if (!options->json)
        expire_report_tell(&report);
    if (report.obstacle == NULL || !retention_policy_is_set(&request->policy))
        return true;
    return error_set(err, ERR_DEGRADED, "%s, but nothing is removed: %s", state, report.obstacle);
}

/*
 * There was no room for a backup, and there may be none for the next one either: the policy is
 * carried out on what there is, as it would have been after this one.
 */
static void backup_make_room(const Options *options, const Cluster *cluster,
                             const ExpireRequest *request)
{
    Error failure = {0};

    if (!backup_expire(options, cluster, request, "room was wanted for a backup", &failure))
        log_warn(failure.message);
}

bool command_backup(const Options *options, Error *err)
{
    CLEANUP(repo_done) Repo repo = {0};
    CLEANUP(backup_report_done) BackupReport report = {0};
    BackupOutcome outcome = {.started = time_now(), .report = &report, .error = err};
    Cluster cluster;
    ExpireRequest expire;

    if (!retention_request_of(options, &expire, err) ||
        !repository_open(options, REPOSITORY_FOR_WRITING, &repo, &cluster, err))
        return false;

    bool is_taken = backup_take_one(options, &cluster, &report, err);
    bool ok = is_taken && backup_is_degraded(&report, err);
    outcome.finished = time_now();
    backup_write_journal(&cluster, options, &outcome);
    if (is_taken) {
        reserve_fill(&cluster);
        remember_wal(&cluster);
        Error unsaid = {0};
        if (!backup_tell(options, &cluster, &report, &expire.policy, &unsaid)) {
            if (ok)
                *err = unsaid;
            return false;
        }
    }
    if (!is_taken && options->expire && error_is_no_room(err))
        backup_make_room(options, &cluster, &expire);
    return ok && (!options->expire ||
                  backup_expire(options, &cluster, &expire, "the backup is kept", err));
}
