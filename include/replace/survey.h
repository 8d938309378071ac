/*
 * survey.h - what is replaced is gone through first: what must not go with it, and how much it is.
 *
 * Nothing of the old directory is touched before all of it was seen: a repository or a spool in it,
 * by path, through a link or from a second mount of the same place, a mount that can neither be
 * renamed nor removed, what may not be read.
 */
#pragma once

#include "rebuild/restore_plan.h"

/*
 * The old data directory and the version directories of its tablespaces, as plan->old.choice will
 * have them: removed, or under another name. Fills plan->old.bytes, wal_bytes and
 * version_bytes. ERR_REFUSED.
 */
bool survey_old(const RestoreRequest *request, RestorePlan *plan, Error *err) MUST_CHECK;

/*
 * The new data directory and its tablespaces: whether one of them would be in what is needed later,
 * a repository above all, by path, link or second mount. ERR_REFUSED.
 */
bool survey_new(const RestoreRequest *request, const RestorePlan *plan, Error *err) MUST_CHECK;
