/*
 * receive_begin.h - before the stream: whose server it is, its slot, its timelines, and where to
 * begin.
 */
#pragma once

#include "postgres/history.h"
#include "receive/receive.h"
#include "server/replication.h"

typedef struct ReceiveBegin {
    TimelinePath path; /* It leads to the server's timeline. It is in the arena. */
    uint32_t timeline; /* This timeline is to be streamed. */
    Lsn position;      /* It is the first byte of a segment. */
    /* The position is before what the slot keeps, to fill a gap if the server still can. */
    bool is_gap;
    bool is_standby_by_name; /* synchronous_standby_names has our name, or "*". */
    Arena arena;
} ReceiveBegin;

void receive_begin_done(ReceiveBegin *begin); /* for CLEANUP() */

/*
 * What the session's server is and has. The slot is created when it is missing; histories that
 * cluster does not have are stored there. from: where a timeline was left a moment ago, 0: where
 * the slot says. fill_gap: begin earlier when `archive` ends earlier, which is cluster, or where
 * all has gone that is no more in the spool that cluster is.
 */
bool receive_prepare(const Cluster *cluster, const Cluster *archive, const ReceiveRequest *request,
                     Session *session, Lsn from, bool fill_gap, ReceiveBegin *begin,
                     Error *err) MUST_CHECK;

/*
 * Store a timeline's history, unless the same is stored; then that is made durable. ERR_EXISTS:
 * another one is.
 */
bool receive_keep_history(const Cluster *cluster, Compression compression, uint32_t timeline,
                          const Buffer *text, Error *err) MUST_CHECK;
