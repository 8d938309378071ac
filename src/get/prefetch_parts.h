/*
 * prefetch_parts.h - a Prefetch from within: the request's half (prefetch.c) leaves it to the
 * half that fetches (prefetch_fill.c).
 */
#pragma once

#include "prefetch_request.h"

#include <sys/types.h>

struct Prefetch {
    char *path; /* of the spool */
    uint64_t size;
    unsigned threads;
    bool is_over; /* the server recovers no more: what lies there can only be removed */
    TimeUs asked_at;
    bool was_ready;
    Pace pace; /* before this request */
    PrefetchSpool spool;

    bool is_due; /* what follows is for the process that fetches; the spool is locked */
    RecoveryView view;
    pid_t leader; /* of our process group: the server's startup process; 0: not known */
};

/* How many segments of this cluster may lie ready. */
uint32_t prefetch_depth_max(const Prefetch *ahead, const Cluster *cluster);
