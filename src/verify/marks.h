/*
 * marks.h - what is known against objects, told to whoever comes later (repo/mark.h).
 */
#pragma once

#include "verify_run.h"

/* is_good: what was known against it is taken back. Else the worst finding about it is the reason.
 */
void mark_backup(VerifyRun *run, size_t backup, const Manifest *manifest, bool is_good);
/* Those that the journal knows, and whose manifest is gone. After verify_past_backups(). */
void mark_lost_backups(VerifyRun *run);
/* problem: ERR_NONE when it was read whole and is good. */
void mark_wal(VerifyRun *run, const WalName *name, const Error *problem);
bool is_marked_backup(const VerifyRun *run, size_t backup);
bool is_marked_wal(const VerifyRun *run, const WalName *name);
/* Marks of what is not there any more, and that nothing misses. After verify_past_backups(). */
void forget_marks_of_nothing(VerifyRun *run);
