/*
 * history.h - timelines: history files and the path that a recovery follows.
 *
 * Source: access/timeline.c (readTimeLineHistory, tliOfPointInHistory). Switch points of a history
 * file need not increase; a path clips each timeline's end to the later ones.
 */
#pragma once

#include "base/memory.h"
#include "postgres/wal_name.h"

/* A stretch of WAL on one timeline: [begin, end), end 0: open. */
typedef struct PathStep {
    uint32_t timeline;
    Lsn begin; /* It is 0 for the first step. */
    Lsn end;   /* The next step forks here. It is 0 for the last step. */
} PathStep;

/* The chain of timelines from the first ancestor to the one recovered to. Plain data. */
typedef struct TimelinePath {
    PathStep *steps; /* They are in the arena, the oldest first. */
    size_t count;
} TimelinePath;

/*
 * The path of `timeline` from the text of its history file (NULL for timeline 1, or any timeline
 * without parents). ERR_CORRUPT when the server would refuse it.
 */
bool timeline_path_parse(uint32_t timeline, const char *history, Arena *arena, TimelinePath *path,
                         Error *err) MUST_CHECK;

/*
 * A timeline as an operator writes it: decimal. ERR_USAGE, also for a leading zero: 00000011 is
 * timeline 17 in the names of WAL files, and octal 9 to the server's own settings.
 */
bool timeline_parse(const char *text, uint32_t *timeline, Error *err) MUST_CHECK;

uint32_t path_last_timeline(const TimelinePath *path);
/* The step of this timeline, NULL when it is not on the path. */
const PathStep *path_step_of(const TimelinePath *path, uint32_t timeline);
/* A step that a later switch clipped to nothing: it owns no WAL, and where it began is lost. */
bool path_step_is_empty(const PathStep *step);
/* The step that owns the byte at lsn. Never NULL: the last one is open. */
const PathStep *path_step_at(const TimelinePath *path, Lsn lsn);
/*
 * The path along which the WAL before the last fork was written. Its last step is open. A timeline
 * that was left where it began wrote none of it, and is left out. path must have more than one
 * step.
 */
TimelinePath path_parent(const TimelinePath *path, Arena *arena);
/*
 * The timeline whose segment a recovery along the path reads: the newest whose WAL begins in this
 * segment or before it. (A child's first segment holds a copy of its parent's up to the fork.)
 */
uint32_t path_timeline_of_segment(const TimelinePath *path, uint64_t segment,
                                  uint32_t segment_size);
