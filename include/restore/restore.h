/*
 * restore.h - plan a restore, carry it out.
 *
 *     restore_plan()        looks and decides, changes nothing
 *     restore_save_wal()    what only the old data directory has goes into the archive
 *     restore_run()         does what the plan says
 *
 * What is half restored has no pg_control and can't be started (docs/format.md, chapter 8).
 */
#pragma once

#include "rebuild/recovery_settings.h"
#include "replace/replace.h"

/*
 * Every refusal happens here, before anything is touched: ERR_REFUSED (server
 * running, directory occupied, space, target before the backup's end, ...), ERR_NOT_FOUND (no such
 * backup, target not in the archive; the message names the nearest reachable instants),
 * ERR_CORRUPT (a hole or damage lies before the target).
 */
bool restore_plan(const Cluster *cluster, const RestoreRequest *request, RestorePlan *plan,
                  Error *err) MUST_CHECK;

/*
 * The WAL up to the target is read and its stored bytes are checked. Where a cluster is replaced,
 * that happens before anything is touched, and otherwise while the files are copied. ERR_CORRUPT
 * when they are bad.
 */
bool restore_run(const Cluster *cluster, const RestoreRequest *request, RestorePlan *plan,
                 RestoreReport *report, Error *err) MUST_CHECK;
void restore_plan_done(RestorePlan *plan); /* for CLEANUP() */

/*
 * After the run: "max_connections=90" for each parameter that the restored configuration has lower
 * than the WAL up to the target demands of a hot standby; NULL-terminated, in the plan's arena. A
 * server without them ends, or pauses before its target (docs/postgres-facts.md 7.4).
 */
const char *const *restore_raised_parameters(RestorePlan *plan);

/*
 * Before a copy is started: where its configuration lets it listen another server may be, the
 * original above all, or there is no such directory on this host. Then *directory is where its
 * socket will be, and the restored settings say so; NULL: it listens where it is configured to.
 */
bool restore_listen_beside(RestorePlan *plan, const char **directory, Error *err) MUST_CHECK;
