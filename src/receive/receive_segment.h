/*
 * receive_segment.h - the segment that is being received: held in memory as far as it is not
 * stored, stored in pieces meanwhile, and as a whole in the end.
 *
 * Its bytes come in order from its first one. At most 16 MiB of them are held. One whose bytes are
 * all there already is stored as a whole only, and none of it is held.
 */
#pragma once

#include "postgres/history.h"
#include "wal/wal_piece.h"

typedef struct OpenSegment OpenSegment;

typedef struct OpenSegmentSetup {
    const Cluster *cluster;
    uint32_t timeline;
    uint64_t segment;
    /* It is the path of that timeline, and says what the first page may name. It is copied. */
    const TimelinePath *path;
    Compression compression;
    unsigned threads;
    /* All its bytes come without a pause, so that pieces would only double the work. */
    bool is_at_once;
} OpenSegmentSetup;

/* What pieces of it the repository has is looked at: they are compared with what comes. */
bool open_segment_begin(const OpenSegmentSetup *setup, OpenSegment **segment,
                        Error *err) MUST_CHECK;
void open_segment_freep(OpenSegment **segment); /* for CLEANUP(); pieces stay */

/*
 * The next bytes; at most up to the segment's end. ERR_REFUSED: not of this cluster or place.
 * After ERR_INTERRUPTED they were taken all the same, and can be stored in pieces.
 */
bool open_segment_add(OpenSegment *segment, const void *data, size_t size, Error *err) MUST_CHECK;

/* Bytes received; bytes of these that are durable, and the same as in the repository. */
uint32_t open_segment_received(const OpenSegment *segment);
uint32_t open_segment_durable(const OpenSegment *segment);

/*
 * It has what is not durable, and can be stored in pieces. Never so when it is stored as a whole
 * only, as by the request of is_at_once unless there are pieces of it: these must be compared.
 */
bool open_segment_has_new(const OpenSegment *segment);
bool open_segment_is_at_once(const OpenSegment *segment);

/* Make all that was received durable, in pieces; nothing when it is stored as a whole only.
 * ERR_EXISTS: a stored piece has other content. ERR_REFUSED: it does not go on where the archive's
 * segment before it ends (walk/wal_follows.h); also by open_segment_commit(). */
bool open_segment_store(OpenSegment *segment, Error *err) MUST_CHECK;

/*
 * All bytes are there: store it as a WAL object, as archive-push would, and remove its pieces. The
 * same content there already is a success. ERR_EXISTS: other content. ERR_UNREACHABLE: a damaged
 * object was set aside; receive the segment again.
 */
bool open_segment_commit(OpenSegment *segment, Error *err) MUST_CHECK;

/*
 * Remove the pieces of segments that are whole in the archive: a killed run leaves some behind, and
 * so does archive-push. Pieces with other content than the whole segment stay (a warning).
 */
bool open_segments_clean(const Cluster *cluster, Error *err) MUST_CHECK;
