/*
 * recovery.h - start a server on a restored data directory, watch its replay to the end, promote.
 */
#pragma once

#include "base/progress.h"
#include "postgres/control.h"
#include "server/server.h"
#include "server/session.h"

typedef enum RecoveryState {
    RECOVERY_STARTING,
    RECOVERY_REACHING_CONSISTENCY,
    RECOVERY_REPLAYING,
    RECOVERY_TARGET_REACHED, /* It stopped at the target (action shutdown). */
    RECOVERY_PAUSED,
    RECOVERY_PROMOTING,
    RECOVERY_OPEN,
    RECOVERY_FAILED,
    RECOVERY_NOT_RUNNING, /* Nothing runs here, and nothing failed. */
} RecoveryState;

const char *recovery_state_name(
    RecoveryState state); /* It returns, for example, "reaching consistency". */

/* Where replay must get to, by what lies in the data directory. Nothing is guessed. */
typedef struct RecoveryGoal {
    Lsn lsn; /* 0 means that it is not known. */
    /* `lsn` is the end of the last segment that the target needs, so replay gets no further. */
    bool is_bound;
    bool has_no_target; /* It replays to the end of the archive. Nothing pauses it by itself. */
} RecoveryGoal;

/* Best effort: settings that can't be read are the server's to complain of. */
RecoveryGoal recovery_goal(const char *data, uint32_t wal_segment_size);

/* One look at a recovery. Plain data. */
typedef struct RecoverySight {
    RecoveryState state;
    Lsn replayed; /* 0 means that it is not known yet. */
    uint32_t timeline;
    TimeUs last_commit; /* It was replayed. It may be TIME_US_NONE. */
    char segment[64];   /* This segment is being replayed or waited for. It may be "". */
    bool is_waiting;    /* Recovery waits for that segment. */
    /*
     * With RECOVERY_FAILED it has the server's own words. With a pause it says why, if that is not
     * at the target.
     */
    char reason[512];
    char advice[256]; /* It says what to do about it. */
    /*
     * The server accepts connections, but not ours, and this says why. A pause can't be seen then.
     */
    char no_login[256];
    PgControl control;
    pid_t pid;
    /*
     * It is set by recovery_watch_to_end(): replay has ended, and the server shuts down at its
     * target, with a checkpoint.
     */
    bool is_closing;
    /*
     * They are time_monotonic() of recovery_watch_to_end(), as exact as its looks are frequent. 0
     * means that it was not seen.
     */
    TimeUs replay_from, replay_until;
} RecoverySight;

/*
 * What takes the time now, in words: "start of the server", "second start" (is_second: to pause or
 * open after a verified target), "replay", "checkpoint at the end of recovery", "checkpoint: the
 * server shuts down at its target"; "" once it is over.
 */
const char *recovery_phase_name(const RecoverySight *sight, bool is_second);

typedef struct RecoveryWatch RecoveryWatch;

typedef struct WatchSetup {
    const char *data;
    /* NULL means socket and port of postmaster.pid, and the user of the data directory. */
    const char *conninfo;
    const char *log_path; /* The server writes to it, if that is known. It may be NULL. */
    /* It is the server's when we started it, and then its exit status counts. Otherwise it is 0. */
    pid_t pid;
    /*
     * They bound the replay, for its progress. 0 means that it is not known. A server that was
     * stopped with a minRecoveryPoint before target has not reached it.
     */
    Lsn start, target;
    uint64_t stall_ms;   /* No progress for this long is a stall. 0 means that nothing is. */
    uint64_t timeout_ms; /* recovery_watch_to_end() uses it. 0 means that there is none. */
    Progress *progress;
    const char *phase; /* `progress` calls replay by this name. NULL means "replay". */
} WatchSetup;

RecoveryWatch *recovery_watch_new(const WatchSetup *setup);
void recovery_watch_freep(RecoveryWatch **watch); /* for CLEANUP() */

/*
 * Look once. ERR_IO, ERR_CORRUPT, ERR_NOT_FOUND when it could not look, ERR_USAGE when conninfo
 * leads to another server; a failed recovery is a state.
 *
 * By libpq when the server accepts connections; else by pg_control, postmaster.pid and the title of
 * the startup process, whose segment's first byte then counts as replayed (it may be a little
 * more).
 */
bool recovery_look(RecoveryWatch *watch, RecoverySight *sight, Error *err) MUST_CHECK;

/*
 * Look until a state that stays is reached: target reached, paused, open, failed, not running.
 * on_change is called at each change of state, when a stall begins or ends, and every interval_ms
 * (0: at changes only); it may be NULL. ERR_RECOVERY after timeout_ms; the server goes on.
 * ERR_POSTGRES when the server accepts connections but not ours, and nothing moves any more: most
 * likely it is paused, and whether it is can't be seen.
 */
typedef void RecoveryChange(void *context, const RecoverySight *sight, bool is_stalled);
bool recovery_watch_to_end(RecoveryWatch *watch, uint64_t interval_ms, RecoveryChange *on_change,
                           void *context, RecoverySight *sight, Error *err) MUST_CHECK;

typedef struct StartSetup {
    const char *data;
    const char *programs; /* The program postgres is in this directory. */
    const char *log_path; /* It gets stdout and stderr of the server. */
    /* Each "name=value" goes to -c. The list ends with NULL, or is NULL. */
    const char *const *settings;
    /* Each is "NAME=value". The list ends with NULL, or is NULL: base/process.h. */
    const char *const *env;
    /* It is called in the server's process before it starts, or is NULL: base/process.h. */
    bool (*in_child)(void);
} StartSetup;

/*
 * Start postgres itself (not pg_ctl: its exit status is the best signal) and return at once.
 * ERR_REFUSED when a server runs there already, or root owns the directory.
 */
bool recovery_start(const StartSetup *setup, pid_t *pid, Error *err) MUST_CHECK;
/* Fast: clients are disconnected. Waits until it is gone; true when none runs. ERR_UNREACHABLE. */
bool recovery_stop(const char *data, uint64_t timeout_ms, Error *err) MUST_CHECK;

/*
 * End a pause: promote a recovering server and wait until it is open. ERR_REFUSED when it is none,
 * or replays on towards its target: recovery never ends early by accident (a standby may be
 * promoted at any time). ERR_RECOVERY when it fails, ERR_UNREACHABLE when it is not open in time.
 */
bool recovery_promote(const char *data, const char *conninfo, uint64_t timeout_ms,
                      Error *err) MUST_CHECK;

/*
 * A session with the server that runs on this data directory, and with no other, in this database
 * (NULL: in the one that conninfo names); a lock is waited for 2 s, a statement ends after 10 s.
 * conninfo as in WatchSetup. ERR_NOT_FOUND when none runs; ERR_USAGE when conninfo leads elsewhere;
 * else as session_open().
 */
Session *recovery_session(const char *data, const char *conninfo, const char *database,
                          Error *err) MUST_CHECK;
/* The same as a connection string, in the arena; "" when no server runs. */
const char *recovery_conninfo(const char *data, const char *conninfo, const char *database,
                              Arena *arena);
