/*
 * configuration.h - where the restored server's configuration is, and what it must be told of that.
 *
 * The configuration says itself where it is: data_directory, hba_file, include, all of it as it was
 * on the host of the backup. What came from outside the data directory is
 *
 *   - left alone where it lies, when the cluster comes back to its own place and the files there
 * are what they were at the backup;
 *   - put back, when it was in /etc/postgresql/VERSION/NAME (Debian) and is not there any more;
 *   - otherwise kept beside the data directory, in plan->placement.extra_directory.
 *
 * Whatever it says, the server that is started is the restored one: it is told with -c.
 */
#pragma once

#include "rebuild/restore_plan.h"

/* Before anything is touched: which of the three. May take entries out of plan->decision.manifest.
 */
bool configuration_plan(const Cluster *cluster, const RestoreRequest *request, RestorePlan *plan,
                        Error *err) MUST_CHECK;

/*
 * The files are there: reads them as the server would, each from where it lies now, and decides
 * plan->configuration.config_file and its kin. When they don't fit together any more, because one
 * includes by an absolute path what is elsewhere now, or what this host does not have, one file is
 * made of them for the start. What can't be read is told and no failure: the data is whole without
 * it.
 */
bool configuration_settle(RestorePlan *plan, Error *err) MUST_CHECK;
