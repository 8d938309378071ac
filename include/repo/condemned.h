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
    CONDEMNED_BACKUP, /* its id: the manifest, and what is said of it beside it */
    CONDEMNED_PACK,   /* 32 hex digits */
    CONDEMNED_WAL,    /* "SEGMENT SEGMENT": from the one to the other, of one timeline */
} CondemnedKind;

typedef struct CondemnedItem {
    CondemnedKind kind;
    const char *name;
} CondemnedItem;

typedef struct CondemnedRecord {
    char id[BACKUP_ID_SIZE];
    bool is_readable; /* else only its id is known: it may name anything */
    bool is_by_hand;  /* a person named what goes */
    TimeUs at;        /* by the clock of the host, which was that of the store */
    TimeUs grace;     /* so long nothing of it is removed */
    const char *host;
    CondemnedItem *items;
    size_t count;
} CondemnedRecord;

typedef struct CondemnedList {
    CondemnedRecord *records; /* by id */
    size_t count;
    bool has_unreadable; /* one of them: everything counts as condemned */
    const char **packs;  /* of all records, sorted */
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
/* When the first of it may be removed. */
static inline TimeUs condemned_until(const CondemnedRecord *record)
{
    return record->at + record->grace;
}

/* Store it under a new id, which is set. */
bool condemned_store(CondemnedRecord *record, const Cluster *cluster, Error *err) MUST_CHECK;
/* Take it back; what it names is as it was. */
bool condemned_remove(const char *id, const Cluster *cluster, Error *err) MUST_CHECK;
