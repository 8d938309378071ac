/*
 * room_tell.h - how a repository grows, and when its disk is full, where no policy removes
 * anything.
 */
#pragma once

#include "cli/output.h"
#include "health/repository_room.h"

/* "; it grows by 4.6 GiB a day, and the disk is full in 46 d 3 h"; "" where nothing was measured.
 * In the arena. */
const char *room_growth_text(const RepositoryRoom *room, Arena *arena);
/* Null where nothing was measured. */
void room_growth_to_json(const RepositoryRoom *room, Json *json);
