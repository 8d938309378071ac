/*
 * wal_frame.h - what writer and reader of WAL objects share about frames.
 */
#pragma once

#include "wal/wal_object.h"

enum {
    WAL_RAW_SIZE_MAX = 1 << 30, /* It is the size of the largest segment there is. */
    WAL_FRAME_SIZE_MAX = 4 << 20,
    /* More threads would only hold memory, because a segment has few frames. */
    WAL_THREADS_MAX = 16,
    WAL_JOBS_MAX = WAL_THREADS_MAX + 2,
};

/* As many threads as there is work for, the caller's own among them. */
static inline unsigned wal_thread_count(unsigned wanted, uint32_t frame_count)
{
    unsigned most = frame_count < WAL_THREADS_MAX ? frame_count : WAL_THREADS_MAX;
    unsigned count = wanted < most ? wanted : most;

    return count > 0 ? count : 1;
}

/*
 * Frames on their way: one in the hands of each thread, one that waits so that none of them has to,
 * and one that is being read or hashed. Each is memory touched for the first time, which is dear in
 * a process of a few milliseconds.
 */
static inline size_t wal_job_count(unsigned threads)
{
    return threads > 1 ? (size_t)threads + 1 : 1;
}

/* Frames of "none" are zstd frames of raw blocks, so that `zstd -dc` reads the object. */
static inline Codec wal_frame_codec(Codec codec)
{
    return codec == CODEC_NONE ? CODEC_ZSTD : codec;
}

static inline uint32_t wal_frame_count(uint64_t raw_size, uint32_t frame_size)
{
    return (uint32_t)((raw_size + frame_size - 1) / frame_size);
}

/* Raw bytes of frame number index. */
static inline uint32_t wal_frame_raw_size(uint64_t raw_size, uint32_t frame_size, uint32_t index)
{
    uint64_t left = raw_size - (uint64_t)index * frame_size;

    return left < frame_size ? (uint32_t)left : frame_size;
}

/*
 * A container: what is around bytes of ours in an object, so that the stock program of its codec
 * passes over them. docs/format.md, chapter 6.
 */
enum {
    WAL_CONTAINER_MAX = 16 + 10,    /* A container adds at most this many bytes. */
    WAL_CONTAINER_GZIP_MAX = 65531, /* A gzip container can hold this many bytes. */
};
/* What comes before `size` bytes; returns its size. */
size_t wal_container_begin(Codec codec, uint32_t size, uint8_t bytes[WAL_CONTAINER_MAX]);
/* What comes after them. */
size_t wal_container_end(Codec codec, const uint8_t **bytes);

/* The raw checksum out of that of each frame. */
void wal_raw_checksum(uint64_t seed, uint8_t checksums[][XXH128_SIZE], uint32_t frame_count,
                      uint8_t checksum[XXH128_SIZE]);

/* The checksum of the stored frames out of the checksum of each. */
uint64_t wal_stored_checksum(uint64_t seed, const uint64_t *checksums, uint32_t frame_count);
