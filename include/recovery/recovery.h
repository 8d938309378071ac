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
    RECOVERY_TARGET_REACHED, /* stopped at the target (action shutdown) */
    RECOVERY_PAUSED,
    RECOVERY_PROMOTING,
    RECOVERY_OPEN,
    RECOVERY_FAILED,
    RECOVERY_NOT_RUNNING, /* nothing runs here, and nothing failed */
} RecoveryState;

const char *recovery_state_name(RecoveryState state); /* "reaching consistency" */

/* Where replay must get to, by what lies in the data directory. Nothing is guessed. */
typedef struct RecoveryGoal {
    Lsn lsn;            /* 0: not known */
    bool is_bound;      /* the end of the last segment that the target needs: at most so far */
    bool has_no_target; /* it replays to the end of the archive: nothing pauses it by itself */
} RecoveryGoal;

/* Best effort: settings that can't be read are the server's to complain of. */
RecoveryGoal recovery_goal(const char *data, uint32_t wal_segment_size);

/* One look at a recovery. Plain data. */
typedef struct RecoverySight {
    RecoveryState state;
    Lsn replayed; /* 0: not known yet */
    uint32_t timeline;
    TimeUs last_commit; /* replayed; TIME_US_NONE */
    char segment[64];   /* being replayed or waited for; "" */
    bool is_waiting;    /* ... for that segment */
    char reason[512]; /* RECOVERY_FAILED: the server's own words. Paused: why, if not at the target
                       */
    char advice[256]; /* ... and what to do */
    char no_login[256]; /* it accepts connections, and not ours: why. A pause can't be seen then */
    PgControl control;
    pid_t pid;
    bool is_closing; /* of recovery_watch_to_end(): replay has ended, the server shuts down at its
                        target, with a checkpoint */
    /* Of recovery_watch_to_end(), time_monotonic(), as exact as it looks often; 0: not seen. */
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
    const char *conninfo; /* NULL: from postmaster.pid (socket, port), user of the data directory */
    const char *log_path; /* where the server writes, if it is known; may be NULL */
    pid_t pid;            /* of the server when we started it: its exit status counts then; or 0 */
    Lsn start, target;    /* of replay, for progress; 0: not known. A server that was stopped with
                             a minRecoveryPoint before target has not reached it */
    uint64_t stall_ms;    /* no progress for so long is a stall; 0: nothing is */
    uint64_t timeout_ms;  /* for recovery_watch_to_end(); 0: none */
    Progress *progress;
    const char *phase; /* what replay is called in it; NULL: "replay" */
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
    const char *programs;        /* directory of postgres */
    const char *log_path;        /* its stdout and stderr */
    const char *const *settings; /* "name=value" for -c, NULL-terminated; may be NULL */
    const char *const *env;      /* "NAME=value", NULL-terminated; may be NULL: base/process.h */
    bool (*in_child)(void);      /* what the server gives up, or NULL: base/process.h */
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
