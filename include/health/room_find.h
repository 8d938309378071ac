/*
 * room_find.h - the room of a repository's file system, and what goes into it, by what was listed.
 */
#pragma once

#include "catalog/backups.h"
#include "health/repository_room.h"

/* Texts in the arena. ERR_INTERRUPTED and ERR_INTERNAL; all else is a fact. */
bool room_find(const Cluster *cluster, const WalInventory *wal, const BackupList *backups,
               Arena *arena, RepositoryRoom *room, Error *err) MUST_CHECK;
/* The same for a caller that has listed nothing: of WAL in full folders what is remembered is
 * taken. */
bool room_load(const Cluster *cluster, Arena *arena, RepositoryRoom *room, Error *err) MUST_CHECK;
