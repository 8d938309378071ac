/*
 * data_directory.h - what each file of a data directory is, and what a base backup takes of it.
 *
 * Source: src/backend/backup/basebackup.c (excludeDirContents, excludeFiles, noChecksumFiles),
 * common/relpath.c, storage/file/reinit.c; the same lists 13..18 but where noted.
 */
#pragma once

#include "base/error.h"

typedef enum ForkKind { FORK_MAIN, FORK_FSM, FORK_VM, FORK_INIT } ForkKind;

typedef struct RelationFileName {
    uint32_t relfilenode;
    ForkKind fork;
    uint32_t segment;  /* number of the 1 GB segment, 0 first */
    bool is_temporary; /* t<backend>_<relfilenode> */
} RelationFileName;

/* Whether the last part of a path is a relation file's name, and what it says. */
bool relation_file_parse(const char *name, RelationFileName *file);

typedef enum DataPlan {
    PLAN_COPY,       /* a file like any other; directories: descend */
    PLAN_RELATION,   /* pages with checksums */
    PLAN_SKIP,       /* not part of a backup */
    PLAN_EMPTY,      /* directory: keep it, drop what is inside */
    PLAN_CONTROL,    /* global/pg_control: copied last */
    PLAN_TABLESPACES /* pg_tblspc: links to follow */
} DataPlan;

/*
 * What to do with one entry. path is relative to the data directory ("base/5/1259"); the files of
 * a tablespace are "pg_tblspc/16384/PG_15_202209061/5/16385". Unlogged relations are not decided
 * here: that takes the whole directory (backup/scan.c).
 */
DataPlan data_plan_of(const char *path, bool is_directory);

/*
 * What the server looks for at a path of the data directory. It opens what is there, so it follows
 * a symbolic link that somebody has put in its place.
 */
typedef enum ServerPlace {
    PLACE_OTHER,     /* nothing that we know of */
    PLACE_DIRECTORY, /* "base", "base/5", "pg_multixact/members", "pg_tblspc/16384/PG_15_202209061"
                      */
    PLACE_FILE,      /* whatever is in one of those: "base/5/1259", "pg_xact/0000" */
} ServerPlace;
ServerPlace data_place_of(const char *path);

/*
 * Names in a directory that are replaced by rename(2) while the server runs, or must be there. A
 * file system may leave such a name out of a listing that is under way meanwhile (btrfs from Linux
 * 6.5 on), so they are looked up by name. NULL-terminated; "" is the data directory itself.
 */
const char *const *data_names_in(const char *path);

/* Whether files of relations, and their map, are in this directory: "global", "base/5", ... */
bool data_holds_relations(const char *path);

/* Directories inside pg_wal that must exist ("pg_wal/archive_status"): NULL-terminated. */
const char *const *data_wal_directories(unsigned major);
/* "PG_15_202209061" */
enum { TABLESPACE_DIRECTORY_SIZE = 32 };
const char *tablespace_directory_text(unsigned major, char text[TABLESPACE_DIRECTORY_SIZE]);
