/*
 * archive_builder.h - an archive in memory, for tests: a repository with one cluster (server 15,
 * segments of 1 MiB) and WAL made by wal_builder.
 */
#pragma once

#include "walk/inventory.h"

#include "../postgres/wal_builder.h"

enum { MIB = 1 << 20 };

typedef struct Archive {
    Repo repo;
    Cluster cluster;
    WalInventory inventory;
} Archive;

/* In place: the cluster points to the repo. */
void archive_init(Archive *archive);
void archive_done(Archive *archive);

/* Any bytes under a WAL file's name; summary NULL unless a segment. */
void archive_put(Archive *archive, const char *name, const void *data, size_t size,
                 const WalSummary *summary);
void archive_put_history(Archive *archive, uint32_t timeline, const char *text);
/* One segment of the builder's WAL, under the name of this timeline. */
void archive_put_segment(Archive *archive, const WalBuilder *wal, uint32_t timeline,
                         uint64_t segment);
/* The same with a list of changed blocks, as archive-push stores it. */
void archive_put_listed(Archive *archive, const WalBuilder *wal, uint32_t timeline,
                        uint64_t segment);
/* All whole segments first..last. */
void archive_put_segments(Archive *archive, const WalBuilder *wal, uint32_t timeline,
                          uint64_t first, uint64_t last);
void archive_remove(Archive *archive, uint32_t timeline, uint64_t segment);
/* Change a byte of the stored object. */
void archive_damage(Archive *archive, uint32_t timeline, uint64_t segment, size_t offset);
/* Of that list. */
void archive_damage_list(Archive *archive, uint32_t timeline, uint64_t segment);
/* The same of any WAL file. */
void archive_damage_name(Archive *archive, const char *name, size_t offset);
/* Read the inventory anew. */
void archive_look(Archive *archive);

TimelinePath archive_path(const Archive *archive, uint32_t timeline, Arena *arena);
