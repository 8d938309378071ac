/*
 * receive.h - WAL streamed from the server into the repository, as it is written.
 *
 * Whole segments become WAL objects, as archive-push stores them. The segment still being written
 * is stored in pieces (wal/wal_piece.h). The server is told that WAL is durable only once it is
 * so in the repository: its slot keeps everything else, and commits that wait for us are as safe
 * as the repository is. Nothing local is needed for that: what was received and not stored when
 * the process dies is streamed once more.
 *
 * By request a spool on this host comes between: then durable means durable there.
 */
#pragma once

#include "base/buffer.h"
#include "postgres/wal_name.h"
#include "repo/repo.h"
#include "stream/codec.h"

#include <sys/types.h>

typedef enum ReceiveEvent {
    RECEIVE_ALIVE,     /* It comes at least once a second while all is well. */
    RECEIVE_STREAMING, /* It is connected, and WAL arrives. */
    RECEIVE_DURABLE,   /* More WAL is stored and acknowledged. */
    RECEIVE_WAITING,   /* Something failed. It tries again in pause_ms. */
    RECEIVE_FULL,      /* The spool is full: nothing is received until the repository takes WAL. */
    RECEIVE_STOPPING,  /* A signal came, and the rest is being stored. */
} ReceiveEvent;

typedef struct ReceiveNews {
    ReceiveEvent event;
    uint32_t timeline;
    Lsn durable;        /* 0 means that it is not known yet. */
    const Error *error; /* It is set with RECEIVE_WAITING. */
    uint64_t pause_ms;  /* It is set with RECEIVE_WAITING. */
    uint64_t spooled;   /* The spool has about this many bytes. */
} ReceiveNews;

typedef struct ReceiveRequest {
    const char *slot;
    const char *application; /* The server calls us by this name. */
    bool is_synchronous;     /* What comes is stored at once, because commits wait for it. */
    /* Otherwise this much time may pass between the arrival of a byte and its storing. */
    uint64_t interval_ms;
    Lsn until;               /* Receiving ends once WAL is durable up to here. 0 means never. */
    Compression compression; /* Whole segments are compressed this way. */
    unsigned threads;
    /* WAL goes through this directory. NULL means that it goes into the repository at once. */
    const char *spool;
    uint64_t spool_size; /* The spool may take this many bytes. */
    /*
     * It says how to reach the server. It is asked before each attempt, since the server may have
     * moved.
     */
    bool (*locate)(void *context, Buffer *conninfo, Error *err);
    void (*tell)(void *context, const ReceiveNews *news);
    void *context;
} ReceiveRequest;

/*
 * Runs until a signal comes or `until` is durable: both are a success when everything received was
 * stored. What may pass (server or repository out of reach) is tried again forever, with growing
 * pauses. ERR_REFUSED: another cluster's server, or a slot that can't be used. ERR_BUSY: somebody
 * else uses the slot. ERR_EXISTS: the archive has other content. ERR_POSTGRES, ERR_USAGE.
 */
bool archive_receive(const Cluster *cluster, const ReceiveRequest *request, Error *err) MUST_CHECK;

/*
 * The repository is away, and the spool was used with it before: its id and seed, and the cluster,
 * as the spool has them. repo->storage is left as it is. ERR_NOT_FOUND: there is no spool, or it
 * does not say enough. ERR_REFUSED: it is another cluster's than `name`.
 */
bool archive_receive_recall(const char *spool, const char *name, Repo *repo, Cluster *cluster,
                            Error *err) MUST_CHECK;
