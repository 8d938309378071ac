/*
 * old_scene.h - an archive, and the WAL of servers that may be of its history, to be laid into the
 * working directory (folder.h).
 *
 * The archive has segments 3 to 5 of timeline 1, nine commits in each. Timeline 1 goes on in
 * segment 6, of which the archive has nothing. A clone has the same up to the third commit of
 * segment 5, and then commits of its own.
 *
 *                 3          4          5          6
 *     archive     |##########|##########|##########|
 *     original    |##########|##########|##########|###
 *     clone       |##########|##########|###xxxxxxx|xxx
 */
#pragma once

#include "../walk/archive_builder.h"

enum { COMMITS = 9, PART = 3 };

typedef struct OldScene {
    Archive archive;
    WalBuilder wal;
    WalBuilder clone;
    Lsn part, last; /* where the clone parts, and the record before that */
    Lsn last_of_5;
    Arena arena;
} OldScene;

void old_scene_init(OldScene *scene);
void old_scene_done(OldScene *scene);

Lsn old_scene_aligned(Lsn lsn);
void old_scene_commits(WalBuilder *wal, uint32_t first_xid, int count);

void old_scene_put_file(const char *name, const void *data, size_t size);
/* A segment as its server has it: as far as it was written, then what was there before. */
void old_scene_put_segment(const WalBuilder *wal, uint32_t timeline, uint64_t segment);
/* Of timeline 1. */
void old_scene_put_segments(const WalBuilder *wal, uint64_t first, uint64_t last);
