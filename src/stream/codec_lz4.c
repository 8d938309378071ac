#include "codec_engine.h"

#include "base/bytes.h"

#include <assert.h>
#include <lz4frame.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/*
 * The library makes and reads the frame, we the checksum of its content: the library's own XXH32
 * takes longer than all the rest (measured: decompressing 1.3 GB/s with it, 4 with ours). In the
 * frame (lz4_Frame_format.md) the flag is in the byte after the magic, the last byte of the header
 * is a checksum of the header, and the checksum of the content ends the frame.
 */
enum {
    FLAGS_OFFSET = 4,
    FLAG_CONTENT_CHECKSUM = 1 << 2,
    CHECKSUM_SIZE = 4,
};

static bool lz4_failed(const char *what, size_t result, ErrorCode code, Error *err)
{
    return error_set(err, code, "%s: %s", what, LZ4F_getErrorName(result));
}

static bool lz4_is_out_of_memory(size_t result)
{
    return LZ4F_isError(result) &&
           strcmp(LZ4F_getErrorName(result), "ERROR_allocation_failed") == 0;
}

/* The smallest block that holds everything, at most 4 MiB: one block is the fastest. */
static LZ4F_blockSizeID_t lz4_block(size_t size)
{
    if (size <= (size_t)64 << 10)
        return LZ4F_max64KB;
    if (size <= (size_t)256 << 10)
        return LZ4F_max256KB;
    return size <= (size_t)1 << 20 ? LZ4F_max1MB : LZ4F_max4MB;
}

/* Turns the frame without a checksum of its content, which ends the buffer, into one with it. */
static void lz4_add_checksum(uint8_t *frame, size_t header_size, const void *data, size_t size,
                             uint8_t *end)
{
    frame[FLAGS_OFFSET] |= FLAG_CONTENT_CHECKSUM;
    uint32_t header = XXH32(frame + FLAGS_OFFSET, header_size - FLAGS_OFFSET - 1, 0);
    frame[header_size - 1] = (uint8_t)(header >> 8);
    put_le32(end, XXH32(data, size, 0));
}

static bool has_checksum(const uint8_t *frame)
{
    return (frame[FLAGS_OFFSET] & FLAG_CONTENT_CHECKSUM) != 0;
}

static bool lz4_compress(void **state, const Compression *compression, const void *data,
                         size_t size, Buffer *out, Error *err)
{
    LZ4F_preferences_t preferences = {
        .frameInfo = {.blockSizeID = lz4_block(size),
                      .blockMode = LZ4F_blockIndependent,
                      .contentSize = size},
        .compressionLevel = compression->level,
        .autoFlush = 1, /* straight from our memory, without a copy in between */
    };

    if (*state == NULL &&
        LZ4F_isError(LZ4F_createCompressionContext((LZ4F_cctx **)state, LZ4F_VERSION)))
        return error_set(err, ERR_INTERNAL, "no memory for an lz4 compressor");
    buffer_reserve(out, out->size + LZ4F_HEADER_SIZE_MAX + LZ4F_compressBound(size, &preferences) +
                            CHECKSUM_SIZE);

    uint8_t *frame = out->data + out->size;
    uint8_t *const limit = out->data + out->capacity;
    size_t header = LZ4F_compressBegin(*state, frame, (size_t)(limit - frame), &preferences);
    if (LZ4F_isError(header))
        return lz4_failed("compress with lz4", header, ERR_INTERNAL, err);
    uint8_t *end = frame + header;
    size_t result = LZ4F_compressUpdate(*state, end, (size_t)(limit - end), data, size, NULL);
    if (LZ4F_isError(result))
        return lz4_failed("compress with lz4", result, ERR_INTERNAL, err);
    end += result;
    result = LZ4F_compressEnd(*state, end, (size_t)(limit - end), NULL);
    if (LZ4F_isError(result))
        return lz4_failed("compress with lz4", result, ERR_INTERNAL, err);
    end += result;
    lz4_add_checksum(frame, header, data, size, end);
    out->size = (size_t)(end - out->data) + CHECKSUM_SIZE;
    return true;
}

/* Feeds the frame through, all but the checksum of the content. */
static bool lz4_decode(LZ4F_dctx *decoder, const uint8_t *data, size_t size, uint8_t *raw,
                       size_t raw_size, Error *err)
{
    LZ4F_decompressOptions_t options = {.stableDst = 1, .skipChecksums = has_checksum(data)};
    size_t consumed = 0;
    size_t got = 0;

    for (;;) {
        size_t in = size - consumed;
        size_t room = raw_size - got;
        size_t result = LZ4F_decompress(decoder, raw + got, &room, data + consumed, &in, &options);
        if (LZ4F_isError(result)) {
            return lz4_failed("damaged lz4 frame", result,
                              lz4_is_out_of_memory(result) ? ERR_INTERNAL : ERR_CORRUPT, err);
        }
        consumed += in;
        got += room;
        if (result == 0)
            break;
        if (in == 0 && room == 0) { /* it wants more input, or more room, than there should be */
            return consumed == size ? codec_wrong_end("lz4", err)
                                    : codec_wrong_raw_size("lz4", raw_size, err);
        }
    }
    if (consumed != size)
        return codec_wrong_end("lz4", err);
    return got == raw_size || codec_wrong_raw_size("lz4", raw_size, err);
}

static bool lz4_decompress(void **state, const void *data, size_t size, void *raw, size_t raw_size,
                           Error *err)
{
    static const uint8_t magic[4] = {0x04, 0x22, 0x4d, 0x18};

    assert(raw != NULL);
    /* LZ4F_decompress() would go along with a skippable frame. */
    if (size <= sizeof(magic) || memcmp(data, magic, sizeof(magic)) != 0)
        return error_set(err, ERR_CORRUPT, "this is not an lz4 frame");
    if (*state == NULL &&
        LZ4F_isError(LZ4F_createDecompressionContext((LZ4F_dctx **)state, LZ4F_VERSION)))
        return error_set(err, ERR_INTERNAL, "no memory for an lz4 decompressor");

    LZ4F_resetDecompressionContext(*state); /* a damaged frame leaves it in the middle */
    if (!lz4_decode(*state, data, size, raw, raw_size, err))
        return false;
    if (has_checksum(data) &&
        get_le32((const uint8_t *)data + size - CHECKSUM_SIZE) != XXH32(raw, raw_size, 0))
        return error_set(err, ERR_CORRUPT, "damaged lz4 frame: wrong checksum of the content");
    return true;
}

static void lz4_free_compressor(void *state)
{
    (void)LZ4F_freeCompressionContext(state);
}

static void lz4_free_decompressor(void *state)
{
    (void)LZ4F_freeDecompressionContext(state);
}

const CodecEngine codec_lz4_engine = {
    .name = "lz4",
    .level_min = 1,
    .level_max = 12,
    .level_default = 1,
    .compress = lz4_compress,
    .decompress = lz4_decompress,
    .free_compressor = lz4_free_compressor,
    .free_decompressor = lz4_free_decompressor,
};
