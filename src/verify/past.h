/*
 * past.h - backups that the journal knows.
 */
#pragma once

#include "verify_run.h"

/* What an entry of the journal says, if it is of a backup that was taken, or of some removed. */
void note_past_backup(VerifyRun *run, const char *object, const Record *record);
/* Those whose manifest is gone. */
bool verify_past_backups(VerifyRun *run, Error *err) MUST_CHECK;
/* After it: whether it was taken, and its manifest is gone. */
bool is_lost_backup(const VerifyRun *run, const char *id);
/* Of each backup: which pages were bad when it was taken. */
void past_tell_bad_pages(VerifyRun *run);
