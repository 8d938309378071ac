/*
 * loss.h - what a restore would lose that only the directory has which it replaces.
 *
 * A restore without a target is meant to bring everything, so it is never carried out with less
 * than the directory has, unless somebody says so (--discard-wal). One with a target is meant to
 * leave out what was done after it; what the directory alone has must then still be somewhere.
 */
#pragma once

#include "replace/old_directory.h"

typedef enum LossKind {
    LOSS_NONE,
    LOSS_KEPT,  /* not in what is restored; in WAL that is kept, or in the directory moved aside */
    LOSS_APART, /* the directory's history is a different one than the archive's */
    LOSS_BEYOND,
    LOSS_UNKNOWN_TIMELINE, /* ... that the archive does not know, and the restore does not follow */
} LossKind;

/* Pure facts: of the plan, and of the directory. */
typedef struct LossQuestion {
    const OldBranch *own;
    const TimelinePath *path; /* The path that is followed. */
    bool goes_to_end;         /* no target, or one that lies after all that is archived */
    Lsn until;                /* end of the replay */
    bool removes;             /* the directory is removed, not moved aside */
    bool is_saved;            /* its timeline is put into the archive (--save-timeline) */
} LossQuestion;

LossKind loss_of(const LossQuestion *question);

/* ERR_REFUSED, with what would be lost and the words to type; err stays clear for the others. */
bool loss_refuse(const LossQuestion *question, LossKind kind, Arena *arena, Error *err) MUST_CHECK;
