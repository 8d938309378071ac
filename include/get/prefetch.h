/*
 * prefetch.h - segments that are fetched before the server asks for them.
 *
 *     CLEANUP(prefetch_freep) Prefetch *ahead = prefetch_open(&request);
 *     archive_get(cluster, &(GetRequest){..., .ahead = ahead}, err);    // takes what lies ready
 *     if (prefetch_fork(ahead)) {                                    // in the child:
 *         ... open the repository anew ...
 *         prefetch_run(ahead, cluster);
 *         _exit(0);
 *     }
 *
 * They lie in pg_wal/pgcairn.prefetch (docs/format.md, chapter 10), verified like any that is
 * handed over, and are handed over by rename. What lies there is believed only if it is exactly
 * the file that was put there: for this repository and cluster, since this boot. Nothing is ever
 * concluded from what does not lie there: then the request does all the work itself.
 */
#pragma once

#include "repo/repo.h"

typedef struct Prefetch Prefetch;

typedef struct PrefetchRequest {
    const char *path; /* It is what the server puts for %p. */
    const char *data; /* It is the data directory, or NULL. */
    /* The segments that lie ready may have this many bytes. 0 means that none may. */
    uint64_t size;
    unsigned threads; /* This many segments are fetched at once. */
} PrefetchRequest;

/*
 * NULL unless it is a server that recovers and asks for itself: whoever else asks (pg_rewind, an
 * operator) gets just what was asked for. With size 0 what lies ready is removed.
 */
Prefetch *prefetch_open(const PrefetchRequest *request);
void prefetch_freep(Prefetch **ahead); /* for CLEANUP(); NULL is fine */

/* The server is at an end of its WAL: nothing that lies ready will be asked for. NULL is fine. */
void prefetch_end(const Prefetch *ahead);

/*
 * Start the process that fetches, if archive_get() found that there is something to fetch: true in
 * the new process, which holds nothing that anybody could wait for. NULL is fine.
 */
bool prefetch_fork(Prefetch *ahead);

/*
 * Fetch until enough lies ready, nothing follows, or nobody wants it any more. cluster must be the
 * one that archive_get() worked for; it is asked for once more, since descriptors were closed.
 */
void prefetch_run(Prefetch *ahead, const Cluster *cluster);
