#include "base/file.h"
#include "base/log.h"
#include "base/shell_word.h"
#include "came_back.h"
#include "cli/output.h"
#include "incident/incident_commands.h"
#include "recovery/locks.h"
#include "recovery/recovery.h"
#include "repo/recovery_plan.h"
#include "restore/restore.h"
#include "setup/server_start.h"
#include "stall.h"
#include "watch_parts.h"

#include <inttypes.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CLEAR_LINE "\r\033[K"

enum { SCREEN_INTERVAL_MS = 500, SAMPLES = 20 };

static const TimeUs SECOND = 1000000;

/* What the watch has seen so far, and how it tells it. */
typedef struct Screen {
    const Options *options;
    /* It is one line on a terminal. When it is false, there are log lines or JSON. */
    bool is_drawn;
    RecoveryGoal goal;
    const char *log_path; /* It is the log of a server that was started here. */
    /* A start adds these to the settings of the last one. NULL means none. */
    const char *const *settings;
    struct {
        TimeUs at;
        Lsn replayed;
    } samples[SAMPLES]; /* One is taken each second. The rate is computed from them. */
    size_t sample_count;
    const Cluster *cluster; /* The server reads this archive. NULL means that it is not known. */
    bool is_second;         /* It was started to pause at a target that was reached before. */
    RecoveryState state;
    bool is_stalled, is_shut_out, is_closing;
    bool has_told;
    Error failure;              /* It says why the answer could not be written. */
    const Aftermath *aftermath; /* It is set once the watch has ended. Until then it is NULL. */
} Screen;

static void screen_take_sample(Screen *screen, Lsn replayed, TimeUs now)
{
    size_t newest = (screen->sample_count + SAMPLES - 1) % SAMPLES;

    if (replayed == 0 || (screen->sample_count > 0 && now - screen->samples[newest].at < SECOND))
        return;
    screen->samples[screen->sample_count % SAMPLES].at = now;
    screen->samples[screen->sample_count % SAMPLES].replayed = replayed;
    screen->sample_count++;
}

/* Bytes replayed since the oldest look that is kept; false while there is nothing to measure. */
static bool screen_measure(const Screen *screen, Lsn replayed, TimeUs now, uint64_t *bytes,
                           TimeUs *elapsed)
{
    size_t oldest = screen->sample_count > SAMPLES ? screen->sample_count % SAMPLES : 0;

    if (screen->sample_count < 2 || replayed < screen->samples[oldest].replayed ||
        now <= screen->samples[oldest].at)
        return false;
    *bytes = replayed - screen->samples[oldest].replayed;
    *elapsed = now - screen->samples[oldest].at;
    return true;
}

/* Texts for people; "" for what is not known. */
typedef struct Figures {
    char lsn[LSN_TEXT_SIZE];
    char commit[TIME_TEXT_SIZE];
    char rate[OUT_TEXT_SIZE];
    char left[OUT_TEXT_SIZE]; /* It is in bytes. */
    char left_time[OUT_TEXT_SIZE];
    uint64_t rate_bytes_per_s; /* 0 means that it is not known. */
    uint64_t left_bytes;
    TimeUs left_us; /* 0 means that it is not known. */
    bool has_left;
} Figures;

static Figures figures_of(Screen *screen, const RecoverySight *sight)
{
    Figures figures = {0};
    TimeUs now = time_monotonic(), elapsed;
    uint64_t bytes;

    screen_take_sample(screen, sight->replayed, now);
    if (sight->replayed != 0)
        (void)lsn_text(sight->replayed, figures.lsn);
    if (sight->last_commit != TIME_US_NONE)
        (void)time_text(sight->last_commit, figures.commit);
    figures.has_left = screen->goal.lsn > sight->replayed && sight->replayed != 0;
    if (figures.has_left) {
        figures.left_bytes = screen->goal.lsn - sight->replayed;
        (void)out_bytes(figures.left_bytes, figures.left);
    }
    if (!screen_measure(screen, sight->replayed, now, &bytes, &elapsed))
        return figures;
    (void)out_rate(bytes, elapsed, figures.rate);
    double rate = (double)bytes * (double)SECOND / (double)elapsed;
    figures.rate_bytes_per_s = (uint64_t)rate;
    double wanted = rate > 0 ? (double)figures.left_bytes / rate : 0;
    if (figures.has_left && wanted > 0 && wanted < 100.0 * 86400) {
        figures.left_us = (TimeUs)(wanted * (double)SECOND);
        (void)out_duration(figures.left_us, figures.left_time);
    }
    return figures;
}

static const char *phase_or_null(const Screen *screen, const RecoverySight *sight)
{
    const char *phase = recovery_phase_name(sight, screen->is_second);

    return *phase != '\0' ? phase : NULL;
}

static void tell_json(Screen *screen, const RecoverySight *sight, bool is_stalled, bool is_end)
{
    CLEANUP(json_done) Json json = {0};
    CLEANUP(arena_done) Arena arena = {0};
    Figures figures = figures_of(screen, sight);

    json_begin_object(&json, NULL);
    json_time(&json, "time", time_now());
    json_text(&json, "state", recovery_state_name(sight->state));
    json_bool(&json, "end", is_end);
    json_bool(&json, "stalled", is_stalled);
    json_lsn(&json, "replayed_lsn", sight->replayed);
    json_u64(&json, "timeline", sight->timeline);
    json_time(&json, "last_commit_time", sight->last_commit);
    json_text(&json, "segment", sight->segment[0] != '\0' ? sight->segment : NULL);
    json_bool(&json, "waiting", sight->is_waiting);
    json_text(&json, "phase", phase_or_null(screen, sight));
    if (is_stalled)
        json_text(&json, "archive", stall_in_words(screen->cluster, sight->segment, &arena));
    json_lsn(&json, "target_lsn", screen->goal.is_bound ? 0 : screen->goal.lsn);
    if (figures.has_left) {
        json_u64(&json, "left_bytes", figures.left_bytes);
        json_bool(&json, "at_most", screen->goal.is_bound);
    }
    if (figures.rate[0] != '\0')
        json_u64(&json, "rate_bytes_per_s", figures.rate_bytes_per_s);
    if (figures.left_us > 0)
        json_u64(&json, "left_s", (uint64_t)(figures.left_us / SECOND));
    json_text(&json, "control_state", pg_state_name(sight->control.state));
    json_u64(&json, "pid", (uint64_t)sight->pid);
    json_text(&json, "no_login", sight->no_login[0] != '\0' ? sight->no_login : NULL);
    json_text(&json, "reason", sight->reason[0] != '\0' ? sight->reason : NULL);
    json_text(&json, "advice", sight->advice[0] != '\0' ? sight->advice : NULL);
    if (is_end && screen->aftermath != NULL)
        aftermath_to_json(screen->aftermath, &json);
    json_end_object(&json);
    if (screen->failure.code == ERR_NONE)
        (void)!json_print(&json, &screen->failure);
}

static void tell_log(const Screen *screen, const RecoverySight *sight, const Figures *figures,
                     bool is_stalled)
{
    CLEANUP(arena_done) Arena arena = {0};
    const LogField fields[] = {
        log_str("message", is_stalled ? "recovery makes no progress" : "recovery"),
        log_str("state", recovery_state_name(sight->state)),
        log_str("phase", recovery_phase_name(sight, screen->is_second)),
        log_str("replayed", figures->lsn),
        log_str("last_commit", figures->commit),
        log_str(sight->is_waiting ? "waiting_for" : "segment", sight->segment),
        log_str("archive",
                is_stalled ? stall_in_words(screen->cluster, sight->segment, &arena) : ""),
        log_str("rate", figures->rate),
        log_str(screen->goal.is_bound ? "left_at_most" : "left", figures->left),
        log_str("left_time", figures->left_time),
        log_str("no_login", sight->no_login),
    };

    log_write(is_stalled ? LOG_WARN : LOG_INFO, fields, ARRAY_SIZE(fields));
}

/* "replaying  A/94000028  310 MiB/s  1.2 GiB left, 4 s  last commit 2026-11-22T14:29:58.123Z" */
static void watch_draw(const Screen *screen, const RecoverySight *sight, const Figures *figures,
                       bool is_stalled)
{
    CLEANUP(buffer_done) Buffer line = {0};

    const char *phase = recovery_phase_name(sight, screen->is_second);
    buffer_print(&line, CLEAR_LINE "%s",
                 *phase != '\0' ? phase : recovery_state_name(sight->state));
    if (figures->lsn[0] != '\0')
        buffer_print(&line, "  %s", figures->lsn);
    if (sight->segment[0] != '\0' && (sight->is_waiting || is_stalled))
        buffer_print(&line, "  %s %s", sight->is_waiting ? "waiting for" : "in", sight->segment);
    if (figures->rate[0] != '\0' && !is_stalled)
        buffer_print(&line, "  %s", figures->rate);
    if (figures->left[0] != '\0')
        buffer_print(&line, "  %s%s left", screen->goal.is_bound ? "at most " : "", figures->left);
    if (figures->left_time[0] != '\0' && !is_stalled)
        buffer_print(&line, ", %s", figures->left_time);
    if (figures->commit[0] != '\0')
        buffer_print(&line, "  last commit %s", figures->commit);
    /* A line that wraps could not be cleared: better cut than a screen full of them. */
    size_t size_max = out_terminal_width(STDERR_FILENO) - 1 + strlen(CLEAR_LINE);
    (void)!write(STDERR_FILENO, line.data, line.size < size_max ? line.size : size_max);
    log_over_progress(true);
}

static void watch_news(void *context, const RecoverySight *sight, bool is_stalled)
{
    Screen *screen = context;
    bool is_shut_out = sight->no_login[0] != '\0';
    bool has_changed = !screen->has_told || sight->state != screen->state ||
                       is_stalled != screen->is_stalled || is_shut_out != screen->is_shut_out ||
                       sight->is_closing != screen->is_closing;

    screen->has_told = true;
    screen->state = sight->state;
    screen->is_stalled = is_stalled;
    screen->is_shut_out = is_shut_out;
    screen->is_closing = sight->is_closing;
    if (screen->options->json) {
        tell_json(screen, sight, is_stalled, false);
        return;
    }
    Figures figures = figures_of(screen, sight);
    if (has_changed || !screen->is_drawn)
        tell_log(screen, sight, &figures, is_stalled);
    if (screen->is_drawn)
        watch_draw(screen, sight, &figures, is_stalled);
}

static void screen_end_line(const Screen *screen)
{
    if (!screen->is_drawn)
        return;
    (void)!write(STDERR_FILENO, CLEAR_LINE, strlen(CLEAR_LINE));
    log_over_progress(false);
}

static void watch_print_locked(const Options *options)
{
    CLEANUP(locked_relations_done) LockedRelations locked = {.names = ""};
    Error unseen = {0}; /* only a help */

    if (recovery_locks(options->data, options->conninfo, &locked, &unseen) &&
        *locked.names != '\0') {
        out_print(
            "  locked       %s: a transaction that has not ended here holds them, and who reads "
            "them waits; after promote they can be read\n",
            locked.names);
    }
}

static void print_end(const Options *options, const RecoverySight *sight)
{
    CLEANUP(text_freep) char *data = shell_word(options->data);
    char lsn[LSN_TEXT_SIZE], time[TIME_TEXT_SIZE];

    out_print("recovery: %s\n", recovery_state_name(sight->state));
    if (sight->replayed != 0) {
        out_print("  replayed to  %s on timeline %u\n", lsn_text(sight->replayed, lsn),
                  sight->timeline);
    }
    if (sight->last_commit != TIME_US_NONE)
        out_print("  last commit  %s\n", time_text_local(sight->last_commit, time));
    if (sight->state == RECOVERY_TARGET_REACHED) {
        out_print("  server       down at its target: a restore verifies it so\n");
        out_print("  look first   pgcairn watch --start --data=%s\n", data);
        out_print("  open it      pgcairn promote --data=%s\n", data);
    }
    if (sight->state == RECOVERY_PAUSED && sight->reason[0] == '\0') {
        watch_print_locked(options);
        out_print("  server       open for reading; `pgcairn promote --data=%s` opens it\n", data);
    }
}

/* What the end means for the exit status. */
static bool watch_judge(const Options *options, const RecoverySight *sight, Error *err)
{
    switch (sight->state) {
    case RECOVERY_TARGET_REACHED:
    case RECOVERY_OPEN:
        return true;
    case RECOVERY_PAUSED:
        if (sight->reason[0] == '\0')
            return true;
        error_set(err, ERR_RECOVERY, "recovery is paused before its target: %s", sight->reason);
        return error_hint(err, "%s", sight->advice);
    case RECOVERY_NOT_RUNNING:
        return error_set(err, ERR_NOT_FOUND, "no server runs on %s (pg_control says: %s)",
                         options->data, pg_state_name(sight->control.state));
    case RECOVERY_FAILED:
    case RECOVERY_STARTING:
    case RECOVERY_REACHING_CONSISTENCY:
    case RECOVERY_REPLAYING:
    case RECOVERY_PROMOTING:
        break;
    }
    error_set(err, ERR_RECOVERY, "recovery failed: %s", sight->reason);
    return error_hint(err, "%s", sight->advice);
}

/* pid: of the server when it was started here; 0: by somebody else. */
static bool watch_it(Screen *screen, pid_t pid, RecoverySight *sight, Error *err)
{
    const Options *options = screen->options;
    CLEANUP(recovery_watch_freep)
    RecoveryWatch *watch = recovery_watch_new(&(WatchSetup){
        .data = options->data,
        .conninfo = options->conninfo,
        .log_path = options->server_log != NULL ? options->server_log : screen->log_path,
        .pid = pid,
        .target = screen->goal.is_bound ? 0 : screen->goal.lsn,
        .stall_ms = options->stall_ms,
    });
    uint64_t interval_ms = screen->is_drawn ? SCREEN_INTERVAL_MS : options->interval_ms;

    bool ok = recovery_watch_to_end(watch, interval_ms, watch_news, screen, sight, err);
    screen_end_line(screen);
    return ok;
}

/*
 * What is left to do with a server that is down. It is first brought to its target as restore
 * would, which leaves it down there, and then started once more to pause there.
 */
typedef enum NextStart { START_NONE, START_ON, START_PAUSED } NextStart;

static NextStart next_start(const RecoverySight *sight, NextStart last)
{
    switch (sight->state) {
    case RECOVERY_TARGET_REACHED:
        return last == START_PAUSED ? START_NONE : START_PAUSED; /* hot_standby may be off */
    case RECOVERY_NOT_RUNNING:
        return last == START_NONE ? START_ON : START_NONE;
    case RECOVERY_FAILED:
        /* It was stopped, or killed, by others; or it has not written how far it came. */
        return last == START_NONE || sight->control.state == PG_SHUT_DOWN_IN_RECOVERY ? START_ON
                                                                                      : START_NONE;
    case RECOVERY_STARTING:
    case RECOVERY_REACHING_CONSISTENCY:
    case RECOVERY_REPLAYING:
    case RECOVERY_PAUSED:
    case RECOVERY_PROMOTING:
    case RECOVERY_OPEN:
        break;
    }
    return START_NONE;
}

static bool start_again(Screen *screen, NextStart how, const PgControl *control, Arena *arena,
                        pid_t *pid, Error *err)
{
    const Options *options = screen->options;

    if (how == START_PAUSED && !restore_set_action(options->data, ACTION_PAUSE, err))
        return false;
    if (!server_start_again(options, control->version->major, true, screen->settings, arena,
                            &screen->log_path, pid, err))
        return false;
    log_info("the server is started", log_str("data", options->data),
             log_str("to", how == START_PAUSED ? "pause at its target" : "go on to its target"));
    return true;
}

static bool check_restored(const Options *options, Error *err)
{
    CLEANUP(text_freep) char *plan = text_format("%s/%s", options->data, RECOVERY_PLAN_FILE);

    if (file_exists(plan))
        return true;
    error_set(err, ERR_REFUSED, "%s is not in a recovery that `pgcairn restore` began",
              options->data);
    return error_hint(err, "without --start it is only watched");
}

/* last: how the server `pid` was started; START_NONE: not by us, or it is down. */
static bool screen_take_up(Screen *screen, NextStart last, pid_t pid, Arena *arena,
                           RecoverySight *sight, Error *err)
{
    enum { STARTS_MAX = 4 };
    const Options *options = screen->options;

    for (int i = 0; i <= STARTS_MAX; i++) {
        if (!watch_it(screen, pid, sight, err))
            return false;
        NextStart next = next_start(sight, last);
        if (next == START_NONE || i == STARTS_MAX)
            break;
        screen->is_second = next == START_PAUSED;
        if (!start_again(screen, next, &sight->control, arena, &pid, err))
            return error_context(err, "start the server on %s again", options->data);
        last = next;
    }
    /* Without a target it opened by itself: settings that are left would mislead a standby of it.
     */
    return sight->state != RECOVERY_OPEN || restore_clear_settings(options->data, err);
}

static bool screen_open(Screen *screen, const Options *options, PgControl *control, Error *err)
{
    *screen = (Screen){
        .options = options,
        .is_drawn = !options->json && !options->no_progress && isatty(STDERR_FILENO) == 1,
    };
    if (!pg_control_read(options->data, control, NULL, err))
        return error_context(err, "watch the recovery in %s", options->data);
    screen->goal = recovery_goal(options->data, control->wal_segment_size);
    return true;
}

static bool tell_end(Screen *screen, const RecoverySight *sight, Error *err)
{
    if (screen->options->json) {
        tell_json(screen, sight, false, true);
    } else {
        print_end(screen->options, sight);
    }
    if (screen->failure.code != ERR_NONE)
        return error_pass(err, &screen->failure);
    return watch_judge(screen->options, sight, err);
}

/* A restore of ours has come to its end, and somebody can look at it. */
static bool watch_is_back(const CameBack *came, const RecoverySight *sight)
{
    return came->is_ours && (sight->state == RECOVERY_OPEN ||
                             (sight->state == RECOVERY_PAUSED && sight->reason[0] == '\0'));
}

static bool watch_check(Screen *screen, const CameBack *came, const RecoverySight *sight,
                        Aftermath *aftermath, Error *err)
{
    if (!watch_is_back(came, sight))
        return true;
    aftermath->command = "watch";
    aftermath->closing.last_commit = sight->last_commit;
    came_back_describe(came, aftermath);
    aftermath->closing.open_at = time_now();
    screen->aftermath = aftermath;
    return aftermath_run(aftermath, err);
}

static bool watch_follow(Screen *screen, const Options *options, Arena *arena, RecoverySight *sight,
                         Error *err)
{
    return options->start ? screen_take_up(screen, START_NONE, 0, arena, sight, err)
                          : watch_it(screen, 0, sight, err);
}

static bool watch_tell_all(Screen *screen, const RecoverySight *sight, const Aftermath *aftermath,
                           Error *err)
{
    if (!tell_end(screen, sight, err))
        return false;
    if (screen->aftermath == NULL)
        return true;
    if (!screen->options->json)
        aftermath_print(aftermath);
    return out_flush(err) && aftermath_judge(aftermath, err);
}

bool command_watch(const Options *options, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(came_back_done) CameBack came = {.why_not = ""};
    CLEANUP(aftermath_done) Aftermath aftermath = {.options = options};
    RecoverySight sight = {.last_commit = TIME_US_NONE};
    PgControl control;
    Screen screen;

    if (!aftermath_prepare(&aftermath, options, err) ||
        !screen_open(&screen, options, &control, err))
        return false;
    if (options->start && !check_restored(options, err))
        return false;
    came_back_open(&came, options);
    screen.cluster = came.has_cluster ? &came.cluster : NULL;
    const bool ok = watch_follow(&screen, options, &arena, &sight, err);
    if (options->start)
        came_back_write_journal(&came, "watch", TIME_US_NONE, &sight, err);
    return ok && watch_check(&screen, &came, &sight, &aftermath, err) &&
           watch_tell_all(&screen, &sight, &aftermath, err);
}

bool watch_on_to_target(const Options *options, const char *const *settings, Lsn *reached,
                        Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    RecoverySight sight;
    PgControl control;
    Screen screen;
    pid_t pid;

    if (!screen_open(&screen, options, &control, err))
        return false;
    screen.settings = settings;
    if (!start_again(&screen, START_ON, &control, &arena, &pid, err))
        return error_context(err, "start the server on %s again", options->data);
    if (!screen_take_up(&screen, START_ON, pid, &arena, &sight, err))
        return false;
    *reached = sight.replayed;
    return tell_end(&screen, &sight, err);
}
