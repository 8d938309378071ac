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
    uint32_t segment;  /* It is the number of the 1 GB segment, from 0 on. */
    bool is_temporary; /* Its name is t<backend>_<relfilenode>. */
} RelationFileName;

/* Whether the last part of a path is a relation file's name, and what it says. */
bool relation_file_parse(const char *name, RelationFileName *file);

typedef enum DataPlan {
    PLAN_COPY,       /* It is a file like any other. Directories are descended into. */
    PLAN_RELATION,   /* It has pages with checksums. */
    PLAN_SKIP,       /* It is not part of a backup. */
    PLAN_EMPTY,      /* The directory is kept, but what is inside is dropped. */
    PLAN_CONTROL,    /* It is global/pg_control, which is copied last. */
    PLAN_TABLESPACES /* It is pg_tblspc, whose links are followed. */
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
    PLACE_OTHER, /* We know of nothing that the server looks for there. */
    /* It is "base", "base/5", "pg_multixact/members", "pg_tblspc/16384/PG_15_202209061", ... */
    PLACE_DIRECTORY,
    PLACE_FILE, /* It is whatever is in one of those directories: "base/5/1259", "pg_xact/0000". */
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
