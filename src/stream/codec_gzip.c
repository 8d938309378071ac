#include "codec_engine.h"

#include "base/memory.h"

#include <zlib.h>

/* zlib counts in unsigned int: larger inputs and outputs go in parts. */
enum { PART_SIZE = 1 << 30, GZIP_WINDOW_BITS = 15 + 16 /* By zlib.h, 16 asks for gzip. */ };

typedef struct Deflater {
    z_stream stream;
    int level;
} Deflater;

static uInt part_of(size_t size)
{
    return (uInt)(size < PART_SIZE ? size : PART_SIZE);
}

/* NULL on failure. */
static z_stream *deflater_prepare(void **state, int level, Error *err)
{
    Deflater *deflater = *state;

    if (deflater != NULL && deflater->level == level) {
        (void)deflateReset(&deflater->stream); /* fails only for a state that is none */
        return &deflater->stream;
    }
    if (deflater != NULL)
        codec_gzip_engine.free_compressor(TAKE(*state));

    deflater = mem_alloc(sizeof(*deflater));
    deflater->level = level;
    if (deflateInit2(&deflater->stream, level, Z_DEFLATED, GZIP_WINDOW_BITS, 8,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        mem_free(deflater);
        error_set(err, ERR_INTERNAL, "no memory for a gzip compressor");
        return NULL;
    }
    *state = deflater;
    return &deflater->stream;
}

static bool gzip_compress(void **state, const Compression *compression, const void *data,
                          size_t size, Buffer *out, Error *err)
{
    z_stream *stream = deflater_prepare(state, compression->level, err);

    if (stream == NULL)
        return false;
    buffer_reserve(out, out->size + deflateBound(stream, size));
    uint8_t *end = out->data + out->size;
    size_t room = out->capacity - out->size;
    int result = Z_OK;

    stream->next_in = (z_const Bytef *)data;
    while (result == Z_OK) {
        stream->avail_in = part_of(size);
        stream->next_out = end;
        stream->avail_out = part_of(room);
        uInt in = stream->avail_in;
        uInt offered = stream->avail_out;
        result = deflate(stream, in == size ? Z_FINISH : Z_NO_FLUSH);
        size -= in - stream->avail_in;
        room -= offered - stream->avail_out;
        end += offered - stream->avail_out;
    }
    if (result != Z_STREAM_END)
        return error_set(err, ERR_INTERNAL, "compress with gzip: zlib returned %d", result);
    out->size = (size_t)(end - out->data);
    return true;
}

/* NULL on failure. */
static z_stream *inflater_prepare(void **state, Error *err)
{
    if (*state != NULL) {
        (void)inflateReset(*state);
        return *state;
    }
    z_stream *stream = mem_alloc(sizeof(*stream));
    if (inflateInit2(stream, GZIP_WINDOW_BITS) != Z_OK) {
        mem_free(stream);
        error_set(err, ERR_INTERNAL, "no memory for a gzip decompressor");
        return NULL;
    }
    *state = stream;
    return stream;
}

static bool gzip_decompress(void **state, const void *data, size_t size, void *raw, size_t raw_size,
                            Error *err)
{
    z_stream *stream = inflater_prepare(state, err);
    uint8_t *next = raw;
    int result = Z_OK;

    if (stream == NULL)
        return false;
    stream->next_in = (z_const Bytef *)data;
    while (result == Z_OK) {
        uInt in = part_of(size);
        uInt room = part_of(raw_size);
        stream->avail_in = in;
        stream->next_out = next;
        stream->avail_out = room;
        result = inflate(stream, Z_NO_FLUSH);
        size -= in - stream->avail_in;
        raw_size -= room - stream->avail_out;
        next += room - stream->avail_out;
    }
    /* Z_BUF_ERROR: it went as far as it could, and then input or room was at an end. */
    if (result == Z_MEM_ERROR)
        return error_set(err, ERR_INTERNAL, "no memory for a gzip decompressor");
    if (result != Z_STREAM_END && result != Z_BUF_ERROR) {
        return error_set(err, ERR_CORRUPT, "damaged gzip member: %s",
                         stream->msg != NULL ? stream->msg : "not readable");
    }
    if (size > 0 && result == Z_BUF_ERROR)
        return error_set(err, ERR_CORRUPT, "the gzip data holds more than it should");
    if (result != Z_STREAM_END || size > 0)
        return codec_wrong_end("gzip", err);
    if (raw_size > 0) {
        return error_set(err, ERR_CORRUPT, "the gzip data holds %zu bytes less than it should",
                         raw_size);
    }
    return true;
}

static void gzip_free_compressor(void *state)
{
    (void)deflateEnd(&((Deflater *)state)->stream);
    mem_free(state);
}

static void gzip_free_decompressor(void *state)
{
    (void)inflateEnd(state);
    mem_free(state);
}

const CodecEngine codec_gzip_engine = {
    .name = "gzip",
    .level_min = 1,
    .level_max = 9,
    .level_default = 6,
    .compress = gzip_compress,
    .decompress = gzip_decompress,
    .free_compressor = gzip_free_compressor,
    .free_decompressor = gzip_free_decompressor,
};
