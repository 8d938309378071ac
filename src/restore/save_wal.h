/*
 * save_wal.h - the WAL of an old data directory that the archive does not have.
 */
#pragma once

#include "restore/restore.h"

/*
 * A recovery to `latest` of the same cluster replays what the old directory has behind the
 * archive's end: the segments that follow it without a gap are copied into the new pg_wal, where
 * the server looks when the archive has no more. *count: how many.
 */
bool save_wal_tail(const Cluster *cluster, const RestoreWish *wish, const RestorePlan *plan,
                   uint64_t *count, Error *err) MUST_CHECK;
