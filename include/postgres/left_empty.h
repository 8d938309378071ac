/*
 * left_empty.h - databases that a restore left empty, on purpose (restore --only-database).
 *
 * Their files are there, as long as they were, so that WAL can be replayed over them, and hold
 * zeros. A server that let somebody in would find no system index and take itself down (relcache.c,
 * load_critical_index() panics). So the database's PG_VERSION, which is read before anything else
 * of it (postinit.c, ValidatePgVersion()), says what the matter is: the server answers "The data
 * directory was initialized by PostgreSQL version" and this text, and lives. DROP DATABASE does not
 * read it.
 */
#pragma once

#include "base/base.h"

/* A number, without blanks, of at most 63 bytes: what ValidatePgVersion() takes for a version. */
#define LEFT_EMPTY_VERSION "0-left-empty-by-pgcairn-restore--only-database--drop-it"

/* Whether this is the content of the PG_VERSION of a database that was left empty. */
bool left_empty_is(const void *version, size_t size);

/*
 * The database whose file, or directory, has this path relative to the data directory: "base/5",
 * "base/5/1259", "pg_tblspc/16384/PG_15_202209061/5/1259". 0: of none, or of all.
 */
uint32_t database_of_path(const char *path);
