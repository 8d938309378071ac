/*
 * repository_room.h - how much room the repository's file system has, what goes into it a day, and
 * for how long that is enough.
 *
 * Measured, never guessed: by what the backups that are there have stored, and by the sizes and
 * times of the WAL that a listing tells. Of one cluster: what others bring to the same file system
 * is not in it. Nothing is subtracted for what retention will remove.
 */
#pragma once

#include "walk/inventory.h"

enum { ROOM_BACKUPS_MAX = 10 }; /* Only this many are looked at, the newest. */

/* Growth over less than this says nothing about a day. */
static const TimeUs ROOM_MEASURED_MIN = 3600 * 1000000LL;
/* WAL that was stored longer ago says little about tomorrow. */
static const TimeUs ROOM_WAL_SPAN = 604800 * 1000000LL;

typedef struct RoomGrowth {
    bool is_known;
    double bytes_per_day;
    TimeUs measured; /* The growth was measured over this time. */
} RoomGrowth;

typedef struct RepositoryRoom {
    bool is_known;      /* `place` is valid. */
    const char *reason; /* It says why it is not known, or is "". */
    StorageRoom place;
    RoomGrowth backups, wal;
    /*
     * It is the most that one of the last backups stored. Only increments count if there are any. 0
     * means that it is not known.
     */
    uint64_t next_bytes;
    /*
     * The place is full in this time, at this growth. TIME_US_NONE means never, or that it is not
     * known.
     */
    TimeUs full_in;
    bool is_at_most; /* One of the two growths is not known, so full_in is an upper bound. */
} RepositoryRoom;

/* A backup that is there. */
typedef struct RoomBackup {
    TimeUs at; /* The backup ended then. */
    uint64_t stored_bytes;
    bool is_increment;
} RoomBackup;

/*
 * Pure, as all that follows. Between the first and the last of the newest backups: what all but the
 * first of them have stored. In any order; they are sorted.
 */
void room_measure_backups(RepositoryRoom *room, RoomBackup *backups, size_t count);
/* What was stored in the last ROOM_WAL_SPAN, or since the first object, if that is younger. */
void room_measure_wal(RepositoryRoom *room, const WalRun *runs, size_t count, TimeUs now);
/* full_in, once both are measured. */
void room_forecast(RepositoryRoom *room);

typedef enum RoomVerdict {
    ROOM_ENOUGH,
    ROOM_SHORT, /* There is no room for three backups like the last ones, or for seven days. */
    ROOM_OUT,   /* There is no room for one and a half backups, or for a day. */
} RoomVerdict;
RoomVerdict room_verdict(const RepositoryRoom *room);
/* Whether the verdict is because of the next backups, and not of the days that are left. */
bool room_is_short_for_backup(const RepositoryRoom *room);
