/*
 * fork_check.h - whether a server's new timeline left the archive's WAL, or another server's.
 *
 * A server that is promoted archives the history of its new timeline before any WAL of it, and
 * from then on recovery follows that timeline. Its first segment lies beside the history and begins
 * with the parent's WAL up to the fork, so it shows whose WAL that was: a copy of the cluster that
 * went on by itself and was promoted later has other WAL there than the archive.
 */
#pragma once

#include "postgres/history.h"
#include "repo/repo.h"

/*
 * folder: where the history lies, as pg_wal. ERR_REFUSED with the place. Nothing is known, and all
 * is well, when the first segment is not there, or the archive has nothing to compare it with.
 */
bool fork_check(const Cluster *cluster, const char *folder, const TimelinePath *path,
                Error *err) MUST_CHECK;
