#include "wal/wal_object.h"

#include "../repo/fixture.h"
#include "base/file.h"
#include "base/process.h"
#include "repo/layout.h"

#include <unistd.h>

static const char segment[] = "000000010000000100000042";
static const char history[] = "00000002.history";
static const Codec codecs[] = {CODEC_NONE, CODEC_ZSTD, CODEC_LZ4, CODEC_GZIP};
static const unsigned thread_counts[] = {0, 1, 2, 5};

static Compression compression_of(Codec codec)
{
    static const int levels[] = {
        [CODEC_NONE] = 0, [CODEC_ZSTD] = 1, [CODEC_LZ4] = 1, [CODEC_GZIP] = 1};

    return (Compression){.codec = codec, .level = levels[codec]};
}

/* Store size bytes in pieces of `piece`. */
static bool store(const Fixture *fixture, const char *name, Codec codec, unsigned threads,
                  const uint8_t *data, size_t size, size_t piece, WalTrailer *trailer, Error *err)
{
    CLEANUP(wal_object_writer_freep) WalObjectWriter *writer = NULL;

    if (!wal_object_write(&fixture->cluster, name, compression_of(codec), threads, size, &writer,
                          err))
        return false;
    for (size_t at = 0; at < size; at += piece) {
        size_t part = size - at < piece ? size - at : piece;

        if (!wal_object_writer_add(writer, data + at, part, err))
            return false;
    }
    return wal_object_writer_commit(writer, NULL, trailer, err);
}

static bool append_to_buffer(void *context, const void *data, size_t size, Error *err)
{
    (void)err;
    buffer_append(context, data, size);
    return true;
}

/* Segments have one size; other kinds of files have any. */
static const struct {
    const char *name;
    uint32_t segment_size;
    size_t size;
} files[] = {
    {history, 16 << 20, 0},
    {history, 16 << 20, 1},
    {history, 16 << 20, 41},
    {history, 16 << 20, (1 << 20) - 1},
    {history, 16 << 20, (1 << 20) + 1},
    {history, 16 << 20, 5000001},
    {"000000010000000000000001", 1 << 20, 1 << 20},
    {segment, 16 << 20, 16 << 20},
    {"000000010000000100000042.partial", 16 << 20, 12345},
    {"000000010000000100000042.00000028.backup", 16 << 20, 320},
};

/* One frame alone, by any byte of it; beyond the file there is none. */
static void assert_frames(const Fixture *fixture, const char *name, const uint8_t *data,
                          size_t size)
{
    uint32_t frame_size = wal_frame_size(size);
    CLEANUP(buffer_done) Buffer raw = {0};
    uint64_t begin;
    Error err = {0};

    for (uint64_t at = 0; at < size; at += frame_size) {
        size_t there = size - at < frame_size ? (size_t)(size - at) : frame_size;

        assert_true(
            wal_object_read_frame(&fixture->cluster, name, at + there / 2, &begin, &raw, &err));
        assert_int_equal(begin, at);
        assert_int_equal(raw.size, there);
        assert_memory_equal(raw.data, data + at, there);
    }
    assert_false(wal_object_read_frame(&fixture->cluster, name, size, &begin, &raw, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

static void what_was_stored_is_read_back(void **state)
{
    (void)state;
    for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
        size_t size = files[f].size;
        CLEANUP(buffer_done) Buffer data = {0};

        buffer_reserve(&data, size + 1);
        fill_bytes(data.data, size, (uint32_t)f);
        for (size_t c = 0; c < ARRAY_SIZE(codecs); c++) {
            unsigned threads = thread_counts[(f + c) % ARRAY_SIZE(thread_counts)];
            CLEANUP(fixture_done) Fixture fixture;
            CLEANUP(buffer_done) Buffer read = {0};
            WalTrailer written;
            WalTrailer found;
            Error err = {0};

            fixture_open(&fixture, files[f].segment_size);
            assert_true(store(&fixture, files[f].name, codecs[c], threads, data.data, size,
                              700001 + c, &written, &err));
            assert_true(wal_object_read(&fixture.cluster, files[f].name, threads, append_to_buffer,
                                        &read, &found, &err));
            assert_int_equal(read.size, size);
            assert_memory_equal(size > 0 ? read.data : data.data, data.data, size);
            assert_int_equal(found.codec, codecs[c]);
            assert_true(found.raw_size == size);
            assert_true(wal_trailers_agree(&found, &written));
            assert_true(found.system_identifier == FIXTURE_SYSTEM);
            assert_true(wal_object_trailer(&fixture.cluster, files[f].name, &found, &err));
            assert_true(
                wal_object_read(&fixture.cluster, files[f].name, 1, NULL, NULL, NULL, &err));
            assert_frames(&fixture, files[f].name, data.data, size);
        }
    }
}

/* Straight into the frames, in pieces of any size, with as many bytes as there is room for. */
static void bytes_can_be_filled_in_where_they_go(void **state)
{
    static const size_t pieces[] = {40, 8192, 1 << 20, SIZE_MAX};
    enum { SIZE = (2 << 20) + 41 };
    CLEANUP(buffer_done) Buffer data = {0};

    (void)state;
    buffer_reserve(&data, SIZE);
    fill_bytes(data.data, SIZE, 4);
    for (size_t p = 0; p < ARRAY_SIZE(pieces); p++) {
        CLEANUP(fixture_done) Fixture fixture;
        CLEANUP(wal_object_writer_freep) WalObjectWriter *writer = NULL;
        CLEANUP(buffer_done) Buffer read = {0};
        size_t at = 0;
        size_t room;
        uint8_t *to;
        Error err = {0};

        fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
        assert_true(wal_object_write(&fixture.cluster, history, compression_of(CODEC_ZSTD), 2, SIZE,
                                     &writer, &err));
        for (;;) {
            assert_true(wal_object_writer_room(writer, &to, &room, &err));
            if (room == 0)
                break;
            size_t part = room < pieces[p] ? room : pieces[p];
            assert_true(room <= SIZE - at);
            memcpy(to, data.data + at, part);
            assert_true(wal_object_writer_filled(writer, part, &err));
            assert_memory_equal(to, data.data + at, part); /* readable until the next room */
            at += part;
        }
        assert_int_equal(at, SIZE);
        assert_true(wal_object_writer_commit(writer, NULL, NULL, &err));
        assert_true(
            wal_object_read(&fixture.cluster, history, 1, append_to_buffer, &read, NULL, &err));
        assert_int_equal(read.size, SIZE);
        assert_memory_equal(read.data, data.data, SIZE);
    }
}

/* An object's bytes with its trailer replaced by this one. */
static void put_with_trailer(const Fixture *fixture, const Buffer *object,
                             const WalTrailer *trailer)
{
    CLEANUP(buffer_done) Buffer changed = {0};

    buffer_append(&changed, object->data, (size_t)trailer->stored_size);
    wal_trailer_wrap(trailer, fixture->repo.hash_seed, &changed);
    object_put(fixture, "main/wal/00000002.history.wal", changed.data, changed.size);
}

static bool read_back(const Fixture *fixture, Error *err)
{
    *err = (Error){0};
    return wal_object_read(&fixture->cluster, history, 2, NULL, NULL, NULL, err);
}

/*
 * Every stored byte as it was written, and yet not the file that was to be stored: memory failed
 * between the sum and the compressor, say.
 */
static void content_that_is_not_what_was_summed_is_noticed(void **state)
{
    enum { SIZE = (1 << 20) + 7 };
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(buffer_done) Buffer data = {0};
    CLEANUP(buffer_done) Buffer object = {0};
    WalTrailer trailer;
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    buffer_reserve(&data, SIZE);
    fill_bytes(data.data, SIZE, 6);
    assert_true(store(&fixture, history, CODEC_ZSTD, 2, data.data, SIZE, SIZE, &trailer, &err));
    object_get(&fixture, "main/wal/00000002.history.wal", &object);

    put_with_trailer(&fixture, &object, &trailer);
    assert_true(read_back(&fixture, &err));

    trailer.raw_checksum[15] ^= 1;
    put_with_trailer(&fixture, &object, &trailer);
    assert_false(read_back(&fixture, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

/* The promise of docs/format.md, chapter 6: no tool of ours is needed to get WAL back. */
static void stock_programs_give_the_file(void **state)
{
    static const char *const programs[] = {
        [CODEC_NONE] = "zstd", [CODEC_ZSTD] = "zstd", [CODEC_LZ4] = "lz4", [CODEC_GZIP] = "gzip"};
    static const size_t sizes[] = {0, 41, 5000001};
    char directory[] = "/tmp/test_wal_XXXXXX";

    (void)state;
    assert_non_null(mkdtemp(directory));
    CLEANUP(text_freep) char *path = text_format("%s/object", directory);
    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        for (size_t c = 0; c < ARRAY_SIZE(codecs); c++) {
            CLEANUP(fixture_done) Fixture fixture;
            CLEANUP(buffer_done) Buffer data = {0};
            CLEANUP(buffer_done) Buffer object = {0};
            CLEANUP(buffer_done) Buffer output = {0};
            CLEANUP(file_writer_done) FileWriter out = FILE_WRITER_CLOSED;
            const char *const arguments[] = {programs[codecs[c]], "-dc", path, NULL};
            ProcessSetup setup = {.argv = arguments};
            int status = -1;
            Error err = {0};

            fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
            buffer_reserve(&data, sizes[s] + 1);
            /* Less than the mebibyte that process_run() keeps when it is printed. */
            memset(data.data, 'w', sizes[s]);
            assert_true(
                store(&fixture, history, codecs[c], 2, data.data, sizes[s], 1 << 20, NULL, &err));
            object_get(&fixture, "main/wal/00000002.history.wal", &object);
            assert_true(file_writer_open(&out, path, 0600, &err));
            assert_true(file_writer_write(&out, object.data, object.size, &err));
            assert_true(file_writer_replace(&out, &err));

            assert_true(process_run(&setup, 120000, &status, &output, &err));
            assert_int_equal(status, 0);
            /* Standard error is in the output too: a warning would be in the way. */
            size_t kept = sizes[s] < 1 << 20 ? sizes[s] : 1 << 20;
            assert_int_equal(output.size, kept);
            assert_memory_equal(kept > 0 ? output.data : data.data, data.data, kept);
        }
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);
}

static void any_changed_byte_of_an_object_is_noticed(void **state)
{
    enum { SIZE = 3000 };
    uint8_t data[SIZE];

    (void)state;
    fill_bytes(data, sizeof data, 5);
    for (size_t c = 0; c < ARRAY_SIZE(codecs); c++) {
        CLEANUP(fixture_done) Fixture fixture;
        CLEANUP(buffer_done) Buffer object = {0};
        CLEANUP(text_freep) char *name = layout_wal("main", history);
        Error err = {0};

        fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
        assert_true(store(&fixture, history, codecs[c], 1, data, SIZE, SIZE, NULL, &err));
        object_get(&fixture, name, &object);
        for (size_t i = 0; i < object.size; i++) {
            err = (Error){0};
            object.data[i] ^= (uint8_t)(1 << i % 8);
            object_put(&fixture, name, object.data, object.size);
            assert_false(wal_object_read(&fixture.cluster, history, 1, NULL, NULL, NULL, &err));
            assert_true(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
            object.data[i] ^= (uint8_t)(1 << i % 8);
        }
        for (size_t size = 0; size < object.size; size++) {
            err = (Error){0};
            object_put(&fixture, name, object.data, size);
            assert_false(wal_object_read(&fixture.cluster, history, 1, NULL, NULL, NULL, &err));
            assert_int_equal(err.code, ERR_CORRUPT);
        }
    }
}

/* Frames intact each, in another order: only the whole tells. */
static void swapped_frames_are_noticed(void **state)
{
    enum { SIZE = 3 << 20, FRAME = 1 << 20 };
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(buffer_done) Buffer data = {0};
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(buffer_done) Buffer swapped = {0};
    WalTrailer trailer;
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    buffer_reserve(&data, SIZE);
    for (size_t i = 0; i < 3; i++)
        fill_bytes(data.data + i * FRAME, FRAME, (uint32_t)i);
    assert_true(store(&fixture, history, CODEC_NONE, 2, data.data, SIZE, SIZE, &trailer, &err));
    object_get(&fixture, "main/wal/00000002.history.wal", &object);
    size_t first = trailer.frame_stored[0];
    assert_int_equal(trailer.frame_stored[1], first); /* raw frames have one size */
    buffer_append(&swapped, object.data + first, first);
    buffer_append(&swapped, object.data, first);
    buffer_append(&swapped, object.data + 2 * first, object.size - 2 * first);
    object_put(&fixture, "main/wal/00000002.history.wal", swapped.data, swapped.size);

    for (unsigned threads = 1; threads <= 2; threads++) {
        err = (Error){0};
        assert_false(wal_object_read(&fixture.cluster, history, threads, NULL, NULL, NULL, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
    }
}

static void an_object_under_another_name_is_noticed(void **state)
{
    enum { SEGMENT = 1 << 20 };
    static const char *const others[] = {
        "000000020000000000000003",         /* timeline */
        "000000010000000000000004",         /* position */
        "000000010000000000000003.partial", /* kind */
        "00000003.history",
    };
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(buffer_done) Buffer data = {0};
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(wal_object_writer_freep) WalObjectWriter *writer = NULL;
    WalSummary summary;
    WalTrailer trailer;
    Error err = {0};

    (void)state;
    fixture_open(&fixture, SEGMENT);
    buffer_reserve(&data, SEGMENT);
    fill_bytes(data.data, SEGMENT, 1);
    wal_summary_init(&summary);
    summary.reader.first_record = 3 * SEGMENT + 40;
    assert_true(wal_object_write(&fixture.cluster, "000000010000000000000003",
                                 compression_of(CODEC_ZSTD), 1, SEGMENT, &writer, &err));
    assert_true(wal_object_writer_add(writer, data.data, SEGMENT, &err));
    assert_true(wal_object_writer_commit(writer, &summary, NULL, &err));
    assert_true(wal_object_trailer(&fixture.cluster, "000000010000000000000003", &trailer, &err));
    assert_true(trailer.summary.reader.first_record == summary.reader.first_record);

    object_get(&fixture, "main/wal/0000000100000000/000000010000000000000003.wal", &object);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        CLEANUP(text_freep) char *name = layout_wal("main", others[i]);

        err = (Error){0};
        object_put(&fixture, name, object.data, object.size);
        assert_false(wal_object_trailer(&fixture.cluster, others[i], &trailer, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
        err = (Error){0};
        assert_false(wal_object_read(&fixture.cluster, others[i], 1, NULL, NULL, NULL, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
    }
}

static void what_is_not_committed_never_existed(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    uint8_t data[100] = {0};
    WalTrailer trailer;
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    {
        CLEANUP(wal_object_writer_freep) WalObjectWriter *writer = NULL;

        assert_true(wal_object_write(&fixture.cluster, history, compression_of(CODEC_ZSTD), 2,
                                     sizeof data, &writer, &err));
        assert_true(wal_object_writer_add(writer, data, sizeof data, &err));
    }
    assert_int_equal(object_count(&fixture, "main/wal/"), 0);
    assert_false(wal_object_trailer(&fixture.cluster, history, &trailer, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void a_writer_left_in_the_middle_of_a_segment_stops_its_threads(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(buffer_done) Buffer data = {0};
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    buffer_reserve(&data, 7 << 20);
    fill_bytes(data.data, 7 << 20, 9);
    for (size_t size = 0; size <= 7 << 20; size += 1 << 20) {
        CLEANUP(wal_object_writer_freep) WalObjectWriter *writer = NULL;

        assert_true(wal_object_write(&fixture.cluster, segment, compression_of(CODEC_GZIP), 3,
                                     FIXTURE_SEGMENT_SIZE, &writer, &err));
        assert_true(wal_object_writer_add(writer, data.data, size, &err));
    }
    assert_int_equal(object_count(&fixture, "main/wal/"), 0);
}

static void a_file_of_another_size_than_announced_is_not_stored(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    uint8_t data[100] = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    for (size_t size = sizeof data - 1; size <= sizeof data + 1; size += 2) {
        CLEANUP(wal_object_writer_freep) WalObjectWriter *writer = NULL;
        Error err = {0};

        assert_true(wal_object_write(&fixture.cluster, history, compression_of(CODEC_ZSTD), 1, size,
                                     &writer, &err));
        bool is_added = wal_object_writer_add(writer, data, sizeof data, &err);
        assert_false(is_added && wal_object_writer_commit(writer, NULL, NULL, &err));
        assert_int_equal(err.code, ERR_IO);
    }
    CLEANUP(wal_object_writer_freep) WalObjectWriter *writer = NULL;
    Error err = {0};
    assert_false(wal_object_write(&fixture.cluster, segment, compression_of(CODEC_ZSTD), 1, 100,
                                  &writer, &err));
    assert_int_equal(err.code, ERR_REFUSED);
    assert_int_equal(object_count(&fixture, "main/wal/"), 0);
}

static void a_taken_name_is_kept_and_told(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    WalTrailer first;
    WalTrailer second;
    WalTrailer stored;
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    assert_true(
        store(&fixture, history, CODEC_ZSTD, 1, (const uint8_t *)"one", 3, 3, &first, &err));
    assert_false(
        store(&fixture, history, CODEC_LZ4, 1, (const uint8_t *)"two", 3, 3, &second, &err));
    assert_int_equal(err.code, ERR_EXISTS);
    assert_false(wal_trailers_agree(&second, &first));
    err = (Error){0};
    assert_true(wal_object_trailer(&fixture.cluster, history, &stored, &err));
    assert_true(wal_trailers_agree(&stored, &first));
}

static void a_damaged_object_is_set_aside_with_all_its_bytes(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(buffer_done) Buffer damaged = {0};
    CLEANUP(buffer_done) Buffer copy = {0};
    CLEANUP(text_freep) char *aside = NULL;
    WalTrailer trailer;
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    buffer_reserve(&damaged, 2500000);
    fill_bytes(damaged.data, 2500000, 3);
    object_put(&fixture, "main/wal/00000002.history.wal", damaged.data, 2500000);

    assert_true(wal_object_set_aside(&fixture.cluster, history, &aside, &err));
    assert_int_equal(strlen(aside), strlen("main/wal/00000002.history.wal.damaged-01234567"));
    object_get(&fixture, aside, &copy);
    assert_int_equal(copy.size, 2500000);
    assert_memory_equal(copy.data, damaged.data, copy.size);
    assert_false(wal_object_trailer(&fixture.cluster, history, &trailer, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

/* Another process has repaired it, and told its server so. */
static void an_object_that_is_whole_by_now_stays(void **state)
{
    static const uint8_t text[] = "1\t0/3000000\tno recovery target specified\n";
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(object_list_done) ObjectList list = {0};
    CLEANUP(text_freep) char *aside = NULL;
    WalTrailer trailer;
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    assert_true(
        store(&fixture, history, CODEC_ZSTD, 1, text, sizeof text, sizeof text, NULL, &err));

    assert_false(wal_object_set_aside(&fixture.cluster, history, &aside, &err));
    assert_int_equal(err.code, ERR_UNREACHABLE);
    assert_null(aside);
    err = (Error){0};
    assert_true(wal_object_read(&fixture.cluster, history, 1, NULL, NULL, &trailer, &err));
    assert_true(storage_list(fixture.repo.storage, "main/wal/", &list, &err));
    assert_int_equal(list.count, 1);
}

static bool refuse_second_piece(void *context, const void *data, size_t size, Error *err)
{
    int *count = context;

    (void)data;
    (void)size;
    return ++*count < 2 || error_set(err, ERR_IO, "disk full");
}

static void a_sink_that_fails_ends_the_reading(void **state)
{
    CLEANUP(fixture_done) Fixture fixture;
    CLEANUP(buffer_done) Buffer data = {0};
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    buffer_reserve(&data, 8 << 20);
    fill_bytes(data.data, 8 << 20, 2);
    assert_true(store(&fixture, history, CODEC_LZ4, 2, data.data, 8 << 20, 8 << 20, NULL, &err));
    for (unsigned threads = 1; threads <= 3; threads++) {
        int count = 0;

        err = (Error){0};
        assert_false(wal_object_read(&fixture.cluster, history, threads, refuse_second_piece,
                                     &count, NULL, &err));
        assert_int_equal(err.code, ERR_IO);
        assert_int_equal(count, 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_stored_is_read_back),
        cmocka_unit_test(bytes_can_be_filled_in_where_they_go),
        cmocka_unit_test(content_that_is_not_what_was_summed_is_noticed),
        cmocka_unit_test(stock_programs_give_the_file),
        cmocka_unit_test(any_changed_byte_of_an_object_is_noticed),
        cmocka_unit_test(swapped_frames_are_noticed),
        cmocka_unit_test(an_object_under_another_name_is_noticed),
        cmocka_unit_test(what_is_not_committed_never_existed),
        cmocka_unit_test(a_writer_left_in_the_middle_of_a_segment_stops_its_threads),
        cmocka_unit_test(a_file_of_another_size_than_announced_is_not_stored),
        cmocka_unit_test(a_taken_name_is_kept_and_told),
        cmocka_unit_test(a_damaged_object_is_set_aside_with_all_its_bytes),
        cmocka_unit_test(an_object_that_is_whole_by_now_stays),
        cmocka_unit_test(a_sink_that_fails_ends_the_reading),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
