/*
 * wal_source.h - where the bytes of a segment of WAL can come from, and how far they go.
 *
 * A segment that the archive has whole comes from there, and nothing else is looked at. What never
 * became whole may be there all the same, up to where its timeline was left or its server stopped:
 *
 *     pieces        what `receive` stored of it (wal/wal_piece.h)
 *     .partial      what a server that left the timeline in the middle of it archived (xlog.c,
 *                   CleanupAfterArchiveRecovery); may go on after the fork, or end before it
 *     a child's     a timeline that begins in it begins with a copy of its parent's WAL up to the
 *                   fork (xlog.c, XLogInitNewTimeline); its own segment may be whole, in pieces or
 *                   a .partial in turn
 *     a local file  in a pg_wal that somebody showed (wal_inventory_add_local)
 *
 * Of several that agree the one that reaches farthest counts. Where two of the archive do not
 * agree, nobody knows which is meant: damage. A local file that does not agree with the archive is
 * passed over.
 */
#pragma once

#include "wal/wal_object.h"
#include "walk/absence.h"

typedef enum WalForm {
    WAL_NOWHERE,
    WAL_WHOLE, /* It is the object of a whole segment. */
    WAL_IN_PIECES,
    WAL_AS_PARTIAL, /* It is the object of a .partial file. */
    WAL_LOCAL_FILE,
} WalForm;

/* Plain data; what it points to lives as long as the inventory. */
typedef struct WalSource {
    WalForm form;
    uint32_t timeline; /* It is the timeline that was asked for. */
    uint64_t segment;
    /* The bytes lie under a name of this timeline, which may be a child's up to the fork. */
    uint32_t holder;
    uint32_t size;    /* This many bytes count, from the segment's first one on. */
    const char *path; /* It is set with WAL_LOCAL_FILE. */
    /*
     * It says why more of the segment, which may be there, can't be used. NULL means that there is
     * nothing of the kind. With a fault, size may be 0, and the trailer says that WAL is broken at
     * the end.
     */
    const char *fault;
    /* It is what a trailer would say of them. When it is NULL, read the object's own. */
    const WalTrailer *trailer;
} WalSource;

/*
 * A segment of a timeline. The form is WAL_NOWHERE when there is nothing of it. What it takes to
 * know how far a segment that is not whole goes is read once, and kept with the inventory.
 */
bool wal_source_find(const Cluster *cluster, const WalInventory *inventory, uint32_t timeline,
                     uint64_t segment, WalSource *source, Error *err) MUST_CHECK;

/*
 * The segment that a recovery along the path reads. WAL_NOWHERE also when its timeline begins in
 * it, and what is there is only its parent's: that would end the recovery at the fork or before.
 */
bool wal_source_on_path(const Cluster *cluster, const WalInventory *inventory,
                        const TimelinePath *path, uint64_t segment, WalSource *source,
                        Error *err) MUST_CHECK;

/* There is something of it, and not as the object of a whole segment. */
static inline bool wal_source_is_open(const WalSource *source)
{
    return source->form != WAL_NOWHERE &&
           (source->form != WAL_WHOLE || source->holder != source->timeline);
}

/* Whether WAL may go on in the next segment. */
bool wal_source_is_complete(const WalSource *source, uint32_t segment_size);

/*
 * Hands over its first `size` bytes, in order. What they come from is verified in full.
 * *stored_size is the number of bytes read from the repository. ERR_NOT_FOUND, ERR_CORRUPT.
 */
bool wal_source_read(const Cluster *cluster, const WalInventory *inventory, const WalSource *source,
                     unsigned threads, WalSink *sink, void *context, uint64_t *stored_size,
                     Error *err) MUST_CHECK;

/*
 * absence_of_segment(), for which a timeline is there, too, when what it wrote is only in a child's
 * segment: that it has no WAL under its own name is then no reason to look for any.
 */
bool wal_source_absence(const Cluster *cluster, const WalInventory *inventory,
                        const TimelinePath *path, const WalName *name, uint64_t bound_segment,
                        Absence *absence, Error *err) MUST_CHECK;

/* A file of the segment size, not in the archive. */
typedef struct WalFile {
    uint32_t timeline;
    uint64_t segment;
    const char *path;
} WalFile;

/*
 * From now on what these files hold counts for everybody who walks along this inventory, whatever
 * the target: whole segments, and a last one in the middle of which WAL ends (what follows there,
 * zeros or what a recycled segment had, is not damage). What the archive has always comes first,
 * and a file with other WAL than that is not trusted. A file that does not go on where the segment
 * before it ends is the end of the walk. Paths are copied.
 */
void wal_inventory_add_local(WalInventory *inventory, const WalFile *files, size_t count);
