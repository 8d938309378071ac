#include "server/replication.h"

#include "query.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>

enum {
    SLOT_NAME_MAX = 63,
    HISTORY_SIZE_MAX = 1 << 20,
    STOP_TIMEOUT_MS = 5000,
    SEND_TIMEOUT_MS = 30000, /* A server that takes no answer for this long has died. */
};

Session *replication_open(const char *conninfo, const char *application, Error *err)
{
    return session_open_request(&(SessionRequest){.conninfo = conninfo,
                                                  .application = application,
                                                  .for_replication = true},
                                err);
}

static bool replication_unexpected(const char *what, Error *err)
{
    return error_set(err, ERR_POSTGRES, "the server's answer to %s is not understood", what);
}

/* Digits only; strtoull() would take more. */
static bool replication_parse_number(const char *text, uint64_t max, uint64_t *number)
{
    char *end;

    if (text == NULL || *text < '0' || *text > '9')
        return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return *end == '\0' && errno == 0 && *number <= max;
}

static bool identify_system(Session *session, ReplicationIdentity *identity, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *values[4] = {0}; /* systemid, timeline, xlogpos, dbname */
    uint64_t timeline;
    bool found;

    if (!session_row(session, "IDENTIFY_SYSTEM", &arena, values, ARRAY_SIZE(values), &found, err))
        return false;
    if (!found || !replication_parse_number(values[0], UINT64_MAX, &identity->system_identifier) ||
        !replication_parse_number(values[1], UINT32_MAX, &timeline) || values[2] == NULL)
        return replication_unexpected("IDENTIFY_SYSTEM", err);
    identity->timeline = (uint32_t)timeline;
    return lsn_parse(values[2], &identity->flushed, err);
}

bool replication_identify(Session *session, ReplicationIdentity *identity, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *size_text = NULL;
    uint64_t size;
    bool found;

    *identity = (ReplicationIdentity){
        .major = (unsigned)session->pq->PQserverVersion(session->connection) / 10000};
    if (!identify_system(session, identity, err) ||
        !session_row(session, "SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'",
                     &arena, &size_text, 1, &found, err))
        return error_context(err, "ask the server who it is");
    if (!found || !replication_parse_number(size_text, UINT32_MAX, &size) ||
        !wal_segment_size_is_valid(size))
        return replication_unexpected("the question for its wal_segment_size", err);
    identity->wal_segment_size = (uint32_t)size;
    return true;
}

bool replication_history(Session *session, uint32_t timeline, Buffer *text, Error *err)
{
    CLEANUP(answer_done) Answer answer = {0};
    CLEANUP(text_freep) char *query = text_format("TIMELINE_HISTORY %" PRIu32, timeline);

    if (!query_run(session, query, NULL, 0, &answer, err)) {
        /* undefined_file: walsender.c, SendTimeLineHistory */
        if (answer.result != NULL && strcmp(answer_sqlstate(&answer), "58P01") == 0)
            err->code = ERR_NOT_FOUND;
        return error_context(err, "ask the server for the history of timeline %" PRIu32, timeline);
    }
    if (session->pq->PQntuples(answer.result) != 1 || session->pq->PQnfields(answer.result) != 2)
        return replication_unexpected(query, err);

    /* Raw bytes, whatever type the column says (bytea in 13, text later). */
    const char *content = session->pq->PQgetvalue(answer.result, 0, 1);
    if (strlen(content) > HISTORY_SIZE_MAX)
        return replication_unexpected(query, err);
    buffer_append(text, content, strlen(content));
    return true;
}

bool replication_slot_name_check(const char *name, Error *err)
{
    const size_t length = strlen(name);

    if (length > 0 && length <= SLOT_NAME_MAX &&
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == length)
        return true;
    return error_set(err, ERR_USAGE,
                     "slot name \"%s\" is not made of 1 to %d lower-case letters, digits and \"_\"",
                     name, SLOT_NAME_MAX);
}

bool replication_slot_look(Session *session, const char *name, ReplicationSlot *slot, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(text_freep)
    char *query = text_format("SELECT slot_type, temporary, coalesce(active_pid, 0), restart_lsn,"
                              " wal_status FROM pg_replication_slots WHERE slot_name = '%s'",
                              name);
    const char *values[5] = {0};
    uint64_t pid;

    *slot = (ReplicationSlot){0};
    if (!replication_slot_name_check(name, err) ||
        !session_row(session, query, &arena, values, ARRAY_SIZE(values), &slot->exists, err))
        return error_context(err, "look at replication slot \"%s\"", name);
    if (!slot->exists)
        return true;
    if (values[0] == NULL || values[1] == NULL ||
        !replication_parse_number(values[2], INT32_MAX, &pid))
        return replication_unexpected("the question for its slot", err);
    slot->is_physical = strcmp(values[0], "physical") == 0;
    slot->is_temporary = strcmp(values[1], "t") == 0;
    slot->active_pid = (long)pid;
    slot->is_lost = values[4] != NULL && strcmp(values[4], "lost") == 0;
    return values[3] == NULL || lsn_parse(values[3], &slot->restart, err);
}

bool replication_slot_create(Session *session, const char *name, Error *err)
{
    CLEANUP(answer_done) Answer answer = {0};
    /* The old form of the grammar; all versions take it (repl_gram.y). */
    CLEANUP(text_freep)
    char *query = text_format("CREATE_REPLICATION_SLOT \"%s\" PHYSICAL RESERVE_WAL", name);

    if (replication_slot_name_check(name, err) && query_run(session, query, NULL, 0, &answer, err))
        return true;
    /* duplicate_object: slot.c, ReplicationSlotCreate */
    if (answer.result != NULL && strcmp(answer_sqlstate(&answer), "42710") == 0)
        err->code = ERR_EXISTS;
    return error_context(err, "create replication slot \"%s\"", name);
}

/* Wait for the socket. A signal ends it early. */
static bool session_wait_for(Session *session, short events, int wait_ms, Error *err)
{
    struct pollfd wait = {.fd = session->pq->PQsocket(session->connection), .events = events};

    if (poll(&wait, 1, wait_ms) < 0 && errno != EINTR)
        return error_set_errno(err, ERR_IO, errno, "wait for the server");
    return true;
}

static bool send_out(Session *session, Error *err)
{
    const TimeUs deadline = time_monotonic() + (TimeUs)SEND_TIMEOUT_MS * 1000;
    int left;

    while ((left = session->pq->PQflush(session->connection)) == 1) {
        if (time_monotonic() > deadline)
            return error_set(err, ERR_UNREACHABLE, "the server takes no answer");
        if (!session_wait_for(session, POLLIN | POLLOUT, 200, err))
            return false;
        if (session->pq->PQconsumeInput(session->connection) == 0)
            return connection_lost(session, err);
    }
    return left == 0 || connection_lost(session, err);
}

/* The next result, NULL at the end of them; waits at most until the deadline. */
static bool next_result(Session *session, TimeUs deadline, Answer *answer, Error *err)
{
    answer_done(answer);
    *answer = (Answer){.pq = session->pq};
    while (session->pq->PQisBusy(session->connection) != 0) {
        if (time_monotonic() > deadline)
            return error_set(err, ERR_UNREACHABLE, "the server does not answer");
        if (!session_wait_for(session, POLLIN, 200, err))
            return false;
        if (session->pq->PQconsumeInput(session->connection) == 0)
            return connection_lost(session, err);
    }
    answer->result = session->pq->PQgetResult(session->connection);
    return true;
}

static TimeUs keepalive_due(void)
{
    return time_monotonic() + (TimeUs)60 * 1000000;
}

/* err in the server's words; some have a meaning of their own here. */
static bool stream_refused(const Answer *answer, Error *err)
{
    const char *sqlstate = answer_sqlstate(answer);

    answer_refused(answer, err);
    if (strcmp(sqlstate, "55006") == 0) /* object_in_use: slot.c, ReplicationSlotAcquire */
        err->code = ERR_BUSY;
    if (strcmp(sqlstate, "58P01") == 0) /* undefined_file: walsender.c, WalSndSegmentOpen */
        err->code = ERR_NOT_FOUND;
    return false;
}

/* The row that a server sends at the end of a timeline: bigint, text. */
static bool take_timeline_end(const Answer *answer, TimelineEnd *end, Error *err)
{
    const Libpq *pq = answer->pq;
    uint64_t timeline;

    if (pq->PQntuples(answer->result) != 1 || pq->PQnfields(answer->result) != 2 ||
        !replication_parse_number(pq->PQgetvalue(answer->result, 0, 0), UINT32_MAX, &timeline) ||
        timeline == 0)
        return replication_unexpected("START_REPLICATION", err);
    end->next = (uint32_t)timeline;
    return lsn_parse(pq->PQgetvalue(answer->result, 0, 1), &end->next_begin, err);
}

/* The results after a stream, until there are no more. */
static bool take_results(Session *session, TimelineEnd *end, bool *has_end, Error *err)
{
    CLEANUP(answer_done) Answer answer = {0};

    for (;;) {
        if (!next_result(session, keepalive_due(), &answer, err))
            return false;
        if (answer.result == NULL)
            return true;
        ExecStatusType status = session->pq->PQresultStatus(answer.result);
        if (status == PGRES_TUPLES_OK) {
            *has_end = true;
            if (!take_timeline_end(&answer, end, err))
                return false;
        } else if (status != PGRES_COMMAND_OK) {
            return stream_refused(&answer, err);
        }
    }
}

bool replication_start(Session *session, const char *slot, Lsn position, uint32_t timeline,
                       bool *begun, TimelineEnd *end, Error *err)
{
    CLEANUP(answer_done) Answer answer = {0};
    char place[LSN_TEXT_SIZE];
    CLEANUP(text_freep)
    char *query = text_format("START_REPLICATION SLOT \"%s\" PHYSICAL %s TIMELINE %" PRIu32, slot,
                              lsn_text(position, place), timeline);
    bool ok =
        query_send(session, query, err) && next_result(session, keepalive_due(), &answer, err);
    bool has_end = false;

    if (!ok)
        return error_context(err, "begin to stream at %s", place);
    if (answer.result == NULL)
        return connection_lost(session, err);
    switch ((int)session->pq->PQresultStatus(answer.result)) {
    case PGRES_COPY_BOTH:
        *begun = true;
        return true;
    case PGRES_TUPLES_OK: /* the timeline ends right here */
        *begun = false;
        return take_timeline_end(&answer, end, err) && take_results(session, end, &has_end, err);
    default:
        stream_refused(&answer, err);
        return error_context(err, "begin to stream at %s", place);
    }
}

static uint64_t get_be64(const uint8_t *bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < 8; i++)
        value = value << 8 | bytes[i];
    return value;
}

static void put_be64(uint8_t *bytes, uint64_t value)
{
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (56 - 8 * i));
}

/* protocol-replication.html: XLogData and primary keepalive message. */
bool stream_message_decode(const uint8_t *bytes, size_t size, StreamMessage *message, Error *err)
{
    enum { DATA_HEAD = 25, KEEPALIVE_SIZE = 18 };

    *message = (StreamMessage){0};
    if (size >= DATA_HEAD && bytes[0] == 'w') {
        *message = (StreamMessage){.kind = STREAM_DATA,
                                   .position = get_be64(bytes + 1),
                                   .server_end = get_be64(bytes + 9),
                                   .data = bytes + DATA_HEAD,
                                   .size = size - DATA_HEAD};
        return true;
    }
    if (size >= KEEPALIVE_SIZE && bytes[0] == 'k') {
        *message = (StreamMessage){.kind = STREAM_KEEPALIVE,
                                   .server_end = get_be64(bytes + 1),
                                   .reply_requested = bytes[17] != 0};
        return true;
    }
    return error_set(err, ERR_POSTGRES, "the server sent a message of %zu bytes that is not known",
                     size);
}

/* The server has ended the stream: at the end of a timeline, or with an error. */
static bool end_of_stream(Session *session, StreamMessage *message, Error *err)
{
    CLEANUP(answer_done) Answer answer = {0};
    bool has_end = false;

    if (!next_result(session, keepalive_due(), &answer, err))
        return false;
    if (answer.result == NULL)
        return connection_lost(session, err);
    ExecStatusType status = session->pq->PQresultStatus(answer.result);
    /* walsender.c, WalSndDone: all WAL was sent, and the server shuts down. */
    if (status == PGRES_COMMAND_OK)
        return error_set(err, ERR_UNREACHABLE, "the server shuts down");
    if (status != PGRES_COPY_IN)
        return stream_refused(&answer, err);
    answer_done(&answer);
    if (session->pq->PQputCopyEnd(session->connection, NULL) != 1)
        return connection_lost(session, err);
    if (!send_out(session, err) || !take_results(session, &message->end, &has_end, err))
        return false;
    if (!has_end)
        return error_set(err, ERR_UNREACHABLE, "the server has ended the stream");
    message->kind = STREAM_END;
    return true;
}

bool replication_next(Session *session, unsigned wait_ms, StreamMessage *message, Error *err)
{
    const Libpq *pq = session->pq;
    char *bytes = NULL;
    int size = pq->PQgetCopyData(session->connection, &bytes, 1);

    *message = (StreamMessage){0};
    if (size == 0) {
        if (!session_wait_for(session, POLLIN, (int)wait_ms, err))
            return false;
        if (pq->PQconsumeInput(session->connection) == 0)
            return connection_lost(session, err);
        size = pq->PQgetCopyData(session->connection, &bytes, 1);
    }
    if (size == 0)
        return true;
    if (size == -1)
        return end_of_stream(session, message, err);
    if (size < 0)
        return connection_lost(session, err);
    if (!stream_message_decode((const uint8_t *)bytes, (size_t)size, message, err)) {
        pq->PQfreemem(bytes);
        return false;
    }
    message->memory = bytes;
    return true;
}

void stream_message_done(Session *session, StreamMessage *message)
{
    if (message->memory != NULL)
        session->pq->PQfreemem(message->memory);
    *message = (StreamMessage){0};
}

void stream_status_encode(uint8_t bytes[STREAM_STATUS_SIZE], Lsn received, Lsn durable, TimeUs now)
{
    bytes[0] = 'r';
    put_be64(bytes + 1, received);
    put_be64(bytes + 9, durable);
    put_be64(bytes + 17, 0); /* applied: nothing is replayed here */
    put_be64(bytes + 25, (uint64_t)(now - time_from_postgres(0)));
    bytes[33] = 0; /* no answer wanted */
}

bool replication_acknowledge(Session *session, Lsn received, Lsn durable, Error *err)
{
    uint8_t status[STREAM_STATUS_SIZE];

    stream_status_encode(status, received, durable, time_now());
    if (session->pq->PQputCopyData(session->connection, (const char *)status, sizeof status) != 1)
        return connection_lost(session, err);
    return send_out(session, err);
}

/* The server answers our end with its own once it has read all that we sent before. */
bool replication_stop(Session *session, Error *err)
{
    const TimeUs deadline = time_monotonic() + (TimeUs)STOP_TIMEOUT_MS * 1000;
    const Libpq *pq = session->pq;

    if (pq->PQputCopyEnd(session->connection, NULL) != 1)
        return connection_lost(session, err);
    if (!send_out(session, err))
        return false;
    for (;;) {
        char *bytes = NULL;
        int size = pq->PQgetCopyData(session->connection, &bytes, 1);

        pq->PQfreemem(bytes);
        if (size < 0)
            return size == -1 || connection_lost(session, err);
        if (size > 0)
            continue;
        if (time_monotonic() > deadline)
            return error_set(err, ERR_UNREACHABLE, "the server does not end the stream");
        if (!session_wait_for(session, POLLIN, 200, err))
            return false;
        if (pq->PQconsumeInput(session->connection) == 0)
            return connection_lost(session, err);
    }
}

bool replication_leave(Session *session, Error *err)
{
    TimelineEnd end;
    bool has_end = false;

    return replication_stop(session, err) && take_results(session, &end, &has_end, err);
}
