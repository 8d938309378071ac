/*
 * search.h - the search for a target along one timeline path: the inside of a choice.
 */
#pragma once

#include "choice.h"

/* Along one timeline path. */
typedef struct Search {
    const Cluster *cluster;
    const RestoreRequest *request;
    Choice *choice;
    TimelinePath path;
    const BackupInfo **candidates; /* They are restorable and on the path, the newest first. */
    size_t count;
} Search;

/* A walk of the path's WAL; to 0: as far as it goes. */
WalWalk search_walk(const Search *search, Lsn from, Lsn to);

typedef struct SearchEnd {
    WalWalkEnd walk;
    Lsn last_record; /* The last complete record starts here. */
    Lsn tail_record; /* This record began in the segment before, and may be complete now. */
    /* It is the latest of the commits up to there. TIME_US_NONE means that there is none. */
    TimeUs commit_max;
    /* The last complete record ends here. If there is none, it is where the missing WAL begins. */
    Lsn gap_from;
    /*
     * It says why the WAL does not go on: a hole, a missing timeline, damage. NULL means that the
     * WAL is complete and nothing follows it.
     */
    const char *gap;
} SearchEnd;

bool search_find_end(const Search *search, Lsn from, SearchEnd *end, Error *err) MUST_CHECK;

/*
 * ERR_CORRUPT: recovery can't get across the gap at the end to `target`. It tells the nearest
 * instants that it can get to, on both sides.
 */
bool search_refuse_gap(const Search *search, const SearchEnd *end, const char *target,
                       Error *err) MUST_CHECK;

/* "from T on with backup B", the first that begins after the gap; "" if none does. Of the arena.
 */
const char *search_after_gap(const Search *search, const SearchEnd *end);

typedef enum Verdict {
    VERDICT_USABLE,
    VERDICT_TOO_NEW,     /* The target lies before what this backup can reach. Try an older one. */
    VERDICT_NOT_SEEN,    /* The target is not after this backup. An older one may have it. */
    VERDICT_UNREACHABLE, /* No backup on this path helps. */
} Verdict;

/* The path to a timeline, and the backups on it that can be restored. */
bool search_open_path(Search *search, uint32_t timeline, Error *err) MUST_CHECK;

/* *backup is NULL when none on this path reaches the target; *verdict says why. */
bool search_along_path(const Search *search, const BackupInfo **backup, Verdict *verdict,
                       Error *err) MUST_CHECK;

bool refuse_too_early(const Search *search, Error *err) MUST_CHECK;
bool refuse_not_seen(Search *search, Error *err) MUST_CHECK;
/* There is no such timeline. */
bool refuse_unknown(Choice *choice, uint32_t timeline, Error *err) MUST_CHECK;
bool refuse_no_candidate(const Choice *choice, const RestoreRequest *request,
                         Error *err) MUST_CHECK;
bool refuse_older(const Search *search, uint32_t newest, uint32_t older, Error *err) MUST_CHECK;

/* "time 2026-11-22 14:30:00+00", "the latest commit"; in the arena. */
const char *search_target_text(const Target *target, Arena *arena);

/* The backup that was asked for by its name: is it there, can it be restored? */
bool choice_check_backup(const Choice *choice, const char *id, Error *err) MUST_CHECK;
