/*
 * Decompression into bounded memory. Input: codec, size of the result, then the stored bytes. A
 * gzip member gets the right CRC and size first; zstd and lz4 frames can do without.
 */
#include "base/bytes.h"
#include "base/memory.h"
#include "fuzz.h"
#include "stream/codec.h"

#include <zlib.h>

enum { RAW_MAX = 256 << 10, GZIP_HEADER_SIZE = 10, GZIP_END_SIZE = 8 };

static CodecContext *context;

/* Of a member with a plain header: inflate what it has and write the end that fits. */
static void repair_gzip(uint8_t *stored, size_t size)
{
    static uint8_t raw[RAW_MAX];
    z_stream stream = {0};

    if (size < GZIP_HEADER_SIZE + GZIP_END_SIZE || inflateInit2(&stream, -15) != Z_OK)
        return;
    stream.next_in = stored + GZIP_HEADER_SIZE;
    stream.avail_in = (uInt)size - GZIP_HEADER_SIZE;
    stream.next_out = raw;
    stream.avail_out = sizeof raw;
    if (inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.avail_in >= GZIP_END_SIZE) {
        uint8_t *end = stored + size - stream.avail_in;

        put_le32(end, (uint32_t)crc32(0, raw, (uInt)stream.total_out));
        put_le32(end + 4, (uint32_t)stream.total_out);
    }
    (void)inflateEnd(&stream);
}

/* Whatever came out goes in and out again. */
static void check_again(Codec codec, const uint8_t *raw, size_t raw_size)
{
    static const int levels[] = {0, 1, 1, 6};
    CLEANUP(buffer_done) Buffer stored = {0};
    uint8_t *again = malloc(raw_size > 0 ? raw_size : 1);
    Error err = {0};

    assert(again != NULL);
    bool is_stored =
        codec_compress(context, (Compression){codec, levels[codec]}, raw, raw_size, &stored, &err);
    assert(is_stored);
    bool is_same =
        codec_decompress(context, codec, stored.data, stored.size, again, raw_size, &err);
    assert(is_same && memcmp(again, raw, raw_size) == 0);
    if (stored.size > 0) {
        bool is_cut =
            codec_decompress(context, codec, stored.data, stored.size - 1, again, raw_size, &err);
        assert(!is_cut && err.code == ERR_CORRUPT);
    }
    mem_free(again);
}

static void check_frame_size(const uint8_t *stored, size_t size)
{
    size_t frame_size;
    uint64_t raw_size;
    Error err = {0};

    if (codec_zstd_frame_size(stored, size, &frame_size, &raw_size, &err)) {
        assert(frame_size > 0 && frame_size <= size);
    } else {
        assert(err.code == ERR_CORRUPT);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};
    Codec codec = (Codec)(fuzz_u8(&input) & 3);
    size_t raw_size = fuzz_u32(&input) % RAW_MAX;
    uint8_t *stored = fuzz_copy(input.at, input.left);
    uint8_t *raw = malloc(raw_size > 0 ? raw_size : 1);
    Compression compression;
    Error err = {0};

    if (context == NULL)
        context = codec_context_new();
    if (codec == CODEC_GZIP)
        repair_gzip(stored, input.left);
    check_frame_size(stored, input.left);
    if (codec_decompress(context, codec, stored, input.left, raw, raw_size, &err)) {
        check_again(codec, raw, raw_size);
        fuzz_accepted();
    } else {
        assert(err.code == ERR_CORRUPT);
    }
    mem_free(raw);
    mem_free(stored);

    CLEANUP(text_freep) char *text = fuzz_rest_text(&input);
    Error usage = {0};
    if (!compression_parse(text, &compression, &usage))
        assert(usage.code == ERR_USAGE);
    return 0;
}

void fuzz_seeds(void)
{
    CodecContext *codecs = codec_context_new();
    static const char text[] = "START WAL LOCATION START WAL LOCATION 0/2000028 START WAL";
    static const uint8_t zeros[70000];

    for (unsigned codec = CODEC_NONE; codec <= CODEC_GZIP; codec++) {
        for (int i = 0; i < 2; i++) {
            CLEANUP(buffer_done) Buffer bytes = {0};
            uint8_t head[5] = {(uint8_t)codec};
            size_t raw_size = i == 0 ? sizeof text : sizeof zeros;
            char name[32];
            Error err = {0};

            if (codec == CODEC_NONE)
                raw_size = sizeof text;
            put_le32(head + 1, (uint32_t)raw_size);
            buffer_append(&bytes, head, sizeof head);
            bool ok =
                codec_compress(codecs, (Compression){(Codec)codec, codec == CODEC_NONE ? 0 : 1},
                               i == 0 ? (const void *)text : zeros, raw_size, &bytes, &err);
            assert(ok);
            snprintf(name, sizeof name, "%s-%d", codec_name((Codec)codec), i);
            fuzz_seed(name, bytes.data, bytes.size);
        }
    }
    CLEANUP(buffer_done) Buffer raw = {0};
    uint8_t head[5] = {CODEC_ZSTD, sizeof text};
    buffer_append(&raw, head, sizeof head);
    codec_wrap_raw(text, sizeof text, &raw);
    fuzz_seed("zstd-raw", raw.data, raw.size);
    fuzz_seed("level", "\0\0\0\0\0zstd:3", 11);
    codec_context_freep(&codecs);
}
