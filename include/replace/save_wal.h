/*
 * save_wal.h - the WAL of an old data directory that the archive does not have: into the archive
 * (restore_save_wal(), restore.h), and into the new pg_wal.
 */
#pragma once

#include "replace/old_directory.h"
#include "replace/replace.h"

/*
 * What the recovery needs and only a directory has: segments, and histories of its path. Fills
 * plan->old.local_wal. inventory: with the directories' files (old_directory_add).
 */
bool save_wal_plan(const Cluster *cluster, const WalInventory *inventory,
                   const OldDirectory *directory, RestorePlan *plan, Error *err) MUST_CHECK;

/*
 * Copied into the new pg_wal, where the server looks when restore_command has no more; from where
 * the old one is now. *count: how many segments. What went into the archive meanwhile is left out.
 */
bool save_wal_put(const Cluster *cluster, const RestorePlan *plan, uint64_t *count,
                  Error *err) MUST_CHECK;
