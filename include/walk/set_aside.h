/*
 * set_aside.h - whether WAL goes on from what wal-quarantine took out of the way.
 *
 * A copy whose WAL was set aside may go on archiving: it knows nothing of that. What it stores next
 * has nothing before it, so that no back link tells whose it is, and it would stand in the way of
 * the right server's segment of that name.
 */
#pragma once

#include "postgres/wal_name.h"
#include "repo/layout.h"
#include "repo/repo.h"
#include "walk/wal_follows.h"

/*
 * *id: the newest quarantine that has this file; "": none, or what was set aside can't be listed.
 * ERR_INTERRUPTED, ERR_UNREACHABLE.
 */
bool wal_set_aside_as(const Cluster *cluster, const WalName *name, char id[BACKUP_ID_SIZE],
                      Error *err) MUST_CHECK;

/*
 * ERR_REFUSED when the segment before this one, or its timeline's history, is not in the archive
 * and was set aside. `before` as wal_before_load() left it: before the first segment of a timeline
 * that is the parent's, whatever another server's timeline of the same number had there. To be
 * asked where that one is not known to be of this timeline: it lists what was set aside. Other
 * errors: ERR_INTERRUPTED, ERR_UNREACHABLE.
 */
bool wal_not_set_aside(const Cluster *cluster, const WalName *name, const WalBefore *before,
                       Error *err) MUST_CHECK;
