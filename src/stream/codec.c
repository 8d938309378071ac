#include "stream/codec.h"

#include "base/memory.h"
#include "codec_engine.h"

#include <errno.h>
#include <limits.h>

enum { CODEC_COUNT = CODEC_GZIP + 1 };

struct CodecContext {
    void *compressors[CODEC_COUNT];
    void *decompressors[CODEC_COUNT];
};

static const CodecEngine *const engines[CODEC_COUNT] = {
    [CODEC_NONE] = &codec_none_engine,
    [CODEC_ZSTD] = &codec_zstd_engine,
    [CODEC_LZ4] = &codec_lz4_engine,
    [CODEC_GZIP] = &codec_gzip_engine,
};

static bool none_compress(void **state, const Compression *compression, const void *data,
                          size_t size, Buffer *out, Error *err)
{
    (void)state;
    (void)compression;
    (void)err;
    buffer_append(out, data, size);
    return true;
}

static bool none_decompress(void **state, const void *data, size_t size, void *raw, size_t raw_size,
                            Error *err)
{
    (void)state;
    if (size != raw_size)
        return codec_wrong_raw_size("uncompressed", raw_size, err);
    if (size > 0)
        memcpy(raw, data, size);
    return true;
}

const CodecEngine codec_none_engine = {
    .name = "none", .compress = none_compress, .decompress = none_decompress};

bool codec_wrong_end(const char *codec, Error *err)
{
    return error_set(err, ERR_CORRUPT, "the %s data is not exactly one whole frame", codec);
}

bool codec_wrong_raw_size(const char *codec, size_t raw_size, Error *err)
{
    return error_set(err, ERR_CORRUPT, "the %s data does not hold %zu bytes as it should", codec,
                     raw_size);
}

const char *codec_name(Codec codec)
{
    return engines[codec]->name;
}

bool codec_is_known(unsigned number)
{
    return number < CODEC_COUNT;
}

static bool parse_level(const char *text, const CodecEngine *engine, int *level, Error *err)
{
    char *end = NULL;

    errno = 0;
    long number = strtol(text, &end, 10);
    /* strtol() takes leading blanks and "+", which nobody means. */
    bool is_number =
        (*text == '-' || (*text >= '0' && *text <= '9')) && end != text && *end == '\0';
    if (!is_number || errno != 0 || number < engine->level_min || number > engine->level_max) {
        return error_set(err, ERR_USAGE, "compression level \"%s\" of %s is not within %d..%d",
                         text, engine->name, engine->level_min, engine->level_max);
    }
    *level = (int)number;
    return true;
}

bool compression_parse(const char *text, Compression *compression, Error *err)
{
    size_t name_size = strcspn(text, ":");

    for (unsigned codec = 0; codec < CODEC_COUNT; codec++) {
        const CodecEngine *engine = engines[codec];
        int level = engine->level_default;
        if (strlen(engine->name) != name_size || strncmp(engine->name, text, name_size) != 0)
            continue;
        if (text[name_size] == ':' && !parse_level(text + name_size + 1, engine, &level, err))
            return false;
        *compression = (Compression){.codec = (Codec)codec, .level = level};
        return true;
    }
    error_set(err, ERR_USAGE, "unknown compression \"%s\"", text);
    return error_hint(err, "use zstd, lz4, gzip or none, with a level if wanted: zstd:3");
}

CodecContext *codec_context_new(void)
{
    return mem_alloc(sizeof(CodecContext));
}

void codec_context_freep(CodecContext **context)
{
    if (*context == NULL)
        return;
    for (size_t i = 0; i < CODEC_COUNT; i++) {
        if ((*context)->compressors[i] != NULL)
            engines[i]->free_compressor((*context)->compressors[i]);
        if ((*context)->decompressors[i] != NULL)
            engines[i]->free_decompressor((*context)->decompressors[i]);
    }
    mem_free(*context);
    *context = NULL;
}

bool codec_compress(CodecContext *context, Compression compression, const void *data, size_t size,
                    Buffer *out, Error *err)
{
    return engines[compression.codec]->compress(&context->compressors[compression.codec],
                                                &compression, data, size, out, err);
}

bool codec_decompress(CodecContext *context, Codec codec, const void *data, size_t size, void *raw,
                      size_t raw_size, Error *err)
{
    /* Libraries get a place to point at also for nothing: no branch of theirs sees NULL. */
    uint8_t nothing = 0;

    return engines[codec]->decompress(&context->decompressors[codec], size > 0 ? data : &nothing,
                                      size, raw_size > 0 ? raw : &nothing, raw_size, err);
}
