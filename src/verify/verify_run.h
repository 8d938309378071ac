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
    FRAME_ALONE,   /* a page table whose extents do not stand in front of it */
    FRAME_PARTIAL, /* a page table that has not all pages of its range: others have the rest */
    FRAME_DAMAGED, /* it, or an extent of it */
} FrameState;

/*
 * What was found in a pack, of page tables and small files: manifests refer to nothing else. One
 * for each file of a backup, so its size counts (architecture.md, law 10).
 */
typedef struct FrameFact {
    Frame frame;
    uint64_t hash;       /* of a small file's content; of a range (range_hash) */
    uint32_t crc32c;     /* likewise */
    uint32_t range;      /* number in its file */
    uint32_t range_size; /* bytes */
    FrameKind kind : 8;
    FrameState state : 8;
} FrameFact;

typedef struct PackFacts {
    PackInfo info;
    bool is_scanned;
    bool is_readable;  /* its frames are known */
    bool is_bad;       /* something is wrong with it */
    uint32_t users;    /* manifests that refer to it and were not checked yet */
    FrameFact *frames; /* by offset; freed with its last user */
    size_t frame_count;
    size_t *hurt; /* backups that need something damaged in it */
    size_t hurt_count;
} PackFacts;

typedef struct BackupFacts {
    char id[BACKUP_ID_SIZE];
    bool is_readable; /* all below is known */
    bool is_hurt;     /* can't be restored, for its files' sake */
    bool is_believed; /* its packs are not read for its sake */
    bool is_suspect;  /* something is wrong with its manifest's head */
    uint32_t timeline;
    Lsn start, stop;
    TimeUs stopped_at;
    const char *history;
    uint32_t segment_size;
    uint64_t bad_pages; /* when it was taken */
    /* is_believed: */
    TimeUs verified_at;
    char (*packs)[33]; /* their ids */
    size_t pack_count;
} BackupFacts;

/* What the journal says of a backup that was taken. */
typedef struct PastBackup {
    char id[BACKUP_ID_SIZE];
    const char *object; /* the journal's entry */
    TimeUs finished;
    const char **pages; /* "5 base/5/16384": block and path of those that were bad */
    size_t page_count;
    bool is_lost; /* its manifest is not there */
} PastBackup;

typedef struct TimelineFacts {
    uint32_t timeline;
    bool has_history;  /* the object is there */
    bool has_path;     /* known, from the history or from a backup's copy of it */
    const char *text;  /* the history's; NULL: not readable */
    TimelinePath path; /* has_path; else only this timeline */
    TimeUs stored_at;
} TimelineFacts;

typedef struct SegmentFact {
    uint64_t segment;
    uint32_t timeline;
    bool is_good;
    TimeUs commit_time_max; /* TIME_US_NONE: no commit in it */
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
    Finding finding; /* meaning is set at the end, unless PLACE_TOLD */
    PlaceKind place;
    bool is_newer; /* of a newer version, as far as can be told: nothing to mark as damage */
    size_t index;  /* of the backup or pack */
    WalPlace wal;  /* PLACE_WAL; PLACE_TIMELINE: .timeline */
} Trouble;

typedef struct VerifyRun {
    const Cluster *cluster;
    const VerifyRequest *request;
    VerifyReport *report;
    ObjectList list; /* everything under the cluster's name */
    TimeUs now;      /* when the run began */
    Identity *identities;
    size_t identity_count;
    BackupFacts *backups; /* by id */
    size_t backup_count;
    PackFacts *packs; /* by id */
    size_t pack_count, pack_capacity;
    TimelineFacts *timelines; /* ascending */
    size_t timeline_count;
    MarkList marks; /* as they were at the beginning */
    PastBackup *past;
    size_t past_count;
    const char **removed; /* ids of backups that retention took away, by the journal */
    size_t removed_count;
    SegmentFact *segments; /* by timeline, then number */
    size_t segment_count;
    Trouble *troubles;
    size_t trouble_count, trouble_capacity;
    Arena arena;
} VerifyRun;
