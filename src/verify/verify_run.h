/*
 * verify_run.h - what one verification knows.
 *
 * The main thread owns the VerifyRun; workers see only their jobs. The order of the passes is in
 * verify.c; each pass has a header of its own, and so has what they share: listing.h, packs.h,
 * troubles.h, crew.h. Troubles are collected with the place where they are; what each means is told
 * at the end (meaning.h), when all backups, timelines and commit times are known.
 */
#pragma once

#include "base/work_queue.h"
#include "pack/manifest.h"
#include "repo/layout.h"
#include "repo/mark.h"
#include "verify/verify.h"
#include "wal/wal_object.h"
#include "walk/inventory.h"
#include "walk/learning.h"

/* One registration: an upgraded cluster has several, and older backups belong to older ones. */
typedef struct Identity {
    uint64_t system_identifier;
    unsigned major;
    uint32_t wal_segment_size;
} Identity;

typedef enum FrameState {
    FRAME_GOOD,
    FRAME_ALONE, /* It is a page table whose extents are not right before it. */
    /* It is a page table that lacks some pages of its range. Others have the rest. */
    FRAME_PARTIAL,
    FRAME_DAMAGED, /* It is damaged, or an extent of it is. */
} FrameState;

/*
 * What was found in a pack, of page tables and small files: manifests refer to nothing else. One
 * for each file of a backup, so its size counts (architecture.md, law 10).
 */
typedef struct FrameFact {
    Frame frame;
    uint64_t hash;       /* It is that of a small file's content, or of a range (range_hash). */
    uint32_t crc32c;     /* It is that of the same. */
    uint32_t range;      /* It is the number of the range in its file. */
    uint32_t range_size; /* It is in bytes. */
    FrameKind kind : 8;
    FrameState state : 8;
} FrameFact;

typedef struct PackFacts {
    PackInfo info;
    bool is_scanned;
    bool is_readable;  /* Its frames are known. */
    bool is_bad;       /* Something is wrong with it. */
    uint32_t users;    /* This many manifests refer to it and were not checked yet. */
    FrameFact *frames; /* They are sorted by offset, and freed with the last user. */
    size_t frame_count;
    size_t *hurt; /* These backups need something damaged in it. */
    size_t hurt_count;
} PackFacts;

typedef struct BackupFacts {
    char id[BACKUP_ID_SIZE];
    bool is_readable; /* All fields below are known. */
    bool is_hurt;     /* It can't be restored, because of its files. */
    bool is_believed; /* An earlier verification is trusted, so its packs are not read for it. */
    bool is_suspect;  /* Something is wrong with the head of its manifest. */
    uint32_t timeline;
    Lsn start, stop;
    TimeUs stopped_at;
    const char *history;
    uint32_t segment_size;
    uint64_t bad_pages; /* It had this many when it was taken. */
    /* The fields below are set when is_believed. */
    TimeUs verified_at;
    char (*packs)[33]; /* They are the ids of its packs. */
    size_t pack_count;
} BackupFacts;

/* What the journal says of a backup that was taken. */
typedef struct PastBackup {
    char id[BACKUP_ID_SIZE];
    const char *object; /* It is the journal's entry. */
    TimeUs finished;
    /* Each is, for example, "5 base/5/16384": block and path of a page that was bad. */
    const char **pages;
    size_t page_count;
    bool is_lost; /* Its manifest is not there. */
} PastBackup;

typedef struct TimelineFacts {
    uint32_t timeline;
    bool has_history;  /* The history's object is there. */
    bool has_path;     /* Its path is known, from the history or from a backup's copy of it. */
    const char *text;  /* It is the text of the history, or NULL when that is not readable. */
    TimelinePath path; /* When has_path is false, it has only this timeline. */
    TimeUs stored_at;
} TimelineFacts;

typedef struct SegmentFact {
    uint64_t segment;
    uint32_t timeline;
    bool is_good;
    TimeUs commit_time_max; /* TIME_US_NONE means that there is no commit in it. */
} SegmentFact;

/* Missing or damaged WAL: segments first to last of one timeline. */
typedef struct WalPlace {
    uint32_t timeline;
    uint64_t first, last;
} WalPlace;

typedef enum PlaceKind {
    PLACE_TOLD,
    PLACE_BACKUP,
    PLACE_PACK,
    PLACE_WAL,
    PLACE_TIMELINE
} PlaceKind;

typedef struct Trouble {
    Finding finding; /* Its meaning is set at the end, unless with PLACE_TOLD. */
    PlaceKind place;
    /* It is of a newer version, as far as can be told, so nothing is marked as damage. */
    bool is_newer;
    size_t index; /* It is the index of the backup or pack. */
    WalPlace wal; /* It is set with PLACE_WAL. With PLACE_TIMELINE only .timeline is. */
} Trouble;

typedef struct VerifyRun {
    const Cluster *cluster;
    const VerifyRequest *request;
    VerifyReport *report;
    ObjectList list; /* It has everything under the cluster's name. */
    TimeUs now;      /* The run began then. */
    Identity *identities;
    size_t identity_count;
    BackupFacts *backups; /* They are sorted by id. */
    size_t backup_count;
    PackFacts *packs; /* They are sorted by id. */
    size_t pack_count, pack_capacity;
    TimelineFacts *timelines; /* They are in ascending order. */
    size_t timeline_count;
    MarkList marks; /* They are as they were at the beginning. */
    PastBackup *past;
    size_t past_count;
    const char **removed; /* They are the ids of backups that retention removed, by the journal. */
    size_t removed_count;
    SegmentFact *segments; /* They are sorted by timeline, then by number. */
    size_t segment_count;
    Trouble *troubles;
    size_t trouble_count, trouble_capacity;
    Arena arena;
} VerifyRun;
