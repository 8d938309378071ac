/*
 * unlogged.h - files of unlogged relations that must not be restored.
 *
 * At the end of recovery the server copies the init fork of each unlogged relation to its main fork
 * and fails when that is there (reinit.c, copy_file); what it removes before are the main forks
 * whose init forks were there when recovery began. CREATE INDEX on an unlogged table builds the
 * main fork first and makes the init fork at the end, which may be hours later (index.c,
 * index_build). A backup in between has the one and not the other, and the WAL that creates the
 * other may come after it: so only the WAL up to the target tells that a file is useless.
 */
#pragma once

#include "postgres/wal_changes.h"
#include "rebuild/restore_plan.h"
#include "walk/inventory.h"

/* Whether the record that a segment leaves incomplete may be one that creates an init fork. */
bool init_forks_in_tail(const WalReaderState *reader, unsigned major);

/*
 * Take the main forks of relations, and their maps, out of plan->decision.manifest whose init forks
 * the WAL up to the target creates. Reads segments only when plan->decision.makes_init_forks.
 */
bool unlogged_leave_out(const Cluster *cluster, const WalInventory *inventory, unsigned threads,
                        RestorePlan *plan, Error *err) MUST_CHECK;

/* The files of one relation, but its init fork; how many there were. */
size_t unlogged_drop(Manifest *manifest, const RelationFile *file);
