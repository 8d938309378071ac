/*
 * push.h - WAL files into the repository.
 *
 * Laws 1 and 2: success only once it is durable; the same name with other content is refused.
 */
#pragma once

#include "walk/wal_follows.h"

#include <sys/stat.h>

typedef struct PushRequest {
    const char *path; /* It is the file, as in %p. */
    Compression compression;
    unsigned threads;
    /* It is called when only disks are still to be waited for, unless it is NULL. */
    void (*before_settle)(void *context);
    /*
     * It is called when all is ready to be published, unless it is NULL. When it returns false,
     * nothing is published.
     */
    bool (*before_commit)(void *context, Error *err);
    /*
     * It is called at the same time, unless it is NULL. It tells whether the segment before this
     * one was just pushed, so that it need not be read.
     */
    bool (*known_before)(void *context, const WalName *name, WalBefore *before);
    void *context;
} PushRequest;

typedef enum PushOutcome {
    PUSH_STORED,
    /* The same content is there. It was read in full, verified and made durable. */
    PUSH_ALREADY_THERE,
    /* The stored one was damaged: it was set aside, and the file stored again. */
    PUSH_REPAIRED,
    PUSH_ACKNOWLEDGED, /* An earlier call has pushed it ahead, see push/push_ahead.h. */
} PushOutcome;

typedef struct PushResult {
    PushOutcome outcome;
    WalTrailer trailer;
    struct stat source; /* It is the file as it was read. */
    /* With PUSH_REPAIRED the damaged object is now here. The caller frees it. */
    char *aside;
} PushResult;

/*
 * ERR_REFUSED: not a segment of this cluster, or its content is not what its name says, or it is a
 * zero-padded piece of a segment, or it is of another history than the archive
 * (walk/wal_follows.h), as a history can be (catalog/history_fit.h). ERR_EXISTS: the name has
 * other content; the message says how to get out. ERR_UNREACHABLE, ERR_IO: may work later.
 */
bool archive_push(const Cluster *cluster, const PushRequest *request, PushResult *result,
                  Error *err) MUST_CHECK;
