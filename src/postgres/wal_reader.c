#include "postgres/wal_reader.h"

#include "base/bytes.h"
#include "base/memory.h"
#include "stream/digest.h"
#include "wal_record.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>

enum {
    /* All pages have it but the first of a segment, whose header is longer. */
    PAGE_HEADER_SIZE = 24,
    PAGE_ADDRESS_END = 16, /* Magic, info, timeline and address are before it. */
    RECORD_KEPT_MAX = 64 << 20,

    /* The next four are bits of xlp_info. */
    PAGE_CONTINUES_RECORD = 0x01,
    PAGE_HAS_LONG_HEADER = 0x02,
    PAGE_OVERWRITES_RECORD = 0x08,
    PAGE_INFO_ALL = 0x0F,

    RMGR_BUILTIN_MAX = 21,
    RMGR_CUSTOM_MIN = 128,
    RMGR_INFO_MASK = 0xF0,
    XLOG_SWITCH = 0x40,
    XLOG_OVERWRITE_CONTRECORD = 0xD0,
};

struct WalReader {
    WalReaderSetup setup;
    WalReaderState state;
    Lsn at; /* The next byte that is fed is here. */

    uint8_t page_header[WAL_SEGMENT_HEADER_SIZE];
    /* This many bytes of it are there so far. It is 0 also when the header is complete. */
    size_t page_header_have;
    uint32_t page_timeline;

    /* This many bytes of a record that began before the first page are still to be skipped. */
    uint32_t head_left;
    uint32_t head_have; /* This many bytes of it were kept. */
    uint8_t head[WAL_RECORD_HEAD];

    bool in_record;
    Lsn record_lsn;
    uint32_t record_timeline;
    uint32_t total; /* It is 0 until its four bytes are there. */
    uint32_t have;
    uint32_t crc; /* It is that of what follows the header. */
    /* It has the first bytes of the record, when that came in several pieces. */
    uint8_t begin[WAL_RECORD_HEAD];
    bool is_kept;
    /* It has the whole record, when is_kept is set and the record came in several pieces. */
    Buffer kept;

    /* It is the record that the last page gave up. 0 means that there is none. */
    Lsn overwritten;
    bool rest_is_dirty; /* A byte that is not zero came after the break or switch. */
    uint8_t rest_header[PAGE_ADDRESS_END];
    size_t rest_have;    /* This many bytes of it are there so far. */
    bool rest_has_stale; /* A page of another place came after the break. */
};

WalReader *wal_reader_new(const WalReaderSetup *setup)
{
    WalReader *reader = mem_alloc(sizeof *reader);

    assert(wal_segment_size_is_valid(setup->segment_size));
    assert(setup->start % setup->segment_size == 0);
    reader->setup = *setup;
    reader->at = setup->start;
    return reader;
}

void wal_reader_freep(WalReader **reader)
{
    if (*reader == NULL)
        return;
    buffer_done(&(*reader)->kept);
    mem_free(*reader);
    *reader = NULL;
}

const WalReaderState *wal_reader_state(const WalReader *reader)
{
    return &reader->state;
}

bool wal_segment_header_decode(const uint8_t *bytes, size_t size, WalSegmentHeader *header,
                               Error *err)
{
    if (size < WAL_SEGMENT_HEADER_SIZE)
        return error_set(err, ERR_CORRUPT, "too short for a WAL segment");

    WalSegmentHeader decoded = {
        .magic = get_le16(bytes),
        .info = get_le16(bytes + 2),
        .timeline = get_le32(bytes + 4),
        .address = get_le64(bytes + 8),
        .remaining = get_le32(bytes + 16),
        .system_identifier = get_le64(bytes + 24),
        .segment_size = get_le32(bytes + 32),
        .block_size = get_le32(bytes + 36),
    };
    if (decoded.magic >> 8 == 0xD1 && pg_version_of_wal_magic(decoded.magic) == NULL) {
        return error_set(err, ERR_VERSION, "WAL of an unknown server version (magic %04X)",
                         decoded.magic);
    }
    if (decoded.magic >> 8 != 0xD1 || (decoded.info & PAGE_HAS_LONG_HEADER) == 0 ||
        (decoded.info & ~PAGE_INFO_ALL) != 0 || decoded.timeline == 0 ||
        !wal_segment_size_is_valid(decoded.segment_size) ||
        decoded.address % decoded.segment_size != 0)
        return error_set(err, ERR_CORRUPT, "does not begin with the header of a WAL segment");
    *header = decoded;
    return true;
}

/*
 * No valid WAL from here on, or from the record on that we are in. is_zero_here: the bytes that
 * showed it are all zero. A record that ends the segment with a bad CRC has nothing after it and
 * was not padded.
 */
static void wal_break(WalReader *reader, bool is_zero_here, const char *format, ...)
    PRINTF_LIKE(3, 4);

static void wal_break(WalReader *reader, bool is_zero_here, const char *format, ...)
{
    WalReaderState *state = &reader->state;
    va_list args;

    state->end = WAL_END_BROKEN;
    state->broken_at = reader->in_record ? reader->record_lsn : reader->at;
    state->noticed_at = reader->at;
    state->rest_is_zero = is_zero_here;
    state->rest_goes_on = state->rest_is_stale = false;
    va_start(args, format);
    vsnprintf(state->reason, sizeof state->reason, format, args);
    va_end(args);
    reader->in_record = false;
    reader->rest_is_dirty = false;
    reader->rest_have = 0;
    reader->rest_has_stale = false;
}

/* What must be so whatever the WAL says: otherwise these are the wrong bytes altogether. */
static bool check_segment_header(const WalReader *reader, Error *err)
{
    const WalReaderSetup *setup = &reader->setup;
    char text[2][LSN_TEXT_SIZE];
    WalSegmentHeader header;

    if (!wal_segment_header_decode(reader->page_header, WAL_SEGMENT_HEADER_SIZE, &header, err))
        return false;
    if (header.magic != setup->version->wal_magic) {
        return error_set(err, ERR_REFUSED, "WAL of server version %u, not %u",
                         pg_version_of_wal_magic(header.magic)->major, setup->version->major);
    }
    if (setup->system_identifier != 0 && header.system_identifier != setup->system_identifier) {
        return error_set(err, ERR_REFUSED,
                         "WAL of another cluster: system identifier %" PRIu64 ", not %" PRIu64,
                         header.system_identifier, setup->system_identifier);
    }
    if (header.segment_size != setup->segment_size) {
        return error_set(err, ERR_REFUSED, "WAL segments of %" PRIu32 " MiB, not %" PRIu32 " MiB",
                         header.segment_size >> 20, setup->segment_size >> 20);
    }
    if (header.block_size != WAL_BLOCK_SIZE) {
        return error_set(err, ERR_REFUSED, "WAL pages of %" PRIu32 " bytes, not %d",
                         header.block_size, WAL_BLOCK_SIZE);
    }
    if (header.address != reader->at) {
        return error_set(err, ERR_CORRUPT, "the content is WAL from %s on, not from %s",
                         lsn_text(header.address, text[0]), lsn_text(reader->at, text[1]));
    }
    return true;
}

/* xlogreader.c, XLogReaderValidatePageHeader. False: broken. */
static bool page_is_valid(WalReader *reader, size_t size)
{
    const uint8_t *header = reader->page_header;
    bool zero = bytes_are_zero(header, size);
    unsigned magic = get_le16(header);
    unsigned info = get_le16(header + 2);
    uint32_t timeline = get_le32(header + 4);
    Lsn address = get_le64(header + 8);
    char text[LSN_TEXT_SIZE];

    if (magic != reader->setup.version->wal_magic) {
        wal_break(reader, zero, "invalid magic number %04X", magic);
        return false;
    }
    if ((info & ~(unsigned)PAGE_INFO_ALL) != 0 ||
        ((info & PAGE_HAS_LONG_HEADER) != 0) != (size == WAL_SEGMENT_HEADER_SIZE)) {
        wal_break(reader, zero, "invalid info bits %04X", info);
        return false;
    }
    if (address != reader->at) {
        wal_break(reader, zero, "unexpected pageaddr %s", lsn_text(address, text));
        return false;
    }
    if (timeline < reader->page_timeline || timeline == 0) {
        wal_break(reader, zero, "out-of-sequence timeline ID %" PRIu32 " (after %" PRIu32 ")",
                  timeline, reader->page_timeline);
        return false;
    }
    return true;
}

/* What the page says about the record that goes on in it, against what we know. */
static void continue_on_page(WalReader *reader, unsigned info, uint32_t remaining)
{
    uint32_t missing =
        reader->in_record ? reader->total - reader->have : reader->head_left; /* 0: none */

    if (missing > 0 && (info & PAGE_OVERWRITES_RECORD) != 0) {
        /* The server crashed inside that record and never wrote its end. */
        reader->overwritten = reader->in_record ? reader->record_lsn : 0;
        reader->in_record = false;
        reader->head_left = 0;
        return;
    }
    if (missing == 0 && (info & PAGE_CONTINUES_RECORD) != 0)
        wal_break(reader, false, "contrecord is requested");
    if (missing > 0 && (info & PAGE_CONTINUES_RECORD) == 0) {
        wal_break(reader, false, "there is no contrecord flag");
    } else if (missing != remaining && missing > 0) {
        wal_break(reader, false, "invalid contrecord length %" PRIu32 " (expected %" PRIu32 ")",
                  remaining, missing);
    }
}

/* The header of the page at reader->at is complete. */
static bool take_page_header(WalReader *reader, size_t size, Error *err)
{
    WalReaderState *state = &reader->state;
    unsigned info = get_le16(reader->page_header + 2);
    uint32_t remaining = get_le32(reader->page_header + 16);
    bool is_first = reader->at == reader->setup.start;

    if (size == WAL_SEGMENT_HEADER_SIZE && !check_segment_header(reader, err))
        return false;
    if (!page_is_valid(reader, size))
        return true;
    reader->page_timeline = get_le32(reader->page_header + 4);
    if (is_first) {
        state->first_page_timeline = reader->page_timeline;
        state->magic = get_le16(reader->page_header);
        state->starts_with_overwrite = (info & PAGE_OVERWRITES_RECORD) != 0;
        if ((info & PAGE_CONTINUES_RECORD) != 0) {
            state->head_size = remaining;
            reader->head_left = remaining;
        }
        if ((info & PAGE_CONTINUES_RECORD) != 0 && remaining == 0)
            wal_break(reader, false, "invalid contrecord length 0");
    } else {
        continue_on_page(reader, info, remaining);
    }
    return true;
}

/* Bytes from here to the end of the page, in the data as far as it goes. */
static size_t in_page(const WalReader *reader, size_t size)
{
    size_t left = WAL_BLOCK_SIZE - reader->at % WAL_BLOCK_SIZE;

    return size < left ? size : left;
}

static bool feed_page_header(WalReader *reader, const uint8_t *data, size_t size, size_t *used,
                             Error *err)
{
    size_t header_size =
        reader->at % reader->setup.segment_size == 0 ? WAL_SEGMENT_HEADER_SIZE : PAGE_HEADER_SIZE;
    size_t missing = header_size - reader->page_header_have;
    size_t take = size < missing ? size : missing;

    memcpy(reader->page_header + reader->page_header_have, data, take);
    reader->page_header_have += take;
    *used = take;
    if (take < missing)
        return true;
    reader->page_header_have = 0;
    if (!take_page_header(reader, header_size, err))
        return false;
    reader->at += header_size;
    if (reader->state.end == WAL_END_BROKEN)
        reader->state.noticed_at = reader->at;
    return true;
}

/* xlogreader.c, ValidXLogRecordHeader. False: broken. */
static bool record_header_is_valid(WalReader *reader, const uint8_t *header)
{
    const WalReaderState *state = &reader->state;
    Lsn prev = get_le64(header + 8);
    unsigned rmgr = header[17];
    bool has_custom = reader->setup.version->major >= 15;
    char text[LSN_TEXT_SIZE];

    if (rmgr > RMGR_BUILTIN_MAX && !(has_custom && rmgr >= RMGR_CUSTOM_MIN)) {
        wal_break(reader, false, "invalid resource manager ID %u", rmgr);
        return false;
    }
    /* What was before the first record we don't know, only that it was before. */
    if (state->record_count > 0 ? prev != state->last_record : prev >= reader->record_lsn) {
        wal_break(reader, false, "incorrect prev-link %s", lsn_text(prev, text));
        return false;
    }
    return true;
}

/* xlogrecovery.c, VerifyOverwriteContrecord: it must be the record that we saw given up. */
static bool overwrite_is_valid(const WalReader *reader, const uint8_t *bytes, uint32_t total)
{
    /* 24 header, id 255, length 16, then the LSN. */
    return reader->overwritten == 0 || total < 34 || bytes[24] != 255 ||
           get_le64(bytes + 26) == reader->overwritten;
}

/*
 * All bytes of the record are there and were summed. header: its first `head_size` bytes; bytes:
 * all of them, or NULL.
 */
static bool finish_record(WalReader *reader, const uint8_t *header, uint32_t head_size,
                          const uint8_t *bytes, Error *err)
{
    WalReaderState *state = &reader->state;
    uint32_t crc = crc32c_update(reader->crc, header, RECORD_CRC_OFFSET);
    WalRecord record = {
        .lsn = reader->record_lsn,
        .end = reader->at,
        .prev = get_le64(header + 8),
        .total_size = reader->total,
        .xid = get_le32(header + 4),
        .rmgr = header[17],
        .info = header[16],
        .page_timeline = reader->record_timeline,
        .bytes = bytes,
        .head = header,
        .head_size = head_size,
    };
    unsigned op = record.info & RMGR_INFO_MASK;

    if (crc != get_le32(header + RECORD_CRC_OFFSET)) {
        wal_break(reader, false, "incorrect resource manager data checksum");
        return true;
    }
    if (record.rmgr == RMGR_XLOG && op == XLOG_OVERWRITE_CONTRECORD && bytes != NULL &&
        !overwrite_is_valid(reader, bytes, record.total_size)) {
        wal_break(reader, false, "mismatching overwritten LSN");
        return true;
    }
    reader->in_record = false;
    reader->overwritten = 0;
    if (state->record_count++ == 0) {
        state->first_record = record.lsn;
        state->first_prev = record.prev;
    }
    state->last_record = record.lsn;
    state->last_end = record.end;
    if (record.rmgr == RMGR_XLOG && op == XLOG_SWITCH) {
        state->end = WAL_END_SWITCH;
        state->rest_is_zero = true;
        reader->rest_is_dirty = false;
    }
    return reader->setup.on_record == NULL ||
           reader->setup.on_record(reader->setup.context, &record, err);
}

static bool record_is_wanted(const WalReader *reader, const uint8_t *header)
{
    return (rmgr_is_kept(header[17]) || reader->setup.keep_all) && reader->total <= RECORD_KEPT_MAX;
}

/* False: there is no record here. */
static bool take_total(WalReader *reader, const uint8_t *bytes)
{
    reader->total = get_le32(bytes);
    if (reader->total >= RECORD_HEADER_SIZE)
        return true;
    wal_break(reader, reader->total == 0, "invalid record length %" PRIu32, reader->total);
    return false;
}

/* The record lies in one piece in the data: nothing is copied. */
static bool feed_whole_record(WalReader *reader, const uint8_t *data, Error *err)
{
    reader->have = reader->total;
    reader->at += reader->total;
    reader->crc = crc32c_update(0, data + RECORD_HEADER_SIZE, reader->total - RECORD_HEADER_SIZE);
    return finish_record(reader, data, reader->total, record_is_wanted(reader, data) ? data : NULL,
                         err);
}

/* A part of the header: first the length, then the rest. */
static size_t feed_record_header(WalReader *reader, const uint8_t *data, size_t size)
{
    size_t until = reader->have < sizeof(uint32_t) ? sizeof(uint32_t) : RECORD_HEADER_SIZE;
    size_t missing = until - reader->have;
    size_t take = size < missing ? size : missing;

    memcpy(reader->begin + reader->have, data, take);
    reader->have += (uint32_t)take;
    reader->at += take;
    if (reader->have == sizeof(uint32_t)) {
        take_total(reader, reader->begin);
    } else if (reader->have == RECORD_HEADER_SIZE &&
               record_header_is_valid(reader, reader->begin)) {
        reader->is_kept = record_is_wanted(reader, reader->begin);
        reader->kept.size = 0;
        if (reader->is_kept)
            buffer_append(&reader->kept, reader->begin, RECORD_HEADER_SIZE);
    }
    return take;
}

/* Keep the first bytes of what comes in pieces: `have` of them came before. */
static void keep_first(uint8_t kept[WAL_RECORD_HEAD], uint32_t have, const uint8_t *data,
                       size_t size)
{
    if (have < WAL_RECORD_HEAD)
        memcpy(kept + have, data, size < WAL_RECORD_HEAD - have ? size : WAL_RECORD_HEAD - have);
}

static size_t feed_record_rest(WalReader *reader, const uint8_t *data, size_t size)
{
    size_t missing = reader->total - reader->have;
    size_t take = size < missing ? size : missing;

    reader->crc = crc32c_update(reader->crc, data, take);
    keep_first(reader->begin, reader->have, data, take);
    if (reader->is_kept)
        buffer_append(&reader->kept, data, take);
    reader->have += (uint32_t)take;
    reader->at += take;
    return take;
}

static uint32_t first_of(uint32_t size)
{
    return size < WAL_RECORD_HEAD ? size : WAL_RECORD_HEAD;
}

/* size: within this page. */
static bool feed_record(WalReader *reader, const uint8_t *data, size_t size, size_t *used,
                        Error *err)
{
    if (reader->have < RECORD_HEADER_SIZE) {
        *used = feed_record_header(reader, data, size);
    } else {
        *used = feed_record_rest(reader, data, size);
    }
    if (reader->state.end == WAL_END_OPEN && reader->have >= RECORD_HEADER_SIZE &&
        reader->have == reader->total) {
        return finish_record(reader, reader->begin, first_of(reader->total),
                             reader->is_kept ? reader->kept.data : NULL, err);
    }
    return true;
}

/* size: within this page. Records begin at multiples of 8. */
static bool begin_record(WalReader *reader, const uint8_t *data, size_t size, size_t *used,
                         Error *err)
{
    reader->in_record = true;
    reader->record_lsn = reader->at;
    reader->record_timeline = reader->page_timeline;
    reader->total = 0;
    reader->have = 0;
    reader->crc = 0;
    *used = 0;
    if (size < RECORD_HEADER_SIZE || get_le32(data) > size)
        return true; /* in pieces, by feed_record() */
    if (!take_total(reader, data) || !record_header_is_valid(reader, data)) {
        *used = reader->total < RECORD_HEADER_SIZE ? sizeof(uint32_t) : RECORD_HEADER_SIZE;
        reader->at += *used;
        reader->state.noticed_at = reader->at;
        return true;
    }
    *used = reader->total;
    return feed_whole_record(reader, data, err);
}

/* After a switch, to the end of its segment; after a break, forever. */
/*
 * A recycled file can be of the same place on an older timeline. A child's first segment can have
 * copies of the page in which it forks after that one (xlog.c, XLogFileCopy).
 */
static void judge_rest_page(WalReader *reader, Lsn page)
{
    const uint8_t *header = reader->rest_header;
    const unsigned magic = get_le16(header);
    const Lsn address = get_le64(header + 8);

    if (magic == reader->setup.version->wal_magic && address == page &&
        get_le32(header + 4) >= reader->page_timeline) {
        reader->state.rest_goes_on = true;
    } else if (magic >> 8 == 0xD1 && address != 0 && address % WAL_BLOCK_SIZE == 0) {
        reader->rest_has_stale = true;
    }
    reader->state.rest_is_stale = reader->rest_has_stale && !reader->state.rest_goes_on;
}

/* The page in which the break showed is not looked at again. */
static void look_at_rest(WalReader *reader, const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        const size_t in_page = (reader->at + at) % WAL_BLOCK_SIZE;

        if (in_page >= PAGE_ADDRESS_END || in_page != reader->rest_have) {
            reader->rest_have = 0;
            at += WAL_BLOCK_SIZE - in_page;
            continue;
        }
        reader->rest_header[reader->rest_have++] = data[at++];
        if (reader->rest_have == PAGE_ADDRESS_END)
            judge_rest_page(reader, reader->at + at - PAGE_ADDRESS_END);
    }
}

static size_t feed_rest(WalReader *reader, const uint8_t *data, size_t size)
{
    WalReaderState *state = &reader->state;
    uint32_t segment_size = reader->setup.segment_size;
    size_t take = size;

    if (state->end == WAL_END_SWITCH) {
        size_t left = (segment_size - reader->at % segment_size) % segment_size;

        take = size < left ? size : left;
        if (take == 0) {
            state->end = WAL_END_OPEN;
            state->rest_is_zero = false;
            return 0;
        }
    }
    if (state->end == WAL_END_BROKEN)
        look_at_rest(reader, data, take);
    if (!reader->rest_is_dirty) {
        reader->rest_is_dirty = !bytes_are_zero(data, take);
        state->rest_is_zero = !reader->rest_is_dirty;
    }
    reader->at += take;
    return take;
}

/* One step: a page header, a part of a record, what lies between two. */
static bool feed_step(WalReader *reader, const uint8_t *data, size_t size, size_t *used, Error *err)
{
    if (reader->state.end != WAL_END_OPEN) {
        *used = feed_rest(reader, data, size);
        return true;
    }
    if (reader->at % WAL_BLOCK_SIZE == 0)
        return feed_page_header(reader, data, size, used, err);
    size = in_page(reader, size);
    if (reader->in_record)
        return feed_record(reader, data, size, used, err);
    if (reader->head_left > 0) {
        *used = size < reader->head_left ? size : reader->head_left;
        keep_first(reader->head, reader->head_have, data, *used);
        reader->head_have += (uint32_t)*used;
        reader->head_left -= (uint32_t)*used;
        reader->at += *used;
        return true;
    }
    if (reader->at % 8 != 0) {
        size_t padding = 8 - reader->at % 8;

        *used = size < padding ? size : padding;
        reader->at += *used;
        return true;
    }
    return begin_record(reader, data, size, used, err);
}

static void show_tail(WalReader *reader)
{
    WalReaderState *state = &reader->state;
    bool is_open = reader->in_record && reader->state.end == WAL_END_OPEN;

    state->tail_record = is_open ? reader->record_lsn : 0;
    state->tail_total = is_open ? reader->total : 0;
    state->tail_have = is_open ? reader->have : 0;
    state->tail_has_kind = is_open && reader->have >= RECORD_HEADER_SIZE;
    state->tail_rmgr = state->tail_has_kind ? reader->begin[17] : 0;
    state->tail_info = state->tail_has_kind ? reader->begin[16] : 0;
}

WalCut wal_reader_tail(const WalReader *reader)
{
    return (WalCut){.bytes = reader->begin, .size = first_of(reader->state.tail_have)};
}

WalCut wal_reader_head(const WalReader *reader)
{
    return (WalCut){.bytes = reader->head, .size = first_of(reader->head_have)};
}

bool wal_reader_feed(WalReader *reader, const void *data, size_t size, Error *err)
{
    const uint8_t *at = data;
    bool ok = true;

    while (ok && size > 0) {
        size_t used = 0;

        ok = feed_step(reader, at, size, &used, err);
        at += used;
        size -= used;
    }
    show_tail(reader);
    return ok;
}
