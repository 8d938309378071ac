/*
 * wal_summary.h - what recovery cares about in WAL: ends of transactions, restore points, and what
 * limits a recovery.
 *
 * wal_event_of() reads one record; WalSummary adds up a segment's. The WAL object's trailer stores
 * a WalSummary (docs/format.md, chapter 6), so answers by time need no decompression.
 */
#pragma once

#include "base/time.h"
#include "postgres/wal_reader.h"

typedef enum WalEventKind {
    EVENT_COMMIT,
    EVENT_ABORT,
    EVENT_RESTORE_POINT,
    /* A timeline begins, by an end of recovery or the checkpoint that stands for it. */
    EVENT_TIMELINE,
    EVENT_BACKUP_END,
    EVENT_PARAMETERS, /* It is XLOG_PARAMETER_CHANGE. */
    EVENT_FPW_OFF,    /* full_page_writes was switched off. */
    EVENT_CHECKPOINT,
} WalEventKind;

enum { WAL_LEVEL_MINIMAL = 0 };
#define WAL_LEVEL_UNKNOWN UINT32_MAX

typedef struct WalParameters {
    uint32_t max_connections, max_worker_processes, max_wal_senders, max_prepared_xacts,
        max_locks_per_xact;
    uint32_t wal_level;
    bool wal_log_hints, track_commit_timestamp;
} WalParameters;

typedef struct WalEvent {
    WalEventKind kind;
    Lsn lsn; /* The record starts here. */
    Lsn end;
    /*
     * Commits, aborts, restore points and ends of recovery have it. Otherwise it is TIME_US_NONE.
     */
    TimeUs time;
    uint32_t xid;     /* It is the transaction. When a prepared one ends, it is that one. */
    bool is_prepared; /* It is a COMMIT PREPARED or ROLLBACK PREPARED. */
    /* A commit that removes relation files has it (xinfo bit 2). */
    bool drops_relations;
    char name[64];                    /* Restore points have it. */
    Lsn backup_start;                 /* EVENT_BACKUP_END has it as its payload. */
    uint32_t timeline, prev_timeline; /* EVENT_TIMELINE and EVENT_CHECKPOINT have them. */
    /*
     * EVENT_PARAMETERS has all of them. Other events only have wal_level, which checkpoints and
     * ends of recovery tell from 17 on. Otherwise it is WAL_LEVEL_UNKNOWN.
     */
    WalParameters parameters;
} WalEvent;

/* Whether the record is an event, and which: if not, *event means nothing. */
bool wal_event_of(const WalRecord *record, const PgVersion *version, WalEvent *event);

/*
 * CREATE TABLESPACE: its oid and its location, in record->bytes, which must be there; "" for one
 * inside the data directory. False: another record.
 */
bool wal_tablespace_of(const WalRecord *record, uint32_t *oid, const char **path);

/*
 * What the records of a segment do to files and transactions, as bits: so that whoever looks for
 * such a thing reads only the segments that hold one.
 */
enum {
    WAL_CREATES_TABLESPACE = 1 << 0,
    WAL_CREATES_FILES =
        /* Relations got new files, by CREATE TABLE, but also by TRUNCATE, VACUUM FULL, ... */
    1 << 1,
    /* A commit removes relation files, or a database or tablespace is dropped. */
    WAL_REMOVES_FILES = 1 << 2,
    /* Init forks were created, which only unlogged relations have. */
    WAL_CREATES_INIT_FORKS = 1 << 3,
    WAL_PREPARES = 1 << 4, /* It is a PREPARE TRANSACTION. */
    WAL_CHANGES_ALL = (1 << 5) - 1,
};
unsigned wal_changes_of(const WalRecord *record, const PgVersion *version);
/*
 * Which of them a record can be of which no more is known than its kind, because it goes on in
 * the next segment.
 */
unsigned wal_changes_possible(uint8_t rmgr, uint8_t info, const PgVersion *version);

enum { WAL_RESTORE_POINTS_KEPT = 6 };

typedef struct WalRestorePoint {
    Lsn lsn, end;
    TimeUs time;
    char name[64];
} WalRestorePoint;

typedef struct WalSummary {
    WalReaderState reader;
    uint32_t commit_count, abort_count;
    /*
     * They are the earliest and the latest end, by commit or abort. A target time is compared with
     * them.
     */
    TimeUs end_time_min, end_time_max;
    TimeUs commit_time_min, commit_time_max; /* They are TIME_US_NONE when there is none. */
    /* They are the first and the last transaction that ended, by LSN. 0 means that none did. */
    uint32_t xid_first, xid_last;
    /* The first and the last commit or abort record start here. */
    Lsn first_end_lsn, last_end_lsn;
    Lsn last_commit_end;          /* The last commit record ends here. */
    uint32_t restore_point_count; /* It counts all of them. Only the first few are kept below. */
    WalRestorePoint restore_points[WAL_RESTORE_POINTS_KEPT];
    /* They are the end of the last BACKUP_END record, and its payload. */
    Lsn backup_end, backup_end_start;
    Lsn fpw_off;       /* It is the first record that switches full_page_writes off. */
    Lsn parameters_at; /* It is the last parameter change. 0 means that there is none. */
    WalParameters parameters;
    Lsn minimal_at; /* It is the first sign of wal_level=minimal. */
    /* The last END_OF_RECOVERY record or checkpoint that switches timelines switches to it. */
    uint32_t new_timeline;
    /*
     * It has the WAL_CREATES_... and the other bits of the records that are complete in the
     * segment.
     */
    unsigned changes;
} WalSummary;

void wal_summary_init(WalSummary *summary);
/* All that the summary keeps of this record. True when it is an event; then *event is it. */
static inline bool wal_summary_add_record(WalSummary *summary, const WalRecord *record,
                                          const PgVersion *version, WalEvent *event);
/* The same of a record of one of the resource managers of wal_reader.h: no other tells anything. */
bool wal_summary_add_kept(WalSummary *summary, const WalRecord *record, const PgVersion *version,
                          WalEvent *event);
static inline bool wal_summary_add_record(WalSummary *summary, const WalRecord *record,
                                          const PgVersion *version, WalEvent *event)
{
    return rmgr_is_kept(record->rmgr) && wal_summary_add_kept(summary, record, version, event);
}
/* The event comes after all that the summary has. */
void wal_summary_add(WalSummary *summary, const WalEvent *event);
/* The event comes before all that the summary has. */
void wal_summary_prepend(WalSummary *summary, const WalEvent *event);
