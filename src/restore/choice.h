/*
 * choice.h - which backup, along which timelines, up to which record: the part of a plan that is
 * decided by what the repository holds.
 */
#pragma once

#include "restore/restore.h"

typedef struct Choice {
    const BackupInfo *backup; /* It is one of `backups`. */
    TimelinePath path;
    /* It is the path before that was shortened to what the target needs. */
    TimelinePath whole_path;
    Target target; /* The server will be told this target. */
    TargetPoint point;
    bool has_time_fallback;
    /*
     * It is the first of the locks that are held there all the same. 0 means that it is not known.
     */
    Lsn locks_held;
    /* Replay stops before this transaction's locks. 0 means that it stops at the target. */
    uint32_t locked_xid;
    WalWalkEnd end; /* With TARGET_LATEST, the archive ends here. */
    WalInventory inventory;
    BackupList backups;
    BranchList branches; /* They are compared with the path, once there is one. */
    Arena arena;
} Choice;

/*
 * What reading a whole manifest told and its head does not show: these are as good as not there.
 */
typedef struct UnreadBackup {
    char id[BACKUP_ID_SIZE];
    Error cause; /* Its code is ERR_CORRUPT or ERR_VERSION. */
} UnreadBackup;

typedef struct UnreadBackups {
    UnreadBackup *items;
    size_t count;
} UnreadBackups;

/*
 * directory: what was found at request->data; its WAL counts unless it is given up.
 * Without request->target_timeline the newest timeline is followed, unless catalog/branches.h finds
 * that another branch may be meant: then ERR_REFUSED.
 * ERR_NOT_FOUND: no such backup or timeline, or the target is not in the archive; ERR_REFUSED: it
 * lies before what the backups can reach; ERR_CORRUPT: a hole or damage lies before it.
 */
bool choice_make(const Cluster *cluster, const RestoreRequest *request,
                 const OldDirectory *directory, const UnreadBackups *unread, Choice *choice,
                 Error *err) MUST_CHECK;
/*
 * A replay that is to pause stops earlier where what a transaction has locked could not be read at
 * the target, and nothing that belongs to it lies between (walk/lock_begin.h).
 */
bool choice_avoid_locks(const Cluster *cluster, const RestoreRequest *request, Choice *choice,
                        Error *err) MUST_CHECK;
void choice_done(Choice *choice); /* for CLEANUP() */
