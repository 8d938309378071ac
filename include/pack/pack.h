/*
 * pack.h - packs: immutable objects with frames of many files. docs/format.md, chapter 4.
 *
 *     header | frame | frame | ... | directory | trailer
 *
 * A writer belongs to one thread and publishes a pack whenever it is full; what a thread writes
 * next goes into a new one. A pack exists once it is committed, and belongs to no backup.
 */
#pragma once

#include "repo/frame.h"
#include "repo/layout.h"
#include "repo/repo.h"

typedef struct PackWriter PackWriter;

typedef struct PackInfo {
    char id[33];
    uint64_t size;
    uint8_t sha256[32];
    char backup[BACKUP_ID_SIZE]; /* This backup stored it. The pack writer does not set it. */
} PackInfo;

typedef struct PackWriterSetup {
    Cluster *cluster;
    uint64_t pack_size;   /* A pack is closed once it has this many bytes. */
    uint32_t first_index; /* Frames get .pack = first_index, first_index + index_step, and so on. */
    /* It is larger than 1 so that the packs of each worker have numbers of their own. */
    uint32_t index_step;
} PackWriterSetup;

PackWriter *pack_writer_new(const PackWriterSetup *setup);

/* What a frame is; goes into the pack's directory, from which a lost manifest can be rebuilt. */
typedef enum FrameKind { FRAME_EXTENT = 1, FRAME_PAGE_TABLE = 2, FRAME_FILE = 3 } FrameKind;

/*
 * Append a frame of stored bytes (already compressed). path: of the file, relative to the data
 * directory; range: its number. *frame gets pack, offset and checksum.
 */
bool pack_writer_add(PackWriter *writer, FrameKind kind, const char *path, uint32_t range,
                     Codec codec, const void *stored, size_t stored_size, size_t raw_size,
                     Frame *frame, Error *err) MUST_CHECK;

/* Commit the pack that is open, if any. Call at a time when no range is half written. */
bool pack_writer_close(PackWriter *writer, Error *err) MUST_CHECK;
/* Close it when it is full; between two ranges. */
bool pack_writer_close_if_full(PackWriter *writer, Error *err) MUST_CHECK;

/* The packs committed so far; packs[i] has index first_index + i * index_step. */
const PackInfo *pack_writer_packs(const PackWriter *writer, size_t *count);
void pack_writer_freep(PackWriter **writer); /* for CLEANUP(); abandons an open pack */

/*
 * Read a frame and check it: stored bytes against frame->checksum, then decompress to exactly
 * frame->raw_size bytes. ERR_CORRUPT names pack and offset. scratch is reused between calls.
 */
bool pack_read_frame(const Cluster *cluster, const char *pack_id, const Frame *frame,
                     CodecContext *codec, Buffer *scratch, void *raw, Error *err) MUST_CHECK;

/* The same from stored bytes that are in memory already (several frames read in one go). */
bool pack_decode_frame(const Cluster *cluster, const char *pack_id, const Frame *frame,
                       const void *stored, CodecContext *codec, void *raw, Error *err) MUST_CHECK;

/* The pack's header, trailer and directory are intact and its size is `size`. */
bool pack_check(const Cluster *cluster, const char *pack_id, uint64_t size, Error *err) MUST_CHECK;
