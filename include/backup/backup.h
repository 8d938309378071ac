/*
 * backup.h - take a base backup.
 */
#pragma once

#include "base/progress.h"
#include "pack/manifest.h"
#include "server/session.h"

typedef enum BadPagePolicy { BAD_PAGES_WARN, BAD_PAGES_FAIL } BadPagePolicy;

/* How its reads and writes come after those of others, where the kernel's scheduler of that disk
 * knows classes (BFQ and mq-deadline do). */
typedef enum DiskPriority {
    DISK_PRIORITY_LOW,  /* the lowest of the ordinary class, best-effort */
    DISK_PRIORITY_IDLE, /* only what the others leave */
    DISK_PRIORITY_KEPT, /* as the process was started */
} DiskPriority;

typedef struct BackupRequest {
    const char *data;  /* NULL: the server says */
    const char *label; /* NULL: "pgcairn backup" */
    Compression compression;
    unsigned jobs;
    uint64_t rate_limit; /* bytes per second read, 0: none */
    unsigned nice;       /* niceness at least, 0 to 19; a process that was started nicer stays so */
    DiskPriority disk_priority;
    uint64_t pack_size;
    bool fast_checkpoint;
    bool is_full;              /* nothing is shared with an earlier backup */
    bool must_check_unchanged; /* what is taken for unchanged is read and compared */
    bool must_read_all;        /* nothing is taken for unchanged */
    BadPagePolicy bad_pages;
    uint64_t wal_wait_ms;     /* how long to wait for the WAL up to stop */
    const char *options_text; /* for the manifest */
    Progress *progress;       /* may be NULL */
} BackupRequest;

typedef struct BadPage {
    const char *path;
    uint32_t block; /* in the relation fork */
} BadPage;

enum { BAD_PAGES_KEPT = 100 };

typedef struct BackupReport {
    char id[BACKUP_ID_SIZE];
    Lsn start, stop;
    uint32_t timeline;
    uint64_t file_count, bytes, bytes_stored; /* stored: by this backup, in its packs */
    uint64_t bytes_new, bytes_read;           /* of bytes: stored now and not shared; read */
    char base[BACKUP_ID_SIZE];                /* the backup that it shares with; "": none */
    const char *no_base;                      /* why there is none; in arena */
    const char *changes_by;                   /* how it was found what had changed; a constant */
    const char *times_why_not; /* why no file's times were believed, in arena; "": they were */
    uint64_t ranges_unread;    /* by their files' times */
    /* By the WAL: bytes that none names and that were not read; by how many lists of segments, and
     * how many of them had to be made from the WAL itself; why it was not asked, in arena, or "".
     */
    uint64_t bytes_unnamed, wal_segments, wal_segments_read;
    const char *wal_why_not;
    /* Pages that had changed although they should not have, and the first of them. */
    uint64_t surprise_count;
    bool is_surprise_by_wal; /* the WAL did not name it; else it was by its file's times */
    bool is_base_by_wal;     /* the base did not read what no WAL named */
    BadPage surprise;
    uint64_t bad_page_count;
    BadPage bad_pages[BAD_PAGES_KEPT]; /* the first ones, in arena */
    uint64_t skipped_count;            /* files that vanished, sockets, foreign links */
    bool is_waiting_for_wal;           /* committed, but WAL is not whole yet */
    TimeUs elapsed_start, elapsed_copy, elapsed_stop, elapsed_wait; /* microseconds */
    Arena arena;
} BackupReport;

/*
 * Identity → start → lease → scan → copy → pg_control → stop → commit → wait for WAL (bounded).
 * The session is the caller's. ERR_BUSY: another backup runs. ERR_REFUSED: not this cluster, or
 * archiving is off. report->bad_page_count and is_waiting_for_wal make a success a degraded one.
 */
bool backup_take(const Cluster *cluster, Session *session, const BackupRequest *request,
                 BackupReport *report, Error *err) MUST_CHECK;
void backup_report_done(BackupReport *report); /* for CLEANUP() */
