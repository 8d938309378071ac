/*
 * verify_run.h - what one verification knows, and who finds out what.
 *
 * The main thread owns the VerifyRun; workers see only their jobs. The order of the passes is in
 * verify.c. Troubles are collected with the place where they are; what each means is told at the
 * end (meaning.c), when all backups, timelines and commit times are known.
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
    bool is_suspect;  /* something is wrong with its manifest */
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
    SegmentFact *segments; /* by timeline, then number */
    size_t segment_count;
    Trouble *troubles;
    size_t trouble_count, trouble_capacity;
    Arena arena;
} VerifyRun;

/* Whether a failure tells something of the object (a finding), or only that it was not seen. */
bool is_finding(const Error *err);

/* In the listing of the beginning; NULL: it is not there. */
const ObjectInfo *verify_find_object(const VerifyRun *run, const char *name);

Trouble *trouble_add(VerifyRun *run, FindingSeverity severity, const char *object, const char *what,
                     const char *expected, const char *found);
/* The same for an object that could not be read: err says why. */
Trouble *trouble_of_error(VerifyRun *run, const char *object, const Error *err);
void trouble_means(VerifyRun *run, Trouble *trouble, const char *meaning);
void trouble_at_backup(Trouble *trouble, size_t backup);
void trouble_at_pack(Trouble *trouble, size_t pack);
void trouble_at_wal(Trouble *trouble, uint32_t timeline, uint64_t first, uint64_t last);
void trouble_at_timeline(Trouble *trouble, uint32_t timeline);
/* Into the report, sorted, once each has its meaning. */
void troubles_publish(VerifyRun *run);
void troubles_done(VerifyRun *run);

/* Records are read, the rest is sorted by kind: what is of no known kind becomes a note. */
bool verify_records(VerifyRun *run, Error *err) MUST_CHECK;
bool verify_leftovers(VerifyRun *run, Error *err) MUST_CHECK;
/* 32 hex digits in their folder; NULL for any other object. */
const char *pack_id_of(const Cluster *cluster, const char *object);

/* Every manifest once: who is there, and which packs they refer to. */
bool survey_backups(VerifyRun *run, Error *err) MUST_CHECK;
/* Every pack once, and each manifest against what was found in its packs. */
bool verify_backups(VerifyRun *run, Error *err) MUST_CHECK;
PackFacts *pack_find(const VerifyRun *run, const char *id);

/* Sets is_believed when it still is what was read then, by its manifest and by the listing. */
void believe_backup(VerifyRun *run, size_t backup, const Manifest *manifest);
/* Not of one that shares a pack with a backup that is read. Once all are surveyed. */
void doubt_shared(VerifyRun *run);
/* is_good: remember it; else what is remembered of it goes. */
void remember_backup(VerifyRun *run, size_t backup, const Manifest *manifest, bool is_good);
/* Of backups that are not there any more nothing is remembered. */
void forget_lost_backups(VerifyRun *run);
/* Once: why it is not remembered is told in the report. */
void note_unremembered(VerifyRun *run, const Error *problem);
bool is_known_object(const Cluster *cluster, const char *object);
void count_believed(VerifyRun *run, uint64_t bytes, TimeUs verified_at);

/* Once: why it is not marked is told in the report. */
void note_unmarked(VerifyRun *run, const Error *problem);
/* is_good: what was known against it is taken back. Else the worst finding about it is the reason.
 */
void mark_backup(VerifyRun *run, size_t backup, const Manifest *manifest, bool is_good);
void mark_lost_backup(VerifyRun *run, const char *id, const char *reason);
/* problem: ERR_NONE when it was read whole and is good. */
void mark_wal(VerifyRun *run, const WalName *name, const Error *problem);
bool is_marked_backup(const VerifyRun *run, size_t backup);
bool is_marked_wal(const VerifyRun *run, const WalName *name);
/* Marks of what is not there any more, and that nothing misses. After verify_past_backups(). */
void forget_marks_of_nothing(VerifyRun *run);

void note_past_backup(VerifyRun *run, const char *object, const Record *record);
/* Those whose manifest is gone. */
bool verify_past_backups(VerifyRun *run, Error *err) MUST_CHECK;
bool is_lost_backup(const VerifyRun *run, const char *id);
void past_tell_bad_pages(VerifyRun *run);

/* One manifest against its packs, which have been scanned. */
bool verify_check_manifest(VerifyRun *run, size_t backup, const Manifest *manifest,
                           Error *err) MUST_CHECK;

bool survey_timelines(VerifyRun *run, Error *err) MUST_CHECK;
bool verify_wal(VerifyRun *run, Error *err) MUST_CHECK;
bool verify_holes(VerifyRun *run, Error *err) MUST_CHECK;

bool verify_branches(VerifyRun *run, Error *err) MUST_CHECK;
/* pieces.c: of segments that were not whole. After verify_wal(). */
bool verify_pieces(VerifyRun *run, Error *err) MUST_CHECK;
/* NULL when nothing is known of it. */
const TimelineFacts *timeline_find(const VerifyRun *run, uint32_t timeline);
/* Whether WAL at this place counts: always, or only for the backup that is asked for. */
bool is_wal_wanted(const VerifyRun *run, uint32_t timeline, uint64_t segment);
/* Whether a recovery from this backup can follow this path. */
bool is_backup_on_path(const BackupFacts *backup, const TimelinePath *path);
/* None of its WAL is there, and nothing goes on from it: that is told of its history. */
bool timeline_has_only_begun(const VerifyRun *run, uint32_t timeline);

void troubles_tell(VerifyRun *run);

enum { CREW_JOBS_MAX = 128 };

typedef struct CrewPlan {
    size_t count; /* of jobs */
    unsigned threads;
    WorkFunction *work;
    void *const *workers; /* one a thread, or NULL */
    void *const *jobs;    /* 2 * threads of them, used in turn */
    void (*prepare)(VerifyRun *run, void *context, size_t index, void *job);
    bool (*take)(VerifyRun *run, void *context, void *job, Error *err);
    void *context;
} CrewPlan;
bool crew_work(VerifyRun *run, const CrewPlan *plan, Error *err) MUST_CHECK;
unsigned crew_threads(const VerifyRun *run); /* 1 to CREW_JOBS_MAX / 2 */
