/*
 * log_relations.h - which relations a commit dropped or wrote anew, as far as it can be told: what
 * the WAL says of files and oids, and the catalogues of a backup of names.
 */
#pragma once

#include "answer/log_print.h"

/*
 * From 15 on a commit lists what it dropped, by oid. A relation that was rewritten since the backup
 * has another file by now, which the catalogue does not know, but the same oid. If as many dropped
 * relations lack a file as files lack a name, they belong together.
 */
typedef struct LogRelations {
    const Happening *happening;
    Buffer matched; /* It holds the dropped relations whose file has a name, as sorted uint64_t. */
    size_t unnamed; /* As far as one can see, this many files of unknown name were dropped. */
    /* This many dropped relations have a name but are not among the matched ones. */
    size_t left;
    bool are_the_others; /* The relations that are left belong to the unnamed files. */
} LogRelations;

void log_relations_init(LogRelations *relations, const LogPrinter *printer,
                        const Happening *happening);
void log_relations_done(LogRelations *relations); /* for CLEANUP() */

/* "dropped 2 relations of database shop: a, b; ...", appended to printer->text; or nothing. */
void log_put_relations(LogPrinter *printer, const LogRelations *relations);
/* ": a, b": the relations that the commit dropped, as far as they have names; or nothing. */
void log_put_objects(LogPrinter *printer, const LogRelations *relations);
void log_relations_to_json(const LogPrinter *printer, const LogRelations *relations, Json *json);

/* A database's name, or its oid, appended to printer->text. */
void log_put_database(LogPrinter *printer, Lsn lsn, uint32_t oid);
