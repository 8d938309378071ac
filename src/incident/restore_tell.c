#include "restore_parts.h"

#include "aftermath.h"
#include "answer/forecast_tell.h"
#include "answer/left_out_tell.h"
#include "answer/space_tell.h"
#include "base/file.h"
#include "base/log.h"
#include "base/owner.h"
#include "base/shell_word.h"
#include "base/time.h"
#include "cli/hint.h"
#include "cli/output.h"
#include "incident/incident_commands.h"

#include <inttypes.h>
#include <unistd.h>

static const char *event_text(const WalEvent *event, char *text, size_t size)
{
    char time[TIME_TEXT_SIZE], lsn[LSN_TEXT_SIZE];

    if (event->time == TIME_US_NONE || event->time == 0)
        return "none seen";
    (void)snprintf(text, size, "%s, transaction %" PRIu32 ", at %s%s",
                   time_text_local(event->time, time), event->xid, lsn_text(event->lsn, lsn),
                   event->drops_relations ? " (removes tables)" : "");
    return text;
}

static const char *state_text(const RestorePlan *plan)
{
    switch (plan->old.state) {
    case DATA_ABSENT:
        return "does not exist yet";
    case DATA_EMPTY:
        return "empty";
    case DATA_CLUSTER:
        return plan->old.is_same_cluster ? "this cluster's data directory" : "a data directory";
    case DATA_HALF_RESTORED:
        return "a restore that did not end";
    }
    return "";
}

static void print_path(const RestorePlan *plan)
{
    char lsn[LSN_TEXT_SIZE];

    out_print("  timeline   ");
    for (size_t i = 0; i < plan->decision.path.count; i++) {
        const PathStep *step = &plan->decision.path.steps[i];
        if (step->end != 0) {
            out_print("%" PRIu32 " (to %s), ", step->timeline, lsn_text(step->end, lsn));
        } else {
            out_print("%" PRIu32 "\n", step->timeline);
        }
    }
}

static void print_branches(const RestorePlan *plan)
{
    CLEANUP(arena_done) Arena arena = {0};
    char lsn[LSN_TEXT_SIZE], first[TIME_TEXT_SIZE], last[TIME_TEXT_SIZE];

    for (size_t i = 0; i < plan->decision.branch_count; i++) {
        const BranchGain *gain = &plan->decision.branches[i].gain;

        out_print("  not in it  timeline %" PRIu32 " from %s on: %s",
                  plan->decision.branches[i].timeline, lsn_text(gain->from, lsn),
                  branch_gain_text(gain, &arena));
        if (gain->first != TIME_US_NONE)
            out_print(", %s to", time_text_local(gain->first, first));
        out_print("%s %s\n", gain->first != TIME_US_NONE ? "" : ", until",
                  time_text_local(branch_gain_last(gain), last));
    }
}

static void print_point(const RestorePlan *plan)
{
    char text[256], lsn[LSN_TEXT_SIZE], bytes[OUT_TEXT_SIZE];

    out_print("  replay     %" PRIu64 " WAL segments, %s stored, to %s\n",
              plan->decision.wal_segments, out_bytes(plan->decision.wal_stored_bytes, bytes),
              lsn_text(plan->decision.point.replay_end, lsn));
    if (plan->decision.target.kind == TARGET_LATEST ||
        plan->decision.target.kind == TARGET_IMMEDIATE)
        return;
    out_print("  before it  %s\n",
              event_text(&plan->decision.point.last_before, text, sizeof text));
    out_print("  after it   %s\n",
              event_text(&plan->decision.point.first_after, text, sizeof text));
}

/* A time after everything is most often a typing error. */
static void print_fallback(const RestorePlan *plan)
{
    const WalEvent *last = &plan->decision.point.last_before;
    char time[TIME_TEXT_SIZE];

    out_print("             nothing later is archived: the end of the archive is taken\n");
    if (last->time != TIME_US_NONE && last->time != 0)
        out_print("             its newest commit is of %s\n", time_text_local(last->time, time));
    if (plan->decision.time_asked > time_now())
        out_print("             this time is still to come: is it what you mean?\n");
}

/* Where the operator's clock shows another time: what servers' logs and other hosts call it. */
static void print_utc(TimeUs instant)
{
    char local[TIME_TEXT_SIZE], utc[TIME_TEXT_SIZE];

    if (strcmp(time_text_local(instant, local), time_text_postgres(instant, utc)) != 0)
        out_print("             that is %s\n", utc);
}

static void print_target(const RestoreStory *story)
{
    const RestorePlan *plan = &story->plan;
    char lsn[LSN_TEXT_SIZE];
    char text[256];

    out_print("  target     %s\n",
              restore_target_text(&story->request->target, time_text_local, text, sizeof text));
    if (story->request->target.kind == TARGET_TIME)
        print_utc(story->request->target.time);
    if (plan->decision.has_time_fallback)
        print_fallback(plan);
    if (plan->decision.locked_xid != 0) {
        out_print("             replay pauses at %s, before transaction %" PRIu32
                  " takes its locks: no commit lies between\n",
                  lsn_text(plan->decision.target.lsn, lsn), plan->decision.locked_xid);
    }
}

/* What it means if it fails is said before it begins. */
static void print_overwritten(const RestorePlan *plan)
{
    if (plan->old.state == DATA_HALF_RESTORED) {
        out_print("             what is there is compared, and overwritten where it differs\n");
        return;
    }
    out_print("             what is there is overwritten where it differs from the backup%s%s%s,\n"
              "             once all that is needed for that has been read and found good; from "
              "then on\n"
              "             the old directory is gone: should it fail, it is half restored, and "
              "the same\n"
              "             with --delta goes on\n",
              plan->old.overwrites_why != NULL ? " (" : "",
              plan->old.overwrites_why != NULL ? plan->old.overwrites_why : "",
              plan->old.overwrites_why != NULL ? ")" : "");
}

static const char *replacement_name(const RestorePlan *plan)
{
    switch (plan->old.replacement) {
    case REPLACES_NOTHING:
        return NULL;
    case KEEPS_OLD:
        return "kept";
    case REMOVES_OLD_LAST:
        return "removed last";
    case OVERWRITES_OLD:
        return "overwritten";
    }
    return NULL;
}

/* What only the directory has that is replaced, and what becomes of it. */
static void print_directory(const RestorePlan *plan)
{
    const DirectoryReport *directory = &plan->old.report;
    char lsn[LSN_TEXT_SIZE];

    if (directory->timeline == 0 || directory->only_there == NULL)
        return;
    out_print("  directory  on timeline %" PRIu32 ", to %s: %s that the archive does not have\n",
              directory->timeline, lsn_text(directory->reached, lsn), directory->only_there);
    if (directory->is_given_up) {
        out_print("             given up (--discard-wal)\n");
    } else if (plan->old.local_wal_count > 0) {
        out_print("             its WAL is replayed up to the target\n");
    }
}

static void directory_to_json(const RestorePlan *plan, Json *json)
{
    const DirectoryReport *directory = &plan->old.report;

    if (directory->timeline == 0) {
        json_text(json, "directory", NULL);
        return;
    }
    json_begin_object(json, "directory");
    json_u64(json, "timeline", directory->timeline);
    json_lsn(json, "reached_lsn", directory->reached);
    json_text(json, "state", directory->state);
    json_lsn(json, "parts_lsn", directory->parts_at);
    json_u64(json, "commits_not_archived", directory->commits);
    json_u64(json, "prepared_not_archived", directory->prepared);
    json_bool(json, "may_be_more", directory->may_be_more);
    json_time(json, "last_commit_time", directory->last_commit);
    json_bool(json, "given_up", directory->is_given_up);
    json_end_object(json);
}

static void print_data(const RestorePlan *plan)
{
    char bytes[OUT_TEXT_SIZE];

    out_print("  into       %s (%s), %s\n", plan->placement.data, state_text(plan),
              out_bytes(plan->decision.bytes, bytes));
    switch (plan->old.replacement) {
    case REPLACES_NOTHING:
        break;
    case KEEPS_OLD:
        out_print("             what is there is moved to %s\n", plan->old.moved_to);
        break;
    case REMOVES_OLD_LAST:
        out_print("             what is there is moved to %s, and removed when all is done\n",
                  plan->old.moved_to);
        break;
    case OVERWRITES_OLD:
        print_overwritten(plan);
        break;
    }
    if (plan->old.wal_kept != NULL)
        out_print("             its pg_wal is kept as %s\n", plan->old.wal_kept);
    for (size_t i = 0; i < plan->placement.tablespace_count; i++) {
        const PlannedTablespace *tablespace = &plan->placement.tablespaces[i];
        out_print("  tablespace %" PRIu32 " at %s%s%s%s\n", tablespace->oid, tablespace->path,
                  strcmp(tablespace->was, tablespace->path) != 0 ? " (was " : "",
                  strcmp(tablespace->was, tablespace->path) != 0 ? tablespace->was : "",
                  strcmp(tablespace->was, tablespace->path) != 0 ? ")" : "");
    }
}

static void print_in_the_way(const Options *options, const Error *obstacle)
{
    CLEANUP(arena_done) Arena arena = {0};

    if (obstacle->code != ERR_NONE) {
        out_print("in the way   %s\n             %s\n", obstacle->message,
                  hint_complete(options, obstacle->hint, &arena));
    }
}

static ForecastAnswer estimate_of(const RestoreStory *story)
{
    return (ForecastAnswer){.kind = &story->kind,
                            .forecast = story->has_estimate ? &story->estimate : NULL,
                            .objective = (TimeUs)story->options->rto_ms * 1000};
}

static void print_estimate(const RestoreStory *story)
{
    const ForecastAnswer answer = estimate_of(story);
    CLEANUP(buffer_done) Buffer time = {0};
    CLEANUP(buffer_done) Buffer phases = {0};
    CLEANUP(buffer_done) Buffer basis = {0};

    forecast_in_words(&answer, &time);
    out_print("  estimate   %s\n", (const char *)time.data);
    if (answer.forecast == NULL)
        return;
    forecast_phases_in_words(answer.forecast, &phases);
    forecast_basis_in_words(&answer, &basis);
    out_print("             %s\n             %s\n", (const char *)phases.data,
              (const char *)basis.data);
}

static void print_plan(const RestoreStory *story)
{
    const RestorePlan *plan = &story->plan;
    const ManifestHeader *header = &plan->decision.manifest.header;
    char start[LSN_TEXT_SIZE], stop[LSN_TEXT_SIZE], time[TIME_TEXT_SIZE];

    out_print("restore of cluster \"%s\" (PostgreSQL %u)\n", story->cluster->name, header->major);
    print_target(story);
    out_print("  backup     %s of %s, %s to %s\n", header->id,
              time_text_local(header->stopped_at, time), lsn_text(header->start, start),
              lsn_text(header->stop, stop));
    print_path(plan);
    print_branches(plan);
    print_point(plan);
    print_data(plan);
    left_out_print(&plan->decision.left_out);
    if (story->options->dry_run)
        space_print(plan);
    print_directory(plan);
    if (story->options->acting_as != NULL) {
        out_print("  as user    %s (%s)\n", story->options->acting_as,
                  story->options->acting_because);
    }
    if (story->options->start) {
        out_print("  then       start, verify, %s\n", target_action_name(story->action));
    } else {
        out_print("  then       nothing is started\n");
    }
    print_estimate(story);
    for (size_t i = 0; i < plan->warning_count; i++)
        out_print("  note       %s\n", plan->warnings[i]);
    print_in_the_way(story->options, &plan->running);
    print_in_the_way(story->options, &plan->undecided);
}

static void event_to_json(const WalEvent *event, const char *key, Json *json)
{
    if (event->time == TIME_US_NONE || event->time == 0) {
        json_text(json, key, NULL);
        return;
    }
    json_begin_object(json, key);
    json_time(json, "time", event->time);
    /* To the microsecond: it can be given back as --target-time. */
    json_time_exact(json, "time_exact", event->time);
    json_u64(json, "xid", event->xid);
    json_lsn(json, "lsn", event->lsn);
    json_bool(json, "removes_tables", event->drops_relations);
    json_end_object(json);
}

static void point_to_json(const RestorePlan *plan, Json *json)
{
    json_lsn(json, "replay_end_lsn", plan->decision.point.replay_end);
    json_u64(json, "wal_segments", plan->decision.wal_segments);
    json_u64(json, "wal_stored_bytes", plan->decision.wal_stored_bytes);
    event_to_json(&plan->decision.point.last_before, "last_before", json);
    event_to_json(&plan->decision.point.first_after, "first_after", json);
}

static void restore_branches_to_json(const RestorePlan *plan, Json *json)
{
    json_begin_array(json, "other_branches");
    for (size_t i = 0; i < plan->decision.branch_count; i++) {
        const BranchGain *gain = &plan->decision.branches[i].gain;

        json_begin_object(json, NULL);
        json_u64(json, "timeline", plan->decision.branches[i].timeline);
        json_lsn(json, "parts_lsn", gain->from);
        json_u64(json, "commits", gain->commits);
        json_time_exact(json, "first_commit_time_exact", gain->first);
        json_time_exact(json, "last_commit_time_exact", gain->last);
        json_u64(json, "prepared", gain->prepared);
        json_end_object(json);
    }
    json_end_array(json);
}

static void notes_to_json(const RestorePlan *plan, Json *json)
{
    json_begin_array(json, "notes");
    for (size_t i = 0; i < plan->warning_count; i++)
        json_text(json, NULL, plan->warnings[i]);
    json_end_array(json);
}

static void places_to_json(const RestorePlan *plan, Json *json)
{
    json_text(json, "data", plan->placement.data);
    json_text(json, "found", state_text(plan));
    json_text(json, "old_directory", replacement_name(plan));
    json_text(json, "moved_to", plan->old.moved_to);
    json_text(json, "wal_kept", plan->old.wal_kept);
    json_begin_array(json, "tablespaces");
    for (size_t i = 0; i < plan->placement.tablespace_count; i++) {
        json_begin_object(json, NULL);
        json_u64(json, "oid", plan->placement.tablespaces[i].oid);
        json_text(json, "was", plan->placement.tablespaces[i].was);
        json_text(json, "path", plan->placement.tablespaces[i].path);
        json_end_object(json);
    }
    json_end_array(json);
    notes_to_json(plan, json);
    json_begin_array(json, "in_the_way");
    if (plan->running.code != ERR_NONE)
        json_text(json, NULL, plan->running.message);
    if (plan->undecided.code != ERR_NONE)
        json_text(json, NULL, plan->undecided.message);
    json_end_array(json);
}

static void plan_to_json(const RestoreStory *story, Json *json)
{
    const RestorePlan *plan = &story->plan;
    const ForecastAnswer estimate = estimate_of(story);
    char text[256];

    json_text(json, "cluster", story->cluster->name);
    json_text(json, "target",
              restore_target_text(&story->request->target, time_text_postgres, text, sizeof text));
    json_text(json, "target_kind", target_kind_name(story->request->target.kind));
    json_bool(json, "takes_archive_end", plan->decision.has_time_fallback);
    json_lsn(json, "before_locks_lsn",
             plan->decision.locked_xid != 0 ? plan->decision.target.lsn : 0);
    json_text(json, "backup", plan->decision.manifest.header.id);
    json_u64(json, "timeline", path_last_timeline(&plan->decision.path));
    json_u64(json, "bytes", plan->decision.bytes);
    restore_branches_to_json(plan, json);
    point_to_json(plan, json);
    places_to_json(plan, json);
    if (story->options->dry_run)
        space_to_json(plan, json);
    left_out_to_json(&plan->decision.left_out, json);
    directory_to_json(plan, json);
    forecast_to_json(&estimate, "estimate", json);
}

bool restore_tell_plan(const RestoreStory *story, Error *err)
{
    CLEANUP(json_done) Json json = {0};

    if (!story->options->json) {
        print_plan(story);
        return out_flush(err);
    }
    json_begin_object(&json, NULL);
    json_bool(&json, "dry_run", true);
    plan_to_json(story, &json);
    json_end_object(&json);
    return json_print(&json, err);
}

static void print_times(const RestoreStory *story)
{
    char all[OUT_TEXT_SIZE], plan[OUT_TEXT_SIZE], rebuild[OUT_TEXT_SIZE], sync[OUT_TEXT_SIZE],
        replay[OUT_TEXT_SIZE], open[OUT_TEXT_SIZE];

    out_print("  time       %s: plan %s, rebuild %s, sync %s",
              out_duration(story->finished_at - story->started_at, all),
              out_duration(story->elapsed_plan, plan),
              out_duration(story->report.elapsed_rebuild, rebuild),
              out_duration(story->report.elapsed_sync, sync));
    if (story->is_started) {
        out_print(", replay %s, second start %s", out_duration(story->elapsed_replay, replay),
                  out_duration(story->elapsed_open, open));
    }
    out_print("\n");
}

static void print_reached(const RestoreStory *story)
{
    char lsn[LSN_TEXT_SIZE], time[TIME_TEXT_SIZE];
    TimeUs commit = restore_last_commit(story);

    out_print("  reached    %s%s\n", lsn_text(story->reached, lsn),
              story->is_verified ? ", verified" : "");
    if (commit != TIME_US_NONE)
        out_print("  commit     the last one is of %s\n", time_text_local(commit, time));
    if (story->new_timeline != 0) {
        out_print("  timeline   %" PRIu32 " begins here: take a base backup\n",
                  story->new_timeline);
    }
}

/* Whoever removes it gives up what was replayed neither now nor before. */
static void print_only_copy(const RestorePlan *plan)
{
    const DirectoryReport *directory = &plan->old.report;
    bool is_kept = plan->old.moved_to != NULL || plan->old.wal_kept != NULL;
    bool is_replayed = plan->old.local_wal_count > 0 && plan->decision.target.kind == TARGET_LATEST;

    if (is_kept && !is_replayed && directory->timeline != 0 && directory->only_there != NULL) {
        out_print("             it may hold the only copy of %s that the archive did not have\n",
                  directory->only_there);
    }
}

static void print_kept(const RestorePlan *plan)
{
    if (plan->old.moved_to != NULL)
        out_print("  kept       the old directory as %s\n", plan->old.moved_to);
    if (plan->old.wal_kept != NULL) {
        out_print("  kept       the old pg_wal as %s: remove it once all is well\n",
                  plan->old.wal_kept);
    }
    print_only_copy(plan);
    if (plan->placement.puts_back) {
        out_print("  put back   %s\n", plan->placement.debian_directory);
    } else if (plan->placement.extra_directory != NULL) {
        out_print("  kept       configuration from outside in %s\n",
                  plan->placement.extra_directory);
    }
}

/* The server knows its own user as a role, and root seldom. */
static char *as_user(const Options *options)
{
    return options->acting_as != NULL ? text_format("runuser -u %s -- ", options->acting_as)
                                      : text_format("%s", "");
}

/* " -c name=value", as a word for the shell that pg_ctl starts the server with. */
static void put_setting(Buffer *options, const char *name, const char *value)
{
    CLEANUP(text_freep) char *setting = text_format("%s=%s", name, value);

    if (value[0] == '\0')
        return;
    buffer_print(options, "%s-c ", options->size > 0 ? " " : "");
    shell_word_append(options, setting);
}

/* Where its configuration is now: it says itself where it was. What the WAL needs: of the primary,
 * for the recovery; the database does not need it. */
static void put_settings(const RestoreStory *story, Buffer *options)
{
    const RestorePlan *plan = &story->plan;

    if (plan->configuration.config_file != NULL)
        put_setting(options, "config_file", plan->configuration.config_file);
    if (plan->configuration.config_file != NULL || plan->configuration.names_data_directory)
        put_setting(options, "data_directory", plan->placement.data);
    if (plan->configuration.hba_file != NULL)
        put_setting(options, "hba_file", plan->configuration.hba_file);
    if (plan->configuration.ident_file != NULL)
        put_setting(options, "ident_file", plan->configuration.ident_file);
    for (size_t i = 0; story->raised[i] != NULL; i++) {
        buffer_print(options, "%s-c ", options->size > 0 ? " " : "");
        shell_word_append(options, story->raised[i]);
    }
}

/* One line that can be pasted: by root it has to become the server's user. */
static void print_start(const RestoreStory *story)
{
    const RestorePlan *plan = &story->plan;
    CLEANUP(buffer_done) Buffer line = {0};
    CLEANUP(buffer_done) Buffer options = {0};
    CLEANUP(text_freep)
    char *program = text_format("%s/pg_ctl", plan->programs != NULL ? plan->programs : "BINDIR");
    CLEANUP(text_freep) char *log = text_format("%s.pgcairn-server.log", plan->placement.data);

    CLEANUP(text_freep) char *as = as_user(story->options);
    buffer_print(&line, "%s", as);
    shell_word_append(&line, program);
    buffer_print(&line, " -D ");
    shell_word_append(&line, plan->placement.data);
    buffer_print(&line, " -l ");
    shell_word_append(&line, log);
    put_settings(story, &options);
    if (options.size > 0) {
        CLEANUP(text_freep)
        char *all = text_format("%.*s", (int)options.size, (const char *)options.data);
        buffer_print(&line, " -o ");
        shell_word_append(&line, all);
    }
    out_print("  next       %.*s start\n", (int)line.size, (const char *)line.data);
}

static void print_next_by_hand(const RestoreStory *story)
{
    const RestorePlan *plan = &story->plan;
    CLEANUP(text_freep) char *data = shell_word(plan->placement.data);

    print_start(story);
    out_print("             pgcairn watch --data=%s\n", data);
    out_print("             pgcairn promote --data=%s%s\n", data,
              plan->decision.target.kind == TARGET_LATEST
                  ? ", once it is open: removes the recovery settings"
                  : "");
}

/*
 * Debian's programs start the cluster from /etc/postgresql: what this one was started with is
 * forgotten then, and it is under their care again, and systemd's.
 */
static void print_hand_over(const RestorePlan *plan)
{
    const char *directory = plan->placement.debian_directory;
    CLEANUP(text_freep) char *command = NULL;

    if (directory == NULL)
        return;
    CLEANUP(text_freep) char *place = shell_word(directory);
    CLEANUP(text_freep)
    char *kept = text_format("%s%s", plan->placement.extra_directory, directory);
    CLEANUP(text_freep) char *from = shell_word(kept);
    CLEANUP(text_freep) char *name = shell_word(plan->placement.debian_name);
    command = text_format("pg_ctlcluster %s %s restart", plan->placement.debian_version, name);
    CLEANUP(text_freep) char *file = text_format("%s/postgresql.conf", directory);
    if (!file_exists(file)) {
        /* Whoever wrote the manifest must not choose a word of what root is to type. */
        CLEANUP(arena_done) Arena arena = {0};
        Account owner = {.name = "postgres"};
        Error unknown = {0}; /* then the usual name has to do */
        (void)!account_find(geteuid(), getegid(), &arena, &owner, &unknown);
        out_print("  hand over  as root: install -d -o %s %s %s/conf.d\n", owner.name, place,
                  place);
        out_print("             as root: cp -a %s/. %s/\n", from, place);
        out_print("             as root: %s\n", command);
        return;
    }
    out_print("  hand over  %s%s\n", command,
              plan->placement.extra_directory != NULL && !plan->placement.puts_back
                  ? "  uses the configuration that is there now, which differs from the backup's"
                  : "");
}

/* Reading them would wait forever, without a word from the server. */
static void print_locked(const RestoreStory *story)
{
    char lsn[LSN_TEXT_SIZE];

    if (story->locked == NULL || *story->locked == '\0')
        return;
    out_print(
        "  locked     %s: a transaction that had not ended at the target has locked them, and "
        "who reads them waits\n",
        story->locked);
    out_print("             they can be read after promote");
    if (story->plan.decision.locks_held != 0) {
        out_print("; or paused, without what was committed since, with --target-lsn=%s "
                  "--target-exclusive",
                  lsn_text(story->plan.decision.locks_held, lsn));
    }
    out_print("\n");
}

/* What the operator does next. */
static void print_next(const RestoreStory *story)
{
    CLEANUP(text_freep) char *data = shell_word(story->plan.placement.data);
    CLEANUP(text_freep) char *as = as_user(story->options);
    CLEANUP(text_freep) char *connection = shell_word(story->connection);

    if (!story->is_started) {
        print_next_by_hand(story);
        return;
    }
    switch (story->sight.state) {
    case RECOVERY_PAUSED:
        out_print("  server     paused at the target, open for reading: %spsql %s\n", as,
                  connection);
        print_locked(story);
        out_print("  next       pgcairn promote --data=%s opens it for writing\n", data);
        break;
    case RECOVERY_OPEN:
        out_print("  server     open: %spsql %s\n", as, connection);
        print_hand_over(&story->plan);
        break;
    case RECOVERY_TARGET_REACHED:
        out_print("  server     stopped at the target\n");
        out_print("  next       pgcairn promote --data=%s starts and opens it\n", data);
        break;
    case RECOVERY_STARTING:
    case RECOVERY_REACHING_CONSISTENCY:
    case RECOVERY_REPLAYING:
    case RECOVERY_PROMOTING:
    case RECOVERY_FAILED:
    case RECOVERY_NOT_RUNNING:
        break;
    }
}

/*
 * What restores have left beside the directory pile up otherwise, under names that nobody knows:
 * what an earlier one kept, its copies of the configuration, the server's log.
 */
static void print_leftovers(const RestorePlan *plan)
{
    CLEANUP(arena_done) Arena arena = {0};
    size_t count = 0;
    const char *const *paths = restore_leftovers(plan, &arena, &count);

    for (size_t i = 0; i < count; i++) {
        out_print("  %-10s %s%s\n", i == 0 ? "to remove" : "", paths[i],
                  i == 0 ? "  once all is well" : "");
    }
}

static void print_delta(const RestoreStory *story)
{
    const RebuildReport *rebuilt = &story->report.rebuilt;
    char bytes[OUT_TEXT_SIZE];

    if (story->plan.old.replacement != OVERWRITES_OLD)
        return;
    out_print("  in place   %" PRIu64 " of %" PRIu64 " files kept as they were; of %" PRIu64
              " pages compared %" PRIu64 " written; %s written in all, %" PRIu64 " removed\n",
              rebuilt->files_kept, rebuilt->files, rebuilt->pages_compared, rebuilt->pages_written,
              out_bytes(rebuilt->bytes_written, bytes), story->report.strays);
}

static void delta_to_json(const RestoreStory *story, Json *json)
{
    const RebuildReport *rebuilt = &story->report.rebuilt;

    if (story->plan.old.replacement != OVERWRITES_OLD) {
        json_text(json, "delta", NULL);
        return;
    }
    json_begin_object(json, "delta");
    json_u64(json, "files_kept", rebuilt->files_kept);
    json_u64(json, "pages_compared", rebuilt->pages_compared);
    json_u64(json, "pages_written", rebuilt->pages_written);
    json_u64(json, "removed", story->report.strays);
    json_end_object(json);
}

static void print_result(const RestoreStory *story)
{
    const RestoreReport *report = &story->report;
    char bytes[OUT_TEXT_SIZE], rate[OUT_TEXT_SIZE];

    out_print("restored backup %s into %s\n", story->plan.decision.manifest.header.id,
              story->plan.placement.data);
    out_print(
        "  content    %" PRIu64 " files, %s, every page verified, %s\n", report->rebuilt.files,
        out_bytes(report->rebuilt.bytes, bytes),
        out_rate(report->rebuilt.bytes, report->elapsed_rebuild + report->elapsed_sync, rate));
    print_delta(story);
    left_out_print(&story->plan.decision.left_out);
    print_branches(&story->plan);
    if (story->saved.pushed > 0) {
        out_print("  WAL        %" PRIu64 " files of the old directory went into the archive\n",
                  story->saved.pushed);
    }
    if (report->wal_saved > 0) {
        out_print("  WAL        %" PRIu64 " segments of the old directory are replayed after the "
                  "archive's end\n",
                  report->wal_saved);
    }
    if (story->is_started)
        print_reached(story);
    print_times(story);
    print_kept(&story->plan);
    print_next(story);
    left_out_print_next(&story->plan.decision.left_out);
    print_leftovers(&story->plan);
}

static void leftovers_to_json(const RestorePlan *plan, Json *json)
{
    CLEANUP(arena_done) Arena arena = {0};
    size_t count = 0;
    const char *const *paths = restore_leftovers(plan, &arena, &count);

    json_begin_array(json, "leftovers");
    for (size_t i = 0; i < count; i++)
        json_text(json, NULL, paths[i]);
    json_end_array(json);
}

static void result_to_json(const RestoreStory *story, Json *json)
{
    const RestoreReport *report = &story->report;

    json_u64(json, "files", report->rebuilt.files);
    json_u64(json, "read_bytes", report->rebuilt.bytes_read);
    json_u64(json, "written_bytes", report->rebuilt.bytes_written);
    delta_to_json(story, json);
    json_u64(json, "wal_pushed", story->saved.pushed);
    json_u64(json, "wal_kept_as_tail", report->wal_saved);
    json_begin_array(json, "raised_parameters");
    for (size_t i = 0; story->raised[i] != NULL; i++)
        json_text(json, NULL, story->raised[i]);
    json_end_array(json);
    leftovers_to_json(&story->plan, json);
    json_double(json, "elapsed_s", time_seconds(story->finished_at - story->started_at));
    json_double(json, "elapsed_plan_s", time_seconds(story->elapsed_plan));
    json_double(json, "elapsed_rebuild_s", time_seconds(report->elapsed_rebuild));
    json_double(json, "elapsed_sync_s", time_seconds(report->elapsed_sync));
    if (!story->is_started)
        return;
    json_double(json, "elapsed_replay_s", time_seconds(story->elapsed_replay));
    json_double(json, "elapsed_open_s", time_seconds(story->elapsed_open));
    json_text(json, "state", recovery_state_name(story->sight.state));
    json_bool(json, "verified", story->is_verified);
    json_lsn(json, "reached_lsn", story->reached);
    json_time(json, "last_commit_time", restore_last_commit(story));
    json_u64(json, "new_timeline", story->new_timeline);
    json_text(json, "connection", *story->connection != '\0' ? story->connection : NULL);
    json_text(json, "locked",
              story->locked != NULL && *story->locked != '\0' ? story->locked : NULL);
    json_text(json, "server_log", story->log_path);
}

bool restore_tell_result(const RestoreStory *story, Error *err)
{
    CLEANUP(json_done) Json json = {0};

    if (!story->options->json) {
        print_result(story);
        return out_flush(err);
    }
    json_begin_object(&json, NULL);
    json_bool(&json, "dry_run", false);
    plan_to_json(story, &json);
    result_to_json(story, &json);
    if (story->aftermath->checks.count > 0)
        aftermath_to_json(story->aftermath, &json);
    json_end_object(&json);
    return json_print(&json, err);
}
