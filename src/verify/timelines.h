/*
 * timelines.h - which timelines there are, and where each began.
 */
#pragma once

#include "verify_run.h"

bool survey_timelines(VerifyRun *run, Error *err) MUST_CHECK;
/* NULL when nothing is known of it. */
const TimelineFacts *timeline_find(const VerifyRun *run, uint32_t timeline);
/* Whether WAL at this place counts: always, or only for the backup that is asked for. */
bool is_wal_wanted(const VerifyRun *run, uint32_t timeline, uint64_t segment);
/* Whether a recovery from this backup can follow this path. */
bool is_backup_on_path(const BackupFacts *backup, const TimelinePath *path);
/* None of its WAL is there, and nothing goes on from it: that is told of its history. */
bool timeline_has_only_begun(const VerifyRun *run, uint32_t timeline);
