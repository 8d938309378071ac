/*
 * room_look.c - the repository's file system, and what the listings say that goes into it.
 */
#include "look.h"

static void look_at_backups(Health *health, Arena *arena)
{
    const BackupList *list = &health->backups;
    RoomBackup *backups = arena_alloc(arena, (list->count + 1) * sizeof *backups);
    size_t count = 0;

    for (size_t i = 0; i < list->count; i++) {
        const BackupInfo *backup = &list->items[i];

        if (!backup->has_header)
            continue;
        backups[count++] = (RoomBackup){.at = backup->header.stopped_at,
                                        .stored_bytes = backup->stored_bytes,
                                        .is_increment = *backup->header.base != '\0'};
    }
    room_measure_backups(&health->room, backups, count);
}

bool room_look(Health *health, Arena *arena, Error *err)
{
    RepositoryRoom *room = &health->room;
    Error attempt = {0};

    *room = (RepositoryRoom){.reason = ""};
    room->is_known = storage_room(health->cluster.repo->storage, &room->place, &attempt);
    if (!room->is_known && is_final(&attempt))
        return error_pass(err, &attempt);
    if (!room->is_known)
        room->reason = arena_text(arena, attempt.message);
    look_at_backups(health, arena);
    room_measure_wal(room, health->wal.runs, health->wal.run_count, time_now());
    room_forecast(room);
    return true;
}
