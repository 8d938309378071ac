/*
 * scan.h - what is in a data directory, as entries of a manifest without content.
 *
 * Called after the backup has started: what appears later comes from WAL. Source of the rules:
 * basebackup.c; the list of names is postgres/data_directory.h.
 */
#pragma once

#include "pack/manifest.h"
#include "postgres/backup_label.h"
#include "postgres/relation_map.h"

#include <sys/stat.h>

enum { SCAN_OWNERS_KEPT = 8 };

typedef struct ScanOwner {
    uint32_t id;
    bool is_group;
    const char *name;
} ScanOwner;

/* A symbolic link in place of something that the server opens: what it leads to was taken. */
typedef struct FollowedLink {
    const char *path;   /* It is relative to the data directory. */
    const char *target; /* It is what readlink(2) returned. */
    dev_t device;       /* `device` and `inode` are those of what the link leads to. */
    ino_t inode;
} FollowedLink;

/* pg_filenode.map of a directory as it was before that was listed; no files: it could not be read.
 */
typedef struct ScannedMap {
    const char *directory; /* It is "global" or, for example, "base/5". */
    RelationMap map;
} ScannedMap;

typedef struct Scan {
    /*
     * They are set before the scan: files in the data directory that are configuration, relative to
     * it. A link to a directory is followed for them.
     */
    const char **configuration;
    size_t configuration_count;

    /* They are sorted by path, with extras last. Size and times are as they were at the scan. */
    ManifestEntry *entries;
    size_t count;
    size_t capacity;
    uint64_t bytes; /* It is the size of all files together. */
    /* This many files are not part of a backup and do not belong to the server. */
    uint64_t skipped_count;
    /* These tablespace locations are inside the data directory, and relative to it. */
    const char **inside;
    size_t inside_count;
    FollowedLink *followed; /* They stand in the order in which they were met. */
    size_t followed_count;
    ScannedMap *maps; /* They are sorted by directory. */
    size_t map_count;
    ScanOwner owners[SCAN_OWNERS_KEPT];
    size_t owner_count;
    Arena arena; /* It owns the strings. */
} Scan;

/*
 * Scan a data directory. What vanishes meanwhile is left out; what can't be looked at is ERR_IO.
 * statistics: NULL, or a directory, relative to data, of which only itself is kept.
 *
 * Where the server follows a symbolic link, it is followed (the server's own base backup would
 * leave it out): what is at its end becomes a plain entry under the link's name, and is told. Also
 * a small file that a link elsewhere leads to, as configuration or a certificate. ERR_REFUSED for a
 * link in place of what the server opens that leads nowhere.
 */
bool scan_data_directory(Scan *scan, const char *data, unsigned major, const char *statistics,
                         Error *err) MUST_CHECK;

/* The entry of a path in the data directory, or NULL. */
ManifestEntry *scan_find(const Scan *scan, const char *path);
/* Whether there is an entry below a directory. */
bool scan_has_below(const Scan *scan, const char *directory);
const FollowedLink *scan_followed(const Scan *scan, const char *path);

/* pg_filenode.map in a directory; *is_whole is false when it is missing, or no such file. */
bool scan_read_map(int at, const char *path, RelationMap *map, bool *is_whole,
                   Error *err) MUST_CHECK;

/* Add a file from outside the data directory; path is absolute. Call in the order of paths. */
bool scan_add_extra(Scan *scan, const char *path, const struct stat *info, Error *err) MUST_CHECK;

/*
 * Leave out the tablespaces that are not in the server's tablespace_map, with all in them: they
 * were created after the backup had started.
 */
void scan_drop_new_tablespaces(Scan *scan, const TablespaceList *known);
/*
 * What to do about a file of the data directory that may not be opened: be its server's user, or,
 * who is that already, give it to that user. `directory`: the data directory, open.
 */
bool scan_hint_unreadable(int directory, const char *path, Error *err);

void scan_done(Scan *scan); /* for CLEANUP() */

/* Size, times and inode as fstat(2) told them. */
void entry_set_stat(ManifestEntry *entry, const struct stat *info);
