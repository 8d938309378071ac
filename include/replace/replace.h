/*
 * replace.h - what was there before: its WAL goes into the archive, and what is kept of it goes
 * last.
 */
#pragma once

#include "rebuild/restore_plan.h"

/*
 * Push what the old data directory has and the archive has not: files marked .ready and complete
 * segments without a mark, in the server's order, if they are proven to be of the archive's history
 * and the directory's server archives here; nothing for a copy (as_copy), unless a timeline is to
 * be saved. Stops at the first that is not taken, or that was archived elsewhere: *unsaved counts
 * those left, *reason says why. ERR_REFUSED when the archive has other content under a
 * name by now.
 */
typedef struct WalSaved {
    uint64_t pushed;
    uint64_t unsaved;
    Error reason;
} WalSaved;
bool restore_save_wal(const Cluster *cluster, const RestoreRequest *request,
                      const RestorePlan *plan, WalSaved *saved, Error *err) MUST_CHECK;

/*
 * To be called after the run, and best once the new database is open. What REMOVES_OLD_LAST has
 * kept until then is removed, except its WAL (plan->old.wal_kept), and plan->old.moved_to becomes
 * NULL. An error has no effect on what was restored.
 */
bool restore_remove_old(RestorePlan *plan, Error *err) MUST_CHECK;

/*
 * What this restore and earlier ones have left next to the data directory and its tablespaces and
 * the restored cluster does not use, including the server's log. They are paths, sorted, in the
 * arena. What can't be listed is not among them.
 */
const char *const *restore_leftovers(const RestorePlan *plan, Arena *arena, size_t *count);
