/*
 * remembered.h - what was found good before, and is not read again.
 */
#pragma once

#include "verify_run.h"

/* Sets is_believed when it still is what was read then, by its head and by the listing. */
void believe_backup(VerifyRun *run, size_t backup, const ManifestHead *head);
/* Not of one that shares a pack with a backup that is read. Once all are surveyed. */
void doubt_shared(VerifyRun *run);
/* is_good: remember it; else what is remembered of it goes. */
void remember_backup(VerifyRun *run, size_t backup, const Manifest *manifest, bool is_good);
/* Of backups that are not there any more nothing is remembered. */
void forget_lost_backups(VerifyRun *run);
/* Once: why it is not remembered is told in the report. */
void note_unremembered(VerifyRun *run, const Error *problem);
bool is_known_object(const Cluster *cluster, const char *object);
void count_believed(VerifyRun *run, uint64_t bytes, TimeUs verified_at);
