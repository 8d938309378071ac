#include "wal_builder.h"

#include "base/bytes.h"
#include "base/memory.h"
#include "stream/digest.h"

#include <assert.h>

enum { SHORT_HEADER = 24, RECORD_HEADER = 24 };

WalBuilder wal_builder_begin(unsigned major, uint32_t segment_size, Lsn start, uint32_t timeline)
{
    return (WalBuilder){
        .version = pg_version_of_major(major),
        .system_identifier = BUILDER_SYSTEM,
        .segment_size = segment_size,
        .timeline = timeline,
        .start = start,
        .at = start,
        .prev = start - 8,
    };
}

WalBuilder wal_builder_fork(const WalBuilder *parent, Lsn at, Lsn prev, uint32_t timeline)
{
    WalBuilder child = *parent;

    child.start = wal_segment_start(wal_segment_of(at, parent->segment_size), parent->segment_size);
    child.at = child.start;
    child.bytes = (Buffer){0};
    buffer_append(&child.bytes, parent->bytes.data + (child.start - parent->start),
                  at - child.start);
    child.at = at;
    child.prev = prev;
    child.timeline = timeline;
    return child;
}

void wal_builder_done(WalBuilder *builder)
{
    buffer_done(&builder->bytes);
}

static void append(WalBuilder *builder, const void *data, size_t size)
{
    buffer_append(&builder->bytes, data, size);
    builder->at += size;
}

static void append_zeros(WalBuilder *builder, size_t size)
{
    uint8_t *zeros = mem_alloc(size);

    append(builder, zeros, size);
    mem_free(zeros);
}

static void page_header(WalBuilder *builder, uint32_t remaining)
{
    uint8_t header[WAL_SEGMENT_HEADER_SIZE] = {0};
    bool is_long = builder->at % builder->segment_size == 0;
    unsigned info = is_long ? 0x02 : 0;

    if (remaining > 0)
        info |= 0x01;
    if (builder->overwrites)
        info |= 0x08;
    builder->overwrites = false;
    put_le16(header, builder->version->wal_magic);
    put_le16(header + 2, (uint16_t)info);
    put_le32(header + 4, builder->timeline);
    put_le64(header + 8, builder->at);
    put_le32(header + 16, remaining);
    put_le64(header + 24, builder->system_identifier);
    put_le32(header + 32, builder->segment_size);
    put_le32(header + 36, WAL_BLOCK_SIZE);
    append(builder, header, is_long ? WAL_SEGMENT_HEADER_SIZE : SHORT_HEADER);
}

static size_t page_left(const WalBuilder *builder)
{
    return WAL_BLOCK_SIZE - builder->at % WAL_BLOCK_SIZE;
}

static void pad_to_8(WalBuilder *builder)
{
    if (builder->at % 8 != 0)
        append_zeros(builder, 8 - builder->at % 8);
}

/* To where a record may begin. */
static void align(WalBuilder *builder)
{
    pad_to_8(builder);
    if (builder->at % WAL_BLOCK_SIZE == 0)
        page_header(builder, 0);
}

/* Bytes of a record, with page headers where a page begins in it; `until`: stop before the end. */
static void append_record(WalBuilder *builder, const uint8_t *bytes, size_t size, size_t until)
{
    for (size_t done = 0; done < until;) {
        if (builder->at % WAL_BLOCK_SIZE == 0)
            page_header(builder, (uint32_t)(size - done));

        size_t part = page_left(builder) < until - done ? page_left(builder) : until - done;
        append(builder, bytes + done, part);
        done += part;
    }
}

static uint32_t record_crc(const uint8_t *record, size_t total)
{
    return crc32c_update(crc32c_update(0, record + RECORD_HEADER, total - RECORD_HEADER), record,
                         20);
}

/* Allocated: the whole record, as if it began at builder->at. body: all after its header. */
static uint8_t *make_whole(const WalBuilder *builder, uint8_t rmgr, uint8_t info, uint32_t xid,
                           const void *body, size_t size)
{
    uint8_t *record = mem_alloc(RECORD_HEADER + size + 1);

    put_le32(record, (uint32_t)(RECORD_HEADER + size));
    put_le32(record + 4, xid);
    put_le64(record + 8, builder->prev);
    record[16] = info;
    record[17] = rmgr;
    if (size > 0)
        memcpy(record + RECORD_HEADER, body, size);
    put_le32(record + 20, record_crc(record, RECORD_HEADER + size));
    return record;
}

static uint8_t *make_record(const WalBuilder *builder, uint8_t rmgr, uint8_t info, uint32_t xid,
                            const void *data, size_t size, size_t *total)
{
    const size_t prefix = size == 0 ? 0 : size < 256 ? 2 : 5;
    uint8_t *body = mem_alloc(prefix + size + 1);

    *total = RECORD_HEADER + prefix + size;
    if (size > 0) {
        body[0] = size < 256 ? 255 : 254;
        body[1] = (uint8_t)size;
        if (size >= 256)
            put_le32(body + 1, (uint32_t)size);
        memcpy(body + prefix, data, size);
    }
    uint8_t *record = make_whole(builder, rmgr, info, xid, body, prefix + size);
    mem_free(body);
    return record;
}

static Lsn add_record(WalBuilder *builder, uint8_t *record, size_t total)
{
    const Lsn lsn = builder->at;

    append_record(builder, record, total, total);
    mem_free(record);
    builder->prev = lsn;
    return lsn;
}

Lsn wal_builder_record(WalBuilder *builder, uint8_t rmgr, uint8_t info, uint32_t xid,
                       const void *data, size_t size)
{
    size_t total;

    align(builder);
    uint8_t *record = make_record(builder, rmgr, info, xid, data, size, &total);
    return add_record(builder, record, total);
}

Lsn wal_builder_body(WalBuilder *builder, uint8_t rmgr, uint8_t info, const void *body, size_t size)
{
    align(builder);
    return add_record(builder, make_whole(builder, rmgr, info, 0, body, size),
                      RECORD_HEADER + size);
}

Lsn wal_builder_reference(WalBuilder *builder, uint32_t relation, uint32_t block, size_t size)
{
    uint8_t *body = mem_alloc(20 + 5 + size);

    put_le32(body + 4, 1663);
    put_le32(body + 8, 5);
    put_le32(body + 12, relation);
    put_le32(body + 16, block);
    body[20] = 254;
    put_le32(body + 21, (uint32_t)size);
    const Lsn lsn = wal_builder_body(builder, 10, 0, body, 25 + size);
    mem_free(body);
    return lsn;
}

static uint8_t *filling(size_t size)
{
    uint8_t *data = mem_alloc(size);

    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(1 + i % 251);
    return data;
}

Lsn wal_builder_filler(WalBuilder *builder, size_t size)
{
    uint8_t *data = filling(size);
    Lsn lsn = wal_builder_record(builder, 10, 0, 0, data, size);

    mem_free(data);
    return lsn;
}

void wal_builder_fill_to(WalBuilder *builder, Lsn end, size_t left)
{
    pad_to_8(builder);
    while (end - builder->at > left + 4 * WAL_BLOCK_SIZE) {
        wal_builder_filler(builder, 2 * WAL_BLOCK_SIZE);
        pad_to_8(builder);
    }
    while (end - builder->at > left + 64) {
        wal_builder_filler(builder, 1); /* 32 bytes */
        pad_to_8(builder);
    }
    /* 40 to 64 bytes are missing: one record of that size, its header and prefix being 26. */
    wal_builder_filler(builder, end - builder->at - left - 26);
    assert(end - builder->at == left);
}

static Lsn end_record(WalBuilder *builder, uint8_t info, uint32_t xid, int64_t time)
{
    uint8_t data[8];

    put_le64(data, (uint64_t)time);
    return wal_builder_record(builder, RMGR_TRANSACTION, info, xid, data, sizeof data);
}

Lsn wal_builder_commit(WalBuilder *builder, uint32_t xid, int64_t time)
{
    return end_record(builder, 0x00, xid, time);
}

Lsn wal_builder_abort(WalBuilder *builder, uint32_t xid, int64_t time)
{
    return end_record(builder, 0x20, xid, time);
}

/* access/xact.h, xl_xact_prepare: magic, length, xid, database, when; the rest is not looked at. */
Lsn wal_builder_prepare(WalBuilder *builder, uint32_t xid, int64_t time)
{
    uint8_t data[64] = {0};

    put_le32(data + 8, xid);
    put_le64(data + 16, (uint64_t)time);
    return wal_builder_record(builder, RMGR_TRANSACTION, 0x10, xid, data, sizeof data);
}

Lsn wal_builder_commit_prepared(WalBuilder *builder, uint32_t xid, int64_t time)
{
    uint8_t data[16];

    put_le64(data, (uint64_t)time);
    put_le32(data + 8, 0x10);
    put_le32(data + 12, xid);
    return wal_builder_record(builder, RMGR_TRANSACTION, 0x80 | 0x30, 0, data, sizeof data);
}

Lsn wal_builder_restore_point(WalBuilder *builder, const char *name, int64_t time)
{
    uint8_t data[72] = {0};

    put_le64(data, (uint64_t)time);
    memcpy(data + 8, name, strlen(name));
    return wal_builder_record(builder, RMGR_XLOG, 0x70, 0, data, sizeof data);
}

Lsn wal_builder_backup_end(WalBuilder *builder, Lsn start)
{
    uint8_t data[8];

    put_le64(data, start);
    return wal_builder_record(builder, RMGR_XLOG, 0x50, 0, data, sizeof data);
}

Lsn wal_builder_switch(WalBuilder *builder)
{
    Lsn lsn = wal_builder_record(builder, RMGR_XLOG, 0x40, 0, NULL, 0);

    wal_builder_pad(builder);
    return lsn;
}

void wal_builder_pad(WalBuilder *builder)
{
    uint32_t used = (uint32_t)(builder->at % builder->segment_size);

    if (used > 0)
        append_zeros(builder, builder->segment_size - used);
}

Lsn wal_builder_overwrite(WalBuilder *builder, size_t size)
{
    uint8_t data[16] = {0};
    uint8_t *filler = filling(size);
    size_t total;

    align(builder);

    Lsn given_up = builder->at;
    uint8_t *record = make_record(builder, 10, 0, 0, filler, size, &total);
    size_t cut = page_left(builder);
    assert(cut < total);
    append_record(builder, record, total, cut);
    mem_free(record);
    mem_free(filler);
    builder->overwrites = true;
    put_le64(data, given_up);
    return wal_builder_record(builder, RMGR_XLOG, 0xD0, 0, data, sizeof data);
}

const uint8_t *wal_builder_segment(const WalBuilder *builder, uint64_t segment)
{
    Lsn from = wal_segment_start(segment, builder->segment_size);

    assert(from >= builder->start && from < builder->at);
    return builder->bytes.data + (from - builder->start);
}
