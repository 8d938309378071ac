/*
 * marker.h - pgcairn.restore: a restore is under way in this directory (docs/format.md, chapter 8).
 */
#pragma once

#include "base/held.h"
#include "rebuild/restore_plan.h"

typedef struct RestoreMarker {
    const char *backup, *cluster;
    uint64_t system_identifier;
    uint64_t pid;          /* It is the restore's process. */
    bool is_running;       /* That process is still at work on this host. */
    bool has_new_wal;      /* Its pg_wal holds only what restores have put there. */
    const char **wal_kept; /* Earlier attempts put the old pg_wal here. The list ends with NULL. */
    size_t wal_kept_count;
    const char **versions; /* The restore removes or writes these directories in tablespaces. */
    size_t version_count;
} RestoreMarker;

/* *found is false when there is none. ERR_CORRUPT when it is cut or changed. */
bool marker_load(const char *data, Arena *arena, RestoreMarker *marker, bool *found,
                 Error *err) MUST_CHECK;
/*
 * Durable once it returns, in place of an older one. data: of the plan, held open. has_new_wal: of
 * what is there now.
 */
bool marker_save(const RestorePlan *plan, const HeldDirectory *data, bool has_new_wal,
                 Error *err) MUST_CHECK;
bool marker_remove(const HeldDirectory *data, Error *err) MUST_CHECK;
