#include "pack_format.h"

#include "../stored_bytes.h"
#include "base/bytes.h"
#include "stream/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const uint64_t seed = 42;
static const char id[] = "00112233445566778899aabbccddeeff";
static const PackTrailer example = {.entry_count = 3,
                                    .directory_offset = 1000,
                                    .directory_stored = 200,
                                    .directory_raw = 300,
                                    .directory_codec = CODEC_ZSTD,
                                    .directory_checksum = 77};
static const uint64_t example_size = 1000 + 200 + PACK_TRAILER_SIZE;

static void trailer_decode_returns_what_encode_wrote(void **state)
{
    uint8_t bytes[PACK_TRAILER_SIZE];
    PackTrailer found;
    Error err = {0};

    (void)state;
    pack_trailer_encode(&example, seed, bytes);
    assert_memory_equal(bytes, "PGCNPEND", 8);
    assert_true(pack_trailer_decode(&found, bytes, example_size, seed, &err));
    assert_int_equal(found.entry_count, example.entry_count);
    assert_true(found.directory_offset == example.directory_offset);
    assert_int_equal(found.directory_stored, example.directory_stored);
    assert_int_equal(found.directory_raw, example.directory_raw);
    assert_int_equal(found.directory_codec, example.directory_codec);
    assert_true(found.directory_checksum == example.directory_checksum);
}

static void any_changed_bit_of_header_and_trailer_is_noticed(void **state)
{
    uint8_t header[PACK_HEADER_SIZE];
    uint8_t trailer[PACK_TRAILER_SIZE];
    PackTrailer found;

    (void)state;
    pack_header_encode(id, seed, header);
    pack_trailer_encode(&example, seed, trailer);
    assert_memory_equal(header, "PGCNPACK", 8);
    for (size_t bit = 0; bit < sizeof header * 8; bit++) {
        bool makes_newer = (bit / 8 == 8 || bit / 8 == 9) && bit != 64;
        Error err = {0};

        header[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(pack_header_check(header, id, seed, &err));
        assert_int_equal(err.code, makes_newer ? ERR_VERSION : ERR_CORRUPT);
        header[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (bit >= sizeof trailer * 8)
            continue;
        err = (Error){0};
        trailer[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(pack_trailer_decode(&found, trailer, example_size, seed, &err));
        assert_int_equal(err.code, makes_newer ? ERR_VERSION : ERR_CORRUPT);
        trailer[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void unknown_critical_flags_and_reserved_bytes_are_a_newer_version(void **state)
{
    static const size_t in_header[] = {10, 12, 15, 32, 63, 64, 71};
    static const size_t in_trailer[] = {10, 33, 39, 48, 55};
    uint8_t bytes[PACK_HEADER_SIZE];
    PackTrailer found;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(in_header) + ARRAY_SIZE(in_trailer); i++) {
        bool is_header = i < ARRAY_SIZE(in_header);
        size_t at = is_header ? in_header[i] : in_trailer[i - ARRAY_SIZE(in_header)];
        size_t checked = (is_header ? PACK_HEADER_SIZE : PACK_TRAILER_SIZE) - 8;

        for (int bit = 0; bit < 8; bit++) {
            Error err = {0};

            if (is_header)
                pack_header_encode(id, seed, bytes);
            else
                pack_trailer_encode(&example, seed, bytes);
            bytes[at] = (uint8_t)(1 << bit);
            put_le64(bytes + checked, xxh3_of(seed, bytes, checked));
            assert_false(is_header ? pack_header_check(bytes, id, seed, &err)
                                   : pack_trailer_decode(&found, bytes, example_size, seed, &err));
            assert_int_equal(err.code, ERR_VERSION);
        }
    }
}

/* Checksum intact. */
static void what_is_no_header_or_trailer_is_refused(void **state)
{
    uint8_t header[PACK_HEADER_SIZE];
    uint8_t trailer[PACK_TRAILER_SIZE];
    PackTrailer found;
    Error err = {0};

    (void)state;
    pack_header_encode(id, seed, header);
    header[0] = 'X';
    put_le64(header + sizeof header - 8, xxh3_of(seed, header, sizeof header - 8));
    assert_false(pack_header_check(header, id, seed, &err));
    assert_int_equal(err.code, ERR_CORRUPT);

    err = (Error){0};
    pack_trailer_encode(&example, seed, trailer);
    trailer[32] = 9; /* codec */
    put_le64(trailer + sizeof trailer - 8, xxh3_of(seed, trailer, sizeof trailer - 8));
    assert_false(pack_trailer_decode(&found, trailer, example_size, seed, &err));
    assert_int_equal(err.code, ERR_VERSION);

    /* More stored than so little content can take. */
    PackTrailer bloated = example;
    err = (Error){0};
    bloated.entry_count = 0;
    bloated.directory_raw = 10;
    bloated.directory_stored = 100000;
    pack_trailer_encode(&bloated, seed, trailer);
    assert_false(
        pack_trailer_decode(&found, trailer, 1000 + 100000 + PACK_TRAILER_SIZE, seed, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

static void entries_of_a_newer_version_are_told(void **state)
{
    static const struct {
        size_t offset;
        uint8_t value;
    } cases[] = {{0, 0}, {0, FRAME_FILE + 1}, {1, 9}};
    PackEntry entry = {.kind = FRAME_FILE, .path = "base/1", .path_size = 6};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(buffer_done) Buffer directory = {0};
        PackEntry found;
        size_t offset = 0;
        Error err = {0};

        pack_entry_encode(&entry, &directory);
        assert_true(pack_entry_decode(directory.data, directory.size, &offset, &found, &err));
        offset = 0;
        directory.data[cases[i].offset] = cases[i].value;
        assert_false(pack_entry_decode(directory.data, directory.size, &offset, &found, &err));
        assert_int_equal(err.code, ERR_VERSION);
    }
}

static void unknown_optional_flags_are_ignored(void **state)
{
    uint8_t header[PACK_HEADER_SIZE];
    uint8_t trailer[PACK_TRAILER_SIZE];
    PackTrailer found;
    Error err = {0};

    (void)state;
    pack_header_encode(id, seed, header);
    pack_trailer_encode(&example, seed, trailer);
    header[11] = trailer[11] = 0x81;
    header[64] = trailer[48] = 7; /* what comes with them */
    put_le64(header + 72, xxh3_of(seed, header, 72));
    put_le64(trailer + 56, xxh3_of(seed, trailer, 56));
    assert_true(pack_header_check(header, id, seed, &err));
    assert_true(pack_trailer_decode(&found, trailer, example_size, seed, &err));
    assert_int_equal(found.entry_count, example.entry_count);
}

static void a_header_of_another_pack_is_damage(void **state)
{
    uint8_t header[PACK_HEADER_SIZE];
    Error err = {0};

    (void)state;
    pack_header_encode(id, seed, header);
    assert_true(pack_header_check(header, id, seed, &err));
    assert_false(pack_header_check(header, "10112233445566778899aabbccddeeff", seed, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

static void a_trailer_fits_only_its_own_size_of_pack(void **state)
{
    uint8_t bytes[PACK_TRAILER_SIZE];
    PackTrailer found;

    (void)state;
    pack_trailer_encode(&example, seed, bytes);
    for (uint64_t size = 0; size < 2 * example_size; size++) {
        Error err = {0};
        bool is_right = size == example_size;

        assert_int_equal(pack_trailer_decode(&found, bytes, size, seed, &err), is_right);
    }
}

static void impossible_directories_are_refused(void **state)
{
    static const PackTrailer cases[] = {
        {.entry_count = UINT32_MAX,
         .directory_offset = 1000,
         .directory_stored = 200,
         .directory_raw = 300,
         .directory_codec = CODEC_ZSTD},
        {.entry_count = 3,
         .directory_offset = 1000,
         .directory_stored = 200,
         .directory_raw = UINT32_MAX,
         .directory_codec = CODEC_ZSTD},
        {.entry_count = 10,
         .directory_offset = 1000,
         .directory_stored = 200,
         .directory_raw = 319,
         .directory_codec = CODEC_ZSTD},
        {.entry_count = 3,
         .directory_offset = 79,
         .directory_stored = 1121,
         .directory_raw = 1121,
         .directory_codec = CODEC_ZSTD},
        {.entry_count = 3,
         .directory_offset = UINT64_MAX - 63,
         .directory_stored = 200,
         .directory_raw = 300,
         .directory_codec = CODEC_ZSTD},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t bytes[PACK_TRAILER_SIZE];
        PackTrailer found;
        Error err = {0};

        pack_trailer_encode(&cases[i], seed, bytes);
        assert_false(pack_trailer_decode(&found, bytes, example_size, seed, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
    }
}

static void directory_entries_are_read_back_and_cuts_noticed(void **state)
{
    CLEANUP(buffer_done) Buffer directory = {0};
    PackEntry entries[] = {
        {.kind = FRAME_EXTENT,
         .frame = {.codec = CODEC_LZ4,
                   .offset = UINT64_C(1) << 40,
                   .stored_size = 5,
                   .raw_size = 6,
                   .checksum = 7},
         .range = 8,
         .path = "base/1/2",
         .path_size = 8},
        {.kind = FRAME_FILE,
         .frame = {.codec = CODEC_NONE, .offset = 80, .stored_size = 1, .raw_size = 1},
         .path = "",
         .path_size = 0},
    };
    PackEntry found;
    Error err = {0};
    size_t at = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
        pack_entry_encode(&entries[i], &directory);
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        assert_true(pack_entry_decode(directory.data, directory.size, &at, &found, &err));
        assert_int_equal(found.kind, entries[i].kind);
        assert_int_equal(found.frame.codec, entries[i].frame.codec);
        assert_true(found.frame.offset == entries[i].frame.offset);
        assert_int_equal(found.frame.stored_size, entries[i].frame.stored_size);
        assert_int_equal(found.frame.raw_size, entries[i].frame.raw_size);
        assert_true(found.frame.checksum == entries[i].frame.checksum);
        assert_int_equal(found.range, entries[i].range);
        assert_int_equal(found.path_size, entries[i].path_size);
        assert_memory_equal(found.path, entries[i].path, found.path_size);
    }
    assert_int_equal(at, directory.size);
    for (size_t size = 0; size < PACK_ENTRY_SIZE + 8; size++) {
        at = 0;
        err = (Error){0};
        assert_false(pack_entry_decode(directory.data, size, &at, &found, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
    }
}

static void frames_outside_their_pack_are_refused(void **state)
{
    enum { PACK = 10000 };
    static const struct {
        Frame frame;
        bool is_good;
    } cases[] = {
        {{.offset = 80, .stored_size = 100, .raw_size = 100}, true},
        {{.offset = 9836, .stored_size = 100, .raw_size = 100}, true},
        {{.offset = 9837, .stored_size = 100, .raw_size = 100}, false},
        {{.offset = 79, .stored_size = 100, .raw_size = 100}, false},
        {{.offset = UINT64_MAX - 50, .stored_size = 100, .raw_size = 100}, false},
        {{.offset = 80, .stored_size = 0, .raw_size = 100}, false},
        {{.offset = 80, .stored_size = 100, .raw_size = 0}, false},
        {{.offset = 80, .stored_size = 100, .raw_size = 8193}, false},
        {{.offset = 80, .stored_size = 5000, .raw_size = 100}, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Error err = {0};

        assert_int_equal(frame_check(&cases[i].frame, PACK, 8192, &err), cases[i].is_good);
        assert_int_equal(err.code, cases[i].is_good ? ERR_NONE : ERR_CORRUPT);
    }
}

static void what_is_stored_stays_as_it_is(void **state)
{
    uint8_t header[PACK_HEADER_SIZE];
    uint8_t trailer[PACK_TRAILER_SIZE];
    CLEANUP(buffer_done) Buffer directory = {0};
    const PackEntry entry = {.kind = FRAME_PAGE_TABLE,
                             .frame = {.codec = CODEC_LZ4,
                                       .offset = UINT64_C(0x0102030405060708),
                                       .stored_size = 9,
                                       .raw_size = 10,
                                       .checksum = UINT64_MAX - 1},
                             .range = 11,
                             .path = "base/1/\t2",
                             .path_size = 9};

    (void)state;
    pack_header_encode(id, seed, header);
    pack_trailer_encode(&example, seed, trailer);
    pack_entry_encode(&entry, &directory);
    assert_stored_bytes(header, sizeof header,
                        "98a7284e1ebe73f55bd6a2bb6d9b4b4e88765156d1a4849d84d62cbe6b884a93");
    assert_stored_bytes(trailer, sizeof trailer,
                        "d4df934939939b233a38c35451b2b9f57f8bd8e68053e8d7dbe9b98c3bd736e7");
    assert_stored_bytes(directory.data, directory.size,
                        "7481c85fdabe52737d7b1d4340e3343a1ee917681d182d43322c36a6b5c4ea66");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_stored_stays_as_it_is),
        cmocka_unit_test(trailer_decode_returns_what_encode_wrote),
        cmocka_unit_test(any_changed_bit_of_header_and_trailer_is_noticed),
        cmocka_unit_test(unknown_critical_flags_and_reserved_bytes_are_a_newer_version),
        cmocka_unit_test(unknown_optional_flags_are_ignored),
        cmocka_unit_test(a_header_of_another_pack_is_damage),
        cmocka_unit_test(a_trailer_fits_only_its_own_size_of_pack),
        cmocka_unit_test(impossible_directories_are_refused),
        cmocka_unit_test(directory_entries_are_read_back_and_cuts_noticed),
        cmocka_unit_test(frames_outside_their_pack_are_refused),
        cmocka_unit_test(what_is_no_header_or_trailer_is_refused),
        cmocka_unit_test(entries_of_a_newer_version_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
