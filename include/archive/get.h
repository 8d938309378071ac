/*
 * get.h - WAL files out of the repository, for a server that recovers.
 */
#pragma once

#include "archive/prefetch.h"
#include "repo/wal_object.h"

typedef struct GetWish {
    const char *name;  /* as in %f */
    const char *path;  /* as in %p: written under a temporary name, then renamed */
    const char *data;  /* data directory: signal files and settings are looked at; or NULL */
    uint32_t timeline; /* of the recovery, as pinned by restore; 0: found from data's settings */
    unsigned threads;
    uint64_t hole_wait_ms; /* how long a hole may take to fill */
    Prefetch *ahead;       /* segments that lie ready; or NULL */
} GetWish;

/*
 * The file, verified, at wish->path. ERR_ABSENT: proven absent, and none after it (law 7). Anything
 * else means: stop, do not open. ERR_CORRUPT: damaged, or a hole, or a timeline's WAL is missing.
 */
bool archive_get(const Cluster *cluster, const GetWish *wish, Error *err) MUST_CHECK;

/*
 * Whether the server at data is a standby (standby.signal): it must not be stopped by an outage, it
 * asks again. The caller then answers 1 for every failure.
 */
bool archive_get_is_standby(const char *data);
