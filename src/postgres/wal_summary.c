#include "postgres/wal_summary.h"

#include "base/bytes.h"
#include "postgres/wal_changes.h"
#include "wal_record.h"

enum { CHECKPOINT_SIZE = 88 }; /* struct CheckPoint */

static bool transaction_event(const WalRecord *record, const PgVersion *version, WalEvent *event)
{
    WalTransactionEnd end;

    if (!wal_transaction_end_of(record, version, &end))
        return false;
    event->kind = end.is_commit ? EVENT_COMMIT : EVENT_ABORT;
    event->time = end.time;
    event->xid = end.xid;
    event->is_prepared = end.is_prepared;
    event->drops_relations = end.is_commit && end.has_files;
    return true;
}

static void restore_point_event(const uint8_t *bytes, WalEvent *event)
{
    event->kind = EVENT_RESTORE_POINT;
    event->time = time_from_postgres((int64_t)get_le64(bytes));
    memcpy(event->name, bytes + 8, sizeof event->name - 1);
    event->name[sizeof event->name - 1] = '\0';
}

static void parameters_event(const uint8_t *bytes, WalEvent *event)
{
    event->kind = EVENT_PARAMETERS;
    event->parameters = (WalParameters){
        .max_connections = get_le32(bytes),
        .max_worker_processes = get_le32(bytes + 4),
        .max_wal_senders = get_le32(bytes + 8),
        .max_prepared_xacts = get_le32(bytes + 12),
        .max_locks_per_xact = get_le32(bytes + 16),
        .wal_level = get_le32(bytes + 20),
        .wal_log_hints = bytes[24] != 0,
        .track_commit_timestamp = bytes[25] != 0,
    };
}

/* A promotion that was not asked for ends with a shutdown checkpoint that changes the timeline. */
static void checkpoint_event(const uint8_t *bytes, bool is_shutdown, const PgVersion *version,
                             WalEvent *event)
{
    event->kind = EVENT_CHECKPOINT;
    event->timeline = get_le32(bytes + 8);
    event->prev_timeline = get_le32(bytes + 12);
    if (version->major >= 17)
        event->parameters.wal_level = get_le32(bytes + 20);
    if (is_shutdown && event->timeline != event->prev_timeline) {
        event->kind = EVENT_TIMELINE;
        event->time = (TimeUs)(get_le64(bytes + 64) * 1000000);
    }
}

static void end_of_recovery_event(Payload payload, const PgVersion *version, WalEvent *event)
{
    event->kind = EVENT_TIMELINE;
    event->time = time_from_postgres((int64_t)get_le64(payload.bytes));
    event->timeline = get_le32(payload.bytes + 8);
    event->prev_timeline = get_le32(payload.bytes + 12);
    if (version->major >= 17 && payload.size >= 20)
        event->parameters.wal_level = get_le32(payload.bytes + 16);
}

static bool xlog_event(const WalRecord *record, Payload payload, const PgVersion *version,
                       WalEvent *event)
{
    const uint8_t *bytes = payload.bytes;
    unsigned op = record->info & 0xF0;

    if ((op == XLOG_CHECKPOINT_SHUTDOWN || op == XLOG_CHECKPOINT_ONLINE) &&
        payload.size >= CHECKPOINT_SIZE) {
        checkpoint_event(bytes, op == XLOG_CHECKPOINT_SHUTDOWN, version, event);
        return true;
    }
    if (op == XLOG_BACKUP_END && payload.size >= 8) {
        event->kind = EVENT_BACKUP_END;
        event->backup_start = get_le64(bytes);
        return true;
    }
    if (op == XLOG_PARAMETER_CHANGE && payload.size >= 26) {
        parameters_event(bytes, event);
        return true;
    }
    if (op == XLOG_RESTORE_POINT && payload.size >= 72) {
        restore_point_event(bytes, event);
        return true;
    }
    if (op == XLOG_FPW_CHANGE && payload.size >= 1) {
        event->kind = EVENT_FPW_OFF;
        return bytes[0] == 0;
    }
    if (op == XLOG_END_OF_RECOVERY && payload.size >= 16) {
        end_of_recovery_event(payload, version, event);
        return true;
    }
    return false;
}

/* Most records are none: what is said of an event is not prepared for those. */
static bool event_of(const WalRecord *record, Payload payload, const PgVersion *version,
                     WalEvent *event)
{
    *event = (WalEvent){
        .lsn = record->lsn,
        .end = record->end,
        .time = TIME_US_NONE,
        .parameters.wal_level = WAL_LEVEL_UNKNOWN,
    };
    return record->rmgr == RMGR_TRANSACTION ? transaction_event(record, version, event)
                                            : xlog_event(record, payload, version, event);
}

bool wal_event_of(const WalRecord *record, const PgVersion *version, WalEvent *event)
{
    Payload payload;

    return (record->rmgr == RMGR_TRANSACTION || record->rmgr == RMGR_XLOG) &&
           record->bytes != NULL && payload_of(record, &payload) &&
           event_of(record, payload, version, event);
}

bool wal_tablespace_of(const WalRecord *record, uint32_t *oid, const char **path)
{
    Payload payload;

    if (record->rmgr != RMGR_TABLESPACE || (record->info & 0xF0) != XLOG_TBLSPC_CREATE ||
        record->bytes == NULL || !payload_of(record, &payload) || payload.size <= 4 ||
        payload.bytes[payload.size - 1] != '\0')
        return false;
    *oid = get_le32(payload.bytes);
    *path = (const char *)payload.bytes + 4;
    return true;
}

unsigned wal_changes_possible(uint8_t rmgr, uint8_t info, const PgVersion *version)
{
    unsigned op = info & 0xF0;

    switch (rmgr) {
    case RMGR_TRANSACTION:
        op = info & 0x70;
        if (op == XACT_PREPARE)
            return WAL_PREPARES;
        return op == XACT_COMMIT || op == XACT_COMMIT_PREPARED ? WAL_REMOVES_FILES : 0;
    case RMGR_STORAGE:
        return op == XLOG_SMGR_CREATE ? WAL_CREATES_FILES | WAL_CREATES_INIT_FORKS : 0;
    case RMGR_DATABASE:
        return op == (version->major >= 15 ? XLOG_DBASE_DROP : XLOG_DBASE_DROP_TO_14)
                   ? WAL_REMOVES_FILES
                   : 0;
    case RMGR_TABLESPACE:
        if (op == XLOG_TBLSPC_CREATE)
            return WAL_CREATES_TABLESPACE;
        return op == XLOG_TBLSPC_DROP ? WAL_REMOVES_FILES : 0;
    default:
        return 0;
    }
}

unsigned wal_changes_of(const WalRecord *record, const PgVersion *version)
{
    unsigned changes = wal_changes_possible(record->rmgr, record->info, version);
    RelationFile file;
    WalEvent event;

    if ((changes & WAL_CREATES_INIT_FORKS) != 0 && !wal_created_init_fork_of(record, &file))
        return changes & ~(unsigned)WAL_CREATES_INIT_FORKS;
    if (changes == 0 || changes == WAL_PREPARES || record->rmgr != RMGR_TRANSACTION ||
        record->bytes == NULL)
        return changes; /* too large to be looked at: it may */
    return wal_event_of(record, version, &event) && event.drops_relations ? changes : 0;
}

void wal_summary_init(WalSummary *summary)
{
    *summary = (WalSummary){
        .end_time_min = TIME_US_NONE,
        .end_time_max = TIME_US_NONE,
        .commit_time_min = TIME_US_NONE,
        .commit_time_max = TIME_US_NONE,
    };
}

static void times_widen(TimeUs *min, TimeUs *max, TimeUs time)
{
    if (*min == TIME_US_NONE || time < *min)
        *min = time;
    if (*max == TIME_US_NONE || time > *max)
        *max = time;
}

/* Where an event stands among those that the summary has already. */
typedef enum Place { BEFORE_ALL, AFTER_ALL } Place;

/* Whether it gives the value of a field that is of the first of its kind. 0: there is none yet. */
static bool gives_first(Place place, uint64_t known)
{
    return known == 0 || place == BEFORE_ALL;
}

/* The same for the last. */
static bool gives_last(Place place, uint64_t known)
{
    return known == 0 || place == AFTER_ALL;
}

static void add_commit(WalSummary *summary, const WalEvent *event, Place place)
{
    summary->commit_count++;
    if (gives_last(place, summary->last_commit_end))
        summary->last_commit_end = event->end;
    times_widen(&summary->commit_time_min, &summary->commit_time_max, event->time);
}

static void add_end(WalSummary *summary, const WalEvent *event, Place place)
{
    if (gives_first(place, summary->first_end_lsn)) {
        summary->first_end_lsn = event->lsn;
        summary->xid_first = event->xid;
    }
    if (gives_last(place, summary->last_end_lsn)) {
        summary->last_end_lsn = event->lsn;
        summary->xid_last = event->xid;
    }
    if (event->drops_relations)
        summary->changes |= WAL_REMOVES_FILES;
    times_widen(&summary->end_time_min, &summary->end_time_max, event->time);
    if (event->kind == EVENT_COMMIT) {
        add_commit(summary, event, place);
    } else {
        summary->abort_count++;
    }
}

/* The first few are kept. */
static void add_restore_point(WalSummary *summary, const WalEvent *event, Place place)
{
    const uint32_t at = place == BEFORE_ALL ? 0 : summary->restore_point_count;
    WalRestorePoint *points = summary->restore_points;

    if (place == BEFORE_ALL)
        memmove(points + 1, points, (WAL_RESTORE_POINTS_KEPT - 1) * sizeof points[0]);
    if (at < WAL_RESTORE_POINTS_KEPT) {
        points[at].lsn = event->lsn;
        points[at].end = event->end;
        points[at].time = event->time;
        memcpy(points[at].name, event->name, sizeof points[at].name);
    }
    summary->restore_point_count++;
}

bool wal_summary_add_kept(WalSummary *summary, const WalRecord *record, const PgVersion *version,
                          WalEvent *event)
{
    const bool is_event = wal_event_of(record, version, event);
    if (is_event) {
        wal_summary_add(summary, event);
    } else {
        summary->changes |= wal_changes_of(record, version);
    }
    return is_event;
}

static void add_event(WalSummary *summary, const WalEvent *event, Place place)
{
    if (event->parameters.wal_level == WAL_LEVEL_MINIMAL && gives_first(place, summary->minimal_at))
        summary->minimal_at = event->lsn;
    switch (event->kind) {
    case EVENT_COMMIT:
    case EVENT_ABORT:
        add_end(summary, event, place);
        return;
    case EVENT_RESTORE_POINT:
        add_restore_point(summary, event, place);
        return;
    case EVENT_TIMELINE:
        if (gives_last(place, summary->new_timeline))
            summary->new_timeline = event->timeline;
        return;
    case EVENT_BACKUP_END:
        if (gives_last(place, summary->backup_end)) {
            summary->backup_end = event->end;
            summary->backup_end_start = event->backup_start;
        }
        return;
    case EVENT_PARAMETERS:
        if (gives_last(place, summary->parameters_at)) {
            summary->parameters_at = event->lsn;
            summary->parameters = event->parameters;
        }
        return;
    case EVENT_FPW_OFF:
        if (gives_first(place, summary->fpw_off))
            summary->fpw_off = event->lsn;
        return;
    case EVENT_CHECKPOINT:
        return;
    }
}

void wal_summary_add(WalSummary *summary, const WalEvent *event)
{
    add_event(summary, event, AFTER_ALL);
}

void wal_summary_prepend(WalSummary *summary, const WalEvent *event)
{
    add_event(summary, event, BEFORE_ALL);
}
