/*
 * query.h - one question to the server and its answer; waits end when a signal comes.
 */
#pragma once

#include "libpq.h"
#include "server/session.h"

struct Session {
    const Libpq *pq;
    PGconn *connection;
    SessionWait *wait; /* It may be NULL. */
    void *wait_context;
};

typedef struct SessionRequest {
    const char *conninfo;
    const char *application; /* The server calls us by this name. */
    bool for_replication;    /* It connects to a walsender, which takes SQL, too. */
} SessionRequest;

Session *session_open_request(const SessionRequest *request, Error *err) MUST_CHECK;

/* Whole results only; the first failed one is what counts. */
typedef struct Answer {
    const Libpq *pq;
    PGresult *result;
} Answer;

void answer_done(Answer *answer); /* for CLEANUP() */

/*
 * count 0: parameters may be NULL and query several statements. ERR_POSTGRES in the server's words,
 * ERR_UNREACHABLE when the connection is lost or it may work later, ERR_INTERRUPTED (the query is
 * cancelled).
 */
bool query_run(Session *session, const char *query, const char *const *parameters, int count,
               Answer *answer, Error *err) MUST_CHECK;

/* Send it and do not wait for the answer. */
bool query_send(Session *session, const char *query, Error *err) MUST_CHECK;
/* What waits to be sent goes out. */
bool query_flush(Session *session, Error *err) MUST_CHECK;
/* err in the server's own words; always false. */
bool answer_refused(const Answer *answer, Error *err);
const char *answer_sqlstate(const Answer *answer); /* It returns "" when there is none. */

/* Wait for the connection's socket, shortly. ERR_INTERRUPTED when a signal came. */
bool query_wait(Session *session, short events, Error *err) MUST_CHECK;

/* What may pass: the server is starting, stopping, crashed, or out of resources. */
bool sqlstate_passes(const char *sqlstate);

/* Lines of a message joined to one, cut to size. */
void message_flatten(const char *text, char *line, size_t size);

bool connection_lost(Session *session, Error *err); /* always false */
