#include "recovery/recovery.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/process.h"
#include "glance.h"
#include "postgres/wal_reader.h"
#include "server/presence.h"
#include "server_log.h"

#include <inttypes.h>
#include <unistd.h>

static const TimeUs SECOND = 1000000;

struct RecoveryWatch {
    WatchSetup setup; /* Its strings are in the arena. */
    Arena arena;
    Session *session;
    /* We wait until then, since each refused attempt leaves a line in the server's log. */
    TimeUs session_retry_at;
    bool has_ended;   /* The server that we started has ended. */
    int exit_status;  /* It is that server's. -1 means that it is not known. */
    pid_t seen_pid;   /* It was alive when we looked. 0 means that it never was. */
    char *error_path; /* The descriptor 2 of the server leads here. */
    /* It says why the last attempt to ask the server failed, or is "" when it was asked. */
    char no_login[256];
    unsigned failures; /* This many attempts failed in a row. */
    Lsn replayed;      /* It is the furthest position seen of this server. */
    TimeUs last_commit;
};

/* One look's raw findings. */
typedef struct Findings {
    ServerLock lock;
    bool has_lock;
    bool is_alive;
    /* When it is false, the server answers on its socket, but we can't see its processes. */
    bool is_seen;
    pid_t pid;
    PgControl control;
    bool has_label;  /* There is a backup_label, so recovery has not begun. */
    bool is_archive; /* There is a recovery.signal. */
    bool is_standby; /* There is a standby.signal. */
    TitleGlance title;
} Findings;

const char *recovery_state_name(RecoveryState state)
{
    switch (state) {
    case RECOVERY_STARTING:
        return "starting";
    case RECOVERY_REACHING_CONSISTENCY:
        return "reaching consistency";
    case RECOVERY_REPLAYING:
        return "replaying";
    case RECOVERY_TARGET_REACHED:
        return "target reached";
    case RECOVERY_PAUSED:
        return "paused";
    case RECOVERY_PROMOTING:
        return "promoting";
    case RECOVERY_OPEN:
        return "open";
    case RECOVERY_FAILED:
        return "failed";
    case RECOVERY_NOT_RUNNING:
        return "not running";
    }
    return "unknown";
}

const char *recovery_phase_name(const RecoverySight *sight, bool is_second)
{
    if (sight->is_closing)
        return "checkpoint: the server shuts down at its target";
    switch (sight->state) {
    case RECOVERY_STARTING:
        return is_second ? "second start" : "start of the server";
    case RECOVERY_REACHING_CONSISTENCY:
    case RECOVERY_REPLAYING:
        return is_second ? "second start" : "replay";
    case RECOVERY_PROMOTING: /* the signal files are gone, and the control file waits for it */
        return "checkpoint at the end of recovery";
    case RECOVERY_TARGET_REACHED:
    case RECOVERY_PAUSED:
    case RECOVERY_OPEN:
    case RECOVERY_FAILED:
    case RECOVERY_NOT_RUNNING:
        break;
    }
    return "";
}

static const char *copy_of(Arena *arena, const char *text)
{
    return text != NULL ? arena_text(arena, text) : NULL;
}

RecoveryWatch *recovery_watch_new(const WatchSetup *setup)
{
    RecoveryWatch *watch = mem_alloc(sizeof *watch);

    watch->setup = *setup;
    watch->setup.data = copy_of(&watch->arena, setup->data);
    watch->setup.conninfo = copy_of(&watch->arena, setup->conninfo);
    watch->setup.log_path = copy_of(&watch->arena, setup->log_path);
    watch->exit_status = -1;
    watch->last_commit = TIME_US_NONE;
    return watch;
}

void recovery_watch_freep(RecoveryWatch **watch)
{
    if (*watch == NULL)
        return;
    session_freep(&(*watch)->session);
    text_freep(&(*watch)->error_path);
    arena_done(&(*watch)->arena);
    mem_free(*watch);
    *watch = NULL;
}

/* While it lives: where its messages go, if it is a file. */
static void remember_error_path(RecoveryWatch *watch, pid_t pid)
{
    CLEANUP(text_freep) char *link = text_format("/proc/%d/fd/2", (int)pid);
    char path[4096];
    ssize_t size = readlink(link, path, sizeof path - 1);

    text_freep(&watch->error_path);
    if (size > 0 && path[0] == '/') {
        path[size] = '\0';
        watch->error_path = text_format("%s", path);
    }
}

/* The process first, the control file afterwards: that of a dead server does not change any more.
 */
static bool find_process(RecoveryWatch *watch, Arena *arena, Findings *found, Error *err)
{
    pid_t child = watch->setup.pid;

    if (child != 0 && !watch->has_ended)
        watch->has_ended = process_has_ended(child, &watch->exit_status);
    if (!server_lock_read(watch->setup.data, arena, &found->lock, &found->has_lock, err))
        return false;
    if (child != 0 && !watch->has_ended) {
        found->is_alive = found->is_seen = true;
        found->pid = child;
        found->has_lock = found->has_lock && found->lock.pid == child;
    } else {
        found->is_alive = found->has_lock && presence_answers(watch->setup.data, &found->lock);
        found->is_seen = found->is_alive && found->lock.is_alive;
        found->pid = found->is_alive ? found->lock.pid : 0;
    }
    if (found->is_alive && found->pid != watch->seen_pid) {
        watch->seen_pid = found->pid;
        watch->replayed = 0; /* another server: it may begin further back */
        session_freep(&watch->session);
        watch->session_retry_at = 0;
        watch->no_login[0] = '\0';
        watch->failures = 0;
        if (found->is_seen)
            remember_error_path(watch, found->pid);
    }
    return true;
}

static bool watch_find(RecoveryWatch *watch, Arena *arena, Findings *found, Error *err)
{
    if (!find_process(watch, arena, found, err) ||
        !pg_control_read(watch->setup.data, &found->control, NULL, err))
        return false;
    found->has_label = file_exists_in(watch->setup.data, "backup_label");
    found->is_archive = file_exists_in(watch->setup.data, "recovery.signal");
    found->is_standby = file_exists_in(watch->setup.data, "standby.signal");
    if (found->is_seen)
        (void)glance_by_title(found->pid, found->control.wal_segment_size, &found->title);
    return true;
}

static void explain_failure(RecoveryWatch *watch, const Findings *found, RecoverySight *sight)
{
    enum { COLLECTOR_PAUSE_MS = 100, COLLECTOR_PAUSES = 100 };

    /* A logging collector ends after the server, and writes what it was sent when it gets to it. */
    for (int i = 0; i <= COLLECTOR_PAUSES; i++) {
        server_log_reason(watch->setup.data, watch->setup.log_path, watch->error_path,
                          sight->reason, sizeof sight->reason);
        if (sight->reason[0] != '\0' || watch->seen_pid == 0 ||
            !file_exists_in(watch->setup.data, "current_logfiles"))
            break;
        time_sleep_ms(COLLECTOR_PAUSE_MS);
    }
    if (sight->reason[0] == '\0' && watch->exit_status >= 0) {
        (void)snprintf(sight->reason, sizeof sight->reason,
                       "the server ended with status %d and no reason that we could read",
                       watch->exit_status);
    } else if (sight->reason[0] == '\0') {
        (void)snprintf(sight->reason, sizeof sight->reason,
                       "the server is gone, without a reason that we could read");
    }
    (void)snprintf(sight->advice, sizeof sight->advice, "%s",
                   recovery_advice(sight->reason, watch->exit_status, found->control.state));
}

/*
 * Where replay may end although its target is a little further on: a record that ends with its page
 * is followed by the next page's header, and the next record begins after that.
 */
static Lsn before_page_header(Lsn lsn)
{
    Lsn in_page = lsn % WAL_BLOCK_SIZE;

    return in_page <= WAL_SEGMENT_HEADER_SIZE ? lsn - in_page : lsn;
}

/* State 2 is what action "shutdown" leaves, and anybody who stops a recovering server as well. */
static RecoveryState state_of_stopped(const RecoveryWatch *watch, const Findings *found,
                                      RecoverySight *sight)
{
    char at[LSN_TEXT_SIZE], target[LSN_TEXT_SIZE];

    if (!found->is_archive)
        return RECOVERY_NOT_RUNNING; /* a standby at rest */
    if (found->control.min_recovery_point >= before_page_header(watch->setup.target))
        return RECOVERY_TARGET_REACHED; /* also when no target is known */
    (void)snprintf(sight->reason, sizeof sight->reason,
                   "the server was stopped at %s, before its target at %s",
                   lsn_text(found->control.min_recovery_point, at),
                   lsn_text(watch->setup.target, target));
    (void)snprintf(sight->advice, sizeof sight->advice, "start it again: it goes on");
    return RECOVERY_FAILED;
}

static RecoveryState state_of_dead(RecoveryWatch *watch, const Findings *found,
                                   RecoverySight *sight)
{
    bool was_ours = watch->setup.pid != 0 || watch->seen_pid != 0;

    if (watch->has_ended && watch->exit_status > 0)
        return RECOVERY_FAILED;
    if (found->has_label && !was_ours)
        return RECOVERY_NOT_RUNNING; /* restored, never started: the state is the backup's */

    switch (found->control.state) {
    case PG_SHUT_DOWN_IN_RECOVERY:
        return state_of_stopped(watch, found, sight);
    case PG_SHUT_DOWN:
        return RECOVERY_NOT_RUNNING;
    case PG_IN_PRODUCTION:
        return was_ours ? RECOVERY_FAILED : RECOVERY_NOT_RUNNING;
    case PG_STARTUP:
    case PG_SHUTTING_DOWN:
    case PG_IN_CRASH_RECOVERY:
    case PG_IN_ARCHIVE_RECOVERY:
        break;
    }
    return RECOVERY_FAILED;
}

/* False, with err: it may be alive where it can't be seen. */
static bool look_at_dead(RecoveryWatch *watch, const Findings *found, RecoverySight *sight,
                         Error *err)
{
    const bool was_seen = watch->seen_pid != 0 || watch->setup.pid != 0;

    if (!was_seen && !presence_check_none(watch->setup.data, err))
        return false;
    session_freep(&watch->session);
    sight->state = state_of_dead(watch, found, sight);
    if (sight->state == RECOVERY_FAILED && sight->reason[0] == '\0')
        explain_failure(watch, found, sight);
    if (sight->state == RECOVERY_TARGET_REACHED || watch->replayed == 0)
        watch->replayed = found->control.min_recovery_point;
    return true;
}

/* By what needs no connection. */
static RecoveryState state_by_files(const RecoveryWatch *watch, const Findings *found)
{
    const PgControl *control = &found->control;

    if (!found->has_lock)
        return RECOVERY_STARTING;
    switch (control->state) {
    case PG_IN_PRODUCTION:
        /* Until the startup process has begun it is the backup's state. */
        return found->lock.status == SERVER_READY ? RECOVERY_OPEN : RECOVERY_STARTING;
    case PG_IN_ARCHIVE_RECOVERY:
        break;
    case PG_IN_CRASH_RECOVERY:
        return RECOVERY_REPLAYING;
    case PG_STARTUP:
    case PG_SHUT_DOWN:
    case PG_SHUT_DOWN_IN_RECOVERY:
    case PG_SHUTTING_DOWN:
        return RECOVERY_STARTING;
    }

    if (found->has_label)
        return RECOVERY_STARTING; /* a standby's backup has this state from the beginning */
    /* Signal files go only once replay has ended (StartupXLOG, then the state follows). */
    if (!found->is_archive && !found->is_standby)
        return RECOVERY_PROMOTING;
    if (control->backup_start != 0 || control->backup_end != 0 || control->backup_end_required ||
        watch->replayed < control->min_recovery_point) {
        return found->lock.status == SERVER_READY ? RECOVERY_REPLAYING
                                                  : RECOVERY_REACHING_CONSISTENCY;
    }
    return RECOVERY_REPLAYING;
}

/* True when the server was asked. */
static bool watch_ask_server(RecoveryWatch *watch, const Findings *found, SqlGlance *glance,
                             Error *err)
{
    Error why = {0};
    TimeUs now = time_monotonic();

    /* Not earlier: "the database system is starting up" would fill its log. */
    if (found->lock.status != SERVER_READY || !found->has_lock)
        return false;
    if (watch->session == NULL && now >= watch->session_retry_at) {
        watch->session_retry_at = now + 5 * SECOND;
        watch->session = glance_session(watch->setup.conninfo, &found->lock, &found->control, &why);
    }
    if (watch->session != NULL &&
        glance_by_sql(watch->session, found->control.version->major, glance, &why)) {
        watch->no_login[0] = '\0';
        watch->failures = 0;
        return true;
    }
    session_freep(&watch->session);
    if (why.code == ERR_INTERRUPTED || why.code == ERR_USAGE) {
        *err = why;
    } else if (why.code != ERR_NONE) {
        watch->failures++;
        /* For a moment, a server that stops has no socket any more: only a refusal counts at once.
         */
        if (why.code == ERR_POSTGRES || watch->failures > 1) {
            (void)snprintf(watch->no_login, sizeof watch->no_login, "%.*s",
                           (int)sizeof watch->no_login - 1, why.message);
        }
        log_debug("the server can't be asked", log_str("why", why.message));
    }
    return false;
}

/*
 * The server does not say whether it pauses at its target or because somebody asked it to. What a
 * restore has written, or a target that is an LSN, decides; else the server's log, if we can read
 * it.
 */
static bool is_early_pause(const RecoveryWatch *watch, const RecoveryGoal *goal, Lsn replayed)
{
    if (goal->has_no_target)
        return true;
    if (goal->lsn != 0 && !goal->is_bound)
        return replayed < before_page_header(goal->lsn);
    return server_log_paused_by_hand(watch->setup.data, watch->setup.log_path, watch->error_path);
}

static void explain_early_pause(const RecoveryWatch *watch, const Findings *found, Lsn replayed,
                                RecoverySight *sight)
{
    const RecoveryGoal goal = recovery_goal(watch->setup.data, found->control.wal_segment_size);
    char at[LSN_TEXT_SIZE], target[LSN_TEXT_SIZE];
    bool is_known = goal.lsn != 0 && !goal.is_bound;

    if (!is_early_pause(watch, &goal, replayed))
        return;
    (void)snprintf(sight->reason, sizeof sight->reason,
                   "somebody has paused replay at %s (pg_wal_replay_pause)%s%s",
                   lsn_text(replayed, at), is_known ? ", its target is at " : "",
                   is_known ? lsn_text(goal.lsn, target) : "");
    (void)snprintf(sight->advice, sizeof sight->advice,
                   "SELECT pg_wal_replay_resume() lets it go on; to open the database as it is at "
                   "%s, restore again with --target-lsn",
                   at);
}

static void explain_pause(RecoveryWatch *watch, const Findings *found, Lsn replayed,
                          RecoverySight *sight)
{
    server_log_pause_reason(watch->setup.data, watch->setup.log_path, watch->error_path,
                            sight->reason, sizeof sight->reason);
    if (sight->reason[0] != '\0') {
        (void)snprintf(sight->advice, sizeof sight->advice, "%s",
                       recovery_advice(sight->reason, -1, sight->control.state));
    } else if (!found->is_standby) {
        explain_early_pause(watch, found, replayed, sight);
    }
}

static void take_answer(RecoveryWatch *watch, const Findings *found, const SqlGlance *glance,
                        RecoverySight *sight)
{
    if (!glance->in_recovery) {
        sight->state = RECOVERY_OPEN;
        sight->timeline = glance->timeline;
    } else if (glance->is_paused) {
        sight->state =
            file_exists_in(watch->setup.data, "promote") ? RECOVERY_PROMOTING : RECOVERY_PAUSED;
        explain_pause(watch, found, glance->replayed, sight);
    } else if (!found->is_archive && !found->is_standby) {
        sight->state = RECOVERY_PROMOTING;
    } else {
        sight->state = RECOVERY_REPLAYING;
    }
    /* Exactly; the segment in the title may be one that it has only opened. */
    if (glance->replayed != 0)
        watch->replayed = glance->replayed;
    if (glance->last_commit != TIME_US_NONE)
        watch->last_commit = glance->last_commit;
}

static bool look_at_living(RecoveryWatch *watch, const Findings *found, RecoverySight *sight,
                           Error *err)
{
    const TitleGlance *title = &found->title;
    SqlGlance glance;

    if (title->segment[0] != '\0') {
        Lsn start = wal_segment_start(title->name.segment, found->control.wal_segment_size);
        if (start > watch->replayed)
            watch->replayed = start;
        memcpy(sight->segment, title->segment, sizeof sight->segment);
        sight->is_waiting = title->is_waiting;
        sight->timeline = title->name.timeline;
    }
    if (watch_ask_server(watch, found, &glance, err)) {
        take_answer(watch, found, &glance, sight);
    } else {
        sight->state = state_by_files(watch, found);
        memcpy(sight->no_login, watch->no_login, sizeof sight->no_login);
    }
    return err->code == ERR_NONE;
}

bool recovery_look(RecoveryWatch *watch, RecoverySight *sight, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    Findings found = {0};

    if (!watch_find(watch, &arena, &found, err))
        return error_context(err, "look at the recovery in %s", watch->setup.data);

    RecoverySight seen = {.control = found.control, .pid = found.pid};
    seen.timeline = found.control.min_recovery_timeline > found.control.timeline
                        ? found.control.min_recovery_timeline
                        : found.control.timeline;
    if (!(found.is_alive ? look_at_living : look_at_dead)(watch, &found, &seen, err))
        return error_context(err, "look at the recovery in %s", watch->setup.data);
    seen.replayed = watch->replayed;
    seen.last_commit = watch->last_commit;
    *sight = seen;
    return true;
}

static bool state_stays(RecoveryState state)
{
    switch (state) {
    case RECOVERY_TARGET_REACHED:
    case RECOVERY_PAUSED:
    case RECOVERY_OPEN:
    case RECOVERY_FAILED:
    case RECOVERY_NOT_RUNNING:
        return true;
    case RECOVERY_STARTING:
    case RECOVERY_REACHING_CONSISTENCY:
    case RECOVERY_REPLAYING:
    case RECOVERY_PROMOTING:
        break;
    }
    return false;
}

/* What is remembered from look to look of a watch to the end. */
typedef struct Course {
    TimeUs began_at;
    TimeUs told_at;
    TimeUs moved_at; /* The last progress was seen then. */
    Lsn start;       /* The progress shown starts here. 0 means that this is not known yet. */
    Lsn replayed;
    char segment[64];
    RecoveryState state;
    bool is_stalled;
    bool is_shut_out; /* It was told that the server does not let us in. */
    /* The startup process was seen, and then it was gone, as far as was shown. */
    bool has_replayed, is_closing;
    bool has_told_closing;
    bool has_told;
    TimeUs replay_from, replay_until; /* They are as in RecoverySight. */
} Course;

/* It lives, and the process that replayed is gone: what follows is the checkpoint. */
static bool is_after_replay(Course *course, const RecoverySight *sight)
{
    bool is_replaying = sight->segment[0] != '\0';

    course->has_replayed = course->has_replayed || is_replaying;
    return course->has_replayed && !is_replaying && sight->pid != 0 &&
           (sight->state == RECOVERY_REPLAYING || sight->state == RECOVERY_REACHING_CONSISTENCY);
}

/* Replay begins with the first record that is seen replayed, and ends when its process is gone, the
 * server goes on to open, or there is nothing more to wait for. */
static void note_times(Course *course, RecoverySight *sight, TimeUs now)
{
    bool is_replay =
        sight->state == RECOVERY_REPLAYING || sight->state == RECOVERY_REACHING_CONSISTENCY;
    bool is_over = state_stays(sight->state) || sight->state == RECOVERY_PROMOTING ||
                   is_after_replay(course, sight);

    if (course->replay_from == 0 && is_replay && sight->replayed != 0)
        course->replay_from = now;
    if (course->replay_until == 0 && course->replay_from != 0 && is_over)
        course->replay_until = now;
    sight->is_closing = is_after_replay(course, sight);
    sight->replay_from = course->replay_from;
    sight->replay_until = course->replay_until;
}

/* Total 0 while start or target are not known: nothing is guessed. */
static void show_progress(const RecoveryWatch *watch, Course *course, const RecoverySight *sight)
{
    Progress *progress = watch->setup.progress;

    if (progress == NULL)
        return;
    if (course->start == 0 && sight->replayed != 0) {
        course->start = watch->setup.start != 0 ? watch->setup.start : sight->replayed;
        bool is_bounded = watch->setup.target > course->start;
        progress_phase(progress, watch->setup.phase != NULL ? watch->setup.phase : "replay",
                       is_bounded ? watch->setup.target - course->start : 0);
    }
    if (sight->is_closing) {
        if (!course->is_closing)
            progress_phase(progress, recovery_phase_name(sight, false), 0);
        course->is_closing = true;
    } else if (course->start != 0 && sight->replayed > course->start) {
        atomic_store(&progress->bytes_done, sight->replayed - course->start);
    }
    progress_tick(progress);
}

/* Movement is an LSN or another segment; a stall is the lack of it while there is work to do. */
static bool find_stall(const RecoveryWatch *watch, Course *course, const RecoverySight *sight,
                       TimeUs now)
{
    bool is_at_work = sight->state == RECOVERY_REPLAYING ||
                      sight->state == RECOVERY_REACHING_CONSISTENCY ||
                      sight->state == RECOVERY_STARTING;

    if (sight->replayed != course->replayed || strcmp(sight->segment, course->segment) != 0 ||
        sight->state != course->state || !course->has_told) {
        course->replayed = sight->replayed;
        memcpy(course->segment, sight->segment, sizeof course->segment);
        course->moved_at = now;
    }
    return is_at_work && watch->setup.stall_ms > 0 &&
           now - course->moved_at >= (TimeUs)watch->setup.stall_ms * 1000;
}

static void watch_tell(Course *course, const RecoverySight *sight, bool is_stalled,
                       uint64_t interval_ms, RecoveryChange *on_change, void *context, TimeUs now)
{
    bool is_due = interval_ms > 0 && now - course->told_at >= (TimeUs)interval_ms * 1000;

    bool is_shut_out = sight->no_login[0] != '\0';

    if (course->has_told && sight->state == course->state && is_stalled == course->is_stalled &&
        is_shut_out == course->is_shut_out && sight->is_closing == course->has_told_closing &&
        !is_due)
        return;
    course->has_told_closing = sight->is_closing;
    course->is_shut_out = is_shut_out;
    course->has_told = true;
    course->told_at = now;
    course->state = sight->state;
    course->is_stalled = is_stalled;
    if (on_change != NULL)
        on_change(context, sight, is_stalled);
}

/*
 * It accepts connections, and not ours: a recovery that has come to its target and pauses there
 * would look forever like one that replays. While its segments pass by there is something to see.
 */
static bool is_out_of_sight(const RecoveryWatch *watch, const RecoverySight *sight,
                            const Course *course, TimeUs now)
{
    const TimeUs stall = (TimeUs)watch->setup.stall_ms * 1000;
    const TimeUs patience = stall > 0 && stall < 20 * SECOND ? stall : 20 * SECOND;

    return sight->no_login[0] != '\0' && now - course->moved_at >= patience;
}

static bool refuse_blind(const RecoverySight *sight, Error *err)
{
    error_set(err, ERR_POSTGRES,
              "the server accepts connections, but not ours, so nobody sees whether it is paused "
              "at its target: %s",
              sight->no_login);
    return error_hint(err,
                      "name a role that may log in, and where its password is: `pgcairn watch` "
                      "or `pgcairn promote` with --conninfo=\"user=NAME passfile=FILE\" (or put "
                      "it into ~/.pgpass)");
}

static bool is_too_late(const RecoveryWatch *watch, const Course *course, TimeUs now)
{
    return watch->setup.timeout_ms > 0 &&
           now - course->began_at >= (TimeUs)watch->setup.timeout_ms * 1000;
}

bool recovery_watch_to_end(RecoveryWatch *watch, uint64_t interval_ms, RecoveryChange *on_change,
                           void *context, RecoverySight *sight, Error *err)
{
    enum { QUICK_MS = 100, CALM_MS = 300 };
    Course course = {.began_at = time_monotonic()};

    for (;;) {
        if (!interrupt_check(err) || !recovery_look(watch, sight, err))
            return false;
        TimeUs now = time_monotonic();
        bool is_stalled = find_stall(watch, &course, sight, now);
        note_times(&course, sight, now);
        show_progress(watch, &course, sight);
        watch_tell(&course, sight, is_stalled, interval_ms, on_change, context, now);
        if (state_stays(sight->state))
            return true;
        if (is_out_of_sight(watch, sight, &course, now))
            return refuse_blind(sight, err);
        if (is_too_late(watch, &course, now)) {
            error_set(err, ERR_RECOVERY, "recovery is not over after %" PRIu64 " s",
                      watch->setup.timeout_ms / 1000);
            return error_hint(err, "the server goes on: `pgcairn watch --start` follows it, and "
                                   "takes up what restore --start began");
        }
        time_sleep_ms(now - course.began_at < 10 * SECOND ? QUICK_MS : CALM_MS);
    }
}
