/*
 * fork_wal.h - the segments in which timelines are left.
 */
#pragma once

#include "rebuild/restore_plan.h"

/*
 * Where a timeline begins in the middle of a segment, a recovery reads that segment as the child's,
 * which begins with a copy of the parent's records. But for as long as it replays those it is on
 * the parent, and looks there for transactions that were prepared in it: at a shutdown checkpoint,
 * at the end of recovery (twophase.c, XlogReadTwoPhaseData; xlogutils.c, wal_segment_open). It does
 * not ask restore_command for that, and ends with "requested WAL segment ... has already been
 * removed". So the parent's segment is put into pg_wal as well, where a server that was there all
 * the time has it, too; if the archive has it: most recoveries never look.
 */
bool fork_wal_put(const Cluster *cluster, const RestoreRequest *request, const RestorePlan *plan,
                  Error *err) MUST_CHECK;
