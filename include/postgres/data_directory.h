/*
 * data_directory.h - what each file of a data directory is, and what a base backup takes of it.
 *
 * Source: src/backend/backup/basebackup.c (excludeDirContents, excludeFiles, noChecksumFiles),
 * common/relpath.c, storage/file/reinit.c; the same lists 13..18 but where noted.
 */
#pragma once

#include "base/error.h"

typedef enum ForkKind { FORK_MAIN, FORK_FSM, FORK_VM, FORK_INIT } ForkKind;

typedef struct RelationFile {
    uint32_t relfilenode;
    ForkKind fork;
    uint32_t segment;  /* number of the 1 GB segment, 0 first */
    bool is_temporary; /* t<backend>_<relfilenode> */
} RelationFile;

/* Whether the last part of a path is a relation file's name, and what it says. */
bool relation_file_parse(const char *name, RelationFile *file);

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
 * here: that takes the whole directory, see relation_is_unlogged_leftover().
 */
DataPlan data_plan_of(const char *path, bool is_directory);

/* Directories inside pg_wal that must exist ("pg_wal/archive_status"): NULL-terminated. */
const char *const *data_wal_directories(unsigned major);
/* "PG_15_202209061" */
enum { TABLESPACE_DIRECTORY_SIZE = 32 };
const char *tablespace_directory_text(unsigned major, char text[TABLESPACE_DIRECTORY_SIZE]);
