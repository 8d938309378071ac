/*
 * prefetch_spool.h - the directory with segments that were fetched ahead.
 *
 * A segment's file there is SEGMENT.SEAL. The seal is a digest of all that must still be so when
 * the file is handed over: repository, cluster, boot, and which file it is (device, inode, size,
 * time of the last write). A copy of it, a file written to, one from before a power failure has
 * another seal, and does not count.
 */
#pragma once

#include "postgres/wal_name.h"
#include "repo/repo.h"

#include <sys/stat.h>

#define PREFETCH_FOLDER "pgcairn.prefetch"

enum {
    PREFETCH_SEAL_SIZE = 33, /* It holds 32 hex digits and a zero. */
    PREFETCH_NAME_SIZE = WAL_NAME_SIZE + PREFETCH_SEAL_SIZE,
};

typedef struct PrefetchSpool {
    int folder; /* -1 means that it is not open. */
    /* It is open on the file "state", which has what prefetch_pace.h keeps, and the lock. */
    int state;
    char *key; /* All seals begin with it. */
    uint64_t seed;
    uint32_t segment_size;
} PrefetchSpool;

#define PREFETCH_SPOOL_CLOSED ((PrefetchSpool){.folder = -1, .state = -1})

/*
 * Of this cluster, since this boot. With create it is made if it is missing. False when it is not
 * there, is somebody else's, or boots can't be told apart: then there is none.
 */
bool prefetch_spool_open(const char *path, const Cluster *cluster, const char *boot, bool create,
                         PrefetchSpool *spool);
void prefetch_spool_done(PrefetchSpool *spool); /* for CLEANUP() */

/* The name of this segment's file, if it is the one that found tells of. */
void prefetch_spool_name(const PrefetchSpool *spool, const char *segment, const struct stat *found,
                         char name[PREFETCH_NAME_SIZE]);

/* Hand the segment over by renaming it to path. False: it does not lie ready. */
bool prefetch_spool_take(const PrefetchSpool *spool, const char *segment, const char *path);

/*
 * Look at all that is there: keep() is asked for what lies ready and is believed. What is not
 * believed or not kept can be removed, and so can temporary names, which nobody else may use then.
 */
typedef enum PrefetchRemove {
    PREFETCH_REMOVE_NOTHING,
    PREFETCH_REMOVE_SEGMENTS,
    PREFETCH_REMOVE_TEMPORARY_TOO,
} PrefetchRemove;
typedef bool PrefetchKeep(void *context, const WalName *name);
void prefetch_spool_scan(const PrefetchSpool *spool, PrefetchRemove what, PrefetchKeep *keep,
                         void *context);

/* Whether the directory has been removed (prefetch_spool_wipe()). */
bool prefetch_spool_is_gone(const PrefetchSpool *spool);

/*
 * Remove the directory with all in it. Who is still fetching into it finds it gone: nothing can be
 * created in a removed directory, so nothing comes back.
 */
void prefetch_spool_wipe(const char *path);
