#include "restore_parts.h"

#include "base/file.h"
#include "base/log.h"
#include "cli/output.h"
#include "postgres/history.h"
#include "recovery/invalid_pages.h"
#include "recovery/locks.h"
#include "server/server.h"
#include "stall.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    WATCH_INTERVAL_MS = 10000,
    HISTORY_SIZE_MAX = 1 << 20,
    STARTS_AGAIN_MAX = 2,
};

static void tell_change(void *context, const RecoverySight *sight, bool is_stalled)
{
    CLEANUP(arena_done) Arena arena = {0};
    const RestoreStory *story = context;
    const char *phase = recovery_phase_name(sight, story->is_second_start);
    char lsn[LSN_TEXT_SIZE], time[TIME_TEXT_SIZE];
    const char *commit =
        sight->last_commit != TIME_US_NONE ? time_text(sight->last_commit, time) : "";

    if (sight->no_login[0] != '\0')
        log_warn("the server accepts connections, but not ours", log_str("why", sight->no_login));
    if (is_stalled) {
        log_warn("recovery makes no progress", log_str("state", recovery_state_name(sight->state)),
                 log_str("phase", phase), log_str("segment", sight->segment),
                 log_str("waiting", sight->is_waiting ? "for that segment" : ""),
                 log_str("archive", stall_in_words(story->cluster, sight->segment, &arena)));
    } else {
        log_info("recovery", log_str("state", recovery_state_name(sight->state)),
                 log_str("phase", phase),
                 log_str("replayed", sight->replayed != 0 ? lsn_text(sight->replayed, lsn) : ""),
                 log_str("last_commit", commit), log_str("segment", sight->segment));
    }
}

/*
 * Configuration from outside the data directory: the server is told where it is now. And what was
 * raised on the primary since the backup: on the command line it holds for the recovery (also when
 * `promote` starts the server again), and the operator's files stay as they are.
 */
static const char *const *server_settings(RestoreStory *story)
{
    const char *const *raised = story->raised;
    RestorePlan *plan = &story->plan;
    size_t count = 0;

    if (story->settings != NULL)
        return story->settings;
    while (raised[count] != NULL)
        count++;
    const char **settings = arena_alloc(&plan->arena, (count + 10) * sizeof *settings);
    for (size_t i = 0; i < count; i++) {
        settings[i] = raised[i];
        log_info("the WAL needs more than is configured: set for the recovery",
                 log_str("parameter", raised[i]));
    }

    for (size_t i = 0; plan->decision.left_out.kept != NULL && invalid_pages_settings[i] != NULL;
         i++)
        settings[count++] = invalid_pages_settings[i];
    if (plan->configuration.config_file != NULL) {
        settings[count++] =
            arena_format(&plan->arena, "config_file=%s", plan->configuration.config_file);
    }
    if (plan->configuration.config_file != NULL || plan->configuration.names_data_directory)
        settings[count++] = arena_format(&plan->arena, "data_directory=%s", plan->placement.data);
    if (plan->configuration.hba_file != NULL)
        settings[count++] = arena_format(&plan->arena, "hba_file=%s", plan->configuration.hba_file);
    if (plan->configuration.ident_file != NULL) {
        settings[count++] =
            arena_format(&plan->arena, "ident_file=%s", plan->configuration.ident_file);
    }
    return (const char *const *)settings;
}

static bool refuse_end(const RestoreStory *story, const char *wanted, Error *err)
{
    const RecoverySight *sight = &story->sight;

    if (sight->state == RECOVERY_FAILED) {
        error_set(err, ERR_RECOVERY, "recovery failed: %s",
                  *sight->reason != '\0' ? sight->reason : "the server gave no reason");
        if (*sight->advice != '\0')
            return error_hint(err, "%s", sight->advice);
    } else {
        error_set(err, ERR_RECOVERY, "recovery ended as \"%s\", not as \"%s\"%s%s",
                  recovery_state_name(sight->state), wanted, *sight->reason != '\0' ? ": " : "",
                  sight->reason);
        if (*sight->advice != '\0')
            return error_hint(err, "%s", sight->advice);
    }
    return error_hint(err, "the server's log is %s", story->log_path);
}

static bool start_and_watch(RestoreStory *story, const char *phase, Progress *progress, Error *err)
{
    RestorePlan *plan = &story->plan;
    StartSetup start = {.data = plan->placement.data,
                        .programs = plan->programs,
                        .log_path = story->log_path,
                        .settings = server_settings(story),
                        .env = story->env,
                        .in_child = story->in_child};
    WatchSetup setup = {.data = plan->placement.data,
                        .conninfo = story->options->conninfo,
                        .log_path = story->log_path,
                        .start = plan->decision.manifest.header.start,
                        .target = plan->decision.point.replay_end,
                        .stall_ms = story->options->stall_ms,
                        .timeout_ms = story->options->timeout_ms,
                        .progress = progress,
                        .phase = phase};
    pid_t pid;
    TimeUs last_commit = story->sight.last_commit;

    if (!recovery_start(&start, &pid, err))
        return error_context(err, "start the server on %s", plan->placement.data);
    if (story->on_start != NULL && !story->on_start(story->on_start_context, pid, err))
        return false;
    setup.pid = pid;
    CLEANUP(recovery_watch_freep) RecoveryWatch *watch = recovery_watch_new(&setup);
    if (!recovery_watch_to_end(watch, WATCH_INTERVAL_MS, tell_change, story, &story->sight, err)) {
        error_context(err, "watch the recovery on %s", plan->placement.data);
        return error_hint(err, "the server goes on by itself: `pgcairn watch --start` follows it, "
                               "and takes up what is left to do");
    }
    if (story->sight.last_commit == TIME_US_NONE)
        story->sight.last_commit = last_commit;
    return true;
}

/*
 * A server that shuts down at its target writes how far it came to pg_control, but for one case: if
 * it has a new restartpoint to make, minRecoveryPoint stays where the checkpoint record and the
 * flushed pages need it (CreateRestartPoint(), xlog.c), and what changed no page, a restore point
 * say, is not counted. Started again it comes to the same place without a restartpoint to make, and
 * writes it. One that somebody else has stopped goes on to its target then.
 */
static bool is_place_unknown(const RecoverySight *sight)
{
    return sight->state == RECOVERY_FAILED && sight->control.state == PG_SHUT_DOWN_IN_RECOVERY;
}

/* Of the time since `begin`: until replay began, and since it ended. Too short to be seen, it was
 * all start. */
static void note_replay(RestoreStory *story, TimeUs begin)
{
    const RecoverySight *sight = &story->sight;
    TimeUs now = time_monotonic();
    bool is_seen = sight->replay_from != 0 && sight->replay_until != 0;

    story->elapsed_start = (is_seen ? sight->replay_from : now) - begin;
    story->elapsed_checkpoint = is_seen ? now - sight->replay_until : 0;
}

static bool start_and_watch_to_target(RestoreStory *story, Progress *progress, Error *err)
{
    TimeUs begin = time_monotonic();

    if (!start_and_watch(story, "replay", progress, err))
        return false;
    note_replay(story, begin);
    /* Twice where databases are left empty: as long as it has wrong pages in mind, which it had
     * until it was consistent, it makes no restartpoint (xlog.c, RecoveryRestartPoint()). */
    for (int i = 0; i < STARTS_AGAIN_MAX; i++) {
        if (story->plan.decision.target.kind == TARGET_LATEST || !is_place_unknown(&story->sight))
            return true;
        log_info("the server has stopped before it wrote how far it came; it is started again");
        if (!start_and_watch(story, "replay once more", progress, err))
            return false;
    }
    return true;
}

/*
 * pg_control of a server that shut down at its target: minRecoveryPoint is the end of the last
 * record that was replayed (UpdateMinRecoveryPoint() in the shutdown restartpoint, xlog.c).
 */
static bool verify_target(RestoreStory *story, Error *err)
{
    const RestorePlan *plan = &story->plan;
    PgControl control;
    char reached[LSN_TEXT_SIZE], wanted[LSN_TEXT_SIZE];

    if (!pg_control_read(plan->placement.data, &control, NULL, err))
        return false;
    if (control.state != PG_SHUT_DOWN_IN_RECOVERY) {
        return error_set(err, ERR_RECOVERY, "the server stopped as \"%s\", not at the target",
                         pg_state_name(control.state));
    }
    story->reached = control.min_recovery_point;
    Lsn end = lsn_align_up(plan->decision.point.replay_end);
    bool is_there = plan->decision.target.kind == TARGET_IMMEDIATE ? story->reached >= end
                                                                   : story->reached == end;
    if (!is_there) {
        error_set(err, ERR_RECOVERY, "recovery stopped at %s, the target is at %s",
                  lsn_text(story->reached, reached), lsn_text(end, wanted));
        return error_hint(err, "the server is stopped and was not opened; its log is %s",
                          story->log_path);
    }
    story->is_verified = true;
    return true;
}

/* The timeline that the server has begun, by the newest history file in pg_wal; 0: none. */
static bool find_new_timeline(const char *data, uint32_t *timeline, Error *err)
{
    CLEANUP(text_freep) char *path = text_format("%s/pg_wal", data);
    CLEANUP(directory_done) DIR *list = opendir(path);

    *timeline = 0;
    if (list == NULL)
        return error_set_errno(err, ERR_IO, errno, "list %s", path);
    for (const struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
        WalName name;
        Error ignored = {0}; /* another file */
        if (wal_name_parse(entry->d_name, 1 << 20, &name, &ignored) && name.kind == WAL_HISTORY &&
            name.timeline > *timeline)
            *timeline = name.timeline;
    }
    return true;
}

/* Where the new timeline leaves the old one, in the server's own words: its history file. */
static bool read_switch(const char *data, uint32_t timeline, PathStep *step, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(text_freep) char *path = text_format("%s/pg_wal/%08" PRIX32 ".history", data, timeline);
    TimelinePath steps;

    if (!file_read_whole(path, HISTORY_SIZE_MAX, &text, err) ||
        !timeline_path_parse(timeline, (const char *)text.data, &arena, &steps, err))
        return error_context(err, "look where the new timeline begins");
    if (steps.count < 2)
        return error_set(err, ERR_RECOVERY, "%s names no parent", path);
    *step = steps.steps[steps.count - 2];
    return true;
}

/* An opened server: its new timeline must begin where replay had to end, and not before. */
static bool verify_opened(RestoreStory *story, Error *err)
{
    const RestorePlan *plan = &story->plan;
    PathStep step;
    char reached[LSN_TEXT_SIZE], wanted[LSN_TEXT_SIZE];

    if (!find_new_timeline(plan->placement.data, &story->new_timeline, err))
        return false;
    if (story->new_timeline <= path_last_timeline(&plan->decision.path))
        return error_set(err, ERR_RECOVERY, "the server opened without a timeline of its own");
    if (!read_switch(plan->placement.data, story->new_timeline, &step, err))
        return false;
    Lsn wanted_end = story->is_verified ? story->reached : plan->decision.point.replay_end;
    bool is_there = story->is_verified ? step.end == wanted_end : step.end >= wanted_end;
    story->reached = step.end;
    if (is_there) {
        story->is_verified = true;
        return true;
    }
    story->is_verified = false;
    error_set(err, ERR_RECOVERY, "the server opened at %s, replay had to reach %s",
              lsn_text(step.end, reached), lsn_text(wanted_end, wanted));
    return error_hint(err, "do not use this database before you know why; the server's log is %s",
                      story->log_path);
}

static void find_connection(RestoreStory *story)
{
    ServerLock lock;
    bool found;
    Error ignored = {0}; /* only a convenience of the report */

    if (!server_lock_read(story->plan.placement.data, &story->plan.arena, &lock, &found,
                          &ignored) ||
        !found)
        return;
    const char *host = *lock.socket_directory != '\0' ? lock.socket_directory : lock.listen_address;
    (void)snprintf(story->connection, sizeof story->connection, "host=%s port=%u", host, lock.port);
}

static bool finish_open(RestoreStory *story, Error *err)
{
    find_connection(story);
    return verify_opened(story, err) && restore_clear_settings(story->plan.placement.data, err);
}

/* What replay has locked there, if anything: best effort, the pause itself is what was asked for.
 */
static void find_locked(RestoreStory *story)
{
    CLEANUP(locked_relations_done) LockedRelations locked = {.names = ""};
    Error unseen = {0};

    if (recovery_locks(story->plan.placement.data, story->options->conninfo, &locked, &unseen)) {
        story->locked = arena_text(&story->plan.arena, locked.names);
    } else {
        log_debug("locks can't be looked at", log_str("why", unseen.message));
    }
}

/* Again at the place that was verified: what somebody reads there must be what was asked for. */
static bool verify_pause(RestoreStory *story, Error *err)
{
    const RecoverySight *sight = &story->sight;
    char reached[LSN_TEXT_SIZE], wanted[LSN_TEXT_SIZE];

    if (sight->reason[0] == '\0' && sight->replayed == story->reached)
        return true;
    story->is_verified = false;
    error_set(err, ERR_RECOVERY, "the server paused at %s, the target is at %s%s%s",
              lsn_text(sight->replayed, reached), lsn_text(story->reached, wanted),
              sight->reason[0] != '\0' ? ": " : "", sight->reason);
    if (sight->advice[0] != '\0')
        return error_hint(err, "%s", sight->advice);
    return error_hint(err, "do not use this database before you know why; the server's log is %s",
                      story->log_path);
}

/* It runs, at a target that was verified before; only whether it pauses there can't be seen. */
static bool tell_unseen(RestoreStory *story, Error *err)
{
    if (err->code != ERR_POSTGRES)
        return false;
    err->code = ERR_DEGRADED;
    find_connection(story);
    return error_context(err, "the target was reached and verified");
}

/* The target is verified: start again, now to pause there or to open. */
static bool start_as_asked(RestoreStory *story, Progress *progress, Error *err)
{
    TimeUs begin = time_monotonic();
    RecoveryState wanted = story->action == ACTION_PAUSE ? RECOVERY_PAUSED : RECOVERY_OPEN;

    if (!restore_set_action(story->plan.placement.data, story->action, err))
        return false;
    story->is_second_start = true;
    if (!start_and_watch(story, "second start", progress, err))
        return tell_unseen(story, err);
    story->elapsed_open = time_monotonic() - begin;
    if (story->sight.state == RECOVERY_OPEN) {
        if (!finish_open(story, err))
            return false;
        if (wanted == RECOVERY_OPEN)
            return true;
        /* xlogrecovery.c, recoveryPausesHere(): without an active hot standby it promotes. */
        error_set(err, ERR_DEGRADED,
                  "the target was reached and verified, but the server opened "
                  "instead of pausing: hot standby could not become active");
        return false;
    }
    if (story->sight.state == wanted) {
        find_connection(story);
        find_locked(story);
        return verify_pause(story, err);
    }
    if (wanted == RECOVERY_PAUSED && story->sight.state == RECOVERY_TARGET_REACHED) {
        error_set(err, ERR_DEGRADED,
                  "the target was reached and verified, but the server stopped "
                  "instead of pausing: hot_standby is off");
        return error_hint(err, "`pgcairn promote` opens it");
    }
    return refuse_end(story, recovery_state_name(wanted), err);
}

static const char *story_log_path(RestoreStory *story)
{
    if (story->options->server_log != NULL)
        return story->options->server_log;
    return arena_format(&story->plan.arena, "%s.pgcairn-server.log", story->plan.placement.data);
}

bool restore_check_log(RestoreStory *story, Error *err)
{
    CLEANUP(text_freep) char *folder = text_format("%s", story_log_path(story));
    char *slash = strrchr(folder, '/');

    if (!story->options->start || slash == NULL)
        return true;
    slash[slash == folder ? 1 : 0] = '\0';
    bool is_there = access(folder, F_OK) == 0;
    /* What is not there is made along with the data directory, if that is below it. */
    bool is_made = !is_there && strncmp(story->plan.placement.data, folder, strlen(folder)) == 0;
    if (is_made || (is_there && access(folder, W_OK | X_OK) == 0))
        return true;
    error_set_errno(err, ERR_REFUSED, errno, "write the server's log into %s", folder);
    return error_hint(err, "choose another place for it: --server-log=FILE");
}

/* The server opens its log as its own user, who may not be allowed to create it there. */
static bool prepare_log(const RestoreStory *story, Error *err)
{
    CLEANUP(fd_done) int fd = open(story->log_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0 && errno == EEXIST)
        return true;
    if (fd < 0)
        return error_set_errno(err, ERR_IO, errno, "create the server's log %s", story->log_path);
    return true;
}

static void note_log(RestoreStory *story)
{
    struct stat status;

    story->log_from = stat(story->log_path, &status) == 0 ? (uint64_t)status.st_size : 0;
}

/* Where databases were left empty the server was told to go on when it finds wrong pages. */
static bool check_pages(const RestoreStory *story, Error *err)
{
    const LeftOut *left_out = &story->plan.decision.left_out;
    const InvalidPagesRequest request = {.data = story->plan.placement.data,
                                         .log_path = story->log_path,
                                         .log_from = story->log_from,
                                         .oids = left_out->oids,
                                         .oid_count = left_out->oid_count};

    return left_out->kept == NULL || invalid_pages_check(&request, err);
}

/* A copy beside its original, which has the port and the socket that both are configured for. */
static bool find_place(RestoreStory *story, Error *err)
{
    const char *directory;

    if (!story->request->as_copy || story->request->port != 0 || story->request->socket != NULL)
        return true;
    if (!restore_listen_beside(&story->plan, &directory, err))
        return error_context(err, "look where the copy can listen");
    if (directory != NULL) {
        log_info("the copy can't listen where it is configured to: its socket goes elsewhere",
                 log_str("directory", directory));
    }
    return true;
}

bool restore_start(RestoreStory *story, Progress *progress, Error *err)
{
    bool has_target = story->plan.decision.target.kind != TARGET_LATEST;
    RecoveryState wanted = has_target ? RECOVERY_TARGET_REACHED : RECOVERY_OPEN;
    TimeUs begin = time_monotonic();

    story->is_started = true;
    story->log_path = story_log_path(story);
    if (!prepare_log(story, err) || !find_place(story, err))
        return false;
    note_log(story);
    if (!start_and_watch_to_target(story, progress, err))
        return false;
    story->elapsed_replay = time_monotonic() - begin;
    if (story->sight.state != wanted)
        return refuse_end(story, recovery_state_name(wanted), err);
    if (!check_pages(story, err))
        return false;
    if (!has_target)
        return finish_open(story, err);
    if (!verify_target(story, err))
        return false;
    return story->action == ACTION_SHUTDOWN || start_as_asked(story, progress, err);
}
