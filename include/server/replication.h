/*
 * replication.h - WAL as the server streams it: the physical replication protocol.
 *
 * Manual, chapter "Streaming Replication Protocol"; walsender.c, receivelog.c of pg_receivewal.
 *
 *     Session *session = replication_open(...);       also takes SQL, until the stream begins
 *     replication_identify, replication_slot_look, replication_history ...
 *     replication_start(session, slot, position, timeline, &begin, err)
 *     while (replication_next(session, wait_ms, &message, err)) ...
 *     replication_acknowledge(session, received, durable, false, err)
 *
 * Nothing here looks at signals: who streams has work to finish when one comes.
 */
#pragma once

#include "postgres/wal_name.h"
#include "server/session.h"

/*
 * As session_open(), by a walsender. application: what the server calls us, in
 * synchronous_standby_names too.
 */
Session *replication_open(const char *conninfo, const char *application, Error *err) MUST_CHECK;

typedef struct ReplicationIdentity {
    uint64_t system_identifier;
    unsigned major;
    uint32_t wal_segment_size;
    uint32_t timeline; /* It is the one on which the server is now. */
    Lsn flushed;       /* The server can stream up to here. */
} ReplicationIdentity;

bool replication_identify(Session *session, ReplicationIdentity *identity, Error *err) MUST_CHECK;

/*
 * The content of a timeline's history file, appended to text. ERR_NOT_FOUND: the server does not
 * have it.
 */
bool replication_history(Session *session, uint32_t timeline, Buffer *text, Error *err) MUST_CHECK;

typedef struct ReplicationSlot {
    bool exists;
    bool is_physical;
    bool is_temporary;
    bool is_lost;    /* The server has removed WAL that the slot still needed. */
    long active_pid; /* This walsender uses it. 0 means that none does. */
    Lsn restart;     /* WAL from here on is kept. 0 means that none is. */
} ReplicationSlot;

/* 1 to 63 of a-z, 0-9 and _ (slot.c, ReplicationSlotValidateName). ERR_USAGE. */
bool replication_slot_name_check(const char *name, Error *err) MUST_CHECK;
bool replication_slot_look(Session *session, const char *name, ReplicationSlot *slot,
                           Error *err) MUST_CHECK;
/* Physical, and from now on the server keeps its WAL for it. ERR_EXISTS: there is one. */
bool replication_slot_create(Session *session, const char *name, Error *err) MUST_CHECK;

/* What the server says at the end of a timeline that it has left. */
typedef struct TimelineEnd {
    uint32_t next;  /* It is the timeline that begins there. */
    Lsn next_begin; /* That timeline begins here. */
} TimelineEnd;

typedef enum StreamKind {
    STREAM_NOTHING, /* Nothing came within the time. */
    STREAM_DATA,
    STREAM_KEEPALIVE,
    STREAM_END, /* The timeline ended: the session takes commands again. */
} StreamKind;

typedef struct StreamMessage {
    StreamKind kind;
    Lsn position;        /* With DATA, the first byte is here. */
    const uint8_t *data; /* It is valid until the next call. */
    size_t size;
    Lsn server_end;       /* With DATA and KEEPALIVE, the server's WAL now ends here. */
    bool reply_requested; /* It is set with KEEPALIVE. */
    TimelineEnd end;      /* It is set with END. */
    void *memory;         /* It is the memory that data points into. */
} StreamMessage;

/*
 * Begin at `position` of `timeline`. *begun is false when the timeline ends right there: then *end
 * is set. ERR_BUSY: another one uses the slot. ERR_NOT_FOUND: the server has removed that WAL (may
 * also come from replication_next). ERR_POSTGRES.
 */
bool replication_start(Session *session, const char *slot, Lsn position, uint32_t timeline,
                       bool *begun, TimelineEnd *end, Error *err) MUST_CHECK;

/* Wait for the next message, at most wait_ms (a signal ends the waiting). */
bool replication_next(Session *session, unsigned wait_ms, StreamMessage *message,
                      Error *err) MUST_CHECK;
void stream_message_done(Session *session, StreamMessage *message);

/*
 * Tell how far WAL was received, and how far it is durable: the server then needs that no more, and
 * lets commits go that wait for it. durable 0: not said.
 */
bool replication_acknowledge(Session *session, Lsn received, Lsn durable, Error *err) MUST_CHECK;

/* End the stream; the server has seen the last acknowledgement when this returns true. */
bool replication_stop(Session *session, Error *err) MUST_CHECK;
/* Likewise, and the session can be asked and begin to stream again; the slot is free. */
bool replication_leave(Session *session, Error *err) MUST_CHECK;

/* The messages' bytes, for tests: false when it is none that we know. */
bool stream_message_decode(const uint8_t *bytes, size_t size, StreamMessage *message,
                           Error *err) MUST_CHECK;
enum { STREAM_STATUS_SIZE = 34 };
void stream_status_encode(uint8_t bytes[STREAM_STATUS_SIZE], Lsn received, Lsn durable, TimeUs now);
