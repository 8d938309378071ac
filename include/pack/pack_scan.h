/*
 * pack_scan.h - a whole pack read once, in order: every frame proven, and the SHA-256 of it all.
 *
 * What is damaged in it is told, not an error: verify reports it and goes on.
 */
#pragma once

#include "pack/pack.h"

/* A frame as the pack's own directory has it. */
typedef struct ScannedFrame {
    FrameKind kind;
    Frame frame;
    uint32_t range;
    const char *path; /* It does not end with zero. */
    size_t path_size;
} ScannedFrame;

/*
 * raw: the content, frame.raw_size bytes; NULL when it is damaged, and problem says how, or when
 * only stored bytes are looked at, and problem's code is ERR_NONE if they are right. False stops
 * the scan, with err.
 */
typedef bool PackFrameFunction(void *context, const ScannedFrame *frame, const uint8_t *raw,
                               const Error *problem, Error *err);

typedef struct PackScanState PackScanState; /* Buffers that are reused; each thread has its own. */
PackScanState *pack_scan_state_new(void);
void pack_scan_state_freep(PackScanState **state); /* for CLEANUP() */
/* From now on frames are not decompressed: X of their stored bytes, and the SHA-256 of it all. */
void pack_scan_stored_only(PackScanState *state);

/*
 * ERR_NOT_FOUND, ERR_CORRUPT, ERR_VERSION: it is not there, or header, trailer or directory are
 * damaged, so that its frames are not known; on_frame may have been called before. At most
 * 4 MiB of the pack are in memory. *sha256 is of the whole object.
 */
bool pack_scan(const Cluster *cluster, const char *pack_id, uint64_t size, PackScanState *state,
               PackFrameFunction *on_frame, void *context, uint8_t sha256[32],
               Error *err) MUST_CHECK;
