/*
 * codec.h - compression, buffer in, buffer out.
 *
 * Every result is a whole frame of the codec's own file format (zstd frame, lz4 frame, gzip
 * member), so that the stock programs read it and frames may follow one another. CODEC_NONE gives
 * the bytes as they are; codec_wrap_raw() gives a zstd frame that holds them uncompressed, for
 * objects that must stay readable with `zstd -d`.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

/* The numbers are on disk (docs/format.md, chapter 2). */
typedef enum Codec {
    CODEC_NONE = 0,
    CODEC_ZSTD = 1,
    CODEC_LZ4 = 2,
    CODEC_GZIP = 3,
} Codec;

typedef struct Compression {
    Codec codec;
    int level;
    /* The checksum that zstd adds is left out: whoever reads the frame checks its content
     * otherwise. */
    bool is_bare;
} Compression;

const char *codec_name(Codec codec); /* It returns "none", "zstd", "lz4" or "gzip". */
bool codec_is_known(unsigned number);

/*
 * "zstd", "zstd:3", "lz4", "gzip:6", "none"; default levels 1, 1, 6, 0.
 * ERR_USAGE when it is none of them or the level is out of the codec's range.
 */
bool compression_parse(const char *text, Compression *compression, Error *err) MUST_CHECK;

/* Reused states of all codecs; one per thread. Free with codec_context_freep(). */
typedef struct CodecContext CodecContext;
CodecContext *codec_context_new(void);
void codec_context_freep(CodecContext **context);

/*
 * One frame, appended to out. The zstd and lz4 frames carry the content's size and checksum (a
 * gzip member always does), so that the stock programs notice damage too; a bare zstd frame has
 * the size alone.
 */
bool codec_compress(CodecContext *context, Compression compression, const void *data, size_t size,
                    Buffer *out, Error *err) MUST_CHECK;

/* A zstd frame of raw blocks: what a CODEC_NONE WAL object is made of. Appended to out. */
void codec_wrap_raw(const void *data, size_t size, Buffer *out);

/*
 * Where the first of several zstd frames ends, and how many bytes it has decompressed (its header
 * says so; trust it only up to a limit). ERR_CORRUPT when it is not a frame, is cut, or does not
 * say.
 */
bool codec_zstd_frame_size(const void *data, size_t size, size_t *stored_size, uint64_t *raw_size,
                           Error *err) MUST_CHECK;

/*
 * Decompress exactly one frame of `size` stored bytes into exactly raw_size bytes at raw.
 * ERR_CORRUPT when it is damaged, longer, shorter, or followed by anything.
 */
bool codec_decompress(CodecContext *context, Codec codec, const void *data, size_t size, void *raw,
                      size_t raw_size, Error *err) MUST_CHECK;
