/*
 * delta_file.h - what is known of each file that a restore goes over.
 */
#pragma once

#include "found_file.h"

#include "pack/page_set.h"
#include "rebuild/delta.h"

#include <stdatomic.h>

/* Pages of which it is remembered one by one whether they differ: 32 MiB, a restore of 2 TiB in
 * which every range has changed. Ranges beyond are compared again. */
enum { DELTA_SETS_MAX = 32768 };

typedef enum DeltaVerdict {
    DELTA_UNKNOWN,
    DELTA_SAME,
    DELTA_DIFFERS, /* With a large file, `ranges` tell where. */
} DeltaVerdict;

typedef struct DeltaRange {
    bool is_compared;
    PageSet *differs; /* NULL means that none do. */
    /*
     * They are the verified pages that must be written, one after the other. NULL means that they
     * have to be read.
     */
    uint8_t *kept;
} DeltaRange;

/* One for each entry of the manifest, however many files a cluster has: kept small. */
typedef struct DeltaFile {
    FoundStamp stamp; /* It was taken when the file was compared. */
    /* They are set for a large file. The thread that compares a range fills it. */
    DeltaRange *ranges;
    DeltaVerdict verdict : 8;
} DeltaFile;

struct Delta {
    const Manifest *manifest;
    bool from_disk;
    uint64_t keep_max;
    DeltaFile *files;          /* They stand in the order of the manifest's entries. */
    atomic_uint set_count;     /* It counts the sets of all files. */
    atomic_uint_fast64_t kept; /* It counts the bytes of all files. */
    Arena arena;
};

/* The record of an entry, as it is now: whoever fills it is alone with it. */
DeltaFile *delta_begin(Delta *delta, const ManifestEntry *entry, const FoundFile *found);
/* For the ranges of a large file; by the thread that plans the work. */
void delta_add_ranges(Delta *delta, const ManifestEntry *entry, DeltaFile *file);
/* What was remembered, when it is still worth something; else NULL. */
const DeltaFile *delta_find(const Delta *delta, const ManifestEntry *entry, const FoundFile *now);
/* A range that was compared. What there is no room for is forgotten. */
void delta_remember(Delta *delta, DeltaRange *range, const PageSet *differs);
/*
 * Memory for the pages of a range that differ, page-aligned; NULL: there is no more. Whoever has
 * filled it with what was verified sets `kept`, else frees it.
 */
uint8_t *delta_take_room(Delta *delta, const PageSet *differs);
