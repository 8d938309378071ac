/*
 * prefetch_parts.h - a Prefetch from within: the request's half (prefetch.c) leaves it to the
 * half that fetches (prefetch_fill.c).
 */
#pragma once

#include "prefetch_request.h"

#include <sys/types.h>

struct Prefetch {
    char *path; /* It is the path of the spool. */
    uint64_t size;
    unsigned threads;
    bool is_over; /* The server recovers no more, so what lies there can only be removed. */
    TimeUs asked_at;
    bool was_ready;
    Pace pace; /* It is as it was before this request. */
    PrefetchSpool spool;

    /*
     * Segments have to be fetched now. The fields below are for the process that does it; the spool
     * is locked.
     */
    bool is_due;
    RecoveryView view;
    /* It leads our process group: the server's startup process. 0 means that it is not known. */
    pid_t leader;
};

/* How many segments of this cluster may lie ready. */
uint32_t prefetch_depth_max(const Prefetch *ahead, const Cluster *cluster);
