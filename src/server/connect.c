#include "server/session.h"

#include "base/log.h"
#include "postgres/version.h"
#include "query.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <unistd.h>

enum { CONNECT_TIMEOUT_S = 30 }; /* unless connect_timeout says otherwise */

void session_freep(Session **session)
{
    if (*session == NULL)
        return;
    /* A backend whose backup is in progress aborts it when its client goes. */
    (*session)->pq->PQfinish((*session)->connection);
    mem_free(*session);
    *session = NULL;
}

static void notice_to_log(void *unused, const char *message)
{
    (void)unused;
    log_debug("server says", log_str("notice", message));
}

/*
 * The SQLSTATE in a message of verbosity "verbose": "FATAL:  57P03: the database system is ...".
 * libpq has no other way to tell it when a connection fails. NULL when no server has spoken.
 */
static const char *sqlstate_in(const char *message)
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const char *at = message;

    while ((at = strstr(at, ":  ")) != NULL) {
        at += 3;
        if (strspn(at, letters) == 5 && strncmp(at + 5, ": ", 2) == 0)
            return at;
    }
    return NULL;
}

static void hint_at_login(Error *err, const char *sqlstate)
{
    if (strncmp(sqlstate, "28", 2) != 0 && strncmp(sqlstate, "3D000", 5) != 0)
        return;
    error_hint(err,
               "we are operating system user number %u: name a role and database in "
               "--conninfo (\"user=... dbname=...\") that pg_hba.conf lets in",
               (unsigned)geteuid());
}

/* err from what libpq says of a connection that could not be made. */
static bool connection_failed(Session *session, Error *err)
{
    const char *message = session->pq->PQerrorMessage(session->connection);
    const char *sqlstate = sqlstate_in(message);
    char line[400];

    if (sqlstate == NULL) {
        bool needs_password = session->pq->PQconnectionNeedsPassword(session->connection) != 0;
        message_flatten(message, line, sizeof line);
        error_set(err, needs_password ? ERR_POSTGRES : ERR_UNREACHABLE, "%s", line);
        if (needs_password) {
            error_hint(err, "put the password into ~/.pgpass of the user that runs this");
        } else if (getpwuid(geteuid()) == NULL) {
            error_hint(err,
                       "user number %u has no name on this host: name a role in --conninfo "
                       "(\"user=...\") if the server is there",
                       (unsigned)geteuid());
        }
        return false;
    }
    message_flatten(sqlstate + 7, line, sizeof line);
    char *location = strstr(line, "; LOCATION:");
    if (location != NULL)
        *location = '\0';
    error_set(err, sqlstate_passes(sqlstate) ? ERR_UNREACHABLE : ERR_POSTGRES, "%s", line);
    hint_at_login(err, sqlstate);
    return false;
}

/* A value of the connection's options: what counts after conninfo, service and environment. */
static char *option_of(PQconninfoOption *options, const char *keyword)
{
    for (PQconninfoOption *option = options; option != NULL && option->keyword != NULL; option++) {
        if (strcmp(option->keyword, keyword) == 0)
            return option->val != NULL && *option->val != '\0' ? option->val : NULL;
    }
    return NULL;
}

/* libpq looks at connect_timeout only in its blocking functions. */
static TimeUs connect_deadline(Session *session)
{
    PQconninfoOption *options = session->pq->PQconninfo(session->connection);
    const char *text = option_of(options, "connect_timeout");
    long seconds = text != NULL ? strtol(text, NULL, 10) : CONNECT_TIMEOUT_S;

    session->pq->PQconninfoFree(options);
    if (seconds <= 0 || seconds > 86400)
        seconds = 86400; /* 0 means: wait */
    return time_monotonic() + (TimeUs)seconds * 1000000;
}

static bool connect_to_end(Session *session, Error *err)
{
    const Libpq *pq = session->pq;

    if (pq->PQstatus(session->connection) == CONNECTION_BAD)
        return connection_failed(session, err);

    TimeUs deadline = connect_deadline(session);
    for (PostgresPollingStatusType next = PGRES_POLLING_WRITING; next != PGRES_POLLING_OK;) {
        struct pollfd ready = {.fd = pq->PQsocket(session->connection),
                               .events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        if (time_monotonic() > deadline)
            return error_set(err, ERR_UNREACHABLE, "the server did not answer in time");
        if (!query_wait(session, ready.events, err))
            return false;
        /* PQconnectPoll() may only be called when the socket is ready: it would block. */
        if (poll(&ready, 1, 0) <= 0)
            continue;
        next = pq->PQconnectPoll(session->connection);
        if (next == PGRES_POLLING_FAILED)
            return connection_failed(session, err);
    }
    return true;
}

/* Words that libpq quotes when it can't read a string: any but a keyword's may be a password. */
static void hide_values(char *line)
{
    static const char keyword[] = "invalid connection option \"";
    char *open = strchr(line, '"');

    while (open != NULL) {
        char *end = strchr(open + 1, '"');
        char *stop = end != NULL ? end : line + strlen(line);
        bool is_keyword = end != NULL && strncmp(line, keyword, sizeof keyword - 1) == 0;
        for (char *c = open + 1; c < stop && !is_keyword; c++)
            *c = '.';
        open = end != NULL ? strchr(end + 1, '"') : NULL;
    }
}

static bool refuse_conninfo(const Libpq *pq, char *complaint, Error *err)
{
    char line[400];

    message_flatten(complaint != NULL ? complaint : "out of memory", line, sizeof line);
    pq->PQfreemem(complaint);
    hide_values(line);
    error_set(err, ERR_USAGE, "connection string: %s", line);
    return error_hint(err, "for example \"host=/var/run/postgresql port=5432 user=backup\"");
}

/* Whether neither conninfo nor the environment names a database. ERR_USAGE for a conninfo that
 * libpq can't read. A service file may name one: that is libpq's business to know. */
static bool names_no_database(const Libpq *pq, const char *conninfo, bool *names_none, Error *err)
{
    char *complaint = NULL;

    *names_none = getenv("PGSERVICE") == NULL && getenv("PGDATABASE") == NULL;
    if (conninfo == NULL)
        return true;
    PQconninfoOption *options = pq->PQconninfoParse(conninfo, &complaint);
    if (options == NULL)
        return refuse_conninfo(pq, complaint, err);
    *names_none = *names_none && option_of(options, "dbname") == NULL &&
                  option_of(options, "service") == NULL;
    pq->PQconninfoFree(options);
    return true;
}

static PGconn *start_connection(const Libpq *pq, const SessionRequest *request, bool names_none)
{
    enum { PAIRS_MAX = 12 };
    const char *conninfo = request->conninfo;
    const char *keywords[PAIRS_MAX] = {0};
    const char *values[PAIRS_MAX] = {0};
    size_t count = 0;
    const struct {
        const char *keyword;
        const char *value;
        bool wanted;
    } pairs[] = {
        /* The first dbname may be a whole connection string; what comes later wins. */
        {"keepalives_idle", "30", true},
        {"keepalives_interval", "10", true},
        {"keepalives_count", "6", true},
        /* Keepalives don't run while an answer of ours is under way: a stream always has one. */
        {"tcp_user_timeout", "60000", request->for_replication},
        {"dbname", conninfo, conninfo != NULL},
        {"dbname", "postgres", names_none},
        {"keepalives", "1", true},
        {"client_encoding", "UTF8", true},
        {"application_name", request->application, true},
        {"replication", "database", request->for_replication},
    };

    static_assert(ARRAY_SIZE(pairs) < PAIRS_MAX, "the last keyword must be NULL");
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        if (pairs[i].wanted) {
            keywords[count] = pairs[i].keyword;
            values[count++] = pairs[i].value;
        }
    }
    return pq->PQconnectStartParams(keywords, values, 1);
}

/* Nothing of the role's or database's settings may end a backup that takes hours. */
static bool connection_prepare(Session *session, Error *err)
{
    CLEANUP(answer_done) Answer answer = {0};
    int version = session->pq->PQserverVersion(session->connection);
    CLEANUP(text_freep)
    char *query = text_format("SET search_path = pg_catalog; SET statement_timeout = 0; "
                              "SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0;"
                              "%s%s",
                              version >= 140000 ? " SET idle_session_timeout = 0;" : "",
                              version >= 170000 ? " SET transaction_timeout = 0;" : "");

    if (version / 10000 < PG_MAJOR_MIN || version / 10000 > PG_MAJOR_MAX) {
        return error_set(err, ERR_VERSION, "the server is PostgreSQL %d: %d to %d are known",
                         version / 10000, PG_MAJOR_MIN, PG_MAJOR_MAX);
    }
    if (session->pq->PQsetnonblocking(session->connection, 1) != 0)
        return connection_lost(session, err);
    return query_run(session, query, NULL, 0, &answer, err);
}

static bool open_connection(Session *session, const SessionRequest *request, Error *err)
{
    bool names_none;

    if (!names_no_database(session->pq, request->conninfo, &names_none, err))
        return false;
    session->connection = start_connection(session->pq, request, names_none);
    if (session->connection == NULL)
        return error_set(err, ERR_UNREACHABLE, "libpq is out of memory");
    /* So that messages carry the SQLSTATE, see sqlstate_in(). */
    (void)session->pq->PQsetErrorVerbosity(session->connection, PQERRORS_VERBOSE);
    (void)session->pq->PQsetNoticeProcessor(session->connection, notice_to_log, NULL);
    return connect_to_end(session, err);
}

Session *session_open_request(const SessionRequest *request, Error *err)
{
    const Libpq *pq = libpq_load(err);
    CLEANUP(session_freep) Session *session = NULL;

    if (pq == NULL)
        return NULL;
    session = mem_alloc(sizeof *session);
    session->pq = pq;
    if (!open_connection(session, request, err) || !connection_prepare(session, err)) {
        error_context(err, "connect to the server");
        return NULL;
    }
    return TAKE(session);
}

Session *session_open(const char *conninfo, Error *err)
{
    return session_open_request(&(SessionRequest){.conninfo = conninfo, .application = "pgcairn"},
                                err);
}
