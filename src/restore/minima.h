/*
 * minima.h - parameters that a server must have at least as high as the primary had them, or it is
 * not a hot standby: then a recovery can neither be watched from inside nor paused at its target.
 */
#pragma once

#include "restore/restore.h"

/*
 * plan->decision.minima: what pg_control of the backup and the WAL up to the target demand.
 * ERR_CORRUPT when pg_control can't be read, ERR_UNREACHABLE.
 */
bool minima_find(const Cluster *cluster, const WalInventory *inventory, unsigned threads,
                 RestorePlan *plan, Error *err) MUST_CHECK;

/* A warning in the plan when the configuration that comes back has less of something. */
void minima_warn(const Cluster *cluster, RestorePlan *plan);
