#include "stream/codec.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const Compression compressions[] = {
    {CODEC_NONE, 0}, {CODEC_ZSTD, 1}, {CODEC_ZSTD, -5}, {CODEC_ZSTD, 3},
    {CODEC_LZ4, 1},  {CODEC_LZ4, 9},  {CODEC_GZIP, 1},  {CODEC_GZIP, 6},
};

/* Half text that compresses, half noise that does not. */
static void fill(uint8_t *data, size_t size)
{
    uint64_t random = 88172645463325252;

    for (size_t i = 0; i < size; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        data[i] = i / 512 % 2 == 0 ? (uint8_t)("pgcairn "[i % 8]) : (uint8_t)random;
    }
}

static void fail_with(const Error *err)
{
    fail_msg("%d: %s: %s", (int)err->code, err->context, err->message);
}

static void assert_round_trip(CodecContext *context, Compression compression, const uint8_t *data,
                              size_t size)
{
    CLEANUP(buffer_done) Buffer stored = {0};
    CLEANUP(buffer_done) Buffer raw = {0};
    Error err = {0};

    buffer_reserve(&raw, size + 1);
    buffer_append(&stored, "before", 6); /* what is there stays */
    raw.data[size] = 0xee;               /* and nothing is written beyond the end */
    if (!codec_compress(context, compression, data, size, &stored, &err))
        fail_with(&err);
    assert_memory_equal(stored.data, "before", 6);
    if (!codec_decompress(context, compression.codec, stored.data + 6, stored.size - 6, raw.data,
                          size, &err))
        fail_with(&err);
    assert_int_equal(raw.data[size], 0xee);
    assert_memory_equal(raw.data, data, size);
}

static void every_size_around_the_borders_of_blocks_comes_back(void **state)
{
    static const size_t borders[] = {0,
                                     512,
                                     8192,
                                     64 << 10,
                                     128 << 10,
                                     256 << 10,
                                     (size_t)1 << 20,
                                     (size_t)3 << 20,
                                     (size_t)4 << 20,
                                     (size_t)9 << 20};
    CLEANUP(codec_context_freep) CodecContext *context = codec_context_new();
    size_t largest = (size_t)9 << 20;
    uint8_t *data = mem_alloc(largest + 8);

    (void)state;
    fill(data, largest + 8);
    for (size_t c = 0; c < ARRAY_SIZE(compressions); c++) {
        bool is_slow = compressions[c].codec == CODEC_GZIP || compressions[c].level > 3;
        for (size_t i = 0; i < ARRAY_SIZE(borders); i++) {
            size_t reach = borders[i] > (size_t)256 << 10 ? 1 : 3;
            if (is_slow && borders[i] > (size_t)1 << 20)
                continue;
            for (size_t size = borders[i] - (borders[i] > reach ? reach : borders[i]);
                 size <= borders[i] + reach; size++)
                assert_round_trip(context, compressions[c], data, size);
        }
    }
    mem_free(data);
}

static void small_sizes_come_back_one_by_one(void **state)
{
    CLEANUP(codec_context_freep) CodecContext *context = codec_context_new();
    uint8_t data[600];

    (void)state;
    fill(data, sizeof(data));
    for (size_t c = 0; c < ARRAY_SIZE(compressions); c++) {
        for (size_t size = 0; size <= sizeof(data); size++)
            assert_round_trip(context, compressions[c], data, size);
    }
}

/* Makes the frame of one codec; the last kind is the one that holds raw blocks. */
enum { FRAME_KINDS = 4 };

static Codec make_frame(CodecContext *context, size_t kind, const uint8_t *data, size_t size,
                        Buffer *out)
{
    static const Compression by_kind[] = {{CODEC_ZSTD, 1}, {CODEC_LZ4, 1}, {CODEC_GZIP, 6}};
    Error err = {0};

    if (kind == FRAME_KINDS - 1) {
        codec_wrap_raw(data, size, out);
        return CODEC_ZSTD;
    }
    if (!codec_compress(context, by_kind[kind], data, size, out, &err))
        fail_with(&err);
    return by_kind[kind].codec;
}

static void raw_frames_of_every_border_decode_as_zstd(void **state)
{
    static const size_t borders[] = {0, 255, 65535 + 256, 128 << 10, 256 << 10, 1 << 20, 16 << 20};
    CLEANUP(codec_context_freep) CodecContext *context = codec_context_new();
    size_t largest = ((size_t)16 << 20) + 2;
    uint8_t *data = mem_alloc(largest);
    uint8_t *raw = mem_alloc(largest);

    (void)state;
    fill(data, largest);
    for (size_t i = 0; i < ARRAY_SIZE(borders); i++) {
        for (size_t size = borders[i] - (borders[i] > 0); size <= borders[i] + 1; size++) {
            CLEANUP(buffer_done) Buffer stored = {0};
            Error err = {0};
            codec_wrap_raw(data, size, &stored);
            assert_true(stored.size <= size + 18 + 3 * (size / (128 << 10) + 1));
            if (!codec_decompress(context, CODEC_ZSTD, stored.data, stored.size, raw, size, &err))
                fail_with(&err);
            assert_memory_equal(raw, data, size);
        }
    }
    mem_free(raw);
    mem_free(data);
}

/* A damaged frame is refused as such, or the damage was in a bit that means nothing. */
static void any_changed_bit_is_noticed_or_harmless(void **state)
{
    enum { RAW_SIZE = 700 };
    CLEANUP(codec_context_freep) CodecContext *context = codec_context_new();
    uint8_t data[RAW_SIZE], raw[RAW_SIZE];
    size_t harmless = 0, noticed = 0;

    (void)state;
    fill(data, sizeof(data));
    for (size_t kind = 0; kind < FRAME_KINDS; kind++) {
        CLEANUP(buffer_done) Buffer stored = {0};
        Codec codec = make_frame(context, kind, data, sizeof(data), &stored);
        for (size_t bit = 0; bit < stored.size * 8; bit++) {
            Error err = {0};
            stored.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            if (codec_decompress(context, codec, stored.data, stored.size, raw, RAW_SIZE, &err)) {
                assert_memory_equal(raw, data, RAW_SIZE);
                harmless++;
            } else {
                assert_int_equal(err.code, ERR_CORRUPT);
                noticed++;
            }
            stored.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        Error err = {0};
        if (!codec_decompress(context, codec, stored.data, stored.size, raw, RAW_SIZE, &err))
            fail_with(&err); /* the context has survived all that */
    }
    assert_true(noticed > 50 * harmless);
}

static void a_frame_cut_at_any_length_is_damaged(void **state)
{
    enum { RAW_SIZE = 3000 };
    CLEANUP(codec_context_freep) CodecContext *context = codec_context_new();
    uint8_t data[RAW_SIZE], raw[RAW_SIZE];

    (void)state;
    fill(data, sizeof(data));
    for (size_t kind = 0; kind < FRAME_KINDS; kind++) {
        CLEANUP(buffer_done) Buffer stored = {0};
        Codec codec = make_frame(context, kind, data, sizeof(data), &stored);
        for (size_t size = 0; size < stored.size; size++) {
            Error err = {0};
            /* A copy of exactly that size: the sanitizer sees who reads beyond it. */
            CLEANUP(buffer_done) Buffer cut = {0};
            buffer_append(&cut, stored.data, size);
            assert_false(codec_decompress(context, codec, cut.data, size, raw, RAW_SIZE, &err));
            assert_int_equal(err.code, ERR_CORRUPT);
        }
    }
}

static void a_frame_of_another_size_is_damaged(void **state)
{
    enum { RAW_SIZE = 3000 };
    CLEANUP(codec_context_freep) CodecContext *context = codec_context_new();
    uint8_t data[RAW_SIZE], raw[RAW_SIZE + 2];

    (void)state;
    fill(data, sizeof(data));
    for (size_t kind = 0; kind <= FRAME_KINDS; kind++) {
        CLEANUP(buffer_done) Buffer stored = {0};
        Codec codec = CODEC_NONE;
        if (kind < FRAME_KINDS) {
            codec = make_frame(context, kind, data, sizeof(data), &stored);
        } else {
            buffer_append(&stored, data, sizeof(data));
        }
        for (size_t size = 0; size <= RAW_SIZE + 2; size++) {
            Error err = {0};
            bool done = codec_decompress(context, codec, stored.data, stored.size, raw, size, &err);
            assert_int_equal(done, size == RAW_SIZE);
            assert_int_equal(err.code, size == RAW_SIZE ? ERR_NONE : ERR_CORRUPT);
        }
    }
}

static void what_follows_a_frame_is_damage(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } tails[] = {
        {"\0", 1},
        {"x", 1},
        {"\x5e\x2a\x4d\x18\0\0\0\0", 8},       /* a skippable frame of nothing */
        {"\x28\xb5\x2f\xfd\x20\0\x01\0\0", 9}, /* a zstd frame of nothing */
    };
    CLEANUP(codec_context_freep) CodecContext *context = codec_context_new();
    uint8_t data[1000], raw[2000];

    (void)state;
    fill(data, sizeof(data));
    for (size_t kind = 0; kind < FRAME_KINDS; kind++) {
        for (size_t i = 0; i <= ARRAY_SIZE(tails); i++) {
            CLEANUP(buffer_done) Buffer stored = {0};
            Error err = {0};
            Codec codec = make_frame(context, kind, data, sizeof(data), &stored);
            size_t raw_size = sizeof(data);
            if (i < ARRAY_SIZE(tails)) {
                buffer_append(&stored, tails[i].bytes, tails[i].size);
            } else { /* two frames where one should be, and room for both */
                (void)make_frame(context, kind, data, sizeof(data), &stored);
                raw_size *= 2;
            }
            assert_false(
                codec_decompress(context, codec, stored.data, stored.size, raw, raw_size, &err));
            assert_int_equal(err.code, ERR_CORRUPT);
        }
    }
}

static void skippable_frames_and_foreign_bytes_are_no_frames(void **state)
{
    static const char *const texts[] = {"", "x", "this is no frame of anything at all"};
    CLEANUP(codec_context_freep) CodecContext *context = codec_context_new();
    uint8_t skippable[] = {0x5e, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 7, 7};

    (void)state;
    for (unsigned codec = CODEC_ZSTD; codec <= CODEC_GZIP; codec++) {
        Error err = {0};
        assert_false(
            codec_decompress(context, (Codec)codec, skippable, sizeof(skippable), NULL, 0, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
            error_clear(&err);
            assert_false(
                codec_decompress(context, (Codec)codec, texts[i], strlen(texts[i]), NULL, 0, &err));
            assert_int_equal(err.code, ERR_CORRUPT);
        }
    }
}

/* Reads what a stock program makes of a file: -1 when it fails. */
static long run_stock_program(const char *command, uint8_t *output, size_t size_max)
{
    FILE *program = popen(command, "r");
    assert_non_null(program);
    size_t got = fread(output, 1, size_max, program);
    return pclose(program) == 0 ? (long)got : -1;
}

static void stock_programs_read_frames_one_after_another(void **state)
{
    static const char *const programs[FRAME_KINDS] = {"zstd -dcq", "lz4 -dcq", "gzip -dcq",
                                                      "zstd -dcq"};
    static const uint8_t skippable[] = {0x5e, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 7, 7};
    static const size_t sizes[] = {(size_t)4 << 20, 1, 0, 300000, (size_t)1 << 20};
    size_t total_max = (size_t)6 << 20;
    uint8_t *data = mem_alloc(total_max);
    uint8_t *output = mem_alloc(total_max);
    CLEANUP(codec_context_freep) CodecContext *context = codec_context_new();

    (void)state;
    fill(data, total_max);
    for (size_t kind = 0; kind < FRAME_KINDS; kind++) {
        char path[] = "/tmp/test-codec-XXXXXX";
        CLEANUP(buffer_done) Buffer stored = {0};
        size_t total = 0;
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
            (void)make_frame(context, kind, data + total, sizes[i], &stored);
            total += sizes[i];
        }
        if (kind != CODEC_GZIP - 1) /* as in a WAL object: the trailer is skipped */
            buffer_append(&stored, skippable, sizeof(skippable));

        int fd = mkstemp(path);
        FILE *file = fdopen(fd, "w");
        assert_int_equal(fwrite(stored.data, 1, stored.size, file), stored.size);
        assert_int_equal(fclose(file), 0);
        CLEANUP(text_freep) char *command = text_format("%s < %s", programs[kind], path);
        long got = run_stock_program(command, output, total_max);
        assert_int_equal(remove(path), 0);
        assert_int_equal(got, total);
        assert_memory_equal(output, data, total);
    }
    mem_free(output);
    mem_free(data);
}

/* RFC 8878, 3.1.1.1.1: bit 2 of the byte after the magic says that 4 bytes of checksum follow. */
static void a_bare_zstd_frame_has_no_checksum_and_is_read_like_the_others(void **state)
{
    static const Compression whole = {.codec = CODEC_ZSTD, .level = 1},
                             bare = {.codec = CODEC_ZSTD, .level = 1, .is_bare = true};
    CLEANUP(codec_context_freep) CodecContext *context = codec_context_new();
    CLEANUP(buffer_done) Buffer first = {0};
    CLEANUP(buffer_done) Buffer second = {0};
    uint8_t data[5000];
    Error err = {0};

    (void)state;
    fill(data, sizeof(data));
    assert_round_trip(context, bare, data, sizeof(data));
    assert_true(codec_compress(context, whole, data, sizeof(data), &first, &err));
    assert_true(codec_compress(context, bare, data, sizeof(data), &second, &err));
    assert_int_equal(first.data[4] & 4, 4);
    assert_int_equal(second.data[4] & 4, 0);
    assert_int_equal(second.size, first.size - 4);
}

static void compression_is_parsed_as_the_help_says(void **state)
{
    static const struct {
        const char *text;
        bool is_valid;
        Compression compression;
    } cases[] = {
        {"zstd", true, {CODEC_ZSTD, 1}},
        {"lz4", true, {CODEC_LZ4, 1}},
        {"gzip", true, {CODEC_GZIP, 6}},
        {"none", true, {CODEC_NONE, 0}},
        {"zstd:3", true, {CODEC_ZSTD, 3}},
        {"zstd:-7", true, {CODEC_ZSTD, -7}},
        {"zstd:22", true, {CODEC_ZSTD, 22}},
        {"zstd:23", false, {0}},
        {"zstd:-8", false, {0}},
        {"lz4:12", true, {CODEC_LZ4, 12}},
        {"lz4:13", false, {0}},
        {"lz4:0", false, {0}},
        {"gzip:9", true, {CODEC_GZIP, 9}},
        {"gzip:10", false, {0}},
        {"gzip:0", false, {0}},
        {"none:0", true, {CODEC_NONE, 0}},
        {"none:1", false, {0}},
        {"zstd:", false, {0}},
        {"zstd: 3", false, {0}},
        {"zstd:+3", false, {0}},
        {"zstd:3x", false, {0}},
        {"zstd:99999999999999999999", false, {0}},
        {"", false, {0}},
        {"zst", false, {0}},
        {"ZSTD", false, {0}},
        {"zstdx", false, {0}},
        {":1", false, {0}},
        {"zstd:-", false, {0}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        Compression got = {CODEC_GZIP, 77};
        Error err = {0};
        if (compression_parse(cases[i].text, &got, &err) != cases[i].is_valid)
            fail_msg("%s", cases[i].text);
        assert_int_equal(err.code, cases[i].is_valid ? ERR_NONE : ERR_USAGE);
        assert_int_equal(got.codec, cases[i].is_valid ? cases[i].compression.codec : CODEC_GZIP);
        assert_int_equal(got.level, cases[i].is_valid ? cases[i].compression.level : 77);
    }
}

static void codecs_have_names_and_numbers(void **state)
{
    (void)state;
    assert_string_equal(codec_name(CODEC_NONE), "none");
    assert_string_equal(codec_name(CODEC_ZSTD), "zstd");
    assert_string_equal(codec_name(CODEC_LZ4), "lz4");
    assert_string_equal(codec_name(CODEC_GZIP), "gzip");
    for (unsigned number = 0; number < 300; number++)
        assert_int_equal(codec_is_known(number), number < 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_around_the_borders_of_blocks_comes_back),
        cmocka_unit_test(small_sizes_come_back_one_by_one),
        cmocka_unit_test(raw_frames_of_every_border_decode_as_zstd),
        cmocka_unit_test(any_changed_bit_is_noticed_or_harmless),
        cmocka_unit_test(a_frame_cut_at_any_length_is_damaged),
        cmocka_unit_test(a_frame_of_another_size_is_damaged),
        cmocka_unit_test(what_follows_a_frame_is_damage),
        cmocka_unit_test(skippable_frames_and_foreign_bytes_are_no_frames),
        cmocka_unit_test(stock_programs_read_frames_one_after_another),
        cmocka_unit_test(a_bare_zstd_frame_has_no_checksum_and_is_read_like_the_others),
        cmocka_unit_test(compression_is_parsed_as_the_help_says),
        cmocka_unit_test(codecs_have_names_and_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
