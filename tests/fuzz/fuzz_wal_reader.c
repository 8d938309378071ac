/*
 * WAL pages and records, 13 to 18, and what recovery cares about in them. Input: version, how to
 * read, where to cut, then operations that build WAL (take_operation), right down to the CRCs; a
 * few bytes of the result may be changed. Whatever was built, reading it in one piece and in many
 * gives the same records and the same end; what was built rightly is found whole.
 */
#include "base/bytes.h"
#include "base/memory.h"
#include "fuzz.h"
#include "postgres/wal_summary.h"
#include "stream/digest.h"
#include "wal_builder.h"

enum {
    READ_KEEP_ALL = 1 << 0,
    READ_CUT = 1 << 1,
    READ_CHANGED = 1 << 2,
    READ_HEAD = 1 << 3,
    READ_ANY_SYSTEM = 1 << 4,
    READ_SEGMENTS = 7 << 5, /* all three bits: over the end of a segment, which takes time */

    BODY_MAX = 1 << 10,
    BYTES_MAX = 64 << 10,
    BYTES_MAX_SEGMENTS = BUILT_SEGMENT_SIZE + (256 << 10),
    HUGE_BODY_SIZE = 200 << 10,
};

/* Where the first segment begins. */
static const Lsn start = UINT64_C(0x500) * BUILT_SEGMENT_SIZE;

/* What one reading gave. */
typedef struct Reading {
    const WalBuilder *builder;
    uint64_t digest; /* of all records, in order */
    uint64_t count;
    bool keeps_all, checks;
    WalSummary summary;
    WalReaderState state;
    bool ok;
    ErrorCode code;
} Reading;

static void digest_add(Reading *reading, const void *bytes, size_t size)
{
    reading->digest = xxh3_of(reading->digest, bytes, size);
}

static void check_record(const Reading *reading, const WalRecord *record)
{
    const BuiltRecord *built = &reading->builder->records[reading->count];

    assert(reading->count < reading->builder->count);
    assert(record->lsn == built->lsn && record->end == built->end && record->prev == built->prev);
    assert(record->total_size == built->total && record->xid == built->xid);
    assert(record->rmgr == built->rmgr && record->info == built->info);
}

/* In memory of exactly the record's size. */
static void look_for_event(Reading *reading, const WalRecord *record)
{
    uint8_t *exact = fuzz_copy(record->bytes, record->total_size);
    WalRecord copy = *record;
    WalEvent event;
    const char *path;
    uint32_t oid;

    copy.bytes = exact;
    if (wal_tablespace_of(&copy, &oid, &path)) {
        assert((const uint8_t *)path + strlen(path) < exact + record->total_size);
        fuzz_accepted();
    }
    digest_add(reading, &(unsigned){wal_changes_of(&copy, reading->builder->version)},
               sizeof(unsigned));
    if (wal_summary_add_record(&reading->summary, &copy, reading->builder->version, &event)) {
        assert(event.lsn == record->lsn && event.end == record->end);
        assert(event.kind != EVENT_RESTORE_POINT || strlen(event.name) < sizeof event.name);
        digest_add(reading, &event.kind, sizeof event.kind);
        fuzz_accepted();
    }
    mem_free(exact);
}

static bool take_record(void *context, const WalRecord *record, Error *err)
{
    Reading *reading = context;
    bool is_kept = reading->keeps_all || record->rmgr == RMGR_XLOG ||
                   record->rmgr == RMGR_TRANSACTION || record->rmgr == RMGR_STORAGE ||
                   record->rmgr == RMGR_DATABASE || record->rmgr == RMGR_TABLESPACE;
    const uint64_t numbers[] = {record->lsn, record->end,  record->prev, record->total_size,
                                record->xid, record->rmgr, record->info, record->page_timeline};

    (void)err;
    assert((record->bytes != NULL) == is_kept);
    assert(record->total_size >= BUILT_HEADER_SIZE && record->prev < record->lsn);
    if (reading->checks)
        check_record(reading, record);
    digest_add(reading, numbers, sizeof numbers);
    if (is_kept) {
        digest_add(reading, record->bytes, record->total_size);
        look_for_event(reading, record);
    }
    reading->count++;
    return true;
}

/* pieces: the largest piece; 0: everything at once. */
static void read_all(Reading *reading, Lsn from, const uint8_t *bytes, size_t size, uint64_t system,
                     size_t piece_max, uint32_t seed)
{
    WalReaderSetup setup = {
        .version = reading->builder->version,
        .system_identifier = system,
        .segment_size = BUILT_SEGMENT_SIZE,
        .start = from,
        .keep_all = reading->keeps_all,
        .on_record = take_record,
        .context = reading,
    };
    CLEANUP(wal_reader_freep) WalReader *reader = wal_reader_new(&setup);
    Error err = {0};

    wal_summary_init(&reading->summary);
    reading->ok = true;
    while (reading->ok && size > 0) {
        seed = seed * 1664525U + 1013904223U;
        size_t piece = piece_max == 0 ? size : 1 + (seed >> 8) % piece_max;

        piece = piece < size ? piece : size;
        uint8_t *exact = fuzz_copy(bytes, piece);
        reading->ok = wal_reader_feed(reader, exact, piece, &err);
        mem_free(exact);
        bytes += piece;
        size -= piece;
    }
    reading->code = err.code;
    reading->state = *wal_reader_state(reader);
}

static void assert_same_state(const WalReaderState *a, const WalReaderState *b)
{
    assert(a->end == b->end && a->broken_at == b->broken_at && a->rest_is_zero == b->rest_is_zero);
    assert(strcmp(a->reason, b->reason) == 0);
    assert(a->first_record == b->first_record && a->first_prev == b->first_prev);
    assert(a->last_record == b->last_record && a->last_end == b->last_end);
    assert(a->record_count == b->record_count && a->head_size == b->head_size);
    assert(a->starts_with_overwrite == b->starts_with_overwrite);
    assert(a->tail_record == b->tail_record && a->tail_total == b->tail_total);
    assert(a->tail_have == b->tail_have && a->tail_has_kind == b->tail_has_kind);
    assert(a->tail_rmgr == b->tail_rmgr && a->tail_info == b->tail_info);
    assert(a->first_page_timeline == b->first_page_timeline && a->magic == b->magic);
}

/* Everything was built rightly, and cut at most. */
static void check_complete(const WalBuilder *builder, const Reading *reading, Lsn end)
{
    const WalReaderState *state = &reading->state;
    size_t whole = 0;

    while (whole < builder->count && builder->records[whole].end <= end)
        whole++;
    assert(reading->ok && state->end != WAL_END_BROKEN);
    assert(reading->count == whole && state->record_count == whole);
    if (whole < builder->count && builder->records[whole].lsn < end) {
        const BuiltRecord *tail = &builder->records[whole];

        assert(state->tail_record == tail->lsn);
        assert(state->tail_total == 0 || state->tail_total == tail->total);
        assert(state->tail_have > 0 && state->tail_have < tail->total);
        assert(!state->tail_has_kind || state->tail_rmgr == tail->rmgr);
    }
    if (builder->is_switched && end == wal_builder_at(builder))
        assert(state->end == WAL_END_SWITCH && state->rest_is_zero);
}

/* Read segment by segment, as archive-push does: what is missing in one begins the next. */
static void check_joint(const WalBuilder *builder, const uint8_t *bytes, size_t size)
{
    Reading first = {.builder = builder};
    Reading second = {.builder = builder};

    if (size <= BUILT_SEGMENT_SIZE + WAL_SEGMENT_HEADER_SIZE)
        return;
    read_all(&first, start, bytes, BUILT_SEGMENT_SIZE, 0, 0, 0);
    read_all(&second, start + BUILT_SEGMENT_SIZE, bytes + BUILT_SEGMENT_SIZE,
             size - BUILT_SEGMENT_SIZE, 0, 0, 0);
    assert(first.ok && second.ok);
    if (first.state.tail_record != 0 && first.state.tail_total != 0 &&
        !second.state.starts_with_overwrite)
        assert(second.state.head_size == first.state.tail_total - first.state.tail_have);
}

static void put_main_data(FuzzInput *input, Buffer *body, uint32_t size)
{
    uint8_t head[5] = {255, (uint8_t)size};

    if (size > 255) {
        head[0] = 254;
        put_le32(head + 1, size);
    }
    buffer_append(body, head, size > 255 ? 5 : 2);
    buffer_reserve(body, body->size + size);
    fuzz_bytes(input, body->data + body->size, size);
    body->size += size;
}

/* kind in the low bits; who writes the record, or what is odd, in the others. */
static void take_record_operation(WalBuilder *builder, FuzzInput *input, uint8_t op, bool is_long)
{
    static const uint8_t managers[] = {RMGR_XLOG, RMGR_TRANSACTION, 10, 0};
    CLEANUP(buffer_done) Buffer body = {0};
    uint8_t rmgr = managers[op >> 3 & 3];
    bool is_bare = (op & 0x20) != 0;

    if ((op >> 3 & 3) == 3)
        rmgr = fuzz_u8(input) % 22;
    uint8_t info = fuzz_u8(input);
    uint32_t xid = fuzz_u32(input);
    uint32_t size = fuzz_u16(input) % BODY_MAX;
    if ((op & 0x40) != 0)
        size = is_long ? HUGE_BODY_SIZE + size : size * 16;
    /* A switch has a way of its own; an overwritten record's end must name the record. */
    if (rmgr == RMGR_XLOG && ((info & 0xF0) == 0x40 || (info & 0xF0) == 0xD0))
        info = 0x20;
    if (is_bare) {
        buffer_reserve(&body, size + 1);
        fuzz_bytes(input, body.data, size);
        body.size = size;
    } else {
        put_main_data(input, &body, size);
    }
    wal_builder_record(builder, rmgr, info, xid, body.data, (uint32_t)body.size);
}

static void take_oddity(WalBuilder *builder, FuzzInput *input, uint8_t op)
{
    uint32_t value = fuzz_u32(input);

    switch (op >> 3 & 7) {
    case 0:
        builder->oddity.prev_xor = value;
        break;
    case 1:
        builder->oddity.total_add = value;
        break;
    case 2:
        builder->oddity.crc_xor = (uint8_t)value;
        break;
    case 3:
        builder->oddity.page_info_xor = (uint16_t)value;
        break;
    case 4:
        builder->oddity.remaining_add = value;
        break;
    default:
        builder->oddity.timeline_add = value;
        break;
    }
}

static void take_operation(WalBuilder *builder, FuzzInput *input, bool is_long)
{
    uint8_t op = fuzz_u8(input);

    switch (op & 7) {
    case 5:
        wal_builder_switch(builder);
        break;
    case 6:
        wal_builder_overwritten(builder, fuzz_u16(input));
        break;
    case 7:
        take_oddity(builder, input, op);
        break;
    default:
        take_record_operation(builder, input, op, is_long);
        break;
    }
}

static void change_bytes(WalBuilder *builder, FuzzInput *changes)
{
    for (int i = 0; i < 4; i++) {
        uint32_t at = fuzz_u32(changes);
        uint8_t mask = fuzz_u8(changes);

        if (mask != 0) {
            builder->bytes.data[at % builder->bytes.size] ^= mask;
            builder->is_odd = true;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static WalBuilder builder;
    FuzzInput input = {data, size};
    const PgVersion *version = pg_version_of_major(PG_MAJOR_MIN + fuzz_u8(&input) % 6);
    uint8_t how = fuzz_u8(&input);
    uint32_t cut = fuzz_u32(&input);
    uint32_t seed = fuzz_u32(&input);
    uint32_t head_size = (how & READ_HEAD) != 0 ? 1 + cut % 20000 : 0;
    uint8_t change_list[20];
    FuzzInput changes = {change_list, sizeof change_list};

    builder = (WalBuilder){.bytes = builder.bytes};
    builder.bytes.size = 0;
    if ((how & READ_CHANGED) != 0)
        fuzz_bytes(&input, change_list, sizeof change_list);
    wal_builder_begin(&builder, version, start, head_size);
    bool is_long = (how & READ_SEGMENTS) == READ_SEGMENTS;
    while (input.left > 0 && builder.bytes.size < (is_long ? BYTES_MAX_SEGMENTS : BYTES_MAX))
        take_operation(&builder, &input, is_long);
    if ((how & READ_CHANGED) != 0)
        change_bytes(&builder, &changes);

    size_t end = builder.bytes.size;
    if ((how & READ_CUT) != 0)
        end = cut % (end + 1);
    bool is_right = !builder.is_odd;
    uint64_t system = (how & READ_ANY_SYSTEM) != 0 ? 0 : BUILT_SYSTEM;
    Reading whole = {.builder = &builder, .keeps_all = (how & READ_KEEP_ALL) != 0};
    whole.checks = is_right;
    Reading pieces = whole;
    read_all(&whole, start, builder.bytes.data, end, system, 0, 0);
    size_t piece_max = end > 64 << 10 ? 4096 : (size_t)1 << seed % 14;
    read_all(&pieces, start, builder.bytes.data, end, system, piece_max, seed);
    assert(whole.ok == pieces.ok && whole.code == pieces.code);
    assert(whole.digest == pieces.digest && whole.count == pieces.count);
    assert(whole.summary.commit_count == pieces.summary.commit_count);
    if (whole.ok)
        assert_same_state(&whole.state, &pieces.state);
    if (is_right) {
        check_complete(&builder, &whole, start + end);
        check_joint(&builder, builder.bytes.data, end);
    }
    return 0;
}

static void op(Buffer *to, uint8_t kind, uint8_t info, uint32_t xid, const void *data,
               uint16_t size)
{
    uint8_t head[8] = {kind, info};

    put_le32(head + 2, xid);
    put_le16(head + 6, size);
    buffer_append(to, head, sizeof head);
    buffer_append(to, data, size);
}

static void begin(Buffer *to, uint8_t version, uint8_t how, uint32_t cut)
{
    uint8_t head[10] = {version, how};

    to->size = 0;
    put_le32(head + 2, cut);
    put_le32(head + 6, 5);
    buffer_append(to, head, sizeof head);
}

enum { XLOG = 0, TRANSACTION = 1 << 3, HEAP = 2 << 3, ANY = 3 << 3, BARE = 0x20 };

static void put_usual(Buffer *bytes)
{
    uint8_t data[128] = {0};

    put_le32(data + 8, 1);
    put_le32(data + 12, 1);
    op(bytes, XLOG, 0x10, 0, data, 88); /* checkpoint */
    put_le64(data, 848000000000000);    /* xact time */
    op(bytes, TRANSACTION, 0x00, 700, data, 8);
    put_le32(data + 8, 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4);
    put_le32(data + 20, 1);   /* a subtransaction */
    put_le32(data + 28, 1);   /* a relation */
    put_le32(data + 44, 0);   /* no invalidations */
    put_le32(data + 48, 701); /* the prepared one */
    op(bytes, TRANSACTION, 0x80 | 0x30, 0, data, 52);
    op(bytes, TRANSACTION, 0x80 | 0x40, 0, data, 52);
    op(bytes, TRANSACTION, 0x20, 702, data, 8);
    memcpy(data + 8, "before the upgrade", sizeof "before the upgrade");
    op(bytes, XLOG, 0x70, 0, data, 72);
    op(bytes, XLOG, 0x50, 0, data, 8);  /* backup end */
    op(bytes, XLOG, 0x60, 0, data, 28); /* parameters */
    op(bytes, XLOG, 0x80, 0, "\0", 1);  /* full_page_writes off */
    op(bytes, XLOG, 0x90, 0, data, 20); /* end of recovery */
}

void fuzz_seeds(void)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    uint8_t large[300] = {1, 2, 3};
    char name[16];

    for (uint8_t version = 0; version < 6; version++) {
        begin(&bytes, version, READ_KEEP_ALL, 0);
        put_usual(&bytes);
        snprintf(name, sizeof name, "events-%u", 13 + version);
        fuzz_seed(name, bytes.data, bytes.size);
    }
    /* What begins like main data and ends too early. */
    begin(&bytes, 1, 0, 0);
    for (uint8_t id = 252; id != 0; id++) {
        uint8_t bare[6] = {id, 1};

        for (uint16_t size = 0; size <= sizeof bare; size++) {
            op(&bytes, XLOG | BARE, 0x70, 0, bare, size);
            op(&bytes, TRANSACTION | BARE, 0x80, 700, bare, size);
        }
    }
    fuzz_seed("bare", bytes.data, bytes.size);
    begin(&bytes, 1, 0, 0);
    for (char size = 0; size < 12; size++) { /* CREATE TABLESPACE */
        const char record[9] = {ANY, RMGR_TABLESPACE, 0, 0, 0, 0, 0, size, 0};

        buffer_append(&bytes, record, sizeof record);
        buffer_append(&bytes, "\1@\0\0/srv/x", (size_t)size);
    }
    fuzz_seed("tablespace", bytes.data, bytes.size);
    begin(&bytes, 2, READ_HEAD | READ_CUT, 17000);
    for (int i = 0; i < 30; i++)
        op(&bytes, HEAP, 0x10, 700, large, 300);
    fuzz_seed("pages", bytes.data, bytes.size);
    begin(&bytes, 5, READ_CHANGED, 0);
    buffer_append(&bytes, "\x07\x20\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    put_usual(&bytes);
    fuzz_seed("changed", bytes.data, bytes.size);
    begin(&bytes, 3, 0, 0);
    op(&bytes, HEAP, 0x10, 700, large, 300);
    buffer_append(&bytes, "\x06\x10\0", 3);
    put_usual(&bytes);
    buffer_append(&bytes, "\x05", 1);
    op(&bytes, TRANSACTION, 0x00, 700, large, 8);
    fuzz_seed("switch", bytes.data, bytes.size);
    begin(&bytes, 4, READ_SEGMENTS, 0);
    for (int i = 0; i < 8; i++) /* over a segment's end */
        buffer_append(&bytes, "\x70\x10\1\0\0\0\xf0\x0f", 8);
    fuzz_seed("segments", bytes.data, bytes.size);
    begin(&bytes, 2, 0, 0);
    op(&bytes, HEAP, 0x10, 700, large, 300);
    buffer_append(&bytes, "\x0f\1\0\0\0", 5);
    op(&bytes, HEAP, 0x10, 700, large, 300);
    fuzz_seed("odd", bytes.data, bytes.size);
}
