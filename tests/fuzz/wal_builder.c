#include "wal_builder.h"

#include "base/bytes.h"
#include "base/memory.h"
#include "stream/digest.h"

#include <assert.h>

enum {
    PAGE_HEADER_SIZE = 24,
    CONTINUES = 0x01,
    LONG_HEADER = 0x02,
    OVERWRITES = 0x08,
    XLOG_SWITCH = 0x40,
    XLOG_OVERWRITE_CONTRECORD = 0xD0,
};

Lsn wal_builder_at(const WalBuilder *builder)
{
    return builder->start + builder->bytes.size;
}

/* At a page's start: its header. remaining: of the record that goes on in it. */
static void put_page(WalBuilder *builder, uint32_t remaining, unsigned info)
{
    uint8_t header[WAL_SEGMENT_HEADER_SIZE] = {0};
    bool is_long = wal_builder_at(builder) % BUILT_SEGMENT_SIZE == 0;

    assert(wal_builder_at(builder) % WAL_BLOCK_SIZE == 0);
    info |= (is_long ? LONG_HEADER : 0U) | (remaining > 0 ? CONTINUES : 0U);
    put_le16(header, builder->version->wal_magic);
    put_le16(header + 2, (uint16_t)(info ^ builder->oddity.page_info_xor));
    put_le32(header + 4, builder->timeline + builder->oddity.timeline_add);
    put_le64(header + 8, wal_builder_at(builder));
    put_le32(header + 16, remaining + builder->oddity.remaining_add);
    if (is_long) {
        put_le64(header + 24, BUILT_SYSTEM);
        put_le32(header + 32, BUILT_SEGMENT_SIZE);
        put_le32(header + 36, WAL_BLOCK_SIZE);
    }
    buffer_append(&builder->bytes, header, is_long ? WAL_SEGMENT_HEADER_SIZE : PAGE_HEADER_SIZE);
}

static void put_zeros(WalBuilder *builder, size_t size)
{
    buffer_reserve(&builder->bytes, builder->bytes.size + size);
    memset(builder->bytes.data + builder->bytes.size, 0, size);
    builder->bytes.size += size;
}

static void align(WalBuilder *builder)
{
    put_zeros(builder, (8 - wal_builder_at(builder) % 8) % 8);
    if (wal_builder_at(builder) % WAL_BLOCK_SIZE == 0)
        put_page(builder, 0, 0);
}

static void put_over_pages(WalBuilder *builder, const uint8_t *bytes, uint32_t size)
{
    while (size > 0) {
        size_t room = WAL_BLOCK_SIZE - wal_builder_at(builder) % WAL_BLOCK_SIZE;
        uint32_t part = size < room ? size : (uint32_t)room;

        if (wal_builder_at(builder) % WAL_BLOCK_SIZE == 0) {
            put_page(builder, size, 0);
            continue;
        }
        buffer_append(&builder->bytes, bytes, part);
        bytes += part;
        size -= part;
    }
}

void wal_builder_begin(WalBuilder *builder, const PgVersion *version, Lsn start, uint32_t head_size)
{
    CLEANUP(buffer_done) Buffer head = {0};

    builder->version = version;
    builder->start = start;
    builder->timeline = 1;
    builder->prev = start - 48;
    if (head_size == 0) {
        put_page(builder, 0, 0);
        return;
    }
    buffer_reserve(&head, head_size);
    memset(head.data, 0x5a, head_size);
    put_over_pages(builder, head.data, head_size);
}

static bool is_odd(const Oddity *oddity)
{
    return oddity->prev_xor != 0 || oddity->total_add != 0 || oddity->crc_xor != 0 ||
           oddity->page_info_xor != 0 || oddity->remaining_add != 0 || oddity->timeline_add != 0;
}

static void put_header(const WalBuilder *builder, uint8_t *header, const BuiltRecord *record)
{
    put_le32(header, record->total + builder->oddity.total_add);
    put_le32(header + 4, record->xid);
    put_le64(header + 8, record->prev ^ builder->oddity.prev_xor);
    header[16] = record->info;
    header[17] = record->rmgr;
    uint32_t crc = crc32c_update(0, header + BUILT_HEADER_SIZE, record->total - BUILT_HEADER_SIZE);
    put_le32(header + 20, crc32c_update(crc, header, 20) ^ builder->oddity.crc_xor);
}

void wal_builder_record(WalBuilder *builder, uint8_t rmgr, uint8_t info, uint32_t xid,
                        const void *body, uint32_t size)
{
    CLEANUP(buffer_done) Buffer whole = {0};

    if (builder->count == BUILT_RECORDS_MAX)
        return;
    if (wal_builder_at(builder) % WAL_BLOCK_SIZE == 0)
        put_page(builder, 0, 0);
    align(builder);
    BuiltRecord record = {
        .lsn = wal_builder_at(builder),
        .prev = builder->prev,
        .total = BUILT_HEADER_SIZE + size,
        .xid = xid,
        .rmgr = rmgr,
        .info = info,
    };
    builder->is_odd = builder->is_odd || is_odd(&builder->oddity);
    buffer_reserve(&whole, record.total);
    memset(whole.data, 0, record.total);
    if (size > 0)
        memcpy(whole.data + BUILT_HEADER_SIZE, body, size);
    put_header(builder, whole.data, &record);
    put_over_pages(builder, whole.data, record.total);
    record.end = wal_builder_at(builder);
    builder->prev = record.lsn;
    builder->records[builder->count++] = record;
    builder->oddity = (Oddity){0};
    builder->is_switched = false;
}

void wal_builder_switch(WalBuilder *builder)
{
    if (builder->count == BUILT_RECORDS_MAX)
        return;
    wal_builder_record(builder, RMGR_XLOG, XLOG_SWITCH, 0, NULL, 0);
    Lsn at = wal_builder_at(builder);
    put_zeros(builder,
              (size_t)((BUILT_SEGMENT_SIZE - at % BUILT_SEGMENT_SIZE) % BUILT_SEGMENT_SIZE));
    builder->is_switched = true;
}

void wal_builder_overwritten(WalBuilder *builder, uint32_t size)
{
    uint8_t body[18] = {255, 16};
    size_t room;

    if (builder->count + 1 >= BUILT_RECORDS_MAX)
        return;
    Lsn prev = builder->prev;
    size_t count = builder->count;
    CLEANUP(buffer_done) Buffer rest = {0};

    /* Larger than any page's rest, then cut at the page's end. */
    buffer_reserve(&rest, WAL_BLOCK_SIZE + size);
    memset(rest.data, 0x11, WAL_BLOCK_SIZE + size);
    wal_builder_record(builder, 10, 0, 5, rest.data, WAL_BLOCK_SIZE + size);
    Lsn lsn = builder->records[count].lsn;
    builder->count = count;
    builder->prev = prev;
    room = WAL_BLOCK_SIZE - lsn % WAL_BLOCK_SIZE;
    builder->bytes.size = (size_t)(lsn - builder->start) + room;
    put_page(builder, 0, OVERWRITES);
    put_le64(body + 2, lsn);
    wal_builder_record(builder, RMGR_XLOG, XLOG_OVERWRITE_CONTRECORD, 0, body, sizeof body);
}

void wal_builder_done(WalBuilder *builder)
{
    buffer_done(&builder->bytes);
}
