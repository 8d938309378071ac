#include "health/repository_room.h"

#include <stdlib.h>

static const TimeUs DAY = 86400 * (TimeUs)1000000;
static const double DAYS_MAX = 36500; /* Beyond a century, the exact number does not matter. */

static int room_newest_first(const void *one, const void *other)
{
    const RoomBackup *a = one, *b = other;

    return (a->at < b->at) - (a->at > b->at);
}

static RoomGrowth growth_of(double bytes, TimeUs measured)
{
    if (measured < ROOM_MEASURED_MIN)
        return (RoomGrowth){.is_known = false};
    return (RoomGrowth){.is_known = true,
                        .bytes_per_day = bytes * (double)DAY / (double)measured,
                        .measured = measured};
}

/* A full one among increments is not what comes next. */
static uint64_t largest_backup(const RoomBackup *backups, size_t count)
{
    uint64_t increment = 0, any = 0;

    for (size_t i = 0; i < count; i++) {
        const uint64_t bytes = backups[i].stored_bytes;

        if (bytes > any)
            any = bytes;
        if (backups[i].is_increment && bytes > increment)
            increment = bytes;
    }
    return increment > 0 ? increment : any;
}

void room_measure_backups(RepositoryRoom *room, RoomBackup *backups, size_t count)
{
    double bytes = 0;

    room->backups = (RoomGrowth){.is_known = false};
    room->next_bytes = 0;
    if (count == 0)
        return;
    qsort(backups, count, sizeof *backups, room_newest_first);
    if (count > ROOM_BACKUPS_MAX)
        count = ROOM_BACKUPS_MAX;
    for (size_t i = 0; i + 1 < count; i++)
        bytes += (double)backups[i].stored_bytes;
    room->backups = growth_of(bytes, backups[0].at - backups[count - 1].at);
    room->next_bytes = largest_backup(backups, count);
}

/* Of the objects of a run: the oldest time, if that is before `oldest`. */
static TimeUs oldest_of_run(const WalRun *run, TimeUs oldest)
{
    for (uint64_t i = 0; i <= run->last - run->first; i++) {
        if (run->stored[i].at != TIME_US_NONE && run->stored[i].at < oldest)
            oldest = run->stored[i].at;
    }
    return oldest;
}

static double bytes_of_run_since(const WalRun *run, TimeUs since)
{
    double bytes = 0;

    for (uint64_t i = 0; i <= run->last - run->first; i++) {
        if (run->stored[i].at != TIME_US_NONE && run->stored[i].at > since)
            bytes += (double)run->stored[i].size;
    }
    return bytes;
}

void room_measure_wal(RepositoryRoom *room, const WalRun *runs, size_t count, TimeUs now)
{
    TimeUs since = now;
    double bytes = 0;

    for (size_t i = 0; i < count; i++)
        since = oldest_of_run(&runs[i], since);
    if (since < now - ROOM_WAL_SPAN)
        since = now - ROOM_WAL_SPAN;
    for (size_t i = 0; i < count; i++)
        bytes += bytes_of_run_since(&runs[i], since);
    room->wal = growth_of(bytes, now - since);
}

void room_forecast(RepositoryRoom *room)
{
    const double growth = (room->backups.is_known ? room->backups.bytes_per_day : 0) +
                          (room->wal.is_known ? room->wal.bytes_per_day : 0);

    room->is_at_most = !room->backups.is_known || !room->wal.is_known;
    room->full_in = TIME_US_NONE;
    if (!room->is_known || growth <= 0)
        return;
    const double days = (double)room->place.free_bytes / growth;
    room->full_in = (TimeUs)((days < DAYS_MAX ? days : DAYS_MAX) * (double)DAY);
}

/* Whether `halves` halves of the next backup do not fit. */
static bool next_does_not_fit(const RepositoryRoom *room, unsigned halves)
{
    return (double)room->place.free_bytes < (double)room->next_bytes * halves / 2;
}

static bool room_ends_within(const RepositoryRoom *room, int days)
{
    return room->full_in != TIME_US_NONE && room->full_in < days * DAY;
}

RoomVerdict room_verdict(const RepositoryRoom *room)
{
    if (!room->is_known)
        return ROOM_ENOUGH;
    if (room->place.free_bytes == 0 || next_does_not_fit(room, 3) || room_ends_within(room, 1))
        return ROOM_OUT;
    return next_does_not_fit(room, 6) || room_ends_within(room, 7) ? ROOM_SHORT : ROOM_ENOUGH;
}

bool room_is_short_for_backup(const RepositoryRoom *room)
{
    return next_does_not_fit(room, room_verdict(room) == ROOM_OUT ? 3 : 6);
}
