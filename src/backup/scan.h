/*
 * scan.h - what is in a data directory, as entries of a manifest without content.
 *
 * Called after the backup has started: what appears later comes from WAL. Source of the rules:
 * basebackup.c; the list of names is postgres/data_directory.h.
 */
#pragma once

#include "postgres/backup_label.h"
#include "repo/manifest.h"

#include <sys/stat.h>

enum { SCAN_OWNERS_KEPT = 8 };

typedef struct ScanOwner {
    uint32_t id;
    bool is_group;
    const char *name;
} ScanOwner;

typedef struct Scan {
    ManifestEntry *entries; /* sorted by path, extras last; size and times as they were */
    size_t count;
    size_t capacity;
    uint64_t bytes;         /* of all files */
    uint64_t skipped_count; /* what is no part of a backup and is no business of the server's */
    const char **inside;    /* tablespace locations inside the data directory, relative to it */
    size_t inside_count;
    ScanOwner owners[SCAN_OWNERS_KEPT];
    size_t owner_count;
    Arena arena; /* strings */
} Scan;

/*
 * Scan a data directory. What vanishes meanwhile is left out; what can't be looked at is ERR_IO.
 * statistics: NULL, or a directory, relative to data, of which only itself is kept. ERR_REFUSED
 * when a directory that the server cannot do without is a symbolic link: the server's own base
 * backup would leave it out.
 */
bool scan_data_directory(Scan *scan, const char *data, unsigned major, const char *statistics,
                         Error *err) MUST_CHECK;

/* Add a file from outside the data directory; path is absolute. Call in the order of paths. */
bool scan_add_extra(Scan *scan, const char *path, const struct stat *info, Error *err) MUST_CHECK;

/*
 * Leave out the tablespaces that are not in the server's tablespace_map, with all in them: they
 * were created after the backup had started.
 */
void scan_drop_new_tablespaces(Scan *scan, const TablespaceList *known);
void scan_done(Scan *scan); /* for CLEANUP() */

/* Size, times and inode as fstat(2) told them. */
void entry_set_stat(ManifestEntry *entry, const struct stat *info);
