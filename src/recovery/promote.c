#include "recovery/recovery.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "glance.h"
#include "server/presence.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <unistd.h>

/*
 * As pg_ctl promote does it: a file named promote, and SIGUSR1 (PROMOTE_SIGNAL_FILE). False when we
 * are not allowed to; the server would be, so it can be asked.
 */
static bool signal_promotion(const char *data, pid_t pid)
{
    CLEANUP(text_freep) char *path = text_format("%s/promote", data);
    CLEANUP(fd_done)
    int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);

    if (fd < 0)
        return false;
    if (kill(pid, SIGUSR1) == 0)
        return true;
    (void)unlink(path);
    return false;
}

static bool ask_for_promotion(const char *data, const char *conninfo, const RecoverySight *sight,
                              Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(session_freep) Session *session = NULL;
    ServerLock lock;
    const char *value;
    bool found;

    if (!server_lock_read(data, &arena, &lock, &found, err))
        return false;
    if (!found || !presence_answers(data, &lock))
        return error_set(err, ERR_REFUSED, "the server is gone");
    session = glance_session(conninfo, &lock, &sight->control, err);
    return session != NULL &&
           session_row(session, "SELECT pg_promote(false)", &arena, &value, 1, &found, err);
}

/* Only what waits for it, or a standby: all else would end a recovery before its target. */
static bool check_may_promote(const char *data, const RecoverySight *sight, Error *err)
{
    const char *name = recovery_state_name(sight->state);

    switch (sight->state) {
    case RECOVERY_PAUSED:
        /* Not at a target: the server waits for somebody to raise parameters that are too low. */
        if (*sight->reason != '\0') {
            error_set(err, ERR_REFUSED, "recovery is paused before its target: %s", sight->reason);
            return error_hint(err, "%s", sight->advice);
        }
        return true;
    case RECOVERY_PROMOTING:
        return true;
    case RECOVERY_OPEN:
        return error_set(err, ERR_REFUSED,
                         "the server is open already: there is nothing to promote");
    case RECOVERY_TARGET_REACHED:
    case RECOVERY_NOT_RUNNING:
        return error_set(err, ERR_REFUSED, "no server runs on %s", data);
    case RECOVERY_FAILED:
        error_set(err, ERR_REFUSED, "no server runs on %s: %s", data, sight->reason);
        return error_hint(err, "%s", sight->advice);
    case RECOVERY_STARTING:
    case RECOVERY_REACHING_CONSISTENCY:
    case RECOVERY_REPLAYING:
        break;
    }
    if (file_exists_in(data, "standby.signal") && sight->state == RECOVERY_REPLAYING)
        return true;
    error_set(err, ERR_REFUSED, "recovery has not come to its target yet: it is %s", name);
    return error_hint(err,
                      "wait until it is paused (\"watch\" follows it); if it is, and this does "
                      "not see it, name a role that may connect in --conninfo");
}

static bool promotion_wait_until_open(RecoveryWatch *watch, uint64_t timeout_ms, Error *err)
{
    TimeUs deadline = time_monotonic() + (TimeUs)timeout_ms * 1000;
    RecoverySight sight;

    for (;;) {
        if (!interrupt_check(err) || !recovery_look(watch, &sight, err))
            return false;
        if (sight.state == RECOVERY_OPEN)
            return true;
        if (sight.state == RECOVERY_FAILED || sight.pid == 0) {
            error_set(err, ERR_RECOVERY, "the server ended instead: %s", sight.reason);
            return error_hint(err, "%s", sight.advice);
        }
        if (time_monotonic() > deadline) {
            error_set(err, ERR_UNREACHABLE, "the server is not open after %" PRIu64 " s",
                      timeout_ms / 1000);
            return error_hint(err, "it goes on; \"watch\" follows it");
        }
        time_sleep_ms(100);
    }
}

bool recovery_promote(const char *data, const char *conninfo, uint64_t timeout_ms, Error *err)
{
    CLEANUP(recovery_watch_freep)
    RecoveryWatch *watch = recovery_watch_new(&(WatchSetup){.data = data, .conninfo = conninfo});
    RecoverySight sight;

    if (!recovery_look(watch, &sight, err) || !check_may_promote(data, &sight, err))
        return false;
    if (sight.state != RECOVERY_PROMOTING && !signal_promotion(data, sight.pid) &&
        !ask_for_promotion(data, conninfo, &sight, err))
        return error_context(err, "promote the server");
    return promotion_wait_until_open(watch, timeout_ms, err) ||
           error_context(err, "promote the server");
}
