/*
 * completeness.h - whether a backup has all that the server cannot do without.
 *
 * A directory that is not mounted, or that we do not see where the server does, looks like an empty
 * one, or like a file that was dropped meanwhile. So the server is asked what must exist, when the
 * backup has begun and again later: what it names both times was there all the while, and must be
 * among the entries. What came or went in between is the WAL's business.
 */
#pragma once

#include "scan.h"

#include "server/session.h"

typedef enum CataloguePlaceKind {
    PLACE_DATABASE, /* It is the directory of a database in its default tablespace. */
    /* It is the link or directory of a tablespace, with the directory of its version. */
    PLACE_TABLESPACE,
    PLACE_PART, /* It is the directory of a database in another tablespace. */
    PLACE_HOME, /* It is the default tablespace of a database, whatever its state. */
} CataloguePlaceKind;

typedef struct CataloguePlace {
    CataloguePlaceKind kind;
    uint32_t tablespace, database;
} CataloguePlace;

typedef struct Catalogue {
    CataloguePlace *items; /* They are sorted. */
    size_t count;
} Catalogue;

void catalogue_done(Catalogue *catalogue); /* for CLEANUP() */

/*
 * What must exist now, but for databases that are being dropped or moved: these are PLACE_HOME
 * only, which need not exist.
 */
bool catalogue_ask(Session *session, Catalogue *catalogue, Error *err) MUST_CHECK;

typedef struct Completeness {
    const Scan *scan;
    const char *data;
    int data_fd;
    unsigned major;
    /* `before` was read when the backup had begun, and `now` later. */
    const Catalogue *before, *now;
} Completeness;

/* ERR_REFUSED names what is missing. Also what every cluster has: its clog, the shared catalogs. */
bool completeness_check(const Completeness *check, Error *err) MUST_CHECK;

/*
 * Whether a database has moved to another tablespace since before the backup began. Its WAL says
 * "copy the old directory" (XLOG_DBASE_CREATE_FILE_COPY in dbcommands.c): a recovery does so with
 * what the backup has of that, and even removes the new one first. So a backup that the old one was
 * removed under would lose the database. Until 14 a new database comes into being in the same way,
 * from one that may have been dropped since. ERR_REFUSED.
 */
bool completeness_check_moved(const Catalogue *origin, const Catalogue *now, unsigned major,
                              Error *err) MUST_CHECK;

/* Whether there is a database now that there was not before: then its WAL has to be looked at
 * (copied.h). */
bool completeness_has_new(const Catalogue *origin, const Catalogue *now);

/*
 * Relation files that could not be opened while they were copied, and are there again: they were
 * out of sight, not dropped. is_gone is one for each entry.
 */
bool completeness_check_gone(const Scan *scan, int data_fd, const bool *is_gone,
                             Error *err) MUST_CHECK;

/*
 * The other forks of a relation whose init fork came into being after its directory was listed:
 * gone, as drop_unlogged() of the scan would have had it.
 */
bool completeness_drop_unlogged(const Scan *scan, int data_fd, bool *is_gone,
                                Error *err) MUST_CHECK;
