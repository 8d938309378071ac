#include "walk/happenings.h"

enum {
    SEGMENTS_MAX = 256, /* The beginning is looked for in this many segments before the removal. */
    ROWS_KEPT = 32,
};

typedef struct DropSearch {
    const PgVersion *version;
    uint32_t xid;
    Lsn first;     /* It is a record of the transaction. */
    Lsn mark;      /* This record marked the row that the transaction deletes. */
    bool is_whole; /* The transaction began within what was read. */
    struct {
        WalSharedRow row;
        Lsn lsn;
    } rows[ROWS_KEPT]; /* They are the last ones that were updated in place. */
    size_t row_count;
} DropSearch;

static bool is_same_row(const WalSharedRow *a, const WalSharedRow *b)
{
    return a->file.number == b->file.number && a->page == b->page && a->item == b->item;
}

static void drop_take_row(DropSearch *search, const WalRecord *record, const WalSharedRow *row)
{
    if (!row->is_delete) {
        search->rows[search->row_count % ROWS_KEPT].row = *row;
        search->rows[search->row_count++ % ROWS_KEPT].lsn = record->lsn;
        return;
    }
    for (size_t i = search->row_count; record->xid == search->xid && search->mark == 0 && i > 0;
         i--) {
        if (search->row_count - i >= ROWS_KEPT)
            return;
        if (is_same_row(&search->rows[(i - 1) % ROWS_KEPT].row, row))
            search->mark = search->rows[(i - 1) % ROWS_KEPT].lsn;
    }
}

static WalkStep search_record(void *context, const WalRecord *record, Error *err)
{
    DropSearch *search = context;
    uint32_t next;
    uint32_t oldest;
    WalSharedRow row;

    (void)err;
    if (wal_running_of(record, &next, &oldest) && !xid_precedes(search->xid, next))
        search->is_whole = true;
    if (record->xid == search->xid && search->first == 0)
        search->first = record->lsn;
    if (wal_shared_row_of(record, search->version, &row))
        drop_take_row(search, record, &row);
    return WALK_ON;
}

/* What lies before a gap can't be looked at: the answer is what was found after it. */
static WalkStep search_gap(void *context, const WalGap *gap, Error *err)
{
    (void)context, (void)gap, (void)err;
    return WALK_ON;
}

bool happenings_drop_begin(const WalWalk *walk, uint32_t xid, Lsn removal, Lsn *begin, Error *err)
{
    uint32_t segment_size = walk->cluster->wal_segment_size;
    uint64_t last = wal_segment_of(removal, segment_size);
    bool is_found = false;

    *begin = 0;
    for (uint64_t back = 0; back <= SEGMENTS_MAX && back <= last; back++) {
        DropSearch search = {.version = pg_version_of_major(walk->cluster->major), .xid = xid};
        Lsn until = wal_segment_start(last - back + 3, segment_size);
        WalScan scan = {
            .walk = *walk,
            .keep_all = true,
            .on_record = search_record,
            .on_gap = search_gap,
            .context = &search,
        };
        WalScanEnd end;

        /* Three segments at a time: a record that straddles two, and the mark just before. */
        scan.walk.from = wal_segment_start(last - back, segment_size);
        scan.walk.to = until < removal ? until : removal + 1;
        if (!wal_scan(&scan, &end, err))
            return false;
        if (search.mark != 0 || search.first != 0)
            *begin = search.mark != 0 ? search.mark : search.first;
        if (search.mark != 0 || is_found)
            return true;
        if (end.gaps > 0 || end.is_empty)
            break;
        is_found = search.is_whole; /* one more: the mark may be in the segment before */
    }
    *begin = 0;
    return true;
}
