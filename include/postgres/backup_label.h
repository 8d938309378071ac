/*
 * backup_label.h - backup_label and tablespace_map: what tells the server that it starts from a
 * backup, and where its tablespaces are.
 *
 * Source: access/xlogrecovery.c (read_backup_label, read_tablespace_map), access/xlogbackup.c.
 */
#pragma once

#include "base/memory.h"
#include "postgres/wal_name.h"

typedef struct BackupLabel {
    Lsn start;      /* It is START WAL LOCATION: redo, where replay begins. */
    Lsn checkpoint; /* It is CHECKPOINT LOCATION. */
    uint32_t timeline;
    bool from_standby;
    bool is_incremental; /* From 17 on, the server refuses to start from such a backup. */
} BackupLabel;

/* ERR_CORRUPT when the server would not read it either. */
bool backup_label_parse(const char *text, BackupLabel *label, Error *err) MUST_CHECK;

typedef struct Tablespace {
    uint32_t oid;
    /* It is absolute and unescaped. In a map it is what the link says, which may be relative. */
    const char *path;
} Tablespace;

typedef struct TablespaceList {
    Tablespace *items; /* They are in the arena, sorted by oid. */
    size_t count;
} TablespaceList;

/*
 * tablespace_map, as pg_backup_stop() returns it. Before 14 only LF and CR are escaped, from 14 on
 * the backslash too. Strings go into arena.
 */
bool tablespace_map_parse(const char *text, unsigned major, Arena *arena, TablespaceList *list,
                          Error *err) MUST_CHECK;
