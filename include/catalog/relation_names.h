/*
 * relation_names.h - what databases and relation files are called, by the catalogues of a backup
 * and, if asked for, by a running server (databases only: it has forgotten what was dropped).
 *
 * The newest backup that ended before the place in question counts; where there is none, the next
 * one after it. What was created in between has no name in it, nor has the new file of a relation
 * that was written anew; its oid has. Loaded when first asked for, a database at a time.
 */
#pragma once

#include "catalog/backups.h"
#include "postgres/wal_changes.h"

typedef struct RelationNames RelationNames;

typedef struct RelationName {
    const char *schema;
    const char *name;
    uint32_t oid;
    char kind; /* It is the relkind. */
} RelationName;

/* All of it is borrowed. conninfo: NULL for none. */
RelationNames *relation_names_new(const Cluster *cluster, const TimelinePath *path,
                                  const WalInventory *inventory, const char *conninfo);
void relation_names_freep(RelationNames **names); /* for CLEANUP() */

/* NULL: not known. Holds until the next call of any of these. */
const char *relation_names_database(RelationNames *names, Lsn lsn, uint32_t oid);
bool relation_names_find(RelationNames *names, Lsn lsn, const RelationFile *file,
                         RelationName *name);
/* By the relation's oid, which it keeps when it gets another file. */
bool relation_names_find_oid(RelationNames *names, Lsn lsn, uint32_t database, uint32_t oid,
                             RelationName *name);

/* The first thing that could not be read, which then was left out; code ERR_NONE: nothing. */
const Error *relation_names_problem(const RelationNames *names);
