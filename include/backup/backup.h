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
    DISK_PRIORITY_LOW,  /* It is the lowest of the ordinary class, best-effort. */
    DISK_PRIORITY_IDLE, /* It uses only what the others leave. */
    DISK_PRIORITY_KEPT, /* It stays as the process was started. */
} DiskPriority;

typedef struct BackupRequest {
    const char *data;  /* When it is NULL, the server says where it is. */
    const char *label; /* NULL means "pgcairn backup". */
    Compression compression;
    unsigned jobs;
    /* This many bytes may be read each second. 0 means that there is no limit. */
    uint64_t rate_limit;
    /* The niceness is raised to this, 0 to 19. A process that was started nicer stays so. */
    unsigned nice;
    DiskPriority disk_priority;
    uint64_t pack_size;
    bool fast_checkpoint;
    bool is_full;              /* Nothing is shared with an earlier backup. */
    bool must_check_unchanged; /* What is taken for unchanged is read and compared. */
    bool must_read_all;        /* Nothing is taken for unchanged. */
    BadPagePolicy bad_pages;
    uint64_t wal_wait_ms;     /* The backup waits this long for the WAL up to its stop. */
    const char *options_text; /* It goes into the manifest. */
    Progress *progress;       /* It may be NULL. */
} BackupRequest;

typedef struct BadPage {
    const char *path;
    uint32_t block; /* It counts from the beginning of the relation fork. */
} BadPage;

enum { BAD_PAGES_KEPT = 100 };

typedef struct BackupReport {
    char id[BACKUP_ID_SIZE];
    Lsn start, stop;
    uint32_t timeline;
    /* bytes_stored counts what this backup stored in its packs. */
    uint64_t file_count, bytes, bytes_stored;
    /* Of bytes, they count what was stored now rather than shared, and what was read. */
    uint64_t bytes_new, bytes_read;
    char base[BACKUP_ID_SIZE]; /* Data is shared with this backup. "" means that there is none. */
    const char *no_base;       /* It says why there is no base. It is in the arena. */
    const char *changes_by;    /* This constant says how changes were found. */
    /* It says why no file's times were trusted, in the arena. "" means that they were. */
    const char *times_why_not;
    uint64_t ranges_unread; /* This many ranges were not read because of their files' times. */
    /*
     * The WAL named none of bytes_unnamed, so they were not read. wal_segments lists said so, of
     * which wal_segments_read had to be made from the WAL itself. wal_why_not says why the WAL was
     * not asked, in the arena, or is "".
     */
    uint64_t bytes_unnamed, wal_segments, wal_segments_read;
    const char *wal_why_not;
    /*
     * It counts pages that had changed although they should not have. `surprise` is the first of
     * them.
     */
    uint64_t surprise_count;
    /*
     * The WAL did not name the page. When it is false, the file's times had said that it was
     * unchanged.
     */
    bool is_surprise_by_wal;
    bool is_base_by_wal; /* The base did not read what no WAL named. */
    BadPage surprise;
    uint64_t bad_page_count;
    BadPage bad_pages[BAD_PAGES_KEPT]; /* They are the first ones. Their paths are in the arena. */
    /* It counts files that vanished, sockets and foreign links. */
    uint64_t skipped_count;
    bool is_waiting_for_wal; /* The backup is committed, but its WAL is not complete yet. */
    TimeUs elapsed_start, elapsed_copy, elapsed_stop, elapsed_wait;
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
