/*
 * room_look.c - the repository's file system, and what the listings say that goes into it.
 */
#include "health/room_find.h"
#include "look.h"

static void look_at_backups(const BackupList *list, Arena *arena, RepositoryRoom *room)
{
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
    room_measure_backups(room, backups, count);
}

bool room_find(const Cluster *cluster, const WalInventory *wal, const BackupList *backups,
               Arena *arena, RepositoryRoom *room, Error *err)
{
    Error attempt = {0};

    *room = (RepositoryRoom){.reason = "", .full_in = TIME_US_NONE};
    room->is_known = storage_room(cluster->repo->storage, &room->place, &attempt);
    if (!room->is_known && is_final(&attempt))
        return error_pass(err, &attempt);
    if (!room->is_known)
        room->reason = arena_text(arena, attempt.message);
    look_at_backups(backups, arena, room);
    room_measure_wal(room, wal->runs, wal->run_count, time_now());
    room_forecast(room);
    return true;
}

bool room_load(const Cluster *cluster, Arena *arena, RepositoryRoom *room, Error *err)
{
    CLEANUP(wal_inventory_done) WalInventory wal = {0};
    CLEANUP(backup_list_done) BackupList backups = {0};
    Error attempt = {0};

    if (wal_inventory_load_remembered(&wal, cluster, &attempt) &&
        backup_list_load(&backups, cluster, &wal, &attempt))
        return room_find(cluster, &wal, &backups, arena, room, err);
    *room = (RepositoryRoom){.reason = arena_text(arena, attempt.message), .full_in = TIME_US_NONE};
    return !is_final(&attempt) || error_pass(err, &attempt);
}

bool room_look(Health *health, Arena *arena, Error *err)
{
    return room_find(&health->cluster, &health->wal, &health->backups, arena, &health->room, err);
}
