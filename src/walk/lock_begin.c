#include "walk/lock_begin.h"

#include "postgres/wal_summary.h"
#include "walk/walk.h"

enum {
    SEGMENTS_MAX = 8, /* This many segments are looked back over. */
    HOLDERS_MAX = 64,
    RMGR_STANDBY = 8,
    XLOG_STANDBY_LOCK = 0x00,
    XACT_PREPARE = 0x10,
    OPERATION_MASK = 0x70,
};

/* A transaction that holds locks. */
typedef struct Holder {
    Lsn lsn; /* It is the LSN of the holder's first lock. */
    uint32_t xid;
    bool is_before_limit; /* Something came since that replay must not stop before. */
} Holder;

typedef struct LockSearch {
    const PgVersion *version;
    Holder holders[HOLDERS_MAX];
    size_t count;
    bool has_limit; /* In what was read there is something that replay must not stop before. */
} LockSearch;

static void add_holder(LockSearch *search, const WalRecord *record)
{
    for (size_t i = 0; i < search->count; i++) {
        if (search->holders[i].xid == record->xid)
            return;
    }
    if (search->count < HOLDERS_MAX)
        search->holders[search->count++] = (Holder){.lsn = record->lsn, .xid = record->xid};
}

static void remove_holder(LockSearch *search, uint32_t xid)
{
    for (size_t i = 0; i < search->count; i++) {
        if (search->holders[i].xid != xid)
            continue;
        memmove(&search->holders[i], &search->holders[i + 1],
                (search->count - i - 1) * sizeof search->holders[0]);
        search->count--;
        return;
    }
}

static void set_limit(LockSearch *search)
{
    search->has_limit = true;
    for (size_t i = 0; i < search->count; i++)
        search->holders[i].is_before_limit = true;
}

/* Without an xid it is a snapshot of locks that were taken before (LogStandbySnapshot()). */
static bool is_lock(const WalRecord *record)
{
    return record->rmgr == RMGR_STANDBY && (record->info & 0xF0) == XLOG_STANDBY_LOCK &&
           record->xid != 0;
}

static WalkStep lock_look_at_record(void *context, const WalRecord *record, Error *err)
{
    LockSearch *search = context;
    bool is_prepare =
        record->rmgr == RMGR_TRANSACTION && (record->info & OPERATION_MASK) == XACT_PREPARE;
    WalEvent event;

    (void)err;
    if (is_lock(record)) {
        add_holder(search, record);
    } else if (is_prepare) {
        set_limit(search);
    } else if (wal_event_of(record, search->version, &event)) {
        if (event.kind == EVENT_ABORT || event.kind == EVENT_COMMIT)
            remove_holder(search, event.xid);
        if (event.kind == EVENT_COMMIT || event.kind == EVENT_RESTORE_POINT)
            set_limit(search);
    }
    return WALK_ON;
}

static bool lock_search_from(const WalWalk *walk, Lsn from, Lsn stop, LockSearch *search,
                             Error *err)
{
    WalWalk part = *walk;
    WalWalkEnd end;

    part.from = from;
    part.to = stop;
    *search = (LockSearch){.version = pg_version_of_major(walk->cluster->major)};
    return walk_records(&part, lock_look_at_record, search, &end, err);
}

/* They come in the order of their first locks. */
static void take_first(const LockSearch *search, LockBegin *begin)
{
    for (size_t i = search->count; i > 0; i--) {
        const Holder *holder = &search->holders[i - 1];

        begin->held = holder->lsn;
        if (holder->is_before_limit)
            continue;
        begin->lsn = holder->lsn;
        begin->xid = holder->xid;
    }
}

bool lock_begin_find(const WalWalk *walk, Lsn floor, Lsn stop, LockBegin *begin, Error *err)
{
    const uint32_t size = walk->cluster->wal_segment_size;
    LockSearch search = {.count = 0};
    Lsn from = wal_segment_start(wal_segment_of(stop, size), size);

    *begin = (LockBegin){.lsn = 0};
    if (stop <= floor)
        return true;
    for (int i = 0; i < SEGMENTS_MAX; i++, from -= size) {
        if (!lock_search_from(walk, from > floor ? from : floor, stop, &search, err))
            return false;
        if (search.has_limit || from <= floor)
            break;
    }
    take_first(&search, begin);
    return true;
}
