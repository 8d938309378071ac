/*
 * quarantine.h - WAL of the wrong history out of the way: set aside in the repository under names
 * that no reader looks at, and put back again.
 *
 * An object is copied, durably, before it is removed, the last of a timeline first and its history
 * at the end. So at any moment, also after a kill, what is left of a timeline has no new hole, no
 * WAL is there without its history, and every object is in one of both places, or in both. Putting
 * back goes the other way round. docs/format.md, chapter 7.5.
 */
#pragma once

#include "postgres/wal_name.h"
#include "repo/layout.h"
#include "repo/repo.h"

/* What is to be set aside: a timeline from a segment on, up to another one. */
typedef struct QuarantineRequest {
    uint32_t timeline;
    uint64_t first, last;   /* segments; 0 and UINT64_MAX: all of it */
    uint32_t beyond_fork;   /* 0, or: what the timeline did after this child of it left, first */
    bool takes_descendants; /* The timelines that go on from there go, too, and those that go on
                               from them. */
} QuarantineRequest;

typedef struct QuarantineItem {
    const char *object; /* its name as readers know it */
    uint64_t size;
    TimeUs stored_at;
    WalName name; /* The WAL file's; of a piece its segment's, and is_piece is set. */
    bool is_piece;
    uint32_t from; /* is_piece: its first byte */
} QuarantineItem;

/* Texts in the arena. */
typedef struct QuarantinePlan {
    QuarantineItem *items; /* They come in the order in which they go. */
    size_t count;
    uint64_t bytes;
    uint64_t first, last; /* segments of the timeline that are among them; none: UINT64_MAX, 0 */
    uint64_t segments, partials, pieces, histories, others;
    uint32_t *timelines; /* ascending; the one asked for, and its descendants */
    size_t timeline_count;
    TimeUs newest_at; /* when the newest of them was stored, by the store's clock */
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
 * Set it aside. id: what it is called from now on. What is gone by now is passed over; an object
 * that another one took the place of meanwhile is looked at anew.
 */
bool quarantine_carry_out(const Cluster *cluster, const QuarantinePlan *plan,
                          char id[BACKUP_ID_SIZE], Error *err) MUST_CHECK;

/* What was set aside together. */
typedef struct QuarantineSet {
    char id[BACKUP_ID_SIZE];
    uint32_t timeline; /* 0: its record is not there, or damaged */
    TimeUs at;
    uint64_t objects, bytes;  /* What of it is still there. */
    const char *first, *last; /* names, as they were; "" */
} QuarantineSet;

typedef struct QuarantineList {
    QuarantineSet *items; /* oldest first */
    size_t count;
    Arena arena;
} QuarantineList;

bool quarantine_list_load(QuarantineList *list, const Cluster *cluster, Error *err) MUST_CHECK;
void quarantine_list_done(QuarantineList *list); /* for CLEANUP() */

/*
 * Put a set back, or only look whether that can be done. *objects: how many. ERR_NOT_FOUND: no such
 * set. ERR_EXISTS, and nothing is changed: one of the names has other content by now. Interrupted,
 * the same call goes on.
 */
bool quarantine_undo(const Cluster *cluster, const char *id, bool only_look, uint64_t *objects,
                     Error *err) MUST_CHECK;
