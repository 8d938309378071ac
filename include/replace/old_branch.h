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
    OLD_ARCHIVED, /* Nothing is known here that the archive does not have. */
    /* It is proven that the WAL goes on where the archive ends, or fills a hole in it. */
    OLD_TAIL,
    OLD_APART, /* It parts from what the archive has, at `apart`. */
    /*
     * It is further than the archive, and no WAL leads there, or it is not proven that its WAL
     * does. `reason` says why.
     */
    OLD_BEYOND,
} OldVerdict;

/* Commits that one side has and the other has not; what is prepared was acknowledged, too. */
typedef struct OldCommits {
    uint64_t count;
    uint64_t prepared; /* This many transactions are open at the end. Only set for the directory. */
    TimeUs last;       /* It is the latest time of all. TIME_US_NONE means that there is none. */
    bool is_least;     /* There may be more, because not all of the WAL is there. */
} OldCommits;

typedef struct OldBranch {
    const char *place;    /* People know the directory by this name. */
    const char *wal_path; /* It is the directory's pg_wal. NULL means that nothing is left of it. */
    OldWal wal;
    bool has_control;
    PgControl control;
    /* A restore made it and its recovery has not ended, so all it has came from the archive. */
    bool was_never_opened;
    uint32_t timeline; /* 0 means that nothing says which it is. */
    TimelinePath path; /* It is empty when its history is nowhere. */
    /* It is its own file. NULL means that it is on timeline 1, or has none. */
    const OldHistory *history;
    bool is_history_archived; /* It is archived, or the timeline is 1. */

    OldVerdict verdict;
    /*
     * These segments along the path are proven to be of the archive's history, archived or not.
     * last is 0 when there are none.
     */
    uint64_t first, last;
    bool is_last_whole; /* WAL goes to the end of the last one. */
    /* The last complete record in them ends here. 0 means that there is none. */
    Lsn end;
    Lsn reached;         /* The server was this far, by its WAL or pg_control. */
    Lsn commit_end;      /* Its last COMMIT or PREPARE ends here. 0 means that none was seen. */
    TimeUs commit_time;  /* It may be TIME_US_NONE. */
    Lsn apart;           /* With OLD_APART, both have the same up to here. */
    const char *reason;  /* It is set with OLD_BEYOND. */
    OldCommits own;      /* They are the commits that the archive lacks. */
    OldCommits archived; /* With OLD_APART, only the archive has these commits. */
} OldBranch;

/* Where to look: all of one server. */
typedef struct OldPlaces {
    const char *place; /* Messages call the place by this name. */
    const char *data;  /* Its pg_control counts. NULL means that there is none. */
    /* They are its pg_wal, or what was one. Of files with the same name, the first counts. */
    const char *const *wal_paths;
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
