/*
 * windows.h - recovery windows: which instants each timeline path can be recovered to.
 *
 * Commit times are not monotonic, so a window's end is a maximum over the trailers along the path;
 * a record that straddles two segments is joined (wal_walk).
 */
#pragma once

#include "catalog/backups.h"
#include "walk/wal_walk.h"

typedef struct RecoveryWindow {
    uint32_t timeline;  /* It is the path's last timeline, as given to --target-timeline. */
    const char *backup; /* It is the oldest backup that opens the window. */
    Lsn from;           /* It is the stop LSN of that backup. */
    TimeUs from_time;   /* It is the earliest target time (window_earliest_time). */
    Lsn until;          /* The last whole record of contiguous WAL ends here. */
    /* It is the latest commit time up to there. TIME_US_NONE means that there is no commit yet. */
    TimeUs until_time;
    uint64_t last_segment; /* It is the last contiguous segment. */
    bool ends_in_hole;     /* Later WAL of this timeline exists after a gap. */
    /* Retention removed the WAL in that gap, since no backup that is kept needs it. */
    bool ends_removed;
    bool ends_damaged; /* The last segment could not be read to its end. */
    /*
     * From here on WAL was written with wal_level=minimal, so what was done then may be in no WAL.
     */
    bool ends_minimal;
} RecoveryWindow;

typedef struct WindowList {
    RecoveryWindow *items; /* They are sorted by timeline, then by `from`. */
    size_t count;
    /*
     * It is the newest timeline with WAL whose history is missing or damaged. It has no window, and
     * nothing can be said about it. 0 means that there is none.
     */
    uint32_t unreadable;
    Arena arena;
} WindowList;

/*
 * The earliest target time of a backup: the latest time at which a transaction ended, with a commit
 * or not, between its start and its stop. All of these are replayed before it is consistent, and
 * the server stops at the first that is later than its target (xlogrecovery.c,
 * recoveryStopsBefore). When none ended inside, when the backup stopped. walk: the path; from and
 * to are not looked at.
 */
bool window_earliest_time(const WalWalk *walk, const BackupInfo *backup, TimeUs *earliest,
                          Error *err) MUST_CHECK;

/* The latest time at which a transaction ended in what is walked; TIME_US_NONE: none did. */
bool window_latest_end(const WalWalk *inside, TimeUs *latest, Error *err) MUST_CHECK;

/* One window per gapless stretch and timeline that no other timeline continues past. */
bool window_list_load(WindowList *list, const Cluster *cluster, const WalInventory *inventory,
                      const BackupList *backups, Error *err) MUST_CHECK;
/* The one with the latest commit, by position where that is the same; NULL: there is none. */
const RecoveryWindow *window_furthest(const WindowList *list);
void window_list_done(WindowList *list); /* for CLEANUP() */
