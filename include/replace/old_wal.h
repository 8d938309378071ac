/*
 * old_wal.h - what lies in the pg_wal of an old data directory, judged by content: names alone
 * also belong to recycled segments.
 */
#pragma once

#include "base/memory.h"
#include "postgres/wal_name.h"
#include "repo/repo.h"

typedef struct OldSegment {
    const char *path;
    const char *file; /* It is the name of the file. */
    WalName name;
    bool is_ready; /* archive_status says that it is not archived yet. */
    bool is_done;
} OldSegment;

typedef struct OldHistory {
    const char *path;
    uint32_t timeline;
} OldHistory;

typedef struct OldWal {
    /*
     * They are the valid segments of this cluster, by timeline and number, and then other WAL files
     * that are marked ready.
     */
    OldSegment *items;
    size_t count, capacity;
    OldHistory *histories; /* They are all history files, marked or not. */
    size_t history_count;
    size_t others;       /* This many segments are of another cluster. */
    uint32_t *archiving; /* Some file of these timelines is marked ready or done here. */
    size_t archiving_count;
} OldWal;

/* A directory that is not there holds nothing. Strings go into arena. */
bool old_wal_load(const char *directory, const Cluster *cluster, Arena *arena, OldWal *wal,
                  Error *err) MUST_CHECK;
/* Adds what another directory of the same server holds. A name that is there already stays. */
bool old_wal_add(const char *directory, const Cluster *cluster, Arena *arena, OldWal *wal,
                 Error *err) MUST_CHECK;
/*
 * Whether this directory's server archived (or was to archive) WAL of this timeline. One that did
 * not is a copy for tests: its timeline must not get into the archive, where another has the
 * number.
 */
bool old_wal_archives(const OldWal *wal, uint32_t timeline);
/* The segment, or NULL. */
const OldSegment *old_wal_find(const OldWal *wal, uint32_t timeline, uint64_t segment);
/* The history of this timeline, or NULL. */
const OldHistory *old_wal_history(const OldWal *wal, uint32_t timeline);
