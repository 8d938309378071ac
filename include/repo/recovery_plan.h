/*
 * recovery_plan.h - what restore tells archive-get about the recovery it has prepared: the timeline
 * and the last segment that the target needs. docs/format.md, chapter 8.
 *
 * The server reads ahead, so it asks for segments after its target; without the bound a hole there
 * would stop a recovery that does not need it. A bound that no longer fits is dangerous, hence it
 * counts only while the target settings on disk are those it was computed from.
 *
 * restore, when all settings are written:
 *
 *     recovery_settings_on_disk(data->path, &arena, &plan.settings, err) &&
 *         recovery_plan_save(data, &plan, err)
 */
#pragma once

#include "base/held.h"
#include "base/memory.h"
#include "postgres/wal_name.h"

#define RECOVERY_PLAN_FILE "pgcairn.recovery"

typedef struct RecoveryPlan {
    uint32_t timeline; /* It is the recovery's target timeline. */
    /* It is the last segment that the target needs, or "" when all of the WAL is needed. */
    char bound[WAL_NAME_SIZE];
    /* Replay ends here at the target. 0 means that there is none, or that it is not known. */
    Lsn target_end;
    /*
     * Without a target, it is the last complete segment that the archive had when this was written.
     * "" means that it is not known.
     */
    char archive_end[WAL_NAME_SIZE];
    /* It is the data directory that was restored. NULL means that the plan does not say. */
    const char *data;
    const char *settings; /* The plan was computed for these recovery_settings_on_disk(). */
} RecoveryPlan;

/*
 * The target settings in DATA/postgresql.conf (missing is fine: it may live elsewhere) and
 * DATA/postgresql.auto.conf: "name=value" by name, separated by LF; "" when there is none. Every
 * recovery_target* that is not empty, but for recovery_target_action: what happens at the target
 * does not move it, and restore changes it between its two starts.
 * ERR_USAGE where the server would not read the files, ERR_IO.
 */
bool recovery_settings_on_disk(const char *data, Arena *arena, const char **settings,
                               Error *err) MUST_CHECK;

/* One value out of such a text, in the arena; NULL when it is not set. */
const char *recovery_settings_value(const char *settings, const char *name, Arena *arena);

/*
 * Whether they name a target (time, xid, lsn, name, immediate). Then the server itself refuses to
 * open when it runs out of WAL before the target ("recovery ended before configured recovery target
 * was reached", 13 and later).
 */
bool recovery_settings_have_target(const char *settings);

/*
 * DATA/pgcairn.recovery, durable, in place of an older one; owned by whom the data directory
 * belongs to, since the server's user must read it.
 */
bool recovery_plan_save(const HeldDirectory *data, const RecoveryPlan *plan, Error *err) MUST_CHECK;

/* ERR_NOT_FOUND when there is none; ERR_CORRUPT, ERR_VERSION, ERR_IO. Strings go into arena. */
bool recovery_plan_load(const char *data, Arena *arena, RecoveryPlan *plan, Error *err) MUST_CHECK;

/* Remove it, durably; missing is fine. */
bool recovery_plan_remove(const HeldDirectory *data, Error *err) MUST_CHECK;
