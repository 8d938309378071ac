/*
 * stock_manifest.h - backup_manifest in a restored directory: for pg_verifybackup, a program that
 * is not ours.
 *
 * It takes no notice of postgresql.auto.conf, recovery.signal and pg_wal; all else that lies in the
 * directory must be listed.
 */
#pragma once

#include "rebuild/restore_plan.h"

/*
 * Once the files that it lists are there. One that has just this content already is left as it is:
 * with many files it is all that a restore in place has to write where nothing differs.
 */
bool stock_manifest_put(const RestorePlan *plan, Error *err) MUST_CHECK;
