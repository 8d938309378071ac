/*
 * instant.h - the random instant of a drill: which one a seed stands for.
 *
 *     instant_list_load()   what can be drawn: stretches of WAL with commits, and special places
 *     instant_draw()        pure: the same list and the same seed give the same draw
 *     instant_resolve()     the record that was drawn, as a target of a restore
 *
 * Commits are drawn alike, wherever they are. A third of all draws goes to the places where a
 * recovery is most likely to go wrong: just after a fork, a restore point and a backup's end.
 */
#pragma once

#include "catalog/target.h"
#include "catalog/windows.h"

typedef enum InstantKind {
    INSTANT_COMMIT,        /* It is one of the commits of a segment. */
    INSTANT_FORK,          /* It is the first commit of a timeline after it left its parent. */
    INSTANT_RESTORE_POINT, /* It is the record of the restore point itself. */
    INSTANT_BACKUP_END,    /* It is the first commit after the end of a backup. */
} InstantKind;

const char *instant_kind_name(InstantKind kind); /* It returns, for example, "fork". */

/* What can be drawn. */
typedef struct Instant {
    InstantKind kind;
    uint32_t timeline; /* It is the last timeline of the path that a recovery follows. */
    uint64_t segment;  /* With INSTANT_COMMIT, the commits end in this segment. */
    Lsn from;          /* The record begins here or later. */
    uint64_t commits;  /* With INSTANT_COMMIT, there are this many commits to draw from. */
} Instant;

typedef struct InstantList {
    Instant *items;
    size_t count;
    Arena arena;
} InstantList;

/*
 * Of every recovery window, in the order of timelines and positions; what two branches share is
 * there once. backup: only what can be reached from this one; NULL: from any. Reads trailers.
 */
bool instant_list_load(InstantList *list, const Cluster *cluster, const WalInventory *inventory,
                       const BackupList *backups, const BackupInfo *backup, Error *err) MUST_CHECK;
void instant_list_done(InstantList *list); /* for CLEANUP() */

typedef struct InstantDraw {
    size_t index;    /* It is an index into the list. */
    uint64_t commit; /* With INSTANT_COMMIT, it is the number of the commit, from 0 on. */
} InstantDraw;

/* False: there is nothing to draw. */
bool instant_draw(const InstantList *list, uint64_t seed, InstantDraw *draw);
/* One of `count` by the same seed; count is not 0. */
size_t instant_draw_one(size_t count, uint64_t seed);

/* A target and the timeline along which it is reached; *text tells people what was drawn. */
typedef struct InstantTarget {
    Target target;
    uint32_t timeline;
    /* It is, for example, "commit 3 of 17 in 000000010000000000000004", in the list's arena. */
    const char *text;
} InstantTarget;

/* ERR_CORRUPT when the WAL there can't be read. */
bool instant_resolve(InstantList *list, const Cluster *cluster, const WalInventory *inventory,
                     const InstantDraw *draw, InstantTarget *target, Error *err) MUST_CHECK;
