/*
 * wal_object.h - a WAL file in the repository: compressed frames and a trailer that proves and
 * describes them. docs/format.md, chapter 6.
 *
 * The frames are what the stock decompressor expects, so zstd -d (lz4 -d, gzip -d) of the object
 * gives the file; the trailer is a skippable frame at the end, found by a suffix read.
 */
#pragma once

#include "postgres/wal_summary.h"
#include "repo/repo.h"
#include "stream/codec.h"
#include "stream/digest.h"
#include "wal/wal_blocks.h"

enum {
    WAL_TRAILER_SIZE = 2048,
    /* It includes what the codecs need around a trailer, so read this many bytes from the end. */
    WAL_TRAILER_SUFFIX = WAL_TRAILER_SIZE + 64,
    WAL_FRAMES_MAX = 256,
};

typedef struct WalTrailer {
    WalFileKind kind;
    Codec codec;
    uint64_t raw_size;
    /* It is the XXH3-128 of the XXH3-128 of each raw frame, in order. */
    uint8_t raw_checksum[XXH128_SIZE];
    uint64_t stored_size;       /* It is that of the frames, without the trailer. */
    uint64_t stored_checksum;   /* It is the XXH3 of the XXH3 of each stored frame, in order. */
    uint64_t system_identifier; /* A segment's is from its header. Otherwise it is the cluster's. */
    uint32_t timeline;          /* It is that of the name. */
    unsigned major;
    uint32_t segment_size;
    uint32_t frame_size; /* Each frame but the last has this many raw bytes. */
    uint32_t frame_count;
    uint32_t frame_stored[WAL_FRAMES_MAX];
    uint32_t between; /* This many bytes are between the frames and the trailer in its container. */
    /* The list of changed blocks, with its container, begins here in the object. */
    uint64_t blocks_offset;
    uint32_t blocks_size;     /* 0 means that there is none. */
    uint64_t blocks_checksum; /* It is the XXH3 of these bytes. */
    WalSummary summary;       /* It is set with WAL_SEGMENT only. */
} WalTrailer;

/* The raw frame size that keeps a file of raw_size within WAL_FRAMES_MAX: 1 to 4 MiB. */
uint32_t wal_frame_size(uint64_t raw_size);

void wal_trailer_encode(const WalTrailer *trailer, uint64_t seed, uint8_t bytes[WAL_TRAILER_SIZE]);
/* ERR_CORRUPT, ERR_VERSION. */
bool wal_trailer_decode(WalTrailer *trailer, const uint8_t bytes[WAL_TRAILER_SIZE], uint64_t seed,
                        Error *err) MUST_CHECK;
/* The trailer in the container that its codec needs; appended to out. */
void wal_trailer_wrap(const WalTrailer *trailer, uint64_t seed, Buffer *out);
/* Find and decode it in the last bytes of an object of object_size bytes. ERR_CORRUPT: cut. */
bool wal_trailer_find(WalTrailer *trailer, const uint8_t *suffix, size_t size, uint64_t object_size,
                      uint64_t seed, Error *err) MUST_CHECK;

/*
 * The raw checksum of an open file of this size, as its object's trailer has it in this repository.
 * ERR_IO, also when the file ends before. path: for the message.
 */
bool wal_file_checksum(const Repo *repo, int fd, const char *path, uint64_t size,
                       uint8_t checksum[XXH128_SIZE], Error *err) MUST_CHECK;
/* Whether two objects of one repository hold the same file. */
bool wal_trailers_agree(const WalTrailer *a, const WalTrailer *b);

/* name: of the WAL file. ERR_NOT_FOUND when it is proven not to be there. */
bool wal_object_trailer(const Cluster *cluster, const char *name, WalTrailer *trailer,
                        Error *err) MUST_CHECK;

/*
 * Read the whole object, check the stored checksum, every frame, size and raw checksum, and give
 * the raw file to `sink` in order (pieces of at most frame_size; sink may be NULL: verify only).
 * With threads > 1 frames are decompressed in parallel. ERR_NOT_FOUND, ERR_CORRUPT,
 * ERR_UNREACHABLE. Nothing may be presented as good before this returned true.
 */
typedef bool WalSink(void *context, const void *data, size_t size, Error *err);
bool wal_object_read(const Cluster *cluster, const char *name, unsigned threads, WalSink *sink,
                     void *context, WalTrailer *trailer, Error *err) MUST_CHECK;
/* The same, and that the list of changed blocks, which no recovery needs, can be read, too. */
bool wal_object_read_all(const Cluster *cluster, const char *name, unsigned threads, WalSink *sink,
                         void *context, WalTrailer *trailer, Error *err) MUST_CHECK;

/*
 * Only the frame that holds the byte at `offset` of the raw file; *begin is the offset of its first
 * one. Checked by its own checksum alone, for whoever compares a sample. ERR_NOT_FOUND,
 * ERR_CORRUPT, ERR_UNREACHABLE.
 */
bool wal_object_read_frame(const Cluster *cluster, const char *name, uint64_t offset,
                           uint64_t *begin, Buffer *raw, Error *err) MUST_CHECK;

/*
 * Read its trailer, and which blocks its records refer to (NULL when that was not stored with it).
 * It takes one request unless the list is long. ERR_NOT_FOUND, ERR_UNREACHABLE, and ERR_CORRUPT and
 * ERR_VERSION, which need not say anything about the WAL itself.
 */
bool wal_object_blocks(const Cluster *cluster, const char *name, WalTrailer *trailer,
                       WalBlocks **blocks, Error *err) MUST_CHECK;

/*
 * Only whether the stored bytes are those that were stored: read and summed, not decompressed.
 * Buffers come from the caller, who looks at many. ERR_NOT_FOUND, ERR_CORRUPT, ERR_UNREACHABLE.
 */
bool wal_object_check_stored(const Cluster *cluster, const char *name, Buffer *space,
                             Error *err) MUST_CHECK;

/* Writing: begin, add raw bytes in order (any sizes), commit. Frames are compressed in threads. */
typedef struct WalObjectWriter WalObjectWriter;
bool wal_object_write(const Cluster *cluster, const char *name, Compression compression,
                      unsigned threads, uint64_t raw_size, WalObjectWriter **writer,
                      Error *err) MUST_CHECK;
bool wal_object_writer_add(WalObjectWriter *writer, const void *data, size_t size,
                           Error *err) MUST_CHECK;
/*
 * The same without a copy, for whoever reads from a file: where the next bytes go and how many at
 * most (0 once raw_size are there), then how many came. What was filled in stays readable until the
 * next room is asked for.
 */
bool wal_object_writer_room(WalObjectWriter *writer, uint8_t **room, size_t *size,
                            Error *err) MUST_CHECK;
bool wal_object_writer_filled(WalObjectWriter *writer, size_t size, Error *err) MUST_CHECK;
/*
 * What the segment's records refer to: stored with it unless there is too much of it. Before it is
 * settled; borrowed until then.
 */
void wal_object_writer_blocks(WalObjectWriter *writer, WalBlocks *blocks);
/*
 * All is there: write the rest, and make durable what can be before the object has its name.
 * summary: NULL unless a segment.
 */
bool wal_object_writer_settle(WalObjectWriter *writer, const WalSummary *summary,
                              Error *err) MUST_CHECK;
/*
 * Settle, unless that was done, and give the object its name. *trailer (may be NULL) gets what was
 * to be written, also with ERR_EXISTS when the name is taken: compare trailers, see archive/push.
 * Free the writer then.
 */
bool wal_object_writer_commit(WalObjectWriter *writer, const WalSummary *summary,
                              WalTrailer *trailer, Error *err) MUST_CHECK;
void wal_object_writer_freep(WalObjectWriter **writer); /* for CLEANUP() */

/*
 * Move a damaged object out of the way: its bytes are stored again next to it as
 * NAME.damaged-XXXXXXXX, and then it is removed. *aside is the new name (the caller frees it).
 */
bool wal_object_set_aside(const Cluster *cluster, const char *name, char **aside,
                          Error *err) MUST_CHECK;
