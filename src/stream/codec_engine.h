/*
 * codec_engine.h - what codec.c asks of each codec.
 *
 * *state is the engine's own, one to compress and one to decompress: NULL at first, made when it
 * is needed and kept for the next call. Both calls handle exactly one frame; compress appends to
 * out, and only on success.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "stream/codec.h"

typedef struct CodecEngine {
    const char *name;
    int level_min;
    int level_max;
    int level_default;
    bool (*compress)(void **state, const Compression *compression, const void *data, size_t size,
                     Buffer *out, Error *err);
    bool (*decompress)(void **state, const void *data, size_t size, void *raw, size_t raw_size,
                       Error *err);
    /* It is not called with NULL. */
    void (*free_compressor)(void *state);
    void (*free_decompressor)(void *state);
} CodecEngine;

extern const CodecEngine codec_none_engine;
extern const CodecEngine codec_zstd_engine;
extern const CodecEngine codec_lz4_engine;
extern const CodecEngine codec_gzip_engine;

/* ERR_CORRUPT: the frame ends before or after where it should. Always returns false. */
bool codec_wrong_end(const char *codec, Error *err);
/* ERR_CORRUPT: decompressed it has another size than it should. Always returns false. */
bool codec_wrong_raw_size(const char *codec, size_t raw_size, Error *err);
