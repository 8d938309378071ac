/*
 * learning.h - remember what was read of archived segments (knowledge.h), for whoever may write.
 *
 *     CLEANUP(wal_learning_freep) WalLearning *learning = wal_learning_new(&cluster, keeps, now);
 *     ... wal_learning_note() for segments in order of timeline and number ...
 *     wal_learning_finish(learning, &problem);
 *
 * What is remembered of a stretch of segments is replaced as a whole: a new object first, then the
 * old ones go. So whoever reads meanwhile, or after a crash, finds one or the other, or both, and
 * each entry of either is true by itself. Of two runs side by side the last one decides.
 */
#pragma once

#include "walk/inventory.h"

typedef enum LessonKind {
    LESSON_TRAILER,  /* Its trailer was read now. */
    LESSON_WHOLE,    /* It was read in full now, and is good. */
    LESSON_BELIEVED, /* It was not read. What is remembered of it stays, if it still is. */
    LESSON_BAD,      /* Nothing is to be remembered of it. */
} LessonKind;

typedef struct WalLesson {
    LessonKind kind;
    uint32_t timeline;
    uint64_t segment;
    WalStored stored;          /* It is what a listing from before the reading says. */
    const WalTrailer *trailer; /* It is set with LESSON_TRAILER and LESSON_WHOLE. */
} WalLesson;

typedef struct WalLearning WalLearning;

/*
 * keeps_others: what is remembered of segments of which nothing is noted stays; else it goes. at:
 * when the reading began, by this host's clock.
 *
 * An object that was stored within 10 s before that is not remembered: a clock that is not that
 * fine, of the store's, could not tell it from one that took its place.
 */
WalLearning *wal_learning_new(const Cluster *cluster, bool keeps_others, TimeUs at);
void wal_learning_freep(WalLearning **place); /* for CLEANUP(); what was not stored is lost */

/* Stores what is known of a stretch once it is left. */
bool wal_learning_note(WalLearning *learning, const WalLesson *lesson, Error *err) MUST_CHECK;
/* The last stretch; and unless others are kept, what is remembered of all other stretches goes. */
bool wal_learning_finish(WalLearning *learning, Error *err) MUST_CHECK;

/*
 * Remember the trailers that are not remembered yet, if there are more than a few, so that the next
 * answers need not read each of them.
 */
bool wal_learning_refresh(const Cluster *cluster, TimeUs now, Error *err) MUST_CHECK;
