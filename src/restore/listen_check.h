/*
 * listen_check.h - whether another server has the place where the restored one is to listen.
 */
#pragma once

#include "restore/restore.h"

/*
 * For a server that is to be started: refused (ERR_REFUSED) when another one has its socket or all
 * its addresses, in the plan of a dry run as what would be refused. A warning in the plan when the
 * configuration includes files, which may say something else by then. The manifest is in the plan.
 */
bool listen_check(const Cluster *cluster, const RestoreRequest *request, RestorePlan *plan,
                  Error *err) MUST_CHECK;
