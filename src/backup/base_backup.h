/*
 * base_backup.h - the earlier backup that a new one shares with, and what of it may be referred to.
 */
#pragma once

#include "backup_run.h"
#include "unread.h"
#include "walk/inventory.h"

typedef struct BaseBackup {
    bool is_there;
    bool is_set_back;  /* See base_choice.h. */
    Manifest manifest; /* It is the base's whole manifest. */
    /*
     * It tells for each of its packs whether it is there and whole, with nothing said against it.
     */
    bool *is_usable;
    const char *why_not; /* It says in a sentence why there is no base, or is "". */
    /* It lists the archive as it was after the start. It is empty with is_full. */
    WalInventory inventory;
    TimelinePath path; /* It is the path of the server's timeline. */
    Arena arena;
} BaseBackup;

void base_backup_done(BaseBackup *base); /* for CLEANUP() */

/*
 * After the start, and after the lease was stored: what is condemned from then on spares what this
 * backup refers to. That there is none is not an error.
 */
bool run_find_base(BackupRun *run, BaseBackup *base, Error *err) MUST_CHECK;

/*
 * Whether files may be taken for unchanged by their times, against this base, which is there, and
 * whether the WAL may be asked (unread_wal.h); and whose turn it is to be read all the same. rule
 * has its roots.
 */
bool run_judge_unread(BackupRun *run, const BaseBackup *base, UnreadRule *rule,
                      Error *err) MUST_CHECK;

/*
 * Its entry of this path, NULL: there is none. And whether every pack that a range, or a small
 * file's content, is in may be referred to.
 */
const ManifestEntry *base_entry_find(const BaseBackup *base, const char *path);
bool base_range_is_usable(const BaseBackup *base, const ManifestRange *range);
bool base_frame_is_usable(const BaseBackup *base, const Frame *frame);

/* Frames of this backup that are in a pack of the base's have its index there, and this bit. */
#define PACK_OF_BASE (UINT32_C(1) << 31)
