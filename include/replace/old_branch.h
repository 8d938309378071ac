/*
 * old_branch.h - which history the WAL of an old data directory belongs to, and how far it goes,
 * held against the archive.
 *
 * A name says nothing: a clone, a promoted copy and the loser of two promotions have WAL files of
 * the same names and the same system identifier. So what both have is compared in content, and
 * where nothing is in both, the back link of the first record.
 */
#pragma once

#include "postgres/control.h"
#include "replace/old_wal.h"
#include "walk/inventory.h"

typedef enum OldVerdict {
    OLD_ARCHIVED, /* nothing is known here that the archive does not have */
    OLD_TAIL,     /* proven: it goes on where the archive ends, or fills a hole in it */
    OLD_APART,    /* it parts from what the archive has, at `apart` */
    OLD_BEYOND,   /* it is further than the archive, and no WAL leads there; or it is not proven
                     that what it has leads there: `reason` says why */
} OldVerdict;

/* Commits that one side has and the other has not; what is prepared was acknowledged, too. */
typedef struct OldCommits {
    uint64_t count;
    uint64_t prepared; /* transactions that are open at the end; of the directory only */
    TimeUs last;       /* the latest of all; TIME_US_NONE: none */
    bool is_least;     /* there can be more: not all of the WAL is there */
} OldCommits;

typedef struct OldBranch {
    const char *place;    /* the directory, as it is named to people */
    const char *wal_path; /* its pg_wal; NULL: nothing is left of it */
    OldWal wal;
    bool has_control;
    PgControl control;
    bool was_never_opened;     /* a restore whose recovery has not ended: all it has came to it */
    uint32_t timeline;         /* 0: nothing says which */
    TimelinePath path;         /* empty when its history is nowhere */
    const OldHistory *history; /* its own file; NULL: timeline 1, or it has none */
    bool is_history_archived;  /* It is archived, or the timeline is 1. */

    OldVerdict verdict;
    uint64_t first, last; /* segments along the path that are proven to be of the archive's history,
                             archived or not; last is 0 when there are none */
    bool is_last_whole;   /* WAL goes to the end of the last one */
    Lsn end;              /* Where the last whole record in them ends; 0: there is none. */
    Lsn reached;          /* how far the server was, by its WAL or pg_control */
    Lsn commit_end;       /* Where its last COMMIT or PREPARE ends; 0: none was seen. */
    TimeUs commit_time;   /* TIME_US_NONE */
    Lsn apart;            /* OLD_APART: up to here both have the same */
    const char *reason;   /* OLD_BEYOND */
    OldCommits own;       /* Commits that the archive does not have. */
    OldCommits archived;  /* OLD_APART: that only the archive has */
} OldBranch;

/* Where to look: all of one server. */
typedef struct OldPlaces {
    const char *place;            /* What messages call the place. */
    const char *data;             /* whose pg_control counts; NULL: none */
    const char *const *wal_paths; /* its pg_wal, or what was one; the first name found counts */
    size_t wal_count;
} OldPlaces;

/*
 * inventory: of the archive alone. What is not there or can't be made out is not an error, but the
 * answer. Strings go into arena.
 */
bool old_branch_look(const Cluster *cluster, const WalInventory *inventory, const OldPlaces *places,
                     Arena *arena, OldBranch *branch, Error *err) MUST_CHECK;

/* Whether this file is among what is proven. */
bool old_branch_proves(const OldBranch *branch, const OldSegment *file, uint32_t segment_size);

/* What old_branch_look() does once the path is known: old_proof.c. */
bool old_branch_prove(const Cluster *cluster, const WalInventory *inventory, Arena *arena,
                      OldBranch *branch, Error *err) MUST_CHECK;
