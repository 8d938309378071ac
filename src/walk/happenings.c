#include "walk/happenings.h"

#include "base/memory.h"
#include "transactions.h"
#include "walk/walk.h"

#include <stdlib.h>

/*
 * Commits are stamped a moment before they are logged, a DROP DATABASE waits for a checkpoint, and
 * clocks are set: so much may lie between a record's segment and the time that its commit says.
 */
static const TimeUs slack = INT64_C(3600) * 1000000;

typedef struct PendingGap {
    WalGap gap;
    char reason[128];
} PendingGap;

typedef struct HappeningsReading {
    const HappeningRequest *request;
    const PgVersion *version;
    Transactions open;
    bool is_known;       /* All WAL of transactions from known_from on was seen. */
    uint32_t known_from; /* It is an xid. */
    /*
     * It is the time of the last end of a transaction. TIME_US_NONE means that there is none yet.
     */
    TimeUs last;
    /* The next fields come from trailers. */
    bool has_begun;  /* A segment reached request->from. */
    bool is_past;    /* The last segment lies after request->to. */
    Buffer gaps;     /* It holds PendingGap, for gaps that may turn out to matter. */
    bool is_stopped; /* on_entry has seen enough. */
    /* The next fields are of the entry that is being made. */
    Buffer created;     /* It holds RelationFile, sorted. */
    Buffer files;       /* It holds RemovedFile. */
    Buffer objects;     /* It holds WalDroppedObject. */
    Buffer databases;   /* It holds RemovedDatabase. */
    Buffer tablespaces; /* It holds RemovedTablespace. */
} HappeningsReading;

static void happenings_reading_done(HappeningsReading *reading)
{
    transactions_done(&reading->open);
    buffer_done(&reading->gaps);
    buffer_done(&reading->created);
    buffer_done(&reading->files);
    buffer_done(&reading->objects);
    buffer_done(&reading->databases);
    buffer_done(&reading->tablespaces);
}

bool happening_is_drop(const Happening *entry)
{
    return entry->kind == HAPPENING_GAP || entry->kind == HAPPENING_REMOVAL ||
           entry->file_count > 0 || entry->database_count > 0 || entry->tablespace_count > 0 ||
           entry->truncated > 0 || entry->is_cut_short;
}

static bool is_in_time(const HappeningRequest *request, TimeUs time)
{
    if (request->from == TIME_US_NONE && request->to == TIME_US_NONE)
        return true;
    return time != TIME_US_NONE && (request->from == TIME_US_NONE || time >= request->from) &&
           (request->to == TIME_US_NONE || time <= request->to);
}

static bool hand_over(HappeningsReading *reading, const Happening *entry, Error *err)
{
    WalkStep step = reading->request->on_entry(reading->request->context, entry, err);

    reading->is_stopped = step == WALK_STOP;
    return step != WALK_FAILED;
}

static bool happenings_emit(HappeningsReading *reading, const Happening *entry, Error *err)
{
    const HappeningRequest *request = reading->request;

    /* What carries no time is as late as the last thing that does. */
    if (reading->is_stopped || entry->lsn < request->walk.from ||
        !is_in_time(request, entry->time != TIME_US_NONE ? entry->time : reading->last) ||
        (request->only_drops && !happening_is_drop(entry)))
        return true;
    return hand_over(reading, entry, err);
}

static bool flush_gaps(HappeningsReading *reading, Error *err)
{
    const PendingGap *gaps = (const PendingGap *)(const void *)reading->gaps.data;
    size_t count = reading->gaps.size / sizeof(PendingGap);
    bool ok = true;

    for (size_t i = 0; ok && !reading->is_stopped && i < count; i++) {
        WalGap gap = gaps[i].gap;

        gap.reason = gaps[i].reason;
        ok = hand_over(reading,
                       &(Happening){.kind = HAPPENING_GAP,
                                    .lsn = gap.from,
                                    .end = gap.to,
                                    .time = TIME_US_NONE,
                                    .timeline = gap.timeline,
                                    .gap = &gap},
                       err);
    }
    reading->gaps.size = 0;
    return ok;
}

/*
 * Whether it lies in the time asked for shows when the next segment is known. What was open before
 * it may have ended in it.
 */
static WalkStep take_gap(void *context, const WalGap *gap, Error *err)
{
    HappeningsReading *reading = context;
    PendingGap pending = {.gap = *gap};

    (void)err;
    transactions_done(&reading->open);
    reading->is_known = false;
    if (reading->is_past || gap->to < reading->request->walk.from)
        return WALK_ON;
    snprintf(pending.reason, sizeof pending.reason, "%.*s", (int)sizeof pending.reason - 1,
             gap->reason);
    buffer_append(&reading->gaps, &pending, sizeof pending);
    return WALK_ON;
}

static void follow_time(HappeningsReading *reading, const WalSummary *summary)
{
    const HappeningRequest *request = reading->request;

    if (summary->end_time_max == TIME_US_NONE)
        return;
    if (request->from == TIME_US_NONE || summary->end_time_max >= request->from) {
        reading->has_begun = true;
    } else {
        reading->gaps.size = 0; /* they lie before */
    }
    reading->is_past = request->to != TIME_US_NONE && summary->end_time_min > request->to;
}

static bool segment_overlaps(const HappeningRequest *request, const WalSummary *summary,
                             TimeUs margin)
{
    return summary->end_time_max != TIME_US_NONE &&
           (request->from == TIME_US_NONE || summary->end_time_max >= request->from - margin) &&
           (request->to == TIME_US_NONE || summary->end_time_min <= request->to + margin);
}

/* A restore point in the time asked for; they come without commits, too. */
static bool has_points(const HappeningRequest *request, const WalSummary *summary)
{
    for (uint32_t i = 0; i < summary->restore_point_count; i++) {
        if (i == WAL_RESTORE_POINTS_KEPT || is_in_time(request, summary->restore_points[i].time))
            return true;
    }
    return false;
}

static bool happenings_want_segment(void *context, const WalTrailer *trailer)
{
    HappeningsReading *reading = context;
    const HappeningRequest *request = reading->request;
    const WalSummary *summary = &trailer->summary;
    bool is_within;

    follow_time(reading, summary);
    /* Files are created, and those of a database removed, before the commit that says the time. */
    is_within = reading->has_begun && !reading->is_past;
    if ((is_within && (summary->changes & (WAL_CREATES_FILES | WAL_REMOVES_FILES)) != 0) ||
        ((summary->changes & WAL_REMOVES_FILES) != 0 && segment_overlaps(request, summary, slack)))
        return true;
    if (request->only_drops)
        return false;
    if (segment_overlaps(request, summary, 0) || has_points(request, summary))
        return true;
    return is_within && (summary->end_time_max == TIME_US_NONE || summary->new_timeline != 0);
}

static bool happenings_want_tail(void *context, const WalTrailer *trailer, uint8_t rmgr,
                                 uint8_t info)
{
    const HappeningsReading *reading = context;
    const HappeningRequest *request = reading->request;
    const WalSummary *summary = &trailer->summary;
    bool may_be_drop = (wal_changes_possible(rmgr, info, reading->version) &
                        (WAL_REMOVES_FILES | WAL_CREATES_FILES)) != 0;
    bool may_be_more = rmgr == RMGR_TRANSACTION || rmgr == RMGR_XLOG;

    if (!may_be_drop && (request->only_drops || !may_be_more))
        return false;
    if (summary->end_time_max == TIME_US_NONE)
        return (request->from == TIME_US_NONE || reading->has_begun) && !reading->is_past;
    return segment_overlaps(request, summary, slack);
}

static int number_order(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

/* By database and number: where the tablespace differs, it is another file all the same. */
static int compare_files(const void *a, const void *b)
{
    const RelationFile *left = a;
    const RelationFile *right = b;

    if (left->database != right->database)
        return number_order(left->database, right->database);
    if (left->number != right->number)
        return number_order(left->number, right->number);
    return number_order(left->tablespace, right->tablespace);
}

static int compare_objects(const void *a, const void *b)
{
    const WalDroppedObject *left = a;
    const WalDroppedObject *right = b;

    if (left->database != right->database)
        return number_order(left->database, right->database);
    return number_order(left->oid, right->oid);
}

static void sort_items(Buffer *items, size_t item_size, int (*compare)(const void *, const void *))
{
    if (items->size > 0)
        qsort(items->data, items->size / item_size, item_size, compare);
}

static bool is_created(const HappeningsReading *reading, const RelationFile *file)
{
    return reading->created.size > 0 &&
           bsearch(file, reading->created.data, reading->created.size / sizeof *file, sizeof *file,
                   compare_files) != NULL;
}

static void add_part(HappeningsReading *reading, Happening *entry, uint32_t xid)
{
    const Transaction *part = transactions_find(&reading->open, xid);
    const Removal *removals;

    if (part == NULL)
        return;
    if (entry->database == 0)
        entry->database = part->database;
    entry->truncated += part->truncated;
    buffer_append(&reading->created, part->created.data, part->created.size);
    removals = (const Removal *)(const void *)part->databases.data;
    for (size_t i = 0; i < part->databases.size / sizeof *removals; i++) {
        RemovedDatabase database = {.oid = removals[i].oid, .lsn = removals[i].lsn};

        buffer_append(&reading->databases, &database, sizeof database);
    }
    removals = (const Removal *)(const void *)part->tablespaces.data;
    for (size_t i = 0; i < part->tablespaces.size / sizeof *removals; i++) {
        RemovedTablespace tablespace = {.oid = removals[i].oid, .lsn = removals[i].lsn};

        buffer_append(&reading->tablespaces, &tablespace, sizeof tablespace);
    }
    transactions_remove(&reading->open, xid);
}

static void clear_parts(HappeningsReading *reading)
{
    reading->created.size = 0;
    reading->files.size = 0;
    reading->objects.size = 0;
    reading->databases.size = 0;
    reading->tablespaces.size = 0;
}

static int compare_object_to_file(const void *object, const void *file)
{
    const WalDroppedObject *left = object;
    const RelationFile *right = file;

    if (left->database != right->database)
        return number_order(left->database, right->database);
    return number_order(left->oid, right->number);
}

/* A relation that the transaction made itself has files of its own oid (catalog/heap.c). */
static bool is_own_object(const HappeningsReading *reading, const WalDroppedObject *object)
{
    return reading->created.size > 0 &&
           bsearch(object, reading->created.data, reading->created.size / sizeof(RelationFile),
                   sizeof(RelationFile), compare_object_to_file) != NULL;
}

static void take_objects(HappeningsReading *reading, const WalTransactionEnd *end)
{
    for (uint32_t i = 0; i < end->object_count; i++) {
        WalDroppedObject object = wal_dropped_object(end, i);

        if (object.kind == OBJECT_RELATION && !is_own_object(reading, &object))
            buffer_append(&reading->objects, &object, sizeof object);
    }
    sort_items(&reading->objects, sizeof(WalDroppedObject), compare_objects);
}

static bool file_is_named(const HappeningsReading *reading, const RelationFile *file)
{
    WalDroppedObject object = {.database = file->database, .oid = file->number};

    return reading->objects.size > 0 &&
           bsearch(&object, reading->objects.data, reading->objects.size / sizeof object,
                   sizeof object, compare_objects) != NULL;
}

/* How many of the files it created were not removed again by its own commit. */
static size_t files_kept(const HappeningsReading *reading, const WalTransactionEnd *end)
{
    const RelationFile *created = (const RelationFile *)(const void *)reading->created.data;
    size_t count = reading->created.size / sizeof *created;
    size_t kept = 0;
    size_t removed = 0;

    for (size_t i = 0; i < count; i++)
        kept += i == 0 || compare_files(&created[i - 1], &created[i]) != 0;
    for (uint32_t i = 0; i < end->file_count; i++) {
        RelationFile file = wal_removed_file(end, i);

        removed += is_created(reading, &file);
    }
    return kept > removed ? kept - removed : 0;
}

static FileFate file_fate(const HappeningsReading *reading, const WalTransactionEnd *end,
                          const RelationFile *file, bool is_complete, size_t kept)
{
    bool has_objects = reading->version->major >= 15;

    if (has_objects && file_is_named(reading, file))
        return FILE_DROPPED;
    if (is_complete && kept == 0)
        return FILE_DROPPED;
    if (has_objects && end->object_count == 0)
        return FILE_REPLACED;
    return has_objects && is_complete && reading->objects.size == 0 ? FILE_REPLACED : FILE_UNCLEAR;
}

static void happenings_take_files(HappeningsReading *reading, const WalTransactionEnd *end)
{
    bool is_complete = reading->is_known && !xid_precedes(end->xid, reading->known_from);
    size_t kept = files_kept(reading, end);

    for (uint32_t i = 0; i < end->file_count; i++) {
        RemovedFile removed = {.file = wal_removed_file(end, i)};

        if (is_created(reading, &removed.file))
            continue;
        removed.fate = file_fate(reading, end, &removed.file, is_complete, kept);
        buffer_append(&reading->files, &removed, sizeof removed);
    }
}

static void point_to_parts(const HappeningsReading *reading, Happening *entry)
{
    entry->files = (const RemovedFile *)(const void *)reading->files.data;
    entry->file_count = reading->files.size / sizeof *entry->files;
    entry->objects = (const WalDroppedObject *)(const void *)reading->objects.data;
    entry->object_count = reading->objects.size / sizeof *entry->objects;
    entry->databases = (const RemovedDatabase *)(const void *)reading->databases.data;
    entry->database_count = reading->databases.size / sizeof *entry->databases;
    entry->tablespaces = (const RemovedTablespace *)(const void *)reading->tablespaces.data;
    entry->tablespace_count = reading->tablespaces.size / sizeof *entry->tablespaces;
}

static bool happenings_take_end(HappeningsReading *reading, const WalRecord *record,
                                const WalTransactionEnd *end, Error *err)
{
    Happening entry = {.kind = end->is_commit ? HAPPENING_COMMIT : HAPPENING_REMOVAL,
                       .lsn = record->lsn,
                       .end = record->end,
                       .time = end->time,
                       .xid = end->xid,
                       .is_prepared = end->is_prepared,
                       .database = end->database};

    clear_parts(reading);
    add_part(reading, &entry, end->xid);
    for (uint32_t i = 0; i < end->subtransaction_count; i++)
        add_part(reading, &entry, wal_subtransaction(end, i));
    if (end->is_commit) {
        sort_items(&reading->created, sizeof(RelationFile), compare_files);
        take_objects(reading, end);
        happenings_take_files(reading, end);
    } else {
        entry.truncated = 0;
        reading->tablespaces.size =
            0; /* said when they are gone; the transaction has nothing else */
    }
    point_to_parts(reading, &entry);
    if (entry.database == 0 && entry.file_count > 0)
        entry.database = entry.files[0].file.database;
    reading->last = end->time;
    return (!end->is_commit && entry.database_count == 0) || happenings_emit(reading, &entry, err);
}

static bool take_event(HappeningsReading *reading, const WalRecord *record, Error *err)
{
    WalEvent event;

    if (!wal_event_of(record, reading->version, &event) ||
        (event.kind != EVENT_RESTORE_POINT && event.kind != EVENT_TIMELINE))
        return true;
    return happenings_emit(reading,
                           &(Happening){.kind = event.kind == EVENT_RESTORE_POINT
                                                    ? HAPPENING_RESTORE_POINT
                                                    : HAPPENING_TIMELINE,
                                        .lsn = event.lsn,
                                        .end = event.end,
                                        .time = event.time,
                                        .name = event.name,
                                        .timeline = event.timeline,
                                        .prev_timeline = event.prev_timeline},
                           err);
}

static bool take_transaction(HappeningsReading *reading, const WalRecord *record, Error *err)
{
    WalTransactionEnd end;

    if (wal_transaction_end_of(record, reading->version, &end))
        return happenings_take_end(reading, record, &end, err);
    if (record->bytes != NULL || wal_changes_of(record, reading->version) == 0)
        return true;
    clear_parts(reading);
    return happenings_emit(reading,
                           &(Happening){.kind = HAPPENING_COMMIT,
                                        .lsn = record->lsn,
                                        .end = record->end,
                                        .time = TIME_US_NONE,
                                        .xid = record->xid,
                                        .is_cut_short = true},
                           err);
}

/*
 * Transactions that removed a database and of which no end was seen: the server crashed. oldest:
 * only those that precede it; NULL: all.
 */
static bool tell_unfinished(HappeningsReading *reading, const uint32_t *oldest, Error *err)
{
    for (size_t i = 0; i < reading->open.size; i++) {
        const Transaction *transaction = &reading->open.slots[i];
        Happening entry = {
            .kind = HAPPENING_REMOVAL, .time = TIME_US_NONE, .xid = transaction->xid};

        if (transaction->databases.size == 0 ||
            (oldest != NULL && !xid_precedes(transaction->xid, *oldest)))
            continue;
        clear_parts(reading);
        const Removal *removals = (const Removal *)(const void *)transaction->databases.data;
        for (size_t j = 0; j < transaction->databases.size / sizeof *removals; j++) {
            RemovedDatabase database = {.oid = removals[j].oid, .lsn = removals[j].lsn};

            buffer_append(&reading->databases, &database, sizeof database);
        }
        entry.lsn = removals[0].lsn;
        point_to_parts(reading, &entry);
        if (!happenings_emit(reading, &entry, err))
            return false;
    }
    return true;
}

/* They were told. */
static void forget_removals(HappeningsReading *reading)
{
    for (size_t i = 0; i < reading->open.size; i++)
        reading->open.slots[i].databases.size = 0;
}

/*
 * oldest, 0: the server was shut down, or recovered from a crash. A prepared transaction outlives
 * that; what it did is kept until the server says which ones there are. (One that drops a database
 * can't be prepared.)
 */
static bool take_running(HappeningsReading *reading, uint32_t next, uint32_t oldest, Error *err)
{
    if (!reading->is_known) {
        reading->is_known = true;
        reading->known_from = next;
    }
    if (!tell_unfinished(reading, oldest != 0 ? &oldest : &next, err))
        return false;
    if (oldest != 0) {
        transactions_forget(&reading->open, oldest);
    } else {
        forget_removals(reading);
    }
    return true;
}

static bool take_shrink(HappeningsReading *reading, const WalRecord *record, Error *err)
{
    Happening entry = {.kind = HAPPENING_SHRINK,
                       .lsn = record->lsn,
                       .end = record->end,
                       .time = TIME_US_NONE,
                       .xid = record->xid};

    if (!wal_truncated_file_of(record, &entry.file, &entry.pages))
        return true;
    entry.database = entry.file.database;
    return happenings_emit(reading, &entry, err);
}

/* What the transaction of this record did, as far as it must be known at its end. */
static void note_change(HappeningsReading *reading, const WalRecord *record,
                        Transaction *transaction)
{
    Removal removal = {.lsn = record->lsn};
    RelationFile file;
    uint32_t database;
    uint32_t count;

    if (transaction->database == 0 && wal_database_of(record, reading->version, &database))
        transaction->database = database;
    if (wal_created_file_of(record, &file)) {
        buffer_append(&transaction->created, &file, sizeof file);
    } else if (wal_dropped_database_of(record, reading->version, &removal.oid)) {
        buffer_append(&transaction->databases, &removal, sizeof removal);
    } else if (wal_dropped_tablespace_of(record, &removal.oid)) {
        buffer_append(&transaction->tablespaces, &removal, sizeof removal);
    } else if (wal_truncate_of(record, &database, &count)) {
        transaction->truncated += count;
    }
}

static bool happenings_read_record(HappeningsReading *reading, const WalRecord *record, Error *err)
{
    uint32_t next;
    uint32_t oldest;

    if (reading->gaps.size > 0 && !flush_gaps(reading, err))
        return false;
    if (record->xid != 0)
        note_change(reading, record, transactions_add(&reading->open, record->xid));
    if (wal_running_of(record, &next, &oldest) && !take_running(reading, next, oldest, err))
        return false;
    if (record->rmgr == RMGR_TRANSACTION)
        return take_transaction(reading, record, err);
    if (record->rmgr == RMGR_XLOG)
        return take_event(reading, record, err);
    return record->rmgr != RMGR_STORAGE || take_shrink(reading, record, err);
}

static WalkStep happenings_take_record(void *context, const WalRecord *record, Error *err)
{
    HappeningsReading *reading = context;

    if (!happenings_read_record(reading, record, err))
        return WALK_FAILED;
    return reading->is_stopped ? WALK_STOP : WALK_ON;
}

bool happenings_read(const HappeningRequest *request, WalScanEnd *end, Error *err)
{
    CLEANUP(happenings_reading_done)
    HappeningsReading reading = {
        .request = request,
        .version = pg_version_of_major(request->walk.cluster->major),
        .last = TIME_US_NONE,
        .has_begun = request->from == TIME_US_NONE,
    };
    WalScan scan = {
        .walk = request->walk,
        .is_wanted = happenings_want_segment,
        .is_tail_wanted = happenings_want_tail,
        .keep_all = true,
        .on_record = happenings_take_record,
        .on_gap = take_gap,
        .context = &reading,
    };
    uint32_t segment_size = request->walk.cluster->wal_segment_size;

    /* One segment more: transactions that begin a little earlier are known whole. */
    scan.walk.from = request->walk.from > segment_size ? request->walk.from - segment_size : 0;
    if (!wal_scan(&scan, end, err))
        return false;
    if (end->is_stopped)
        return true;
    if (!flush_gaps(&reading, err) || !tell_unfinished(&reading, NULL, err))
        return false;
    end->is_stopped = reading.is_stopped;
    return true;
}
