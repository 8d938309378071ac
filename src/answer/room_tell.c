#include "answer/room_tell.h"

#include <math.h>

static double room_growth(const RepositoryRoom *room)
{
    return (room->backups.is_known ? room->backups.bytes_per_day : 0) +
           (room->wal.is_known ? room->wal.bytes_per_day : 0);
}

const char *room_growth_text(const RepositoryRoom *room, Arena *arena)
{
    char bytes[OUT_TEXT_SIZE], left[OUT_TEXT_SIZE];
    const char *text;

    if (!room->backups.is_known && !room->wal.is_known)
        return "";
    text = arena_format(arena, "; it grows by %s%s a day", room->is_at_most ? "at least " : "",
                        out_bytes((uint64_t)room_growth(room), bytes));
    if (room->full_in == TIME_US_NONE)
        return text;
    return arena_format(arena, "%s, and the disk is full in %s%s", text,
                        room->is_at_most ? "at most " : "", out_duration(room->full_in, left));
}

/* What is not known is not a number, and null in JSON. */
void room_growth_to_json(const RepositoryRoom *room, Json *json)
{
    const bool is_measured = room->backups.is_known || room->wal.is_known;

    json_double(json, "bytes_per_day", is_measured ? room_growth(room) : NAN);
    json_double(json, "full_in_s",
                room->full_in != TIME_US_NONE ? time_seconds(room->full_in) : NAN);
}
