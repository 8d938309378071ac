#include "base/file.h"
#include "base/log.h"
#include "cli/output.h"
#include "incident/incident_commands.h"
#include "recovery/recovery.h"
#include "repo/recovery_plan.h"
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

static bool has_recovery_plan(const char *data)
{
    return file_exists_in(data, RECOVERY_PLAN_FILE);
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

static bool promote_tell(const Options *options, Error *err)
{
    CLEANUP(json_done) Json json = {0};
    RecoverySight sight;
    char lsn[LSN_TEXT_SIZE];

    if (!promote_look(options, &sight, err))
        return false;
    if (!options->json) {
        out_print("server on %s is open on timeline %u\n", options->data, sight.timeline);
        if (sight.replayed != 0)
            out_print("  replayed to  %s\n", lsn_text(sight.replayed, lsn));
        out_print("take a new base backup now: it is on a timeline of its own\n");
        return out_flush(err);
    }
    json_begin_object(&json, NULL);
    json_text(&json, "state", recovery_state_name(sight.state));
    json_u64(&json, "timeline", sight.timeline);
    json_u64(&json, "pid", (uint64_t)sight.pid);
    json_end_object(&json);
    return json_print(&json, err);
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

bool command_promote(const Options *options, Error *err)
{
    RecoverySight sight;
    bool is_ours = has_recovery_plan(options->data); /* restored by us: settings to clear later */

    if (!promote_look(options, &sight, err))
        return false;
    if (!open_server(options, &sight, is_ours, err))
        return error_context(err, "promote %s", options->data);
    if (is_ours && !restore_clear_settings(options->data, err))
        return error_context(err, "remove the recovery settings from %s", options->data);
    return promote_tell(options, err);
}
