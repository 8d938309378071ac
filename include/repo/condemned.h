/*
 * condemned.h - what is about to be removed, said in the repository before it is: since when, and
 * how long it stays where it is.
 *
 *     who removes   stores condemned/ID, then lists leases: one that it had not seen, and it takes
 *                   the record back. Once the grace is over it looks at everything again
 *     who writes    stores a lease, then loads this list: it neither bases on nor refers to what is
 *                   named here
 *
 * One of the two sees the other, without a listing that is atomic. Records are immutable; to spare
 * a part of one the rest is stored anew. docs/format.md, chapter 7.3.
 */
#pragma once

#include "repo/layout.h"
#include "repo/record.h"
#include "repo/repo.h"

typedef enum CondemnedKind {
    /* It names a backup by its id, and stands for its manifest and the marks about it. */
    CONDEMNED_BACKUP,
    CONDEMNED_PACK, /* It has 32 hex digits. */
    CONDEMNED_WAL,  /* It is "SEGMENT SEGMENT": from the one to the other, of one timeline. */
} CondemnedKind;

typedef struct CondemnedItem {
    CondemnedKind kind;
    const char *name;
} CondemnedItem;

typedef struct CondemnedRecord {
    char id[BACKUP_ID_SIZE];
    bool is_readable; /* When it is false, only its id is known, and it may name anything. */
    bool is_by_hand;  /* A person named what goes. */
    TimeUs at;        /* It is by the clock of the host, which was that of the store. */
    TimeUs grace;     /* Nothing of it is removed for this long. */
    const char *host;
    CondemnedItem *items;
    size_t count;
} CondemnedRecord;

typedef struct CondemnedList {
    CondemnedRecord *records; /* They are sorted by id. */
    size_t count;
    bool has_unreadable; /* One of them can't be read, so everything counts as condemned. */
    const char **packs;  /* They are those of all records, sorted. */
    size_t pack_count;
    Arena arena;
} CondemnedList;

/* ERR_UNREACHABLE, ERR_IO: could not find out. */
bool condemned_load(CondemnedList *list, const Cluster *cluster, Error *err) MUST_CHECK;
void condemned_list_done(CondemnedList *list); /* for CLEANUP() */

/* Whether any record names it; also when one can't be read. */
bool condemned_has_backup(const CondemnedList *list, const char *backup);
bool condemned_has_pack(const CondemnedList *list, const char *pack);
/*
 * Whether a backup that is about to be committed must not refer to a pack. A record that can't be
 * read may name any pack of an older backup; it does not stop one that refers to its own alone.
 */
bool condemned_takes_from(const CondemnedList *list, const char *pack, bool is_own);
/* The record that names this backup; NULL: none that can be read does. */
const CondemnedRecord *condemned_find(const CondemnedList *list, const char *backup);
/* A record that names it because a person said so, which may stand beside one of the policy. */
const CondemnedRecord *condemned_find_by_hand(const CondemnedList *list, const char *backup);
/* When the first of it may be removed. */
static inline TimeUs condemned_until(const CondemnedRecord *record)
{
    return record->at + record->grace;
}

/* Store it under a new id, which is set. */
bool condemned_store(CondemnedRecord *record, const Cluster *cluster, Error *err) MUST_CHECK;
/* Take it back; what it names is as it was. */
bool condemned_remove(const char *id, const Cluster *cluster, Error *err) MUST_CHECK;
