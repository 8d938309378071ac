/*
 * unread_wal.h - pages that are taken over from the base because no WAL since then names them.
 *
 * Whatever changes a page of a logged relation writes a record that names it, with data checksums
 * also what only sets hint bits. So a page of a main fork that no record names between the start of
 * the base and the start of this backup is in the file what the base has of it, or what came later
 * is in the WAL that a recovery of this backup replays. The lists beside the archived segments
 * (changed/changed_blocks.h) tell which are named. What a page was when the base read it does not
 * matter: one in the middle of a write was being changed, and is named.
 *
 * They are believed only
 *   - where they cover the whole stretch, without a hole, of one timeline;
 *   - where the archive's WAL is proven to be this server's (changed/own_wal.h);
 *   - with data checksums, then and now: without them hint bits change pages without WAL;
 *   - for the very files that the base read: same machine, place, file system and inode;
 *   - for a file that was written to, when they name a block of it: one that was, and of which
 *     they name nothing, is read;
 *   - for ranges without a bad page that was known to the base.
 */
#pragma once

#include "base_backup.h"
#include "pack/page_set.h"

/*
 * Collects what was changed since the base, which is there, once run_judge_unread() had no
 * objection. That nothing can be told is not an error: rule->wal_why_not. *changed is what
 * rule->changed borrows; NULL when nothing is known.
 */
bool run_find_changes(BackupRun *run, const BaseBackup *base, UnreadRule *rule,
                      ChangedBlocks **changed, Error *err) MUST_CHECK;

/* A range of a relation's main fork. info: of its file, before anything of it was read. */
typedef struct WalRangeQuestion {
    const ManifestEntry *base; /* It is the base's entry of this path. */
    const struct stat *info;
    uint32_t range;
    uint32_t segment_blocks; /* A file of the server's has this many blocks. */
} WalRangeQuestion;

/* Whether the WAL tells what of it may have changed: the pages in *named, of all that it can have.
 */
bool unread_wal_names(const UnreadRule *rule, const WalRangeQuestion *question, PageSet *named);
