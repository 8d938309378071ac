#include "postgres/wal_reader.h"

#include "base/bytes.h"
#include "base/memory.h"
#include "wal_builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MIB = 1 << 20, START = 3 * MIB, RECORDS_MAX = 60000 };

/* What came out of a reader. */
typedef struct Seen {
    WalRecord *records;
    size_t count;
    size_t kept;       /* records with bytes */
    size_t stop_after; /* 0: never */
} Seen;

static Seen seen_new(void)
{
    return (Seen){.records = mem_alloc(RECORDS_MAX * sizeof(WalRecord))};
}

static void seen_done(Seen *seen)
{
    mem_free(seen->records);
}

static bool see(void *context, const WalRecord *record, Error *err)
{
    Seen *seen = context;

    assert_in_range(seen->count, 0, RECORDS_MAX - 1);
    if (record->bytes != NULL) {
        assert_int_equal(get_le32(record->bytes), record->total_size);
        assert_int_equal(get_le32(record->bytes + 4), record->xid);
        assert_int_equal(get_le64(record->bytes + 8), record->prev);
        seen->kept++;
    }
    seen->records[seen->count++] = *record;
    if (seen->count == seen->stop_after)
        return error_set(err, ERR_INTERRUPTED, "enough");
    return true;
}

static WalReader *reader_of(const WalBuilder *wal, Lsn start, Seen *seen)
{
    return wal_reader_new(&(WalReaderSetup){
        .version = wal->version,
        .system_identifier = wal->system_identifier,
        .segment_size = wal->segment_size,
        .start = start,
        .on_record = see,
        .context = seen,
    });
}

/* Read size bytes from `bytes` in pieces and copy the state that is left. */
static bool read_pieces(const WalBuilder *wal, Lsn start, const uint8_t *bytes, size_t size,
                        size_t piece, Seen *seen, WalReaderState *end)
{
    CLEANUP(wal_reader_freep) WalReader *reader = reader_of(wal, start, seen);
    Error err = {0};
    bool ok = true;

    seen->count = 0;
    seen->kept = 0;
    for (size_t done = 0; ok && done < size; done += piece) {
        size_t part = piece < size - done ? piece : size - done;

        ok = wal_reader_feed(reader, bytes + done, part, &err);
    }
    *end = *wal_reader_state(reader);
    return ok;
}

static void read_all(const WalBuilder *wal, Seen *seen, WalReaderState *end)
{
    assert_true(
        read_pieces(wal, wal->start, wal->bytes.data, wal->bytes.size, wal->bytes.size, seen, end));
}

static void assert_same_record(const WalRecord *a, const WalRecord *b)
{
    assert_int_equal(a->lsn, b->lsn);
    assert_int_equal(a->end, b->end);
    assert_int_equal(a->prev, b->prev);
    assert_int_equal(a->total_size, b->total_size);
    assert_int_equal(a->xid, b->xid);
    assert_int_equal(a->rmgr, b->rmgr);
    assert_int_equal(a->info, b->info);
}

static void assert_same_state(const WalReaderState *a, const WalReaderState *b)
{
    assert_int_equal(a->end, b->end);
    assert_int_equal(a->broken_at, b->broken_at);
    assert_int_equal(a->rest_is_zero, b->rest_is_zero);
    assert_string_equal(a->reason, b->reason);
    assert_int_equal(a->first_record, b->first_record);
    assert_int_equal(a->first_prev, b->first_prev);
    assert_int_equal(a->last_record, b->last_record);
    assert_int_equal(a->last_end, b->last_end);
    assert_int_equal(a->record_count, b->record_count);
    assert_int_equal(a->head_size, b->head_size);
    assert_int_equal(a->starts_with_overwrite, b->starts_with_overwrite);
    assert_int_equal(a->tail_record, b->tail_record);
    assert_int_equal(a->tail_total, b->tail_total);
    assert_int_equal(a->tail_have, b->tail_have);
    assert_int_equal(a->tail_has_kind, b->tail_has_kind);
    assert_int_equal(a->tail_rmgr, b->tail_rmgr);
    assert_int_equal(a->tail_info, b->tail_info);
    assert_int_equal(a->first_page_timeline, b->first_page_timeline);
    assert_int_equal(a->magic, b->magic);
}

/* Records of many sizes, so that pages end in every place that a record has. */
static WalBuilder varied(size_t size)
{
    WalBuilder wal = wal_builder_begin(15, MIB, START, 1);

    for (uint32_t i = 0; wal.bytes.size < size; i++) {
        wal_builder_filler(&wal, i * 37 % 701);
        wal_builder_commit(&wal, 700 + i, i);
        if (i % 50 == 49)
            wal_builder_filler(&wal, 20000);
        if (i % 64 == 63)
            wal_builder_restore_point(&wal, "here", i);
    }
    return wal;
}

static void pieces_of_any_size_give_the_same(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = varied(5 * WAL_BLOCK_SIZE);
    CLEANUP(seen_done) Seen whole = seen_new();
    CLEANUP(seen_done) Seen parts = seen_new();
    WalReaderState end;
    WalReaderState end_of_parts;

    (void)state;
    read_all(&wal, &whole, &end);
    assert_int_equal(end.end, WAL_END_OPEN);
    assert_int_equal(end.last_record, wal.prev);
    assert_int_equal(end.last_end, wal.at);
    for (size_t piece = 1; piece < 9000; piece += piece < 130 ? 1 : 677) {
        assert_true(read_pieces(&wal, wal.start, wal.bytes.data, wal.bytes.size, piece, &parts,
                                &end_of_parts));
        assert_same_state(&end_of_parts, &end);
        assert_int_equal(parts.count, whole.count);
        assert_int_equal(parts.kept, whole.kept);
        for (size_t i = 0; i < whole.count; i++)
            assert_same_record(&parts.records[i], &whole.records[i]);
    }
}

static void records_are_those_that_were_written(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, START, 1);
    CLEANUP(seen_done) Seen seen = seen_new();
    static Lsn lsn[3000];
    size_t count = 0;
    WalReaderState end;

    (void)state;
    /* Over four segments; one record is larger than a segment. */
    for (size_t i = 0; i < 2000; i++) {
        size_t size = i == 1000 ? 3 * MIB / 2 : i * i % 3001;

        lsn[count++] = wal_builder_filler(&wal, size);
    }

    read_all(&wal, &seen, &end);

    assert_int_equal(end.end, WAL_END_OPEN);
    assert_int_equal(end.record_count, count);
    assert_int_equal(seen.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(seen.records[i].lsn, lsn[i]);
        assert_int_equal(seen.records[i].prev, i > 0 ? lsn[i - 1] : START - 8);
        assert_int_equal(seen.records[i].rmgr, 10);
    }
    assert_int_equal(end.first_record, START + WAL_SEGMENT_HEADER_SIZE);
    assert_int_equal(end.first_prev, START - 8);
    assert_int_equal(end.first_page_timeline, 1);
    assert_int_equal(end.magic, 0xD110);
}

static void only_transactions_and_the_log_itself_are_kept(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, START, 1);
    CLEANUP(seen_done) Seen seen = seen_new();
    WalReaderState end;

    (void)state;
    for (int i = 0; i < 300; i++) {
        wal_builder_filler(&wal, 500);
        wal_builder_commit(&wal, 5, i);
        wal_builder_restore_point(&wal, "x", i);
    }
    for (size_t piece = 1; piece < 3 * WAL_BLOCK_SIZE; piece *= 3) {
        assert_true(
            read_pieces(&wal, wal.start, wal.bytes.data, wal.bytes.size, piece, &seen, &end));
        assert_int_equal(seen.count, 900);
        assert_int_equal(seen.kept, 600);
    }
}

/* Whether a change of this byte may pass: the server doesn't look at it either. */
static bool is_unprotected(const WalBuilder *wal, const Seen *good, size_t offset)
{
    size_t in_page = offset % WAL_BLOCK_SIZE;
    size_t header = offset < WAL_BLOCK_SIZE ? WAL_SEGMENT_HEADER_SIZE : 24;
    Lsn lsn = wal->start + offset;
    unsigned info = get_le16(wal->bytes.data + (offset - in_page) + 2);

    if (in_page < header) { /* timeline; remaining length where nothing continues; padding */
        return (in_page >= 4 && in_page < 8) || (in_page >= 20 && in_page < 24) ||
               (in_page >= 16 && in_page < 20 && (info & 1) == 0);
    }
    for (size_t i = 0; i < good->count; i++) {
        if (lsn < good->records[i].lsn)
            return true; /* between two records */
        if (lsn < good->records[i].end)
            return false;
    }
    return false;
}

/* Change one byte, read, change it back. */
static void flip(WalBuilder *wal, const Seen *good, size_t offset, uint8_t mask, Seen *seen)
{
    Lsn lsn = wal->start + offset;
    WalReaderState end;

    wal->bytes.data[offset] ^= mask;
    bool ok =
        read_pieces(wal, wal->start, wal->bytes.data, wal->bytes.size, wal->bytes.size, seen, &end);
    wal->bytes.data[offset] ^= mask;

    for (size_t i = 0; i < seen->count; i++) {
        assert_same_record(&seen->records[i], &good->records[i]);
        if (!is_unprotected(wal, good, offset) && (lsn % WAL_BLOCK_SIZE >= WAL_SEGMENT_HEADER_SIZE))
            assert_true(seen->records[i].end <= lsn || seen->records[i].lsn > lsn);
    }
    if (is_unprotected(wal, good, offset))
        return;
    /* One bit in the flags may say nothing: "blocks removable", "overwrites" where nothing is. */
    if (offset % WAL_BLOCK_SIZE == 2 && (mask & (mask - 1)) == 0 && (mask == 4 || mask == 8))
        return;
    assert_true(!ok || end.end == WAL_END_BROKEN);
    if (ok)
        assert_true(end.broken_at <= lsn);
}

static void every_changed_byte_is_noticed(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = varied(4 * WAL_BLOCK_SIZE);
    CLEANUP(seen_done) Seen good = seen_new();
    CLEANUP(seen_done) Seen seen = seen_new();
    WalReaderState end;

    (void)state;
    read_all(&wal, &good, &end);
    for (size_t offset = 0; offset < wal.bytes.size; offset++) {
        flip(&wal, &good, offset, 0xFF, &seen);
        flip(&wal, &good, offset, (uint8_t)(1 << offset % 8), &seen);
    }
}

static void every_cut_of_a_record_is_told(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, START, 1);
    CLEANUP(seen_done) Seen seen = seen_new();
    WalReaderState end;

    (void)state;
    Lsn first = wal_builder_filler(&wal, 8000);
    Lsn second = wal_builder_commit(&wal, 9, 1);
    Lsn third = wal_builder_filler(&wal, 400); /* goes over the page */
    assert_int_equal(third / WAL_BLOCK_SIZE + 1, wal.at / WAL_BLOCK_SIZE);
    for (size_t size = second - START; size < wal.bytes.size; size++) {
        Lsn at = START + size;
        uint32_t page_header = at > START + WAL_BLOCK_SIZE + 24 ? 24 : 0;

        assert_true(read_pieces(&wal, START, wal.bytes.data, size, size, &seen, &end));
        assert_int_equal(end.end, WAL_END_OPEN);
        if (at <= second || (at >= seen.records[1].end && at <= third && seen.count == 2)) {
            assert_int_equal(end.tail_record, 0);
            continue;
        }
        Lsn expected = at <= third ? second : third;
        assert_int_equal(end.tail_record, expected);
        assert_int_equal(end.last_record, expected == third ? second : first);
        if (page_header > 0 || at < START + WAL_BLOCK_SIZE)
            assert_int_equal(end.tail_have, at - expected - page_header);
        assert_int_equal(end.tail_total, end.tail_have < 4 ? 0 : expected == third ? 429 : 34);
        assert_int_equal(end.tail_has_kind, end.tail_have >= 24);
        assert_int_equal(end.tail_rmgr,
                         end.tail_has_kind ? (expected == third ? 10 : RMGR_TRANSACTION) : 0);
    }
}

/* What one segment's tail says is missing is what the next one's head says is there. */
static void heads_fit_tails_wherever_a_segment_ends(void **state)
{
    CLEANUP(seen_done) Seen seen = seen_new();

    (void)state;
    for (size_t left = 0; left <= 64; left += 8) {
        CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, START, 1);
        WalReaderState first;
        WalReaderState second;

        wal_builder_fill_to(&wal, START + MIB, left);
        Lsn straddling = wal_builder_restore_point(&wal, "straddling", 1);
        wal_builder_commit(&wal, 1, 1);
        assert_true(read_pieces(&wal, START, wal.bytes.data, MIB, 5000, &seen, &first));
        assert_true(read_pieces(&wal, START + MIB, wal.bytes.data + MIB, wal.bytes.size - MIB, 5000,
                                &seen, &second));

        assert_int_equal(first.end, WAL_END_OPEN);
        assert_int_equal(second.end, WAL_END_OPEN);
        if (straddling < START + MIB) {
            assert_int_equal(first.tail_record, straddling);
            assert_int_equal(first.tail_total, 98);
            assert_int_equal(first.tail_total - first.tail_have, second.head_size);
            assert_int_equal(second.first_prev, straddling);
        } else {
            assert_int_equal(first.tail_record, 0);
            assert_int_equal(second.head_size, 0);
            assert_int_equal(second.first_prev, first.last_record);
        }
        assert_int_equal(second.record_count, straddling < START + MIB ? 1 : 2);
    }
}

static void a_segment_may_be_the_middle_of_one_record(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, START, 1);
    CLEANUP(seen_done) Seen seen = seen_new();
    WalReaderState end;

    (void)state;
    Lsn large = wal_builder_filler(&wal, 5 * MIB / 2);
    Lsn after = wal_builder_commit(&wal, 1, 1);
    assert_true(read_pieces(&wal, START + MIB, wal.bytes.data + MIB, MIB, 777, &seen, &end));
    assert_int_equal(end.end, WAL_END_OPEN);
    assert_int_equal(end.record_count, 0);
    assert_int_equal(end.first_record, 0);
    assert_int_equal(end.tail_record, 0);
    assert_true(end.head_size > MIB);
    assert_true(read_pieces(&wal, START + MIB, wal.bytes.data + MIB, wal.bytes.size - MIB, 777,
                            &seen, &end));
    assert_int_equal(end.first_record, after);
    assert_int_equal(end.first_prev, large);
}

static void after_a_switch_the_next_segment_goes_on(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = varied(3 * WAL_BLOCK_SIZE);
    CLEANUP(seen_done) Seen seen = seen_new();
    WalReaderState end;

    (void)state;
    Lsn last = wal_builder_switch(&wal);
    assert_int_equal(wal.bytes.size, MIB);
    read_all(&wal, &seen, &end);
    assert_int_equal(end.end, WAL_END_SWITCH);
    assert_true(end.rest_is_zero);
    assert_int_equal(end.last_record, last);
    assert_int_equal(end.last_end, last + 24);
    assert_int_equal(end.tail_record, 0);

    Lsn after = wal_builder_commit(&wal, 1, 1);
    for (size_t piece = 1; piece < 2 * MIB; piece = piece * 10 + 1) {
        assert_true(read_pieces(&wal, START, wal.bytes.data, wal.bytes.size, piece, &seen, &end));
        assert_int_equal(end.end, WAL_END_OPEN);
        assert_int_equal(end.last_record, after);
        assert_int_equal(seen.records[seen.count - 1].prev, last);
    }
}

static void a_switch_may_end_its_segment_exactly(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, START, 1);
    CLEANUP(seen_done) Seen seen = seen_new();
    WalReaderState end;

    (void)state;
    wal_builder_fill_to(&wal, START + MIB, 24);
    wal_builder_switch(&wal);
    read_all(&wal, &seen, &end);
    assert_int_equal(end.end, WAL_END_SWITCH);
    assert_true(end.rest_is_zero);
    wal_builder_commit(&wal, 1, 1);
    read_all(&wal, &seen, &end);
    assert_int_equal(end.end, WAL_END_OPEN);
}

static void bytes_after_a_switch_are_told(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = varied(WAL_BLOCK_SIZE);
    CLEANUP(seen_done) Seen seen = seen_new();
    WalReaderState end;

    (void)state;
    size_t used = wal_builder_switch(&wal) - START + 24;
    for (size_t offset = used; offset < MIB; offset += offset < used + 99 ? 1 : 4099) {
        wal.bytes.data[offset] = 1;
        assert_true(read_pieces(&wal, START, wal.bytes.data, MIB, MIB / 3, &seen, &end));
        wal.bytes.data[offset] = 0;
        assert_int_equal(end.end, WAL_END_SWITCH);
        assert_false(end.rest_is_zero);
    }
}

/*
 * The distinction that matters: zeros after a switch are a whole segment, zeros without one are
 * a segment that was still being written, wherever it was cut.
 */
static void zeros_without_a_switch_are_no_end(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = varied(3 * WAL_BLOCK_SIZE);
    CLEANUP(seen_done) Seen good = seen_new();
    CLEANUP(seen_done) Seen seen = seen_new();
    WalReaderState end;
    WalReaderState whole;

    (void)state;
    read_all(&wal, &good, &whole);
    size_t size = wal.bytes.size;
    wal_builder_pad(&wal);
    for (size_t cut = size; cut >= 48; cut--) {
        memset(wal.bytes.data + cut, 0, size - cut);
        assert_true(read_pieces(&wal, START, wal.bytes.data, 6 * WAL_BLOCK_SIZE, 6 * WAL_BLOCK_SIZE,
                                &seen, &end));
        assert_int_equal(end.end, WAL_END_BROKEN);
        assert_int_equal(end.tail_record, 0);
        for (size_t i = 0; i < seen.count; i++)
            assert_same_record(&seen.records[i], &good.records[i]);
        assert_true(seen.count == 0 || end.last_end <= START + cut + 8);
        /* No zero bytes in our records but in a commit's end: nothing was lost unnoticed. */
        if (seen.count < good.count && seen.count > 0)
            assert_true(good.records[seen.count].end + 8 > START + cut);
        assert_true(end.rest_is_zero);
        assert_true(end.reason[0] != '\0');
    }
}

static void page_header(uint8_t *page, uint32_t timeline, Lsn address)
{
    memset(page, 0x5A, WAL_BLOCK_SIZE);
    put_le16(page, 0xD110);
    put_le32(page + 4, timeline);
    put_le64(page + 8, address);
}

/*
 * What follows where WAL of timeline 2 ends in its file: pages of it, or only what the file held
 * before. A child's first segment can have copies of the page in which it forks (xlog.c,
 * XLogFileCopy).
 */
static void what_a_file_held_before_is_told_from_pages_that_go_on(void **state)
{
    static const struct {
        const char *what;
        uint32_t timeline; /* 0: zeros */
        Lsn lower, same;   /* by how much its addresses are too low, or the one of all */
        bool one_goes_on, is_stale, is_zero;
    } cases[] = {{"zeros", .is_zero = true},
                 {"its own pages", 2, 0, 0, false, false, false},
                 {"a later server's", 3, 0, 0, false, false, false},
                 {"the same place on an older timeline", 1, 0, 0, false, true, false},
                 {"another place", 2, MIB, 0, false, true, false},
                 {"another place on a later timeline", 3, MIB, 0, false, true, false},
                 {"one page, again and again", 2, 0, START + WAL_BLOCK_SIZE, false, true, false},
                 {"another place, and a page that goes on", 2, MIB, 0, true, false, false}};
    static const size_t pieces[] = {1, 7, 8192, MIB};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases) * ARRAY_SIZE(pieces); i++) {
        CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, START, 2);
        CLEANUP(seen_done) Seen seen = seen_new();
        WalReaderState end;
        const size_t c = i / ARRAY_SIZE(pieces);

        for (uint32_t xid = 700; wal.bytes.size < 3 * WAL_BLOCK_SIZE + 900; xid++)
            wal_builder_commit(&wal, xid, xid);
        wal_builder_pad(&wal);
        for (Lsn page = START + 4 * WAL_BLOCK_SIZE; cases[c].timeline != 0 && page < START + MIB;
             page += WAL_BLOCK_SIZE) {
            const bool goes_on = cases[c].one_goes_on && page == START + MIB / 2;
            page_header(wal.bytes.data + (page - START), cases[c].timeline,
                        goes_on              ? page
                        : cases[c].same != 0 ? cases[c].same
                                             : page - cases[c].lower);
        }
        assert_true(read_pieces(&wal, START, wal.bytes.data, MIB, pieces[i % ARRAY_SIZE(pieces)],
                                &seen, &end));
        assert_int_equal(end.end, WAL_END_BROKEN);
        if (end.rest_is_stale != cases[c].is_stale || end.rest_is_zero != cases[c].is_zero ||
            end.rest_goes_on == (end.rest_is_stale || end.rest_is_zero))
            fail_msg("%s", cases[c].what);
    }
}

static void a_record_given_up_is_passed_over(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = varied(WAL_BLOCK_SIZE);
    CLEANUP(seen_done) Seen seen = seen_new();
    WalReaderState end;

    (void)state;
    Lsn before = wal.prev;
    Lsn overwriting = wal_builder_overwrite(&wal, 30000);
    Lsn after = wal_builder_commit(&wal, 1, 1);
    for (size_t piece = 1; piece < MIB; piece = piece * 9 + 1) {
        assert_true(read_pieces(&wal, START, wal.bytes.data, wal.bytes.size, piece, &seen, &end));
        assert_int_equal(end.end, WAL_END_OPEN);
        assert_int_equal(end.last_record, after);
        assert_int_equal(seen.records[seen.count - 2].lsn, overwriting);
        assert_int_equal(seen.records[seen.count - 2].prev, before);
    }
    assert_int_equal(overwriting % WAL_BLOCK_SIZE, 24);
}

static void a_segment_may_begin_by_giving_up_the_last_record_of_the_one_before(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, START, 1);
    CLEANUP(seen_done) Seen seen = seen_new();
    WalReaderState end;

    (void)state;
    wal_builder_fill_to(&wal, START + MIB, 200);
    Lsn before = wal.prev;
    Lsn overwriting = wal_builder_overwrite(&wal, 3 * MIB);
    read_all(&wal, &seen, &end);
    assert_int_equal(end.end, WAL_END_OPEN);
    assert_int_equal(end.last_record, overwriting);
    assert_false(end.starts_with_overwrite);
    assert_true(read_pieces(&wal, START + MIB, wal.bytes.data + MIB, wal.bytes.size - MIB, 100,
                            &seen, &end));
    assert_true(end.starts_with_overwrite);
    assert_int_equal(end.head_size, 0);
    assert_int_equal(end.first_prev, before);
}

static void giving_up_another_record_than_was_there_is_noticed(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = varied(WAL_BLOCK_SIZE);
    CLEANUP(seen_done) Seen seen = seen_new();
    WalReaderState end;
    uint8_t wrong[16] = {8};

    (void)state;
    wal_builder_overwrite(&wal, 30000);
    /* Go back to before the record that says so, and say something else. */
    size_t header_end = (wal.prev - START);
    wal.bytes.size = header_end;
    wal.at = wal.prev;
    wal.prev = get_le64(wal.bytes.data + header_end + 8);
    Lsn lying = wal_builder_record(&wal, RMGR_XLOG, 0xD0, 0, wrong, sizeof wrong);
    read_all(&wal, &seen, &end);
    assert_int_equal(end.end, WAL_END_BROKEN);
    assert_int_equal(end.broken_at, lying);
    assert_string_equal(end.reason, "mismatching overwritten LSN");
}

/* Records that are whole in themselves, as of another WAL: the link to the one before tells. */
static void a_wrong_back_link_is_noticed(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, START, 1);
    CLEANUP(wal_builder_done) WalBuilder other = wal_builder_begin(15, MIB, START, 1);
    CLEANUP(seen_done) Seen seen = seen_new();
    WalReaderState end;

    (void)state;
    Lsn first = wal_builder_commit(&wal, 1, 1);
    Lsn second = wal_builder_commit(&wal, 2, 2);
    wal.prev = first;
    Lsn lying = wal_builder_commit(&wal, 3, 3);
    read_all(&wal, &seen, &end);
    assert_int_equal(end.end, WAL_END_BROKEN);
    assert_int_equal(end.last_record, second);
    assert_int_equal(end.broken_at, lying);
    assert_non_null(strstr(end.reason, "incorrect prev-link"));

    /* The first one's lies before the segment; nothing is before itself. */
    other.prev = other.at + 1000;
    wal_builder_commit(&other, 1, 1);
    read_all(&other, &seen, &end);
    assert_int_equal(end.end, WAL_END_BROKEN);
    assert_int_equal(end.record_count, 0);
}

static void a_page_of_no_timeline_is_noticed(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = varied(4 * WAL_BLOCK_SIZE);
    CLEANUP(seen_done) Seen seen = seen_new();
    WalReaderState end;

    (void)state;
    put_le32(wal.bytes.data + 4, 0); /* of the first page: nothing is older */
    Error err = {0};
    CLEANUP(wal_reader_freep) WalReader *reader = reader_of(&wal, START, &seen);
    bool ok = wal_reader_feed(reader, wal.bytes.data, wal.bytes.size, &err);
    end = *wal_reader_state(reader);
    assert_true(!ok || end.end == WAL_END_BROKEN);
    assert_int_equal(end.record_count, 0);
}

static void timelines_of_pages_only_rise(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, MIB, START, 2);
    CLEANUP(seen_done) Seen seen = seen_new();
    WalReaderState end;

    (void)state;
    wal_builder_filler(&wal, WAL_BLOCK_SIZE);
    wal.timeline = 5;
    wal_builder_filler(&wal, WAL_BLOCK_SIZE);
    wal_builder_commit(&wal, 1, 1);
    read_all(&wal, &seen, &end);
    assert_int_equal(end.end, WAL_END_OPEN);
    assert_int_equal(end.first_page_timeline, 2);
    assert_int_equal(seen.records[0].page_timeline, 2);
    assert_int_equal(seen.records[2].page_timeline, 5);

    wal.timeline = 4;
    Lsn cut = wal_builder_filler(&wal, WAL_BLOCK_SIZE);
    read_all(&wal, &seen, &end);
    assert_int_equal(end.end, WAL_END_BROKEN);
    assert_string_equal(end.reason, "out-of-sequence timeline ID 4 (after 5)");
    assert_int_equal(end.broken_at, cut);
}

static void custom_resource_managers_came_with_15(void **state)
{
    static const struct {
        unsigned major;
        uint8_t rmgr;
        bool is_valid;
    } cases[] = {
        {13, 21, true},   {13, 22, false}, {14, 128, false}, {15, 22, false},
        {15, 127, false}, {15, 128, true}, {18, 255, true},  {18, 22, false},
    };
    CLEANUP(seen_done) Seen seen = seen_new();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(wal_builder_done)
        WalBuilder wal = wal_builder_begin(cases[i].major, MIB, START, 1);
        WalReaderState end;

        wal_builder_record(&wal, cases[i].rmgr, 0, 0, "x", 1);
        read_all(&wal, &seen, &end);
        assert_int_equal(end.end, cases[i].is_valid ? WAL_END_OPEN : WAL_END_BROKEN);
    }
}

static void foreign_segments_are_refused(void **state)
{
    static const struct {
        size_t offset;
        uint8_t value;
        ErrorCode code;
        const char *message;
    } cases[] = {
        {0, 0x0D, ERR_REFUSED, "WAL of server version 14, not 15"},
        {0, 0x99, ERR_VERSION, "WAL of an unknown server version (magic D199)"},
        {1, 0x00, ERR_CORRUPT, "does not begin with the header of a WAL segment"},
        {2, 0x00, ERR_CORRUPT, "does not begin with the header of a WAL segment"},
        {2, 0x12, ERR_CORRUPT, "does not begin with the header of a WAL segment"},
        {4, 0x00, ERR_CORRUPT, "does not begin with the header of a WAL segment"},
        {8, 0x08, ERR_CORRUPT, "does not begin with the header of a WAL segment"},
        {10, 0x40, ERR_CORRUPT, "the content is WAL from 0/400000 on, not from 0/300000"},
        {24, 43, ERR_REFUSED, "WAL of another cluster: system identifier 43, not 42"},
        {34, 0x20, ERR_CORRUPT, "does not begin with the header of a WAL segment"},
        {37, 0x40, ERR_REFUSED, "WAL pages of 16384 bytes, not 8192"},
    };
    CLEANUP(wal_builder_done) WalBuilder wal = varied(WAL_BLOCK_SIZE);
    CLEANUP(seen_done) Seen seen = seen_new();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(wal_reader_freep) WalReader *reader = reader_of(&wal, START, &seen);
        uint8_t good = wal.bytes.data[cases[i].offset];
        Error err = {0};

        wal.bytes.data[cases[i].offset] = cases[i].value;
        assert_false(wal_reader_feed(reader, wal.bytes.data, wal.bytes.size, &err));
        wal.bytes.data[cases[i].offset] = good;
        assert_int_equal(err.code, cases[i].code);
        assert_string_equal(err.message, cases[i].message);
        assert_int_equal(seen.count, 0);
    }
}

static void another_segment_size_is_refused(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = wal_builder_begin(15, 4 * MIB, 8 * MIB, 1);
    CLEANUP(seen_done) Seen seen = seen_new();
    Error err = {0};

    (void)state;
    wal_builder_filler(&wal, 5);
    wal.segment_size = MIB;
    CLEANUP(wal_reader_freep) WalReader *reader = reader_of(&wal, 8 * MIB, &seen);
    assert_false(wal_reader_feed(reader, wal.bytes.data, wal.bytes.size, &err));
    assert_int_equal(err.code, ERR_REFUSED);
    assert_string_equal(err.message, "WAL segments of 4 MiB, not 1 MiB");
}

static void every_segment_in_a_row_is_checked(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = varied(2 * MIB + 100);
    CLEANUP(seen_done) Seen seen = seen_new();
    WalReaderState end;

    (void)state;
    wal.bytes.data[2 * MIB + 24] ^= 1;
    assert_false(read_pieces(&wal, START, wal.bytes.data, wal.bytes.size, 100000, &seen, &end));
}

static void the_callback_can_stop_it(void **state)
{
    CLEANUP(wal_builder_done) WalBuilder wal = varied(WAL_BLOCK_SIZE);
    CLEANUP(seen_done) Seen seen = seen_new();
    CLEANUP(wal_reader_freep) WalReader *reader = reader_of(&wal, START, &seen);
    Error err = {0};

    (void)state;
    seen.stop_after = 5;
    assert_false(wal_reader_feed(reader, wal.bytes.data, wal.bytes.size, &err));
    assert_int_equal(err.code, ERR_INTERRUPTED);
    assert_int_equal(seen.count, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_any_size_give_the_same),
        cmocka_unit_test(records_are_those_that_were_written),
        cmocka_unit_test(only_transactions_and_the_log_itself_are_kept),
        cmocka_unit_test(every_changed_byte_is_noticed),
        cmocka_unit_test(every_cut_of_a_record_is_told),
        cmocka_unit_test(heads_fit_tails_wherever_a_segment_ends),
        cmocka_unit_test(a_segment_may_be_the_middle_of_one_record),
        cmocka_unit_test(after_a_switch_the_next_segment_goes_on),
        cmocka_unit_test(a_switch_may_end_its_segment_exactly),
        cmocka_unit_test(bytes_after_a_switch_are_told),
        cmocka_unit_test(zeros_without_a_switch_are_no_end),
        cmocka_unit_test(what_a_file_held_before_is_told_from_pages_that_go_on),
        cmocka_unit_test(a_record_given_up_is_passed_over),
        cmocka_unit_test(a_segment_may_begin_by_giving_up_the_last_record_of_the_one_before),
        cmocka_unit_test(giving_up_another_record_than_was_there_is_noticed),
        cmocka_unit_test(timelines_of_pages_only_rise),
        cmocka_unit_test(custom_resource_managers_came_with_15),
        cmocka_unit_test(foreign_segments_are_refused),
        cmocka_unit_test(another_segment_size_is_refused),
        cmocka_unit_test(every_segment_in_a_row_is_checked),
        cmocka_unit_test(the_callback_can_stop_it),
        cmocka_unit_test(a_wrong_back_link_is_noticed),
        cmocka_unit_test(a_page_of_no_timeline_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
