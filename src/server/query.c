#include "query.h"

#include "base/interrupt.h"

#include <errno.h>
#include <poll.h>

enum { POLL_MS = 200 }; /* bounds how late a signal between a check and poll(2) is seen */

/* One line out of many, in the order of the server. */
void message_flatten(const char *text, char *line, size_t size)
{
    size_t used = 0;

    for (; *text != '\0' && used + 2 < size; text++) {
        if (*text == '\t') { /* libpq's second lines begin so */
            if (used > 0 && line[used - 1] != ' ')
                line[used++] = ' ';
        } else if (*text != '\n') {
            line[used++] = *text;
        } else if (text[1] != '\0') {
            line[used++] = ';';
            line[used++] = ' ';
        }
    }
    line[used] = '\0';
}

/* Not now, but perhaps in a while: starting, stopping, crashed, out of connections or resources. */
bool sqlstate_passes(const char *sqlstate)
{
    return strncmp(sqlstate, "57P0", 4) == 0 || strncmp(sqlstate, "53", 2) == 0 ||
           strncmp(sqlstate, "08", 2) == 0;
}

/* Wait for the socket, at most for POLL_MS. */
bool query_wait(Session *session, short events, Error *err)
{
    struct pollfd wait = {.fd = session->pq->PQsocket(session->connection), .events = events};

    if (!interrupt_check(err))
        return false;
    if (poll(&wait, 1, POLL_MS) < 0 && errno != EINTR)
        return error_set_errno(err, ERR_IO, errno, "wait for the server");
    return interrupt_check(err);
}

void answer_done(Answer *answer)
{
    if (answer->result != NULL)
        answer->pq->PQclear(answer->result);
    answer->result = NULL;
}

static bool has_succeeded(const Libpq *pq, const PGresult *result)
{
    ExecStatusType status = pq->PQresultStatus(result);

    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}

/* Ask the server to stop what it does for us: a spread checkpoint may take minutes. */
static void query_cancel(Session *session)
{
    char ignored[256];
    PGcancel *request = session->pq->PQgetCancel(session->connection);

    if (request != NULL)
        (void)session->pq->PQcancel(request, ignored, sizeof ignored);
    session->pq->PQfreeCancel(request);
}

bool connection_lost(Session *session, Error *err)
{
    char line[400];

    message_flatten(session->pq->PQerrorMessage(session->connection), line, sizeof line);
    return error_set(err, ERR_UNREACHABLE, "connection to the server lost: %s", line);
}

bool query_flush(Session *session, Error *err)
{
    int left;

    while ((left = session->pq->PQflush(session->connection)) == 1) {
        if (!query_wait(session, POLLIN | POLLOUT, err))
            return false;
        if (session->pq->PQconsumeInput(session->connection) == 0)
            return connection_lost(session, err);
    }
    return left == 0 || connection_lost(session, err);
}

static bool wait_for_result(Session *session, Error *err)
{
    while (session->pq->PQisBusy(session->connection) != 0) {
        if (!query_wait(session, POLLIN, err) ||
            (session->wait != NULL && !session->wait(session->wait_context, err))) {
            query_cancel(session);
            return false;
        }
        if (session->pq->PQconsumeInput(session->connection) == 0)
            return connection_lost(session, err);
    }
    return true;
}

static bool query_collect(Session *session, Answer *answer, Error *err)
{
    for (;;) {
        if (!wait_for_result(session, err))
            return false;
        PGresult *result = session->pq->PQgetResult(session->connection);
        if (result == NULL)
            return true;
        if (answer->result == NULL || has_succeeded(session->pq, answer->result)) {
            answer_done(answer);
            answer->result = result;
        } else {
            session->pq->PQclear(result);
        }
    }
}

static const char *field_of(const Answer *answer, int field)
{
    const char *text = answer->pq->PQresultErrorField(answer->result, field);

    return text != NULL ? text : "";
}

const char *answer_sqlstate(const Answer *answer)
{
    return field_of(answer, PG_DIAG_SQLSTATE);
}

bool answer_refused(const Answer *answer, Error *err)
{
    const char *sqlstate = answer_sqlstate(answer);
    const char *message = field_of(answer, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = field_of(answer, PG_DIAG_MESSAGE_DETAIL);
    const char *hint = field_of(answer, PG_DIAG_MESSAGE_HINT);
    ErrorCode code = sqlstate_passes(sqlstate) ? ERR_UNREACHABLE : ERR_POSTGRES;
    char line[400];

    if (*message == '\0')
        message = answer->pq->PQresultErrorMessage(answer->result);
    message_flatten(message, line, sizeof line);
    error_set(err, code, "%s%s%s", line, *detail != '\0' ? ": " : "", detail);
    if (*hint != '\0') {
        error_hint(err, "%s", hint);
    } else if (strcmp(sqlstate, "42501") == 0) {
        error_hint(err, "the role needs EXECUTE on the functions for backups (a superuser grants "
                        "it) and membership in pg_read_all_settings");
    }
    return false;
}

bool query_send(Session *session, const char *query, Error *err)
{
    if (session->pq->PQsendQuery(session->connection, query) == 0)
        return connection_lost(session, err);
    return query_flush(session, err);
}

/* parameters may be NULL with count 0: then query may be several statements. */
bool query_run(Session *session, const char *query, const char *const *parameters, int count,
               Answer *answer, Error *err)
{
    const Libpq *pq = session->pq;

    /* A question that a signal has ended leaves the connection in the middle of its answer: whoever
     * could do without that one must not take the next one's failure for a lost server. */
    *answer = (Answer){.pq = pq};
    if (!interrupt_check(err))
        return false;
    int sent = count == 0 ? pq->PQsendQuery(session->connection, query)
                          : pq->PQsendQueryParams(session->connection, query, count, NULL,
                                                  parameters, NULL, NULL, 0);
    if (sent == 0)
        return connection_lost(session, err);
    if (!query_flush(session, err) || !query_collect(session, answer, err))
        return false;
    if (answer->result == NULL)
        return connection_lost(session, err);
    return has_succeeded(pq, answer->result) || answer_refused(answer, err);
}
