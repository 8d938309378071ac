/*
 * receive_spool.h - WAL that is durable on this host and on its way into the repository.
 * docs/format.md, chapter 6.3.
 *
 * The spool holds what the repository will: whole segments, pieces and histories, stored by the
 * same code under the same names. So whoever receives stores into spool->cluster as it would into
 * the repository, and what is there is moved on from here, one segment after the other, by the same
 * comparison with what is in the repository already. What is removed here is durable there.
 *
 * One thread of its own moves, so that a repository that does not answer holds up nobody:
 *
 *     receive_spool_poll      each time round: how the last move ended
 *     receive_spool_submit    move on, when none is under way
 *     receive_spool_settle    wait for it
 */
#pragma once

#include "base/work_queue.h"
#include "receive_segment.h"
#include "walk/inventory.h"

typedef struct ReceiveSpool ReceiveSpool;

typedef struct ReceiveSpoolSetup {
    const char *directory; /* It is made when it is missing. */
    uint64_t size_max;     /* It is in bytes, and holds at least four segments. */
    const Cluster *target; /* Everything goes there. */
    Compression compression;
    unsigned threads;
} ReceiveSpoolSetup;

/*
 * ERR_REFUSED: the directory is another repository's or cluster's spool, or none at all and not
 * empty, or not ours alone. ERR_BUSY: another receive uses it. ERR_USAGE: too small. The repository
 * is not asked: each move first looks whether it is the one that target means.
 */
bool receive_spool_open(const ReceiveSpoolSetup *setup, ReceiveSpool **spool,
                        Error *err) MUST_CHECK;
void receive_spool_freep(ReceiveSpool **spool); /* for CLEANUP(); waits for a move under way */

/* What stores into it stores into the spool. */
const Cluster *receive_spool_cluster(const ReceiveSpool *spool);

/* Whether the directory's path still leads to it: what was stored by this path counts only then. */
bool receive_spool_check(const ReceiveSpool *spool, Error *err) MUST_CHECK;

/* How much WAL is in it, in stored bytes; 0: all is in the repository. */
bool receive_spool_measure(ReceiveSpool *spool, uint64_t *bytes, Error *err) MUST_CHECK;
bool receive_spool_is_full(const ReceiveSpool *spool, uint64_t bytes);

/* The segment that is being received, whose pieces are not removed: the server has its bytes. */
typedef struct SpoolKeep {
    uint32_t timeline; /* 0 means that there is none. */
    uint64_t segment;
} SpoolKeep;

/*
 * Move what belongs to one segment (and the histories, if any). *has_more: there is another one.
 * Not while a move is under way. ERR_UNREACHABLE, ERR_IO: may pass. ERR_EXISTS: the repository has
 * other content. ERR_REFUSED: it is another repository, or has another cluster of that name.
 * ERR_CORRUPT: the spool is damaged.
 */
bool receive_spool_move(ReceiveSpool *spool, SpoolKeep keep, bool *has_more, Error *err) MUST_CHECK;

/* The same by the thread. */
bool receive_spool_is_moving(const ReceiveSpool *spool);
bool receive_spool_submit(ReceiveSpool *spool, SpoolKeep keep, Error *err) MUST_CHECK;

typedef struct SpoolMove {
    SpoolKeep keep;
    bool ok;
    bool has_more;
    Error error; /* It is set unless `ok`. */
} SpoolMove;

/* Wait at most this long for the move under way. False when there was none, or it is not done. */
bool receive_spool_poll(ReceiveSpool *spool, uint64_t wait_ms, SpoolMove *move);
