/*
 * wal_follows.h - whether a segment that is to be archived goes on where the archive ends.
 *
 * Two servers that went on from one place (a copy that was started, two promotions) write segments
 * of one name. The one that comes first has the name, so the archive must not take a segment whose
 * predecessor it has from the other one: nothing could be replayed past that place, and the right
 * segment would be refused forever. What the archive has of the segment before is in its trailer,
 * so the question costs one small read.
 *
 * Only what is proven is refused. Nothing is known, and all is taken, when that segment is not in
 * the archive, is damaged, or was archived with WAL that is invalid in the middle.
 */
#pragma once

#include "wal/wal_object.h"
#include "walk/inventory.h"

/* The segment before another one, as the archive has it. */
typedef struct WalBefore {
    bool is_known; /* The members below are valid. */
    WalName name;
    WalTrailer trailer;
} WalBefore;

/*
 * The segment before this one (or before the one that this is a part of): on its own timeline, or,
 * with a path, on the timeline that the path takes it from, as before the first segment of a
 * timeline. What can't be read is not known; ERR_INTERRUPTED and ERR_UNREACHABLE are the only
 * errors.
 */
bool wal_before_load(const Cluster *cluster, const WalName *name, const TimelinePath *path,
                     WalBefore *before, Error *err) MUST_CHECK;

/*
 * ERR_REFUSED when the segment with this state (of a reader that read all of it) can't follow that
 * one: the record that was begun, or the back link of the first one. A first record without a back
 * link is pg_resetwal's, and follows nothing.
 */
bool wal_follows(const Cluster *cluster, const WalName *name, const WalReaderState *state,
                 const WalBefore *before, Error *err) MUST_CHECK;

/*
 * Two servers can write records of the same sizes, so that back links agree. Where the folder
 * (pg_wal) still has its own file of the segment before, the end of its last transaction is
 * compared with the archive's. ERR_REFUSED when it is that of another transaction, or has another
 * time.
 */
bool wal_before_is_of(const Cluster *cluster, const WalBefore *before, const char *folder,
                      Error *err) MUST_CHECK;
