/*
 * backup_tell.h - one backup as `list` tells it: what it is, and what it shares with others.
 */
#pragma once

#include "catalog/backups.h"
#include "cli/output.h"

enum { BACKUP_LABEL_SIZE = 1024 }; /* MAXPGPATH, xlogbackup.c */

const char *backup_state_text(BackupState state); /* It returns, for example, "restorable". */

/*
 * The note that the backup was given: the server has put it into backup_label. False: none was, the
 * server got ours.
 */
bool backup_label_of(const BackupInfo *backup, char label[BACKUP_LABEL_SIZE]);

/* An object of a list. */
void backup_info_to_json(const BackupInfo *backup, Json *json);
/* All of it, for people. */
void backup_tell_full(const BackupInfo *backup, const Cluster *cluster);
