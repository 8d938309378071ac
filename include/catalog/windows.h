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
    uint32_t timeline;     /* the path's last: what --target-timeline would say */
    const char *backup;    /* oldest backup that opens it */
    Lsn from;              /* its stop LSN */
    TimeUs from_time;      /* earliest target time (window_earliest_time) */
    Lsn until;             /* end of the last whole record of contiguous WAL */
    TimeUs until_time;     /* largest commit time up to there; TIME_US_NONE: no commit yet */
    uint64_t last_segment; /* the last contiguous one */
    bool ends_in_hole;     /* later WAL of this timeline exists after a gap */
    bool ends_removed; /* ... which retention took away, since no backup that is kept needs it */
    bool ends_damaged; /* the last segment could not be read on */
    bool ends_minimal; /* from here on WAL was written with wal_level=minimal: what was done
                          then may be in no WAL */
} RecoveryWindow;

typedef struct WindowList {
    RecoveryWindow *items; /* by timeline, then from */
    size_t count;
    uint32_t unreadable; /* newest timeline with WAL whose history is missing or damaged: it has no
                            window, and nothing can be said about it; 0: there is none */
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
