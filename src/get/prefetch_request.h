/*
 * prefetch_request.h - what archive_get() does with the segments that lie ready.
 */
#pragma once

#include "get/prefetch.h"
#include "prefetch_pace.h"
#include "recovery_view.h"

/* All of it may be called with NULL: then nothing lies ready, and nothing is fetched ahead. */

/* Hand the segment over if it lies ready. Every check of the request itself has been made. */
bool prefetch_take(Prefetch *ahead, const Cluster *cluster, const WalName *name, const char *path);

/* The segment was handed over. *view is taken over when there is something to fetch. */
void prefetch_answered(Prefetch *ahead, const Cluster *cluster, const WalName *name,
                       RecoveryView *view);

/*
 * The farthest segment that this archive has handed over to this recovery, as far as that is known:
 * *given. False when it is not.
 */
bool prefetch_given(Prefetch *ahead, const Cluster *cluster, WalName *given);

/* The segment `count` after where the requests are, on the path; false: it is not to be fetched.
 */
bool prefetch_next(const RecoveryView *view, const Pace *pace, uint64_t count,
                   uint32_t segment_size, WalName *name);
