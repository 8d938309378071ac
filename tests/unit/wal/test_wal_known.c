#include "wal/wal_known.h"

#include "../repo/fixture.h"
#include "../stored_bytes.h"
#include "base/bytes.h"
#include "repo/layout.h"

enum { COUNT = 5, HEAD = 8 + WAL_KNOWN_HEADER_SIZE };

static const uint64_t seed = UINT64_C(0x0123456789abcdef);
static const WalKnownHome home = {.cluster = "main",
                                  .system_identifier = FIXTURE_SYSTEM,
                                  .major = FIXTURE_MAJOR,
                                  .segment_size = FIXTURE_SEGMENT_SIZE,
                                  .seed = seed};
static const WalStretch stretch = {.timeline = 3, .first = 4096};
static const uint64_t segments[COUNT] = {4096, 4097, 4100, 5000, 6143};

static void make_trailer(uint64_t segment, uint8_t bytes[WAL_TRAILER_SIZE])
{
    WalTrailer trailer = {.kind = WAL_SEGMENT,
                          .codec = CODEC_ZSTD,
                          .raw_size = FIXTURE_SEGMENT_SIZE,
                          .system_identifier = FIXTURE_SYSTEM,
                          .timeline = 3,
                          .major = FIXTURE_MAJOR,
                          .segment_size = FIXTURE_SEGMENT_SIZE,
                          .frame_size = wal_frame_size(FIXTURE_SEGMENT_SIZE)};

    trailer.frame_count = FIXTURE_SEGMENT_SIZE / trailer.frame_size;
    for (uint32_t i = 0; i < trailer.frame_count; i++) {
        trailer.frame_stored[i] = 1000 + i;
        trailer.stored_size += trailer.frame_stored[i];
    }
    fill_bytes(trailer.raw_checksum, XXH128_SIZE, (uint32_t)segment);
    wal_summary_init(&trailer.summary);
    trailer.summary.reader.first_record = wal_segment_start(segment, FIXTURE_SEGMENT_SIZE) + 40;
    wal_trailer_encode(&trailer, seed, bytes);
}

static void make_entries(Buffer *entries)
{
    for (size_t i = 0; i < COUNT; i++) {
        uint8_t trailer[WAL_TRAILER_SIZE];

        make_trailer(segments[i], trailer);
        wal_known_add(entries, &(WalKnownEntry){.segment = segments[i],
                                                .stored_size = 10000 + i,
                                                .stored_at = (TimeUs)(77 + i),
                                                .verified_at = i == 2 ? TIME_US_NONE : 99,
                                                .trailer = trailer});
    }
}

static void make_object(Buffer *entries, Buffer *object)
{
    Error err = {0};

    make_entries(entries);
    assert_true(wal_known_encode(&home, stretch, entries, object, &err));
}

static ErrorCode decode(const WalKnownHome *where, WalStretch what, const uint8_t *object,
                        size_t size, Buffer *entries)
{
    /* Of exactly its size, so that a sanitizer sees a byte too far. */
    uint8_t *copy = mem_alloc(size > 0 ? size : 1);
    Error err = {0};

    memcpy(copy, object, size);
    bool ok = wal_known_decode(where, what, copy, size, entries, &err);
    mem_free(copy);
    return ok ? ERR_NONE : err.code;
}

static void decode_returns_what_encode_wrote(void **state)
{
    CLEANUP(buffer_done) Buffer entries = {0};
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(buffer_done) Buffer found = {0};

    (void)state;
    make_object(&entries, &object);
    assert_int_equal(decode(&home, stretch, object.data, object.size, &found), ERR_NONE);
    assert_int_equal(found.size, entries.size);
    assert_memory_equal(found.data, entries.data, entries.size);
    assert_int_equal(wal_known_count(&found), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        WalKnownEntry entry = wal_known_at(&found, i);
        WalTrailer trailer;
        Error err = {0};

        assert_true(entry.segment == segments[i]);
        assert_true(entry.stored_size == 10000 + i);
        assert_true(entry.stored_at == (TimeUs)(77 + i));
        assert_true(entry.verified_at == (i == 2 ? TIME_US_NONE : 99));
        assert_true(wal_known_trailer(&home, stretch, &entry, &trailer, &err));
        assert_true(trailer.summary.reader.first_record ==
                    wal_segment_start(segments[i], FIXTURE_SEGMENT_SIZE) + 40);
    }
}

static void every_segment_is_found_and_no_other(void **state)
{
    CLEANUP(buffer_done) Buffer entries = {0};
    size_t found = 0;

    (void)state;
    make_entries(&entries);
    for (uint64_t segment = 4000; segment < 6300; segment++) {
        WalKnownEntry entry;

        if (!wal_known_find(&entries, segment, &entry))
            continue;
        assert_true(entry.segment == segment && segment == segments[found]);
        found++;
    }
    assert_int_equal(found, COUNT);
}

/* The table in docs/format.md, chapter 7.4. */
static void fields_are_where_the_format_says(void **state)
{
    CLEANUP(buffer_done) Buffer entries = {0};
    CLEANUP(buffer_done) Buffer object = {0};

    (void)state;
    make_object(&entries, &object);
    const uint8_t *header = object.data + 8;
    assert_int_equal(get_le32(object.data), 0x184D2A5E);
    assert_int_equal(get_le32(object.data + 4), 80);
    assert_memory_equal(header, "PGCNKNOW", 8);
    assert_int_equal(get_le16(header + 8), 1);
    assert_int_equal(get_le32(header + 12), 3);
    assert_true(get_le64(header + 16) == FIXTURE_SYSTEM);
    assert_true(get_le64(header + 24) == 4096);
    assert_int_equal(get_le32(header + 32), COUNT);
    assert_int_equal(get_le32(header + 36), object.size - HEAD);
    assert_true(get_le64(header + 40) == xxh3_of(seed, object.data + HEAD, object.size - HEAD));
    assert_int_equal(get_le32(header + 48), FIXTURE_SEGMENT_SIZE);
    assert_int_equal(get_le32(header + 52), FIXTURE_MAJOR);
    assert_true(get_le64(header + 56) == xxh3_of(seed, "main", 4));
    assert_true(get_le64(header + 72) == xxh3_of(seed, header, 72));
    assert_int_equal(entries.size, COUNT * 2080);
    assert_true(get_le64(entries.data + 2080) == 4097);
    assert_true(get_le64(entries.data + 2080 + 8) == 10001);
    assert_true(get_le64(entries.data + 2080 + 16) == 78);
    assert_true(get_le64(entries.data + 2080 + 24) == 99);
    assert_memory_equal(entries.data + 2080 + 32, "PGCNWAL1", 8);
}

static void any_changed_bit_is_noticed(void **state)
{
    CLEANUP(buffer_done) Buffer entries = {0};
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(buffer_done) Buffer found = {0};

    (void)state;
    make_object(&entries, &object);
    for (size_t bit = 0; bit < object.size * 8; bit += bit / 8 < HEAD ? 1 : 7) {
        bool makes_newer = (bit / 8 == 8 + 8 || bit / 8 == 8 + 9) && bit != (8 + 8) * 8;

        object.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(decode(&home, stretch, object.data, object.size, &found),
                         makes_newer ? ERR_VERSION : ERR_CORRUPT);
        object.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void any_cut_is_noticed(void **state)
{
    CLEANUP(buffer_done) Buffer entries = {0};
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(buffer_done) Buffer found = {0};

    (void)state;
    make_object(&entries, &object);
    for (size_t size = 0; size < object.size; size++)
        assert_int_equal(decode(&home, stretch, object.data, size, &found), ERR_CORRUPT);
    buffer_append(&object, "x", 1);
    assert_int_equal(decode(&home, stretch, object.data, object.size, &found), ERR_CORRUPT);
}

/* A whole frame with other entries: zstd finds nothing wrong with it. */
static void another_frame_is_noticed(void **state)
{
    CLEANUP(buffer_done) Buffer entries = {0};
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(buffer_done) Buffer other = {0};
    CLEANUP(buffer_done) Buffer found = {0};
    Error err = {0};
    uint8_t frame_sum[8];

    (void)state;
    make_object(&entries, &object);
    memcpy(frame_sum, object.data + 8 + 40, sizeof frame_sum);
    put_le64(entries.data + 24, 12345); /* another time of verification */
    assert_true(wal_known_encode(&home, stretch, &entries, &other, &err));
    memcpy(other.data + 8 + 40, frame_sum, sizeof frame_sum);
    put_le64(other.data + 8 + 72, xxh3_of(seed, other.data + 8, 72));
    assert_int_equal(decode(&home, stretch, other.data, other.size, &found), ERR_CORRUPT);
}

/* Signed as a writer would: what is then left to notice. */
static void sign(Buffer *object)
{
    uint8_t *header = object->data + 8;

    put_le64(header + 72, xxh3_of(seed, header, 72));
}

static void what_a_newer_version_may_leave_to_others_is_ignored(void **state)
{
    CLEANUP(buffer_done) Buffer entries = {0};
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(buffer_done) Buffer found = {0};

    (void)state;
    make_object(&entries, &object);
    object.data[8 + 11] = 1;
    object.data[8 + 64] = 1;
    sign(&object);
    assert_int_equal(decode(&home, stretch, object.data, object.size, &found), ERR_NONE);
}

static void what_a_newer_version_may_use_is_refused(void **state)
{
    static const size_t reserved[] = {10, 64, 71};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
        CLEANUP(buffer_done) Buffer entries = {0};
        CLEANUP(buffer_done) Buffer object = {0};
        CLEANUP(buffer_done) Buffer found = {0};

        make_object(&entries, &object);
        object.data[8 + reserved[i]] = 1;
        sign(&object);
        assert_int_equal(decode(&home, stretch, object.data, object.size, &found), ERR_VERSION);
    }
}

static void what_is_about_other_wal_is_refused(void **state)
{
    static const struct {
        WalKnownHome home;
        WalStretch stretch;
    } others[] = {
        {{"main", FIXTURE_SYSTEM, FIXTURE_MAJOR, FIXTURE_SEGMENT_SIZE, 0}, {2, 4096}},
        {{"main", FIXTURE_SYSTEM, FIXTURE_MAJOR, FIXTURE_SEGMENT_SIZE, 0}, {3, 6144}},
        {{"other", FIXTURE_SYSTEM, FIXTURE_MAJOR, FIXTURE_SEGMENT_SIZE, 0}, {3, 4096}},
        {{"main", FIXTURE_SYSTEM + 1, FIXTURE_MAJOR, FIXTURE_SEGMENT_SIZE, 0}, {3, 4096}},
        {{"main", FIXTURE_SYSTEM, FIXTURE_MAJOR + 1, FIXTURE_SEGMENT_SIZE, 0}, {3, 4096}},
        {{"main", FIXTURE_SYSTEM, FIXTURE_MAJOR, 2 * FIXTURE_SEGMENT_SIZE, 0}, {3, 4096}},
    };
    CLEANUP(buffer_done) Buffer entries = {0};
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(buffer_done) Buffer found = {0};
    WalKnownHome another = home;

    (void)state;
    make_object(&entries, &object);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        another = others[i].home;
        another.seed = seed;
        assert_int_equal(decode(&another, others[i].stretch, object.data, object.size, &found),
                         ERR_CORRUPT);
    }
    another = home;
    another.seed++; /* another repository's */
    assert_int_equal(decode(&another, stretch, object.data, object.size, &found), ERR_CORRUPT);
}

static void entries_out_of_order_or_place_are_refused(void **state)
{
    static const uint64_t wrong[] = {4095, 4096, 4097, 4100, 5000, 6144, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
        CLEANUP(buffer_done) Buffer entries = {0};
        CLEANUP(buffer_done) Buffer object = {0};
        CLEANUP(buffer_done) Buffer found = {0};
        Error err = {0};

        make_object(&entries, &object);
        put_le64(entries.data + 4 * 2080, wrong[i]);
        object.size = HEAD;
        assert_true(codec_compress(codec, (Compression){.codec = CODEC_ZSTD, .level = 1},
                                   entries.data, entries.size, &object, &err));
        uint8_t *header = object.data + 8;
        put_le32(header + 36, (uint32_t)(object.size - HEAD));
        put_le64(header + 40, xxh3_of(seed, object.data + HEAD, object.size - HEAD));
        sign(&object);
        assert_int_equal(decode(&home, stretch, object.data, object.size, &found), ERR_CORRUPT);
    }
}

static void impossible_counts_are_refused(void **state)
{
    static const uint32_t wrong[] = {0, COUNT - 1, COUNT + 1, WAL_KNOWN_SEGMENTS + 1, UINT32_MAX};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        CLEANUP(buffer_done) Buffer entries = {0};
        CLEANUP(buffer_done) Buffer object = {0};
        CLEANUP(buffer_done) Buffer found = {0};

        make_object(&entries, &object);
        put_le32(object.data + 8 + 32, wrong[i]);
        sign(&object);
        assert_int_equal(decode(&home, stretch, object.data, object.size, &found), ERR_CORRUPT);
    }
}

/* The object is whole, but one entry has the trailer of something else. */
static void the_trailer_of_another_segment_is_refused(void **state)
{
    static const struct {
        uint64_t segment;
        WalStretch stretch;
        uint64_t system;
        uint32_t size;
    } cases[] = {
        {4097, {3, 4096}, FIXTURE_SYSTEM, FIXTURE_SEGMENT_SIZE},
        {4096, {2, 4096}, FIXTURE_SYSTEM, FIXTURE_SEGMENT_SIZE},
        {4096, {3, 4096}, FIXTURE_SYSTEM + 1, FIXTURE_SEGMENT_SIZE},
        {4096, {3, 4096}, FIXTURE_SYSTEM, 2 * FIXTURE_SEGMENT_SIZE},
    };
    uint8_t bytes[WAL_TRAILER_SIZE];

    (void)state;
    make_trailer(4096, bytes);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const WalKnownEntry entry = {.segment = cases[i].segment, .trailer = bytes};
        WalKnownHome where = home;
        WalTrailer trailer;
        Error err = {0};

        where.system_identifier = cases[i].system;
        where.segment_size = cases[i].size;
        assert_false(wal_known_trailer(&where, cases[i].stretch, &entry, &trailer, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
    }
    bytes[200] ^= 1;
    const WalKnownEntry entry = {.segment = 4096, .trailer = bytes};
    WalTrailer trailer;
    Error err = {0};
    assert_false(wal_known_trailer(&home, stretch, &entry, &trailer, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

static void an_object_without_end_is_refused(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(buffer_done) Buffer entries = {0};
    CLEANUP(text_freep) char *name = layout_known_wal("main", 3, 4096, 7);
    Error err = {0};
    const size_t much = 6 << 20;
    uint8_t *bytes = mem_alloc(much);

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    object_put(&fixture, name, bytes, much);
    mem_free(bytes);
    assert_false(wal_known_read(&fixture.cluster, stretch, name, &entries, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

static void what_is_stored_stays_as_it_is(void **state)
{
    CLEANUP(buffer_done) Buffer entries = {0};
    CLEANUP(buffer_done) Buffer object = {0};
    uint8_t trailer[WAL_TRAILER_SIZE];
    Error err = {0};

    (void)state;
    fill_incompressible(trailer, sizeof trailer);
    wal_known_add(&entries, &(WalKnownEntry){.segment = 4097,
                                             .stored_size = UINT64_C(0x0102030405060708),
                                             .stored_at = 77,
                                             .verified_at = TIME_US_NONE,
                                             .trailer = trailer});
    assert_true(wal_known_encode(&home, stretch, &entries, &object, &err));
    assert_stored_bytes(object.data, object.size,
                        "b9453f93e31fd9514c65116d96a4f5005afe987b4fbfd0618d3d8fa0fead013f");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_stored_stays_as_it_is),
        cmocka_unit_test(decode_returns_what_encode_wrote),
        cmocka_unit_test(every_segment_is_found_and_no_other),
        cmocka_unit_test(fields_are_where_the_format_says),
        cmocka_unit_test(any_changed_bit_is_noticed),
        cmocka_unit_test(another_frame_is_noticed),
        cmocka_unit_test(any_cut_is_noticed),
        cmocka_unit_test(what_a_newer_version_may_leave_to_others_is_ignored),
        cmocka_unit_test(what_a_newer_version_may_use_is_refused),
        cmocka_unit_test(what_is_about_other_wal_is_refused),
        cmocka_unit_test(entries_out_of_order_or_place_are_refused),
        cmocka_unit_test(impossible_counts_are_refused),
        cmocka_unit_test(the_trailer_of_another_segment_is_refused),
        cmocka_unit_test(an_object_without_end_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
