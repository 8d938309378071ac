/*
 * manifest_trailer.h - the last bytes of a manifest: how much of it is the head, how large it is,
 * and what proves the stored bytes of both.
 *
 * Encode, decode and compare only, no I/O. docs/format.md, chapter 5, is the authority.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

/* In its skippable frame. */
enum { MANIFEST_TRAILER_SIZE = 64 };

typedef struct ManifestTrailer {
    /* The stored frames of the head, from offset 0, have this many bytes. */
    uint64_t head_size;
    /* All frames together have this many bytes. The trailer follows them. */
    uint64_t frames_size;
    uint64_t head_checksum;   /* It is X of the X of each frame of the head, in order. */
    uint64_t frames_checksum; /* It is X of the X of each frame, in order. */
} ManifestTrailer;

void manifest_trailer_encode(const ManifestTrailer *trailer, uint64_t seed,
                             uint8_t bytes[MANIFEST_TRAILER_SIZE]);
/*
 * The trailer at the end of `tail`, the last bytes of an object of object_size bytes. ERR_CORRUPT:
 * there is none, it is damaged, or the object has another size. ERR_VERSION.
 */
bool manifest_trailer_decode(ManifestTrailer *trailer, const Buffer *tail, uint64_t object_size,
                             uint64_t seed, Error *err) MUST_CHECK;

/* As frames are written, or walked: X of each goes into a list, of which X is taken in the end. */
void manifest_frame_add(Buffer *checksums, uint64_t seed, const void *frame, size_t size);
uint64_t manifest_frames_checksum(const Buffer *checksums, uint64_t seed);

/* The stored bytes of the head, or of all frames, against what the trailer says. ERR_CORRUPT. */
bool manifest_check_head_frames(const ManifestTrailer *trailer, const uint8_t *stored,
                                uint64_t seed, Error *err) MUST_CHECK;
bool manifest_check_frames(const ManifestTrailer *trailer, const uint8_t *stored, uint64_t seed,
                           Error *err) MUST_CHECK;
