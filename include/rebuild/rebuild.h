/*
 * rebuild.h - the files of a backup, each byte verified, written by several threads.
 *
 * global/pg_control is not among them: restore/run.c writes it when all else is durable.
 */
#pragma once

#include "rebuild/stored_wal.h"

/* is_synced: fsync each file (where syncfs does not serve, see durability.h). check: what it finds
 * ends the work; may be NULL. */
bool rebuild_files(const Cluster *cluster, const RestorePlan *plan, unsigned jobs, bool is_synced,
                   WalCheck *check, Progress *progress, RestoreReport *report,
                   Error *err) MUST_CHECK;

/* The same, but nothing is written: whether it can be done. */
bool rebuild_check(const Cluster *cluster, const RestorePlan *plan, unsigned jobs,
                   Progress *progress, Error *err) MUST_CHECK;
