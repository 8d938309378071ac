/*
 * restore_points.h - restore points (pg_create_restore_point) by their names, and times that are
 * not in the order of the WAL.
 *
 * A name can be given many times; the server stops at the first one that it replays. NAME@2 means
 * the second one of NAME on the path, by the order of the WAL, unless a restore point is called
 * "NAME@2" itself.
 */
#pragma once

#include "walk/wal_walk.h"

typedef struct RestorePoint {
    Lsn lsn; /* Its record starts here. */
    TimeUs time;
    const char *name;
} RestorePoint;

typedef struct RestorePointList {
    RestorePoint *items; /* They come in the order of the WAL. */
    size_t count;
    Arena arena;
} RestorePointList;

/*
 * All of this name (NULL: of any name) along walk->path, over holes and damage; from and to are not
 * looked at. What can't be read holds none.
 */
bool restore_points_find(const WalWalk *walk, const char *name, RestorePointList *list,
                         Error *err) MUST_CHECK;
void restore_points_done(RestorePointList *list); /* for CLEANUP() */

/* "before drop@2": the size of the name in it, and 2. False: it has no number. */
bool restore_point_number(const char *text, size_t *name_size, uint64_t *number);

/*
 * The place that NAME@N names; *lsn is 0 when it names none: there is no number, or a restore point
 * of that whole name, or fewer than N of them.
 */
bool restore_points_pick(const WalWalk *walk, const char *text, Lsn *lsn, Error *err) MUST_CHECK;

/*
 * The largest time of the commits that begin in [walk->from, walk->to); TIME_US_NONE: there is
 * none. Reads trailers, and the last segment.
 */
bool commit_time_max(const WalWalk *walk, TimeUs *time, Error *err) MUST_CHECK;
