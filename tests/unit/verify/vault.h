/*
 * vault.h - a small repository made by the real writers: two timelines, two backups that share a
 * pack, and everything else that a cluster has. For tests that then do harm to it.
 *
 *     timeline 1, segments 3 4 5      backup A: from 3 to 4
 *     timeline 2, segments 5 6 7      backup B: in 6; forks from 1 in segment 5
 *
 * A record straddles every border between two segments. Commits are at seconds 10, 20, 30 (on both
 * timelines), 35 (only on 1), 40, 50, 60 (on 2) of the year 2000.
 */
#pragma once

#include "pack/manifest.h"
#include "verify/verify.h"

#include "../walk/archive_builder.h"

#define BACKUP_A "20000101T000010Z-aaaaaa"
#define BACKUP_B "20000101T000050Z-bbbbbb"

/* What one of the backups, or one segment, says although it is not so. */
typedef enum Lie {
    LIE_NONE,
    LIE_PACK_DIGEST,
    LIE_SMALL_HASH,
    LIE_SMALL_CRC,
    LIE_RANGE_HASH,
    LIE_OVERLAY_HASH,
    LIE_FILE_CRC,
    LIE_LIVE,
    LIE_LONE_TABLE, /* B's stands in another pack than its extents, and is wrong */
    LIE_FRAME,
    LIE_TOTALS,
    LIE_SYSTEM,
    LIE_LABEL,
    LIE_HISTORY,
    LIE_PAGE_HASH,
    LIE_PAGE_CRC,
    LIE_PAGE_LEFT_OUT,
    LIE_SUMMARY,
    LIE_FORK_PLACE,
    LIE_OTHER_WAL,
    LIE_PAGE_TIMELINE,
    LIE_PARENT,
    LIE_COUNT,
    NO_LIE_LONE_TABLE, /* the same, and it is right */
} Lie;

typedef struct Vault {
    Archive archive;
    WalBuilder parent, child;
    Lsn a_start, a_stop, fork, b_start, b_stop;
    char history[64];
    PackInfo packs[3]; /* A's, shared by B; B's own; of its page table, if it stands alone */
    Lie lie;
} Vault;

void vault_init(Vault *vault, Lie lie);
void vault_done(Vault *vault); /* for CLEANUP() */

/* Name of the object of a segment; caller frees. */
char *vault_segment(uint32_t timeline, uint64_t segment);
char *vault_pack(const Vault *vault, size_t index);

/* All names, of the whole repository. */
void vault_list(const Vault *vault, ObjectList *list);
void vault_get(const Vault *vault, const char *name, Buffer *content);
void vault_put(const Vault *vault, const char *name, const void *data, size_t size);
void vault_remove(const Vault *vault, const char *name);
/* A bit of it changes, and no listing shows it. */
void vault_rot(const Vault *vault, const char *name, size_t offset);

/* verify_run() of everything with two threads; it must succeed. */
void vault_verify(Vault *vault, VerifyReport *report);
