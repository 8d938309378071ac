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
    /*
     * The commits are not in what is restored, but in WAL that is kept or in the directory moved
     * aside.
     */
    LOSS_KEPT,
    LOSS_APART, /* The directory's history is a different one than the archive's. */
    LOSS_BEYOND,
    /* The directory's timeline is unknown to the archive, and the restore does not follow it. */
    LOSS_UNKNOWN_TIMELINE,
} LossKind;

/* Pure facts: of the plan, and of the directory. */
typedef struct LossQuestion {
    const OldBranch *own;
    const TimelinePath *path; /* This path is followed. */
    bool goes_to_end;         /* There is no target, or it lies after all that is archived. */
    Lsn until;                /* The replay ends here. */
    bool removes;             /* The directory is removed, not moved aside. */
    bool is_saved;            /* Its timeline is put into the archive (--save-timeline). */
} LossQuestion;

LossKind loss_of(const LossQuestion *question);

/* ERR_REFUSED, with what would be lost and the words to type; err stays clear for the others. */
bool loss_refuse(const LossQuestion *question, LossKind kind, Arena *arena, Error *err) MUST_CHECK;
