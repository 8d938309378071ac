#include "wal/wal_piece.h"

#include "../repo/fixture.h"
#include "../stored_bytes.h"
#include "base/bytes.h"

enum { SIZE = 5000, HEAD = 8 + WAL_PIECE_HEADER_SIZE };

static const WalPieceHome home = {.system_identifier = FIXTURE_SYSTEM,
                                  .major = FIXTURE_MAJOR,
                                  .segment_size = FIXTURE_SEGMENT_SIZE,
                                  .seed = UINT64_C(0x0123456789abcdef)};
static const WalPiece example = {.timeline = 3, .segment = 0x42, .from = 8192, .to = 8192 + SIZE};

static void encode_example(Buffer *object, uint8_t raw[SIZE])
{
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    Error err = {0};

    fill_bytes(raw, SIZE, 7);
    assert_true(wal_piece_encode(&home, &example, raw, codec, object, &err));
}

static ErrorCode decode(const WalPieceHome *where, const WalPiece *piece, const uint8_t *object,
                        size_t size, Buffer *raw)
{
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    /* Of exactly its size, so that a sanitizer sees a byte too far. */
    uint8_t *copy = mem_alloc(size > 0 ? size : 1);
    Error err = {0};

    memcpy(copy, object, size);
    bool ok = wal_piece_decode(where, piece, copy, size, codec, raw, &err);
    mem_free(copy);
    return ok ? ERR_NONE : err.code;
}

static void decode_returns_what_encode_wrote(void **state)
{
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(buffer_done) Buffer found = {0};
    uint8_t raw[SIZE];

    (void)state;
    encode_example(&object, raw);
    assert_int_equal(decode(&home, &example, object.data, object.size, &found), ERR_NONE);
    assert_int_equal(found.size, SIZE);
    assert_memory_equal(found.data, raw, SIZE);
}

/* The table in docs/format.md, chapter 6.2. */
static void fields_are_where_the_format_says(void **state)
{
    CLEANUP(buffer_done) Buffer object = {0};
    uint8_t raw[SIZE];

    (void)state;
    encode_example(&object, raw);
    const uint8_t *header = object.data + 8;
    assert_int_equal(get_le32(object.data), 0x184D2A5E);
    assert_int_equal(get_le32(object.data + 4), 72);
    assert_memory_equal(header, "PGCNPIEC", 8);
    assert_int_equal(get_le16(header + 8), 1);
    assert_int_equal(get_le32(header + 12), 3);
    assert_true(get_le64(header + 16) == FIXTURE_SYSTEM);
    assert_true(get_le64(header + 24) == UINT64_C(0x42) * FIXTURE_SEGMENT_SIZE + 8192);
    assert_int_equal(get_le32(header + 32), SIZE);
    assert_int_equal(get_le32(header + 36), object.size - HEAD);
    assert_true(get_le64(header + 40) ==
                xxh3_of(home.seed, object.data + HEAD, object.size - HEAD));
    assert_int_equal(get_le32(header + 48), FIXTURE_SEGMENT_SIZE);
    assert_int_equal(get_le32(header + 52), FIXTURE_MAJOR);
    assert_true(get_le64(header + 64) == xxh3_of(home.seed, header, 64));
}

static void any_changed_bit_is_noticed(void **state)
{
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(buffer_done) Buffer found = {0};
    uint8_t raw[SIZE];

    (void)state;
    encode_example(&object, raw);
    for (size_t bit = 0; bit < object.size * 8; bit += bit / 8 < HEAD ? 1 : 13) {
        bool makes_newer = (bit / 8 == 8 + 8 || bit / 8 == 8 + 9) && bit != (8 + 8) * 8;

        object.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(decode(&home, &example, object.data, object.size, &found),
                         makes_newer ? ERR_VERSION : ERR_CORRUPT);
        object.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* A whole frame of another piece: zstd finds nothing wrong with it. */
static void another_frame_is_noticed(void **state)
{
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(buffer_done) Buffer other = {0};
    CLEANUP(buffer_done) Buffer found = {0};
    uint8_t raw[SIZE];
    uint8_t *header;
    Error err = {0};

    (void)state;
    encode_example(&object, raw);
    raw[100] ^= 1;
    assert_true(wal_piece_encode(&home, &example, raw, codec, &other, &err));
    memcpy(other.data, object.data, HEAD);
    header = other.data + 8;
    put_le32(header + 36, (uint32_t)(other.size - HEAD));
    put_le64(header + 64, xxh3_of(home.seed, header, 64));

    assert_int_equal(decode(&home, &example, other.data, other.size, &found), ERR_CORRUPT);
}

static void any_cut_is_noticed(void **state)
{
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(buffer_done) Buffer found = {0};
    uint8_t raw[SIZE];

    (void)state;
    encode_example(&object, raw);
    for (size_t size = 0; size < object.size; size += size < 2 * HEAD ? 1 : 17)
        assert_int_equal(decode(&home, &example, object.data, size, &found), ERR_CORRUPT);
    buffer_append(&object, "x", 1);
    assert_int_equal(decode(&home, &example, object.data, object.size, &found), ERR_CORRUPT);
}

static void a_piece_under_another_name_is_noticed(void **state)
{
    static const struct {
        WalPiece piece;
        WalPieceHome home;
    } others[] = {
        {{2, 0x42, 8192, 8192 + SIZE}, {FIXTURE_SYSTEM, 15, FIXTURE_SEGMENT_SIZE, 0}},
        {{3, 0x43, 8192, 8192 + SIZE}, {FIXTURE_SYSTEM, 15, FIXTURE_SEGMENT_SIZE, 0}},
        {{3, 0x42, 8191, 8191 + SIZE}, {FIXTURE_SYSTEM, 15, FIXTURE_SEGMENT_SIZE, 0}},
        {{3, 0x42, 8192, 8193 + SIZE}, {FIXTURE_SYSTEM, 15, FIXTURE_SEGMENT_SIZE, 0}},
        {{3, 0x42, 8192, 8192 + SIZE}, {FIXTURE_SYSTEM + 1, 15, FIXTURE_SEGMENT_SIZE, 0}},
        {{3, 0x42, 8192, 8192 + SIZE}, {FIXTURE_SYSTEM, 16, FIXTURE_SEGMENT_SIZE, 0}},
        {{3, 0x84, 8192, 8192 + SIZE}, {FIXTURE_SYSTEM, 15, FIXTURE_SEGMENT_SIZE / 2, 0}},
    };
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(buffer_done) Buffer found = {0};
    uint8_t raw[SIZE];

    (void)state;
    encode_example(&object, raw);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        WalPieceHome where = others[i].home;

        where.seed = home.seed;
        assert_int_equal(decode(&where, &others[i].piece, object.data, object.size, &found),
                         ERR_CORRUPT);
    }
}

static void newer_flags_and_fields_are_a_newer_version(void **state)
{
    static const size_t reserved[] = {10, 56, 63};
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(buffer_done) Buffer found = {0};
    uint8_t raw[SIZE];

    (void)state;
    encode_example(&object, raw);
    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
        uint8_t *header = object.data + 8;

        header[reserved[i]] = 1;
        put_le64(header + 64, xxh3_of(home.seed, header, 64));
        assert_int_equal(decode(&home, &example, object.data, object.size, &found), ERR_VERSION);
        header[reserved[i]] = 0;
    }
    object.data[8 + 11] = 1;
    object.data[8 + 56] = 1; /* belongs to a flag that may be ignored */
    put_le64(object.data + 8 + 64, xxh3_of(home.seed, object.data + 8, 64));
    assert_int_equal(decode(&home, &example, object.data, object.size, &found), ERR_NONE);
}

static void put_piece(const Fixture *fixture, uint32_t from, uint32_t to, const uint8_t *segment)
{
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    const WalPiece piece = {.timeline = 1, .segment = 7, .from = from, .to = to};
    Error err = {0};

    assert_true(wal_piece_store(&fixture->cluster, &piece, segment + from, codec, &err));
}

static bool append(void *context, const void *data, size_t size, Error *err)
{
    (void)err;
    buffer_append(context, data, size);
    return true;
}

static void pieces_are_one_stretch_from_the_first_byte_on(void **state)
{
    enum { BYTES = 100000 };
    static const struct {
        uint32_t pieces[6][2];
        uint32_t reach;
    } cases[] = {
        {{{0, 100}}, 100},
        {{{1, 100}}, 0},
        {{{0, 100}, {100, 250}, {250, 300}}, 300},
        {{{0, 100}, {101, 250}}, 100},
        {{{0, 100}, {50, 250}, {0, 200}}, 250}, /* they overlap */
        {{{0, 300}, {100, 200}, {200, 250}}, 300},
        {{{0, BYTES}, {0, 10}, {10, 20}}, BYTES},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(fixture_done) Fixture fixture;
        CLEANUP(wal_pieces_done) WalPieceList list = {0};
        CLEANUP(buffer_done) Buffer content = {0};
        uint8_t *segment = mem_alloc(BYTES);
        Error err = {0};
        uint32_t size;

        fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
        fill_bytes(segment, BYTES, 3);
        for (size_t j = 0; j < ARRAY_SIZE(cases[i].pieces) && cases[i].pieces[j][1] > 0; j++)
            put_piece(&fixture, cases[i].pieces[j][0], cases[i].pieces[j][1], segment);
        object_put(&fixture, "main/open/notes.txt", "x", 1);
        assert_true(wal_pieces_load(&list, &fixture.cluster, &err));
        assert_int_equal(wal_pieces_reach(&list, 1, 7), cases[i].reach);
        assert_int_equal(wal_pieces_reach(&list, 1, 8), 0);
        assert_int_equal(wal_pieces_reach(&list, 2, 7), 0);

        assert_true(wal_pieces_read(&fixture.cluster, &list, 1, 7, append, &content, &size, &err));
        assert_int_equal(size, cases[i].reach);
        assert_int_equal(content.size, size);
        if (size > 0)
            assert_memory_equal(content.data, segment, size);
        mem_free(segment);
    }
}

/* Reading goes on in what has taken their place. */
static void pieces_that_vanish_under_a_reader_are_read_elsewhere(void **state)
{
    enum { BYTES = 3000 };
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(wal_pieces_done) WalPieceList list = {0};
    CLEANUP(buffer_done) Buffer content = {0};
    uint8_t segment[BYTES];
    Error err = {0};
    uint32_t size;

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    fill_bytes(segment, BYTES, 3);
    put_piece(&fixture, 0, 1000, segment);
    put_piece(&fixture, 1000, 2000, segment);
    assert_true(wal_pieces_load(&list, &fixture.cluster, &err));
    put_piece(&fixture, 0, BYTES, segment);
    assert_true(wal_piece_remove(&fixture.cluster, &list.items[1], &err));

    assert_true(wal_pieces_read(&fixture.cluster, &list, 1, 7, append, &content, &size, &err));

    assert_int_equal(size, BYTES);
    assert_memory_equal(content.data, segment, BYTES);
    /* And in nothing at all. */
    CLEANUP(wal_pieces_done) WalPieceList all = {0};
    assert_true(wal_pieces_load(&all, &fixture.cluster, &err));
    for (size_t i = 0; i < all.count; i++)
        assert_true(wal_piece_remove(&fixture.cluster, &all.items[i], &err));
    assert_false(wal_pieces_read(&fixture.cluster, &list, 1, 7, append, &content, &size, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void a_whole_segment_takes_the_place_of_its_pieces(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(wal_pieces_done) WalPieceList list = {0};
    CLEANUP(buffer_done) Buffer content = {0};
    CLEANUP(wal_object_writer_freep) WalObjectWriter *writer = NULL;
    enum { SEGMENT = 1 << 20 };
    uint8_t *segment = mem_alloc(SEGMENT);
    WalSummary summary;
    Error err = {0};
    uint32_t size;

    (void)state;
    fixture_open(&fixture, SEGMENT);
    fill_bytes(segment, SEGMENT, 3);
    put_piece(&fixture, 0, 1000, segment);
    put_piece(&fixture, 1000, 2000, segment);
    assert_true(wal_pieces_load(&list, &fixture.cluster, &err));
    wal_summary_init(&summary);
    assert_true(wal_object_write(&fixture.cluster, "000000010000000000000007",
                                 (Compression){CODEC_ZSTD, 1}, 1, SEGMENT, &writer, &err));
    assert_true(wal_object_writer_add(writer, segment, SEGMENT, &err));
    assert_true(wal_object_writer_commit(writer, &summary, NULL, &err));
    assert_true(wal_piece_remove(&fixture.cluster, &list.items[1], &err));

    assert_true(wal_pieces_read(&fixture.cluster, &list, 1, 7, append, &content, &size, &err));

    assert_int_equal(size, SEGMENT);
    assert_memory_equal(content.data, segment, SEGMENT);
    mem_free(segment);
}

static void what_is_stored_stays_as_it_is(void **state)
{
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    CLEANUP(buffer_done) Buffer object = {0};
    uint8_t raw[SIZE];
    Error err = {0};

    (void)state;
    fill_incompressible(raw, sizeof raw);
    assert_true(wal_piece_encode(&home, &example, raw, codec, &object, &err));
    assert_stored_bytes(object.data, object.size,
                        "d4eb14199962397379e381d395aadcbf9deda06e976df1c747adbf9422693b98");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_stored_stays_as_it_is),
        cmocka_unit_test(decode_returns_what_encode_wrote),
        cmocka_unit_test(fields_are_where_the_format_says),
        cmocka_unit_test(any_changed_bit_is_noticed),
        cmocka_unit_test(another_frame_is_noticed),
        cmocka_unit_test(any_cut_is_noticed),
        cmocka_unit_test(a_piece_under_another_name_is_noticed),
        cmocka_unit_test(newer_flags_and_fields_are_a_newer_version),
        cmocka_unit_test(pieces_are_one_stretch_from_the_first_byte_on),
        cmocka_unit_test(pieces_that_vanish_under_a_reader_are_read_elsewhere),
        cmocka_unit_test(a_whole_segment_takes_the_place_of_its_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
