/*
 * world.h - an archive whose every record is known: what the server would replay along the path,
 * to hold answers against.
 *
 * Segments of 1 MiB from 3 on; a backup from .redo to .stop; commits with times that go back and
 * forth, some straddling two segments; restore points, two of one name; a fork to timeline 2 in
 * the middle of a segment, with timeline 1 going on on its own after it.
 */
#pragma once

#include "archive_builder.h"
#include "walk/wal_walk.h"

enum { WORLD_RECORDS_MAX = 20000 };

typedef struct WorldRecord {
    Lsn lsn, end;   /* end: unaligned */
    Lsn replay_end; /* where replay stands after it */
    bool is_commit, is_abort;
    int64_t time; /* PostgreSQL's */
    uint32_t xid;
    const char *name; /* restore point */
} WorldRecord;

typedef struct World {
    Archive archive;
    WalBuilder wal; /* the current timeline's */
    WalBuilder old; /* timeline 1, with what it did after the fork */
    Arena arena;
    TimelinePath path;    /* 1, 2 */
    WorldRecord *records; /* of the path, in order */
    size_t count;
    Lsn redo, stop, fork;
    uint64_t fork_segment, last_segment;
} World;

void world_init(World *world);
void world_done(World *world);
WalWalk world_walk(const World *world);
