#include "walk/prepared.h"

#include "postgres/wal_changes.h"
#include "postgres/wal_summary.h"

typedef struct OpenPrepare {
    uint32_t xid;
    TimeUs time;
} OpenPrepare;

void prepared_done(Prepared *prepared)
{
    buffer_done(&prepared->open);
}

size_t prepared_count(const Prepared *prepared)
{
    return prepared->open.size / sizeof(OpenPrepare);
}

static OpenPrepare open_at(const Prepared *prepared, size_t i)
{
    OpenPrepare open;

    memcpy(&open, prepared->open.data + i * sizeof open, sizeof open);
    return open;
}

static void close_one(Prepared *prepared, uint32_t xid)
{
    const size_t count = prepared_count(prepared);

    for (size_t i = 0; i < count; i++) {
        if (open_at(prepared, i).xid != xid)
            continue;
        uint8_t *place = prepared->open.data + i * sizeof(OpenPrepare);
        memmove(place, place + sizeof(OpenPrepare), (count - i - 1) * sizeof(OpenPrepare));
        prepared->open.size -= sizeof(OpenPrepare);
        return;
    }
}

bool prepared_add(Prepared *prepared, const WalRecord *record, const PgVersion *version,
                  TimeUs *time)
{
    OpenPrepare opened;
    WalEvent event;

    if (record->rmgr != RMGR_TRANSACTION)
        return false;
    if (wal_prepare_of(record, &opened.xid, &opened.time)) {
        buffer_append(&prepared->open, &opened, sizeof opened);
        *time = opened.time;
        return true;
    }
    if (wal_event_of(record, version, &event) && event.is_prepared)
        close_one(prepared, event.xid);
    return false;
}

TimeUs prepared_last(const Prepared *prepared)
{
    TimeUs last = TIME_US_NONE;

    for (size_t i = 0; i < prepared_count(prepared); i++) {
        const TimeUs time = open_at(prepared, i).time;
        if (last == TIME_US_NONE || time > last)
            last = time;
    }
    return last;
}
