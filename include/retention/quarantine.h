/*
 * quarantine.h - WAL of the wrong history out of the way: set aside in the repository under names
 * that no reader looks at, and put back again.
 *
 * An object is copied, durably, before it is removed, the last of a timeline first and its history
 * at the end. So at any moment, also after a kill, what is left of a timeline has no new hole, no
 * WAL is there without its history, and every object is in one of both places, or in both. Putting
 * back goes the other way round. docs/format.md, chapter 7.9.
 */
#pragma once

#include "postgres/wal_name.h"
#include "repo/layout.h"
#include "repo/repo.h"

/* What is to be set aside: a timeline from a segment on, up to another one. */
typedef struct QuarantineRequest {
    uint32_t timeline;
    uint64_t first, last; /* They are segments. 0 and UINT64_MAX mean all of the timeline. */
    /*
     * When it is not 0, it is a child of the timeline, and what the timeline did after the child
     * left goes, from the segment in which it left.
     */
    uint32_t beyond_fork;
    /* The timelines that go on from there go, too, and so do those that go on from them. */
    bool takes_descendants;
} QuarantineRequest;

typedef struct QuarantineItem {
    const char *object; /* It is the name by which readers know the object. */
    uint64_t size;
    TimeUs stored_at;
    /* It is the name of the WAL file. With is_piece, it is that of the piece's segment. */
    WalName name;
    bool is_piece;
    uint32_t from; /* With is_piece, it is the first byte of the piece. */
} QuarantineItem;

/* Texts in the arena. */
typedef struct QuarantinePlan {
    QuarantineItem *items; /* They come in the order in which they go. */
    size_t count;
    uint64_t bytes;
    /*
     * They are segments of the timeline that are among the items. Without any, they are UINT64_MAX
     * and 0.
     */
    uint64_t first, last;
    uint64_t segments, partials, pieces, histories, others;
    /* They are the one that was asked for and its descendants, in ascending order. */
    uint32_t *timelines;
    size_t timeline_count;
    TimeUs newest_at; /* The newest of them was stored then, by the store's clock. */
    Arena arena;
} QuarantinePlan;

/*
 * Looks only. ERR_NOT_FOUND: there is no such thing. ERR_REFUSED: another timeline goes on from
 * what would be set aside, and is not to come along; the message names it.
 */
bool quarantine_plan(const Cluster *cluster, const QuarantineRequest *request, QuarantinePlan *plan,
                     Error *err) MUST_CHECK;
void quarantine_plan_done(QuarantinePlan *plan); /* for CLEANUP() */
/* Whether the plan has this object. plan is a QuarantinePlan: as storage_hide_new() wants it. */
bool quarantine_plan_has(const void *plan, const char *object);

/*
 * Set it aside. `id` is its name from now on. What is gone by now is ignored. An object whose place
 * another one took meanwhile is looked at again.
 */
bool quarantine_carry_out(const Cluster *cluster, const QuarantinePlan *plan,
                          char id[BACKUP_ID_SIZE], Error *err) MUST_CHECK;

/* What was set aside together. */
typedef struct QuarantineSet {
    char id[BACKUP_ID_SIZE];
    uint32_t timeline; /* 0 means that its record is missing or damaged. */
    TimeUs at;
    uint64_t objects, bytes;  /* They count what of it is still there. */
    const char *first, *last; /* They are names, as they were, or "". */
} QuarantineSet;

typedef struct QuarantineList {
    QuarantineSet *items; /* The oldest comes first. */
    size_t count;
    Arena arena;
} QuarantineList;

bool quarantine_list_load(QuarantineList *list, const Cluster *cluster, Error *err) MUST_CHECK;
void quarantine_list_done(QuarantineList *list); /* for CLEANUP() */

/*
 * Put a set back, or only look whether that can be done. *objects says how many. ERR_NOT_FOUND when
 * there is no such set. ERR_EXISTS when one of the names has other content by now; nothing is
 * changed then. After an interruption, the same call goes on.
 */
bool quarantine_undo(const Cluster *cluster, const char *id, bool only_look, uint64_t *objects,
                     Error *err) MUST_CHECK;
