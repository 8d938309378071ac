/*
 * copied.h - databases that were made by copying files while a backup ran.
 *
 * CREATE DATABASE copies the template's directory: always until 14, with STRATEGY file_copy from 15
 * on. Its WAL says no more than "copy that directory", and a recovery does so with what the backup
 * has of it. Should the template have been dropped by then, the new database is an empty directory;
 * should it have been changed, the copy has pages of later, which the WAL that is replayed takes
 * for done (dbcommands.c, dbase_redo; manual, "Making a Base Backup Using the Low Level API",
 * caveats). So neither may have happened between such a copy and the end of the backup.
 */
#pragma once

#include "base/buffer.h"
#include "postgres/wal_reader.h"

typedef struct CopiedDatabases {
    const PgVersion *version;
    Buffer copies; /* It has those that still exist. */
} CopiedDatabases;

void copied_done(CopiedDatabases *copied); /* for CLEANUP() */
/* Each record of the backup's WAL, in its order. */
void copied_take(CopiedDatabases *copied, const WalRecord *record);
/* ERR_REFUSED names one that a recovery would not bring back as it was. */
bool copied_check(const CopiedDatabases *copied, Error *err) MUST_CHECK;
