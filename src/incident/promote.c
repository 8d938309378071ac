#include "base/log.h"
#include "came_back.h"
#include "cli/output.h"
#include "incident/incident_commands.h"
#include "recovery/recovery.h"
#include "restore/restore.h"
#include "setup/server_start.h"

#include <errno.h>
#include <sys/stat.h>

/* One look, without staying. */
static bool promote_look(const Options *options, RecoverySight *sight, Error *err)
{
    CLEANUP(recovery_watch_freep)
    RecoveryWatch *watch =
        recovery_watch_new(&(WatchSetup){.data = options->data, .conninfo = options->conninfo});

    return recovery_look(watch, sight, err);
}

static void log_change(void *context, const RecoverySight *sight, bool is_stalled)
{
    char lsn[LSN_TEXT_SIZE];

    (void)context;
    (void)is_stalled;
    if (sight->no_login[0] != '\0')
        log_warn("the server accepts connections, but not ours", log_str("why", sight->no_login));
    log_info("recovery", log_str("state", recovery_state_name(sight->state)),
             log_str("replayed", sight->replayed != 0 ? lsn_text(sight->replayed, lsn) : ""),
             log_str("segment", sight->segment));
}

static bool promote_wait_until_open(const Options *options, const char *log_path, pid_t pid,
                                    Error *err)
{
    CLEANUP(recovery_watch_freep)
    RecoveryWatch *watch = recovery_watch_new(&(WatchSetup){
        .data = options->data,
        .conninfo = options->conninfo,
        .log_path = log_path,
        .pid = pid,
        .timeout_ms = options->timeout_ms,
    });
    RecoverySight sight;

    if (!recovery_watch_to_end(watch, 0, log_change, NULL, &sight, err))
        return false;
    if (sight.state == RECOVERY_OPEN)
        return true;
    error_set(err, ERR_RECOVERY, "the server did not open but is %s%s%s",
              recovery_state_name(sight.state), sight.reason[0] != '\0' ? ": " : "", sight.reason);
    return error_hint(err, "%s", sight.advice[0] != '\0' ? sight.advice : "see the server's log");
}

/* It stopped at its target, with pg_control as the proof; it replays to there again and opens. */
static bool start_and_open(const Options *options, const RecoverySight *sight, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *log_path;
    pid_t pid;

    return restore_set_action(options->data, ACTION_PROMOTE, err) &&
           server_start_again(options, sight->control.version->major, false, NULL, &arena,
                              &log_path, &pid, err) &&
           promote_wait_until_open(options, log_path, pid, err);
}

static bool promote_tell_json(const Aftermath *aftermath, const RecoverySight *sight, Error *err)
{
    CLEANUP(json_done) Json json = {0};

    json_begin_object(&json, NULL);
    json_text(&json, "state", recovery_state_name(sight->state));
    json_u64(&json, "timeline", sight->timeline);
    json_u64(&json, "pid", (uint64_t)sight->pid);
    aftermath_to_json(aftermath, &json);
    json_end_object(&json);
    return json_print(&json, err);
}

static bool promote_tell(const Options *options, const RecoverySight *sight, Error *err)
{
    char lsn[LSN_TEXT_SIZE];

    out_print("server on %s is open on timeline %u\n", options->data, sight->timeline);
    if (sight->replayed != 0)
        out_print("  replayed to  %s\n", lsn_text(sight->replayed, lsn));
    if (!options->backup_after)
        out_print("take a new base backup now: it is on a timeline of its own\n");
    return out_flush(err);
}

static bool open_server(const Options *options, const RecoverySight *sight, bool is_ours,
                        Error *err)
{
    if (sight->state == RECOVERY_TARGET_REACHED)
        return start_and_open(options, sight, err);
    /*
     * It opened by itself (without a target, or by its action), or we were killed right after: what
     * is left is to take our settings away, which would tell a standby made of it where to stop.
     */
    if (sight->state == RECOVERY_OPEN && is_ours)
        return true;
    return recovery_promote(options->data, options->conninfo, options->timeout_ms, err);
}

/* Where it stands before: what is not known afterwards any more. */
typedef struct Promotion {
    CameBack came;
    Aftermath aftermath;
    RecoverySight before, after;
    TimeUs opening;
} Promotion;

static void promotion_done(Promotion *promotion)
{
    aftermath_done(&promotion->aftermath);
    came_back_done(&promotion->came);
}

static bool promote_open(const Options *options, Promotion *promotion, Error *err)
{
    const TimeUs begin = time_monotonic();
    const bool is_ours = promotion->came.is_ours; /* settings to clear later */

    if (!promote_look(options, &promotion->before, err))
        return false;
    if (!open_server(options, &promotion->before, is_ours, err))
        return error_context(err, "promote %s", options->data);
    promotion->opening = time_monotonic() - begin;
    if (is_ours && !restore_clear_settings(options->data, err))
        return error_context(err, "remove the recovery settings from %s", options->data);
    if (!promote_look(options, &promotion->after, err))
        return false;
    if (promotion->after.last_commit == TIME_US_NONE)
        promotion->after.last_commit = promotion->before.last_commit;
    if (promotion->after.replayed == 0)
        promotion->after.replayed = promotion->before.replayed;
    return true;
}

/* A standby that somebody else made is only promoted, unless the repository was named. */
static bool promote_check(const Options *options, Promotion *promotion, Error *err)
{
    Aftermath *aftermath = &promotion->aftermath;

    if (!promotion->came.is_ours && options->repo == NULL)
        return true;
    aftermath->command = "promote";
    aftermath->closing.last_commit = promotion->before.last_commit;
    came_back_describe(&promotion->came, aftermath);
    aftermath->closing.open_at = time_now();
    aftermath->closing.opening = promotion->opening;
    if (!aftermath_run(aftermath, err))
        return false;
    if (options->json)
        return true;
    aftermath_print(aftermath);
    return out_flush(err);
}

bool command_promote(const Options *options, Error *err)
{
    CLEANUP(promotion_done) Promotion promotion = {.opening = TIME_US_NONE};

    promotion.before.last_commit = promotion.after.last_commit = TIME_US_NONE;
    if (!aftermath_prepare(&promotion.aftermath, options, err))
        return false;
    came_back_open(&promotion.came, options);
    const bool ok = promote_open(options, &promotion, err);
    came_back_write_journal(&promotion.came, "promote", promotion.opening, &promotion.after, err);
    if (!ok || (!options->json && !promote_tell(options, &promotion.after, err)) ||
        !promote_check(options, &promotion, err))
        return false;
    if (options->json && !promote_tell_json(&promotion.aftermath, &promotion.after, err))
        return false;
    return aftermath_judge(&promotion.aftermath, err);
}
