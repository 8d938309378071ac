/*
 * get.h - WAL files out of the repository, for a server that recovers.
 */
#pragma once

#include "get/prefetch.h"
#include "wal/wal_object.h"

typedef struct GetRequest {
    const char *name; /* It is what the server puts for %f. */
    /*
     * It is what the server puts for %p. The file is written under a temporary name, then renamed.
     */
    const char *path;
    /* It is the data directory, whose signal files and settings are looked at, or NULL. */
    const char *data;
    /* It is the recovery's, as restore pinned it. 0 means that data's settings tell it. */
    uint32_t timeline;
    unsigned threads;
    uint64_t hole_wait_ms; /* A hole may take this long to fill. */
    Prefetch *ahead;       /* It has the segments that lie ready, or is NULL. */
} GetRequest;

/*
 * The file, verified, at request->path. ERR_ABSENT: proven absent, and none after it (law 7).
 * Anything else means: stop, do not open. ERR_CORRUPT: damaged, or a hole, or a timeline's WAL is
 * missing.
 */
bool archive_get(const Cluster *cluster, const GetRequest *request, Error *err) MUST_CHECK;

/*
 * Whether the answer is known without any archive: then it is ERR_ABSENT, in *err. Servers ask for
 * the history of timeline 1 just before they open, and nobody ever wrote one.
 */
bool archive_get_is_known(const char *name, Error *err);

/*
 * Whether the server that asks is about to open, can't go back any more, and has a copy of the
 * history in its own pg_wal. An outage must not stop it: when it is told that there is no such
 * file, it takes the copy.
 */
bool archive_get_is_promoting(const GetRequest *request);

/*
 * Whether the server at data is a standby (standby.signal): it must not be stopped by an outage, it
 * asks again. The caller then answers 1 for every failure.
 */
bool archive_get_is_standby(const char *data);
