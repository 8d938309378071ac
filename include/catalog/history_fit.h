/*
 * history_fit.h - whether a timeline's history agrees with the histories that the archive has.
 *
 * A server's history begins with its parent's, line by line. So where two of them speak of one
 * timeline, that one comes from the same ancestors, from the same places. A history that says
 * otherwise is that of another server, promoted apart: its timelines only have the same numbers.
 */
#pragma once

#include "walk/inventory.h"

/*
 * Whether the longer path leads along the shorter one's timelines as that one says: pure. The
 * shorter one's last timeline must be on the longer one.
 */
bool path_leads_along(const TimelinePath *longer, const TimelinePath *shorter);

/*
 * path: by the history that is to be archived. ERR_REFUSED, naming both histories, when one in the
 * archive says otherwise, or when WAL of its timeline is there from before its beginning. What
 * can't be read in the archive says nothing; ERR_UNREACHABLE and ERR_INTERRUPTED.
 */
bool history_fits(const Cluster *cluster, const TimelinePath *path, Error *err) MUST_CHECK;
