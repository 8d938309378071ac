#include "wal/wal_object.h"

#include "../stored_bytes.h"
#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const uint64_t seed = UINT64_C(0x0123456789abcdef);

enum { CHECKED_SIZE = WAL_TRAILER_SIZE - 8 };

/* Every field has a value of its own, so that two can't be mixed up. */
static WalTrailer example(Codec codec)
{
    WalTrailer trailer = {
        .kind = WAL_SEGMENT,
        .codec = codec,
        .raw_size = 16 << 20,
        .stored_checksum = 3,
        .system_identifier = 4,
        .timeline = 5,
        .major = 15,
        .segment_size = 16 << 20,
        .frame_size = 2 << 20,
        .frame_count = 8,
        .summary =
            {
                .reader =
                    {
                        .end = WAL_END_BROKEN,
                        .broken_at = 10,
                        .rest_is_zero = true,
                        .reason = "bad CRC",
                        .first_record = 11,
                        .first_prev = 12,
                        .last_record = 13,
                        .last_end = 14,
                        .record_count = 15,
                        .head_size = 16,
                        .starts_with_overwrite = true,
                        .tail_record = 17,
                        .tail_total = 18,
                        .tail_have = 19,
                        .tail_has_kind = true,
                        .tail_rmgr = 20,
                        .tail_info = 21,
                        .first_page_timeline = 22,
                        .magic = 0xD110,
                    },
                .commit_count = 30,
                .abort_count = 31,
                .end_time_min = -32,
                .end_time_max = 33,
                .commit_time_min = 34,
                .commit_time_max = TIME_US_NONE,
                .xid_first = 36,
                .xid_last = 37,
                .first_end_lsn = 38,
                .last_end_lsn = 39,
                .last_commit_end = 40,
                .restore_point_count = 6,
                .backup_end = 41,
                .backup_end_start = 42,
                .fpw_off = 43,
                .parameters_at = 44,
                .parameters = {45, 46, 47, 48, 49, 50, true, false},
                .minimal_at = 51,
                .new_timeline = 52,
                .changes = WAL_CREATES_TABLESPACE | WAL_REMOVES_FILES,
            },
    };

    for (uint32_t i = 0; i < trailer.frame_count; i++) {
        trailer.frame_stored[i] = 1000 + i;
        trailer.stored_size += 1000 + i;
    }
    for (uint32_t i = 0; i < WAL_RESTORE_POINTS_KEPT; i++) {
        WalRestorePoint *point = &trailer.summary.restore_points[i];

        *point = (WalRestorePoint){.lsn = 60 + i, .end = 70 + i, .time = 80 + i};
        snprintf(point->name, sizeof point->name, "point %u", i);
    }
    memset(trailer.summary.restore_points[5].name, 'x', 63); /* the longest there is */
    for (size_t i = 0; i < XXH128_SIZE; i++)
        trailer.raw_checksum[i] = (uint8_t)(200 + i);
    return trailer;
}

static WalTrailer example_with_blocks(Codec codec)
{
    WalTrailer trailer = example(codec);

    trailer.between = 710;
    trailer.blocks_offset = trailer.stored_size + 10;
    trailer.blocks_size = 700;
    trailer.blocks_checksum = 9;
    return trailer;
}

static void assert_same_reader(const WalReaderState *a, const WalReaderState *b)
{
    assert_int_equal(a->end, b->end);
    assert_true(a->broken_at == b->broken_at);
    assert_int_equal(a->rest_is_zero, b->rest_is_zero);
    assert_string_equal(a->reason, b->reason);
    assert_true(a->first_record == b->first_record && a->first_prev == b->first_prev);
    assert_true(a->last_record == b->last_record && a->last_end == b->last_end);
    assert_true(a->record_count == b->record_count && a->head_size == b->head_size);
    assert_int_equal(a->starts_with_overwrite, b->starts_with_overwrite);
    assert_true(a->tail_record == b->tail_record && a->tail_total == b->tail_total);
    assert_int_equal(a->tail_have, b->tail_have);
    assert_int_equal(a->tail_has_kind, b->tail_has_kind);
    assert_int_equal(a->tail_rmgr, b->tail_rmgr);
    assert_int_equal(a->tail_info, b->tail_info);
    assert_int_equal(a->first_page_timeline, b->first_page_timeline);
    assert_int_equal(a->magic, b->magic);
}

static void assert_same_summary(const WalSummary *a, const WalSummary *b)
{
    assert_same_reader(&a->reader, &b->reader);
    assert_int_equal(a->commit_count, b->commit_count);
    assert_int_equal(a->abort_count, b->abort_count);
    assert_true(a->end_time_min == b->end_time_min && a->end_time_max == b->end_time_max);
    assert_true(a->commit_time_min == b->commit_time_min);
    assert_true(a->commit_time_max == b->commit_time_max);
    assert_true(a->xid_first == b->xid_first && a->xid_last == b->xid_last);
    assert_true(a->first_end_lsn == b->first_end_lsn && a->last_end_lsn == b->last_end_lsn);
    assert_true(a->last_commit_end == b->last_commit_end);
    assert_true(a->backup_end == b->backup_end && a->backup_end_start == b->backup_end_start);
    assert_true(a->fpw_off == b->fpw_off && a->parameters_at == b->parameters_at);
    assert_int_equal(a->parameters.max_connections, b->parameters.max_connections);
    assert_int_equal(a->parameters.max_worker_processes, b->parameters.max_worker_processes);
    assert_int_equal(a->parameters.max_wal_senders, b->parameters.max_wal_senders);
    assert_int_equal(a->parameters.max_prepared_xacts, b->parameters.max_prepared_xacts);
    assert_int_equal(a->parameters.max_locks_per_xact, b->parameters.max_locks_per_xact);
    assert_int_equal(a->parameters.wal_level, b->parameters.wal_level);
    assert_int_equal(a->parameters.wal_log_hints, b->parameters.wal_log_hints);
    assert_int_equal(a->parameters.track_commit_timestamp, b->parameters.track_commit_timestamp);
    assert_true(a->minimal_at == b->minimal_at && a->new_timeline == b->new_timeline);
    assert_int_equal(a->changes, b->changes);
    assert_int_equal(a->restore_point_count, b->restore_point_count);
    for (uint32_t i = 0; i < WAL_RESTORE_POINTS_KEPT; i++) {
        assert_true(a->restore_points[i].lsn == b->restore_points[i].lsn);
        assert_true(a->restore_points[i].end == b->restore_points[i].end);
        assert_true(a->restore_points[i].time == b->restore_points[i].time);
        assert_string_equal(a->restore_points[i].name, b->restore_points[i].name);
    }
}

static void decode_returns_what_encode_wrote(void **state)
{
    WalTrailer trailer = example(CODEC_LZ4);
    uint8_t bytes[WAL_TRAILER_SIZE];
    WalTrailer found;
    Error err = {0};

    (void)state;
    wal_trailer_encode(&trailer, seed, bytes);
    assert_true(wal_trailer_decode(&found, bytes, seed, &err));

    assert_int_equal(found.kind, trailer.kind);
    assert_int_equal(found.codec, trailer.codec);
    assert_true(found.raw_size == trailer.raw_size && found.stored_size == trailer.stored_size);
    assert_true(found.stored_checksum == 3 && found.system_identifier == 4);
    assert_int_equal(found.timeline, 5);
    assert_int_equal(found.major, 15);
    assert_int_equal(found.segment_size, trailer.segment_size);
    assert_int_equal(found.frame_size, trailer.frame_size);
    assert_int_equal(found.frame_count, trailer.frame_count);
    assert_memory_equal(found.raw_checksum, trailer.raw_checksum, XXH128_SIZE);
    assert_memory_equal(found.frame_stored, trailer.frame_stored, sizeof found.frame_stored);
    assert_same_summary(&found.summary, &trailer.summary);
}

/* The table in docs/format.md, chapter 6.1: other programs read it there. */
static void fields_are_where_the_format_says(void **state)
{
    WalTrailer trailer = example(CODEC_LZ4);
    uint8_t bytes[WAL_TRAILER_SIZE];

    (void)state;
    wal_trailer_encode(&trailer, seed, bytes);
    assert_memory_equal(bytes, "PGCNWAL1", 8);
    assert_int_equal(get_le16(bytes + 8), 1);
    assert_int_equal(get_le16(bytes + 10), 0);
    assert_int_equal(bytes[12], 1);
    assert_int_equal(bytes[13], CODEC_LZ4);
    assert_int_equal(bytes[16], 200);
    assert_int_equal(bytes[31], 215);
    assert_int_equal(get_le64(bytes + 48), 16 << 20);
    assert_int_equal(get_le64(bytes + 72), 4);
    assert_int_equal(get_le32(bytes + 96), 8);
    assert_int_equal(get_le16(bytes + 104), 0xD110);
    assert_int_equal(bytes[106], 2);
    assert_int_equal(bytes[107], 7 | (1 | 4) << 3);
    assert_int_equal(get_le64(bytes + 112), 11);
    assert_int_equal(get_le64(bytes + 136), 14);
    assert_int_equal(bytes[173], 21);
    assert_int_equal(get_le32(bytes + 184), 30);
    assert_int_equal((int64_t)get_le64(bytes + 192), -32);
    assert_true(get_le64(bytes + 216) == UINT64_C(1) << 63);
    assert_int_equal(get_le64(bytes + 248), 40);
    assert_int_equal(get_le32(bytes + 308), 50);
    assert_int_equal(bytes[312], 1);
    assert_int_equal(get_le32(bytes + 316), 52);
    assert_int_equal(get_le64(bytes + 320), 51);
    assert_int_equal(get_le32(bytes + 328), 6);
    assert_int_equal(get_le64(bytes + 336 + 88), 61);
    assert_string_equal((const char *)bytes + 336 + 24, "point 0");
    assert_string_equal((const char *)bytes + 864, "bad CRC");
    assert_int_equal(get_le32(bytes + 1016 + 4 * 7), 1007);
    assert_true(get_le64(bytes + 2040) == xxh3_of(seed, bytes, 2040));
}

static void any_changed_bit_is_noticed(void **state)
{
    WalTrailer trailer = example(CODEC_ZSTD);
    uint8_t bytes[WAL_TRAILER_SIZE];
    WalTrailer found;

    (void)state;
    wal_trailer_encode(&trailer, seed, bytes);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bool makes_newer = (bit / 8 == 8 || bit / 8 == 9) && bit != 64;
        Error err = {0};

        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(wal_trailer_decode(&found, bytes, seed, &err));
        assert_int_equal(err.code, makes_newer ? ERR_VERSION : ERR_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    Error err = {0};
    assert_false(wal_trailer_decode(&found, bytes, seed + 1, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

static void unknown_optional_flags_are_ignored(void **state)
{
    WalTrailer trailer = example(CODEC_ZSTD);
    uint8_t bytes[WAL_TRAILER_SIZE];
    WalTrailer found;
    Error err = {0};

    (void)state;
    wal_trailer_encode(&trailer, seed, bytes);
    bytes[11] = 0xfe;             /* but for the one that it knows */
    bytes[992] = bytes[1015] = 7; /* what comes with them */
    put_le64(bytes + CHECKED_SIZE, xxh3_of(seed, bytes, CHECKED_SIZE));
    assert_true(wal_trailer_decode(&found, bytes, seed, &err));
    assert_true(wal_trailers_agree(&found, &trailer));
}

static void newer_flags_and_fields_are_a_newer_version(void **state)
{
    static const size_t reserved[] = {14, 15, 32, 47, 174, 314, 332, 992, 1004, 1015};
    WalTrailer trailer = example(CODEC_ZSTD);
    uint8_t bytes[WAL_TRAILER_SIZE];
    WalTrailer found;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
        for (int bit = 0; bit < 8; bit++) {
            Error err = {0};

            wal_trailer_encode(&trailer, seed, bytes);
            bytes[reserved[i]] = (uint8_t)(1 << bit);
            put_le64(bytes + CHECKED_SIZE, xxh3_of(seed, bytes, CHECKED_SIZE));
            assert_false(wal_trailer_decode(&found, bytes, seed, &err));
            assert_int_equal(err.code, ERR_VERSION);
        }
    }
    for (int bit = 0; bit < 8; bit++) { /* of the critical flags: this version writes none */
        Error err = {0};

        wal_trailer_encode(&trailer, seed, bytes);
        bytes[10] = (uint8_t)(1 << bit);
        put_le64(bytes + CHECKED_SIZE, xxh3_of(seed, bytes, CHECKED_SIZE));
        assert_false(wal_trailer_decode(&found, bytes, seed, &err));
        assert_int_equal(err.code, ERR_VERSION);
    }
}

static void a_list_of_changed_blocks_is_within_what_lies_between(void **state)
{
    static const struct {
        size_t offset;
        uint32_t value;
    } cases[] = {{100, 0}, {100, 709}, {100, 1},  {992, 0},    {992, 8027},        {992, 8039},
                 {996, 1}, {1000, 63}, {1000, 0}, {1000, 711}, {1000, UINT32_MAX}, {1004, 1}};
    WalTrailer trailer = example_with_blocks(CODEC_ZSTD);
    uint8_t bytes[WAL_TRAILER_SIZE];
    WalTrailer found;
    Error err = {0};

    (void)state;
    assert_int_equal(trailer.stored_size, 8028);
    wal_trailer_encode(&trailer, seed, bytes);
    assert_int_equal(get_le16(bytes + 10), 0x100);
    assert_int_equal(get_le32(bytes + 100), 710);
    assert_int_equal(get_le64(bytes + 992), 8038);
    assert_int_equal(get_le32(bytes + 1000), 700);
    assert_int_equal(get_le64(bytes + 1008), 9);
    assert_true(wal_trailer_decode(&found, bytes, seed, &err));
    assert_true(found.between == 710 && found.blocks_offset == 8038 && found.blocks_size == 700 &&
                found.blocks_checksum == 9);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        wal_trailer_encode(&trailer, seed, bytes);
        put_le32(bytes + cases[i].offset, cases[i].value);
        put_le64(bytes + CHECKED_SIZE, xxh3_of(seed, bytes, CHECKED_SIZE));
        assert_false(wal_trailer_decode(&found, bytes, seed, &err));
        assert_int_equal(err.code, cases[i].offset == 1004 ? ERR_VERSION : ERR_CORRUPT);
        err = (Error){0};
    }
}

/* Checksum intact, content impossible: nothing may be allocated or read on its word. */
static void impossible_sizes_are_refused(void **state)
{
    static const struct {
        size_t offset;
        uint32_t value;
    } cases[] = {
        {48, 16 << 20 | 1}, /* raw size */
        {52, 1},            /* raw size of terabytes */
        {56, 1},            /* stored size is not the sum */
        {88, 3 << 20},      /* segment size */
        {88, 0},
        {92, 0}, /* frame size */
        {92, 3 << 20},
        {92, 8 << 20},
        {92, 1 << 20}, /* makes another count */
        {96, 7},       /* frames */
        {96, 257},
        {96, UINT32_MAX},
        {1016, 0}, /* stored size of a frame */
        {1016, UINT32_MAX},
        {1016 + 4 * 8, 1}, /* of a frame that is none */
    };
    WalTrailer trailer = example(CODEC_ZSTD);
    uint8_t bytes[WAL_TRAILER_SIZE];
    WalTrailer found;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Error err = {0};

        wal_trailer_encode(&trailer, seed, bytes);
        put_le32(bytes + cases[i].offset, cases[i].value);
        put_le64(bytes + CHECKED_SIZE, xxh3_of(seed, bytes, CHECKED_SIZE));
        assert_false(wal_trailer_decode(&found, bytes, seed, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
    }
}

/* Checksum intact, and a value that no writer has. */
static void impossible_values_are_refused(void **state)
{
    static const struct {
        size_t offset;
        uint8_t value;
        ErrorCode code;
    } cases[] = {
        {0, 'X', ERR_CORRUPT}, /* magic */
        {12, 0, ERR_VERSION},
        {12, 9, ERR_VERSION},                   /* kind */
        {13, 9, ERR_VERSION},                   /* codec */
        {106, WAL_END_BROKEN + 1, ERR_VERSION}, /* how it ends */
        {312, 2, ERR_CORRUPT},
        {313, 2, ERR_CORRUPT},
        {864 + 127, 'x', ERR_CORRUPT}, /* a reason without end */
    };
    WalTrailer trailer = example(CODEC_ZSTD);
    uint8_t bytes[WAL_TRAILER_SIZE];
    WalTrailer found;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Error err = {0};

        wal_trailer_encode(&trailer, seed, bytes);
        bytes[cases[i].offset] = cases[i].value;
        put_le64(bytes + CHECKED_SIZE, xxh3_of(seed, bytes, CHECKED_SIZE));
        assert_false(wal_trailer_decode(&found, bytes, seed, &err));
        if (err.code != cases[i].code)
            fail_msg("case %zu: %d", i, (int)err.code);
    }
}

static void frame_size_follows_the_raw_size(void **state)
{
    static const struct {
        uint64_t raw;
        uint32_t frame;
    } cases[] = {
        {0, 1 << 20},        {1, 1 << 20},         {8 << 20, 1 << 20}, {(8 << 20) + 1, 2 << 20},
        {16 << 20, 2 << 20}, {512 << 20, 2 << 20}, {1 << 30, 4 << 20},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(wal_frame_size(cases[i].raw), cases[i].frame);
}

static const Codec codecs[] = {CODEC_NONE, CODEC_ZSTD, CODEC_LZ4, CODEC_GZIP};

/* An object as a reader meets it: its end, and how large it is. */
static void trailers_are_found_at_the_end_of_any_object(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(codecs); i++) {
        CLEANUP(buffer_done) Buffer object = {0};
        WalTrailer trailer = i % 2 == 0 ? example(codecs[i]) : example_with_blocks(codecs[i]);
        const size_t before = trailer.stored_size + trailer.between;
        WalTrailer found;
        Error err = {0};

        buffer_reserve(&object, before);
        memset(object.data, 'x', before);
        object.size = before;
        wal_trailer_wrap(&trailer, seed, &object);
        assert_true(object.size - before <= WAL_TRAILER_SUFFIX);

        const uint8_t *suffix = object.data + object.size - WAL_TRAILER_SUFFIX;
        assert_true(wal_trailer_find(&found, suffix, WAL_TRAILER_SUFFIX, object.size, seed, &err));
        assert_int_equal(found.codec, codecs[i]);
        /* The object has another size than its frames: something was put in or taken out. */
        assert_false(
            wal_trailer_find(&found, suffix, WAL_TRAILER_SUFFIX, object.size + 1, seed, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
    }
}

static void any_changed_bit_of_the_container_is_noticed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(codecs); i++) {
        CLEANUP(buffer_done) Buffer end = {0};
        WalTrailer trailer = example(codecs[i]);
        WalTrailer found;

        wal_trailer_wrap(&trailer, seed, &end);
        uint64_t object_size = trailer.stored_size + end.size;
        for (size_t bit = 0; bit < end.size * 8; bit++) {
            Error err = {0};

            end.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_false(wal_trailer_find(&found, end.data, end.size, object_size, seed, &err));
            assert_true(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
            end.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (size_t cut = 1; cut <= end.size; cut++) {
            Error err = {0};

            assert_false(
                wal_trailer_find(&found, end.data, end.size - cut, object_size - cut, seed, &err));
            assert_int_equal(err.code, ERR_CORRUPT);
        }
    }
}

static void what_is_stored_stays_as_it_is(void **state)
{
    static const struct {
        Codec codec;
        const char *recorded;
    } containers[] = {
        {CODEC_NONE, "4e793d9afb5bef1a92f5a458b741481212389662bdf0b797a78baa47c4298662"},
        {CODEC_ZSTD, "6bd74bb44dd72e853121cc4c978fb7afb7de7558eeb7d11e0b5752d2e2b38e2d"},
        {CODEC_LZ4, "d345fee3b92f5c6632a483ccf1849617d5fbbc0a9a6cabf9706954322f427815"},
        {CODEC_GZIP, "495ab46c7ea07ab39cb2376ebb67d5a702021257760764cba4cd1d9c357841a4"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(containers); i++) {
        const WalTrailer trailer = example(containers[i].codec);
        CLEANUP(buffer_done) Buffer wrapped = {0};

        wal_trailer_wrap(&trailer, seed, &wrapped);
        assert_stored_bytes(wrapped.data, wrapped.size, containers[i].recorded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_stored_stays_as_it_is),
        cmocka_unit_test(decode_returns_what_encode_wrote),
        cmocka_unit_test(fields_are_where_the_format_says),
        cmocka_unit_test(any_changed_bit_is_noticed),
        cmocka_unit_test(unknown_optional_flags_are_ignored),
        cmocka_unit_test(newer_flags_and_fields_are_a_newer_version),
        cmocka_unit_test(a_list_of_changed_blocks_is_within_what_lies_between),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(frame_size_follows_the_raw_size),
        cmocka_unit_test(trailers_are_found_at_the_end_of_any_object),
        cmocka_unit_test(any_changed_bit_of_the_container_is_noticed),
        cmocka_unit_test(impossible_values_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
