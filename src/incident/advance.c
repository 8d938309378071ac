#include "restore/later_target.h"

#include "base/log.h"
#include "cli/output.h"
#include "incident/incident_commands.h"
#include "recovery/recovery.h"
#include "restore_parts.h"
#include "setup/repository.h"
#include "watch_parts.h"

#include <inttypes.h>

/* One run of the command. Strings belong to the options or the plan. */
typedef struct Advance {
    const Options *options;
    Cluster cluster;
    RestoreRequest request;
    AdvanceFrom from;
    bool is_running; /* Recovery is paused. When it is false, the server is down at its target. */
    RestorePlan plan;
} Advance;

static void advance_done(Advance *advance)
{
    restore_plan_done(&advance->plan);
}

/* "latest" must be said: what was only forgotten must not open a database. */
static bool advance_check_target(const Options *options, Error *err)
{
    if (options->target != NULL && strcmp(options->target, "immediate") == 0) {
        return error_set(err, ERR_USAGE,
                         "--target=immediate is the backup's own end: no recovery "
                         "goes forward to it");
    }
    if (options->target != NULL || options->target_time != NULL || options->target_lsn != NULL ||
        options->target_xid != NULL || options->target_name != NULL)
        return true;
    error_set(err, ERR_USAGE, "advance needs a target");
    return error_hint(err, "--target-time, --target-lsn, --target-xid or --target-name; "
                           "--target=latest replays all that there is and opens the database");
}

static bool advance_refuse_state(const RecoverySight *sight, const char *data, Error *err)
{
    error_set(err, ERR_REFUSED, "the recovery in %s does not stand at a target: it is %s", data,
              recovery_state_name(sight->state));
    switch (sight->state) {
    case RECOVERY_OPEN:
    case RECOVERY_PROMOTING:
        return error_hint(err, "an open database can't be replayed further: `pgcairn restore` with "
                               "the later target begins anew");
    case RECOVERY_STARTING:
    case RECOVERY_REACHING_CONSISTENCY:
    case RECOVERY_REPLAYING:
        return error_hint(err, "wait until it is paused: `pgcairn watch` follows it");
    case RECOVERY_TARGET_REACHED:
    case RECOVERY_PAUSED:
    case RECOVERY_FAILED:
    case RECOVERY_NOT_RUNNING:
        break;
    }
    return error_hint(err, "`pgcairn watch --start` brings it to the target that it has");
}

/*
 * At its target, or stopped on the way by somebody else: pg_control tells where a server was that
 * was shut down in recovery.
 */
static bool advance_find_place(Advance *advance, Error *err)
{
    const Options *options = advance->options;
    CLEANUP(recovery_watch_freep)
    RecoveryWatch *watch =
        recovery_watch_new(&(WatchSetup){.data = options->data, .conninfo = options->conninfo});
    RecoverySight sight;

    if (!recovery_look(watch, &sight, err))
        return false;
    advance->is_running = sight.state == RECOVERY_PAUSED;
    advance->from.replayed =
        advance->is_running ? sight.replayed : sight.control.min_recovery_point;
    const bool is_down = sight.pid == 0 && sight.control.state == PG_SHUT_DOWN_IN_RECOVERY;
    if ((!advance->is_running && !is_down) || advance->from.replayed == 0)
        return advance_refuse_state(&sight, options->data, err);
    return true;
}

static bool advance_make_request(Advance *advance, Arena *arena, Error *err)
{
    const Options *options = advance->options;
    RestoreRequest *request = &advance->request;

    *request = (RestoreRequest){.data = options->data,
                                .action = ACTION_SHUTDOWN, /* so that it can be verified there */
                                .will_start = true,
                                .jobs = (unsigned)options->jobs};
    return restore_target_parse(options, &request->target, err) &&
           restore_timeline_parse(options->target_timeline, &request->target_timeline, err) &&
           restore_tool_describe(options, arena, request, err);
}

static void advance_tell_plan(const Advance *advance)
{
    const Decision *decision = &advance->plan.decision;
    char from[LSN_TEXT_SIZE], to[LSN_TEXT_SIZE], time[TIME_TEXT_SIZE];

    out_print("recovery of %s\n", advance->plan.placement.data);
    out_print("  stands at    %s\n", lsn_text(advance->from.replayed, from));
    if (decision->target.kind == TARGET_LATEST) {
        out_print("  goes on to   the end of the archive, and opens there\n");
        return;
    }
    out_print("  goes on to   %s on timeline %u%s\n", lsn_text(decision->point.replay_end, to),
              path_last_timeline(&decision->path),
              decision->has_time_fallback ? ", the end of the archive: nothing was committed later"
                                          : "");
    if (decision->point.last_before.time != TIME_US_NONE) {
        out_print("  last commit  %s\n", time_text_local(decision->point.last_before.time, time));
    }
    if (decision->point.first_after.time != TIME_US_NONE) {
        out_print("  without      the commit of %s\n",
                  time_text_local(decision->point.first_after.time, time));
    }
    if (decision->locked_xid != 0) {
        out_print("  stops before the first lock of transaction %u, which would be held at the "
                  "target\n",
                  decision->locked_xid);
    }
}

static bool tell_dry_run(const Advance *advance, Error *err)
{
    const Decision *decision = &advance->plan.decision;
    CLEANUP(json_done) Json json = {0};

    if (!advance->options->json) {
        advance_tell_plan(advance);
        return out_flush(err);
    }
    json_begin_object(&json, NULL);
    json_lsn(&json, "replayed_lsn", advance->from.replayed);
    json_lsn(&json, "target_lsn", decision->point.replay_end);
    json_u64(&json, "timeline", path_last_timeline(&decision->path));
    json_bool(&json, "opens", decision->target.kind == TARGET_LATEST);
    json_time(&json, "last_commit_time", decision->point.last_before.time);
    json_time(&json, "next_commit_time", decision->point.first_after.time);
    json_end_object(&json);
    return json_print(&json, err);
}

static bool advance_stop_server(const Advance *advance, Error *err)
{
    enum { STOP_MS = 60 * 60 * 1000 }; /* what it has replayed is written first */

    if (!advance->is_running)
        return true;
    log_info("the server is stopped, to be started with the new target");
    return recovery_stop(advance->options->data, STOP_MS, err) ||
           error_context(err, "stop the server on %s", advance->options->data);
}

static bool advance_check_reached(const Advance *advance, Lsn reached, Error *err)
{
    const Decision *decision = &advance->plan.decision;
    const Lsn end = lsn_align_up(decision->point.replay_end);
    char is[LSN_TEXT_SIZE], wanted[LSN_TEXT_SIZE];

    if (decision->target.kind == TARGET_LATEST || reached == end)
        return true;
    error_set(err, ERR_RECOVERY, "the server stands at %s, the target is at %s",
              lsn_text(reached, is), lsn_text(end, wanted));
    return error_hint(err, "do not use this database before you know why");
}

static bool advance_carry_out(Advance *advance, Error *err)
{
    Lsn reached = 0;

    if (!advance->options->json) {
        advance_tell_plan(advance);
        if (!out_flush(err))
            return false;
    }
    const char *const *raised = restore_raised_parameters(&advance->plan);
    return advance_stop_server(advance, err) &&
           advance_write(&advance->request, &advance->plan, err) &&
           watch_on_to_target(advance->options, raised, &reached, err) &&
           advance_check_reached(advance, reached, err);
}

bool command_advance(const Options *options, Error *err)
{
    CLEANUP(repo_done) Repo repo = {0};
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(advance_done) Advance advance = {.options = options};

    if (!advance_check_target(options, err) || !advance_make_request(&advance, &arena, err) ||
        !advance_find_place(&advance, err) ||
        !repository_open(options, REPOSITORY_FOR_READING, &repo, &advance.cluster, err) ||
        !advance_plan(&advance.cluster, &advance.request, &advance.from, &advance.plan, err))
        return false;
    return options->dry_run ? tell_dry_run(&advance, err) : advance_carry_out(&advance, err);
}
