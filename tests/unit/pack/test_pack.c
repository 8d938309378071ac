#include "pack/pack.h"

#include "../repo/fixture.h"
#include "pack_directory.h"
#include "repo/layout.h"
#include "storage/wrap.h"
#include "stores.h"
#include "stream/digest.h"

enum { RAW_SIZE = 4000 };

static const Codec codecs[] = {CODEC_NONE, CODEC_ZSTD, CODEC_LZ4, CODEC_GZIP};

static PackWriter *new_writer(Fixture *fixture, uint64_t pack_size)
{
    return pack_writer_new(&(PackWriterSetup){
        .cluster = &fixture->cluster, .pack_size = pack_size, .first_index = 3, .index_step = 4});
}

/* Add frame number i, whose content follows from i. */
static void add_frame(PackWriter *writer, CodecContext *codec, uint32_t i, Frame *frame)
{
    CLEANUP(buffer_done) Buffer stored = {0};
    Compression compression = {.codec = codecs[i % ARRAY_SIZE(codecs)], .level = 1};
    uint8_t raw[RAW_SIZE];
    Error err = {0};

    fill_bytes(raw, sizeof raw, i);
    assert_true(codec_compress(codec, compression, raw, sizeof raw, &stored, &err));
    assert_true(pack_writer_add(writer, FRAME_EXTENT, "base/1/2", i, compression.codec, stored.data,
                                stored.size, sizeof raw, frame, &err));
}

static bool read_frame(const Fixture *fixture, const char *id, const Frame *frame, uint32_t i,
                       CodecContext *codec, Error *err)
{
    CLEANUP(buffer_done) Buffer scratch = {0};
    uint8_t expected[RAW_SIZE];
    uint8_t raw[RAW_SIZE];

    if (!pack_read_frame(&fixture->cluster, id, frame, codec, &scratch, raw, err))
        return false;
    fill_bytes(expected, sizeof expected, i);
    assert_memory_equal(raw, expected, sizeof raw);
    return true;
}

static void frames_are_read_back_from_as_many_packs_as_it_took(void **state)
{
    enum { FRAMES = 40 };
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    CLEANUP(fixture_done) Fixture fixture;
    Frame frames[FRAMES];
    size_t count;
    Error err = {0};

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    CLEANUP(pack_writer_freep) PackWriter *writer = new_writer(&fixture, 20000);
    for (uint32_t i = 0; i < FRAMES; i++) {
        add_frame(writer, codec, i, &frames[i]);
        assert_true(pack_writer_close_if_full(writer, &err));
    }
    assert_true(pack_writer_close(writer, &err));
    assert_true(pack_writer_close(writer, &err)); /* nothing is open: nothing happens */

    const PackInfo *packs = pack_writer_packs(writer, &count);
    assert_true(count >= 3 && count < FRAMES);
    assert_int_equal(object_count(&fixture, "main/pack/"), count);
    for (uint32_t i = 0; i < FRAMES; i++) {
        size_t pack = (frames[i].pack - 3) / 4;

        assert_int_equal((frames[i].pack - 3) % 4, 0);
        assert_true(pack < count);
        assert_true(read_frame(&fixture, packs[pack].id, &frames[i], i, codec, &err));
    }
    for (size_t i = 0; i < count; i++) {
        CLEANUP(buffer_done) Buffer object = {0};
        CLEANUP(text_freep) char *name = layout_pack("main", packs[i].id);
        uint8_t sha256[SHA256_SIZE];

        object_get(&fixture, name, &object);
        sha256_of(object.data, object.size, sha256);
        assert_true(packs[i].size == object.size);
        assert_memory_equal(packs[i].sha256, sha256, sizeof sha256);
        assert_true(pack_check(&fixture.cluster, packs[i].id, packs[i].size, &err));
    }
}

static void a_pack_that_was_not_closed_never_existed(void **state)
{
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    CLEANUP(fixture_done) Fixture fixture;
    Frame frame;

    (void)state;
    fixture_open(&fixture, FIXTURE_SEGMENT_SIZE);
    {
        CLEANUP(pack_writer_freep) PackWriter *writer = new_writer(&fixture, 1);

        add_frame(writer, codec, 0, &frame);
        add_frame(writer, codec, 1, &frame);
    }
    assert_int_equal(object_count(&fixture, "main/pack/"), 0);
}

/* One pack of three frames, its bytes, and what refers to it. */
typedef struct Example {
    Fixture fixture;
    CodecContext *codec;
    Frame frames[3];
    PackInfo info;
    Buffer object;
    char *name;
} Example;

static void example_open(Example *example)
{
    size_t count;
    Error err = {0};

    *example = (Example){.codec = codec_context_new()};
    fixture_open(&example->fixture, FIXTURE_SEGMENT_SIZE);
    CLEANUP(pack_writer_freep) PackWriter *writer = new_writer(&example->fixture, 1 << 20);
    for (uint32_t i = 0; i < 3; i++)
        add_frame(writer, example->codec, i, &example->frames[i]);
    assert_true(pack_writer_close(writer, &err));
    example->info = pack_writer_packs(writer, &count)[0];
    assert_int_equal(count, 1);
    example->name = layout_pack("main", example->info.id);
    object_get(&example->fixture, example->name, &example->object);
}

static void example_done(Example *example)
{
    fixture_done(&example->fixture);
    codec_context_freep(&example->codec);
    buffer_done(&example->object);
    text_freep(&example->name);
}

/* What a reader notices: the pack's own parts, or one of the frames. */
static bool is_intact(Example *example)
{
    Error err = {0};

    if (!pack_check(&example->fixture.cluster, example->info.id, example->info.size, &err)) {
        assert_true(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
        return false;
    }
    for (uint32_t i = 0; i < 3; i++) {
        if (!read_frame(&example->fixture, example->info.id, &example->frames[i], i, example->codec,
                        &err)) {
            assert_int_equal(err.code, ERR_CORRUPT);
            assert_non_null(strstr(err.context, example->info.id));
            return false;
        }
    }
    return true;
}

static void any_changed_byte_of_a_pack_is_noticed(void **state)
{
    CLEANUP(example_done) Example example;

    (void)state;
    example_open(&example);
    assert_true(is_intact(&example));
    for (size_t i = 0; i < example.object.size; i++) {
        example.object.data[i] ^= (uint8_t)(1 << i % 8);
        object_put(&example.fixture, example.name, example.object.data, example.object.size);
        assert_false(is_intact(&example));
        example.object.data[i] ^= (uint8_t)(1 << i % 8);
    }
}

static void any_cut_of_a_pack_is_noticed(void **state)
{
    CLEANUP(example_done) Example example;

    (void)state;
    example_open(&example);
    for (size_t size = 0; size < example.object.size; size += size < 200 ? 1 : 37) {
        object_put(&example.fixture, example.name, example.object.data, size);
        assert_false(is_intact(&example));
    }
}

static void a_missing_pack_is_damage_not_absence(void **state)
{
    CLEANUP(example_done) Example example;
    Error err = {0};

    (void)state;
    example_open(&example);
    assert_true(storage_remove(example.fixture.repo.storage, example.name, &err));
    assert_false(pack_check(&example.fixture.cluster, example.info.id, example.info.size, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    err = (Error){0};
    assert_false(
        read_frame(&example.fixture, example.info.id, &example.frames[0], 0, example.codec, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

static void frames_that_lie_about_themselves_are_refused(void **state)
{
    CLEANUP(example_done) Example example;
    Frame wrong[7];

    (void)state;
    example_open(&example);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        wrong[i] = example.frames[1];
    wrong[0].offset++;
    wrong[1].stored_size--;
    wrong[2].stored_size = UINT32_MAX;
    wrong[3].raw_size--;
    wrong[4].checksum ^= 1;
    wrong[5].codec = CODEC_LZ4;
    wrong[6].offset = UINT64_MAX - 10;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        Error err = {0};

        assert_false(
            read_frame(&example.fixture, example.info.id, &wrong[i], 1, example.codec, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
    }
}

/*
 * The pack with another directory, all checksums renewed: one entry's frame moved by `shift` bytes,
 * `extra` bytes after the last entry, the last `dropped` entries gone.
 */
static void put_other_directory(Example *example, int64_t shift, size_t extra, uint32_t dropped)
{
    Repo *repo = &example->fixture.repo;
    CLEANUP(buffer_done) Buffer raw = {0};
    CLEANUP(buffer_done) Buffer directory = {0};
    CLEANUP(buffer_done) Buffer stored = {0};
    CLEANUP(buffer_done) Buffer object = {0};
    uint8_t bytes[PACK_TRAILER_SIZE];
    PackTrailer trailer;
    size_t offset = 0;
    Error err = {0};

    assert_true(pack_directory_load(&example->fixture.cluster, example->info.id, example->info.size,
                                    &trailer, &raw, &err));
    for (uint32_t i = 0; i < trailer.entry_count - dropped; i++) {
        PackEntry entry;

        assert_true(pack_entry_decode(raw.data, trailer.directory_raw, &offset, &entry, &err));
        if (i == 1)
            entry.frame.offset = (uint64_t)((int64_t)entry.frame.offset + shift);
        pack_entry_encode(&entry, &directory);
    }
    buffer_reserve(&directory, extra + 1);
    memset(directory.data + directory.size, 0, extra);
    directory.size += extra;
    assert_true(codec_compress(example->codec, (Compression){.codec = CODEC_ZSTD, .level = 1},
                               directory.data, directory.size, &stored, &err));
    buffer_append(&object, example->object.data, trailer.directory_offset);
    buffer_append(&object, stored.data, stored.size);
    trailer.entry_count -= dropped;
    trailer.directory_raw = (uint32_t)directory.size;
    trailer.directory_stored = (uint32_t)stored.size;
    trailer.directory_codec = CODEC_ZSTD;
    trailer.directory_checksum = xxh3_of(repo->hash_seed, stored.data, stored.size);
    pack_trailer_encode(&trailer, repo->hash_seed, bytes);
    buffer_append(&object, bytes, sizeof bytes);
    object_put(&example->fixture, example->name, object.data, object.size);
    example->info.size = object.size;
}

static void a_directory_that_does_not_add_up_is_refused(void **state)
{
    static const struct {
        int64_t shift;
        size_t extra;
        uint32_t dropped;
    } cases[] = {{0, 0, 0}, {1, 0, 0}, {-1, 0, 0}, {0, 5, 0}, {0, 0, 1}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(example_done) Example example;

        example_open(&example);
        put_other_directory(&example, cases[i].shift, cases[i].extra, cases[i].dropped);
        if (is_intact(&example) != (i == 0))
            fail_msg("case %zu", i);
    }
}

static void what_a_directory_cannot_hold_is_not_written(void **state)
{
    CLEANUP(example_done) Example example;
    Error err = {0};

    (void)state;
    example_open(&example);
    CLEANUP(pack_writer_freep) PackWriter *writer = new_writer(&example.fixture, 1 << 20);
    CLEANUP(text_freep) char *path = text_format("%0*d", PACK_PATH_MAX + 1, 0);
    CLEANUP(buffer_done) Buffer stored = {0};
    Frame frame;
    assert_true(codec_compress(example.codec, (Compression){.codec = CODEC_ZSTD, .level = 1},
                               "0123456789", 10, &stored, &err));
    assert_false(pack_writer_add(writer, FRAME_FILE, path, 0, CODEC_ZSTD, stored.data, stored.size,
                                 10, &frame, &err));
    assert_int_equal(err.code, ERR_REFUSED);
}

/* After a failed write the writer publishes nothing any more. */
static void a_writer_that_failed_stays_failed(void **state)
{
    StorageFault fault = {.code = ERR_IO};
    Storage *storage = storage_fault_new(storage_memory_new(), &fault);
    CLEANUP(codec_context_freep) CodecContext *codec = codec_context_new();
    CLEANUP(repo_done) Repo repo = {0};
    Cluster cluster;
    Frame frame;
    bool created;
    size_t count;
    Error err = {0};

    (void)state;
    assert_true(repo_create(&repo, storage, &created, &err));
    assert_true(cluster_register(&repo, "main", 1, 15, 16 << 20, &cluster, &created, &err));
    CLEANUP(pack_writer_freep)
    PackWriter *writer = pack_writer_new(
        &(PackWriterSetup){.cluster = &cluster, .pack_size = 1 << 20, .index_step = 1});
    add_frame(writer, codec, 0, &frame);
    fault.fail_at = 1; /* all from here on */
    fault.fail_count = UINT64_MAX;
    assert_false(pack_writer_close(writer, &err));
    fault = (StorageFault){0};
    err = (Error){0};
    assert_false(pack_writer_close(writer, &err));
    (void)pack_writer_packs(writer, &count);
    assert_int_equal(count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_read_back_from_as_many_packs_as_it_took),
        cmocka_unit_test(a_pack_that_was_not_closed_never_existed),
        cmocka_unit_test(any_changed_byte_of_a_pack_is_noticed),
        cmocka_unit_test(any_cut_of_a_pack_is_noticed),
        cmocka_unit_test(a_missing_pack_is_damage_not_absence),
        cmocka_unit_test(frames_that_lie_about_themselves_are_refused),
        cmocka_unit_test(a_writer_that_failed_stays_failed),
        cmocka_unit_test(a_directory_that_does_not_add_up_is_refused),
        cmocka_unit_test(what_a_directory_cannot_hold_is_not_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
