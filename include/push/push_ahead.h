/*
 * push_ahead.h - further segments that wait to be archived, pushed along with the one asked for.
 *
 *     CLEANUP(push_ahead_freep) PushAhead *ahead = push_ahead_open(cluster, &request);
 *     if (push_ahead_has_done(ahead, &trailer)) ...           // an earlier call has pushed it
 *     else push_ahead_run(ahead, &result, told, context, err);
 *
 * The server calls archive_command for one segment after the other, and each call waits for disks
 * and one compressor. Here the segments that have a .ready file are pushed along by several
 * threads; when the server asks for them, a local acknowledgement answers. What fails of them is
 * forgotten: the server will ask. Nothing is published before its predecessor, and nothing of
 * another timeline, whose history the server archives first: so a crash leaves no hole.
 */
#pragma once

#include "push/push.h"

enum { PUSH_AHEAD_MAX = 64, PUSH_AHEAD_MS = 1000 };

typedef struct PushAheadRequest {
    const char *path;        /* It is the file that was asked for. */
    const char *spool;       /* Acknowledgements are kept here, outside the data directory. */
    bool is_spool_asked_for; /* The operator asked for it, and so is told when it can't be used. */
    unsigned count;          /* At most this many further segments are pushed. 0 means none. */
    uint64_t time_ms;        /* No segment is begun once this much time has passed. */
    Compression compression;
    unsigned threads; /* This many threads compress at a time. */
} PushAheadRequest;

typedef struct PushAhead PushAhead;

/*
 * NULL when nothing is to be pushed ahead: count is 0; the file is not a segment that waits in a
 * server's pg_wal and belongs to our user; or spool can't be used, which is logged.
 */
PushAhead *push_ahead_open(const Cluster *cluster, const PushAheadRequest *request);
void push_ahead_freep(PushAhead **ahead); /* for CLEANUP() */

/*
 * Whether an earlier call has pushed the file, by its acknowledgement and by what the archive has:
 * it is durable there. ahead may be NULL.
 */
bool push_ahead_has_done(const PushAhead *ahead, WalTrailer *trailer);

/* Called for each segment that was pushed along, in order, by the thread that pushes. */
typedef void PushedAhead(void *context, const char *path, const PushResult *result);

/*
 * Push the file asked for, and along with it what waits after it. As archive_push(): whatever
 * becomes of the others.
 */
bool push_ahead_run(const PushAhead *ahead, PushResult *result, PushedAhead *told, void *context,
                    Error *err) MUST_CHECK;
