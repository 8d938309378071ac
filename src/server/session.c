#include "server/session.h"

#include "query.h"

enum { LABEL_SIZE_MAX = 1024 }; /* as the server (MAXPGPATH): "backup label too long" */

static bool answer_take_row(const Answer *answer, Arena *arena, const char **values, size_t count,
                            bool *found, Error *err)
{
    const Libpq *pq = answer->pq;

    *found = pq->PQntuples(answer->result) > 0;
    if (!*found)
        return true;
    if (pq->PQnfields(answer->result) != (int)count) {
        return error_set(err, ERR_POSTGRES, "the server answered %d columns instead of %zu",
                         pq->PQnfields(answer->result), count);
    }
    for (int i = 0; i < (int)count; i++) {
        bool is_null = pq->PQgetisnull(answer->result, 0, i) != 0;
        values[i] = is_null ? NULL : arena_text(arena, pq->PQgetvalue(answer->result, 0, i));
    }
    return true;
}

void session_while_waiting(Session *session, SessionWait *wait, void *context)
{
    session->wait = wait;
    session->wait_context = context;
}

bool session_row(Session *session, const char *query, Arena *arena, const char **values,
                 size_t count, bool *found, Error *err)
{
    CLEANUP(answer_done) Answer answer = {0};

    return query_run(session, query, NULL, 0, &answer, err) &&
           answer_take_row(&answer, arena, values, count, found, err);
}

bool session_rows(Session *session, const char *query, size_t count, SessionRowFunction *on_row,
                  void *context, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(answer_done) Answer answer = {0};
    const char **values = arena_alloc(&arena, (count + 1) * sizeof *values);

    if (!query_run(session, query, NULL, 0, &answer, err))
        return false;
    const Libpq *pq = answer.pq;
    if (pq->PQnfields(answer.result) != (int)count) {
        return error_set(err, ERR_POSTGRES, "the server answered %d columns instead of %zu",
                         pq->PQnfields(answer.result), count);
    }
    for (int row = 0; row < pq->PQntuples(answer.result); row++) {
        for (int i = 0; i < (int)count; i++) {
            bool is_null = pq->PQgetisnull(answer.result, row, i) != 0;
            values[i] = is_null ? NULL : pq->PQgetvalue(answer.result, row, i);
        }
        if (!on_row(context, values, err))
            return false;
    }
    return true;
}

bool session_run(Session *session, const char *statement, Error *err)
{
    CLEANUP(answer_done) Answer answer = {0};

    return query_run(session, statement, NULL, 0, &answer, err);
}

static bool one_row(Session *session, const char *query, const char *const *parameters,
                    int parameter_count, Arena *arena, const char **values, size_t count,
                    Error *err)
{
    CLEANUP(answer_done) Answer answer = {0};
    bool found = false;

    if (!query_run(session, query, parameters, parameter_count, &answer, err) ||
        !answer_take_row(&answer, arena, values, count, &found, err))
        return false;
    return found || error_set(err, ERR_POSTGRES, "the server answered with no row");
}

/* SQL_ASCII is how a client says "do not convert" (mbutils.c, pg_server_to_client). */
bool session_take_bytes(Session *session, Error *err)
{
    CLEANUP(answer_done) Answer answer = {0};

    return query_run(session, "SET client_encoding = 'SQL_ASCII'", NULL, 0, &answer, err);
}

static const char *text_or_empty(const char *text)
{
    return text != NULL ? text : "";
}

static bool text_is_true(const char *text)
{
    return text != NULL && strcmp(text, "t") == 0;
}

bool session_identify(Session *session, Arena *arena, ServerIdentity *identity, Error *err)
{
    /* From pg_settings, where what the role may not see is left out: SHOW would be an error. */
    static const char query[] =
        "SELECT s.system_identifier, c.timeline_id, i.bytes_per_wal_segment,"
        " i.data_page_checksum_version <> 0, pg_is_in_recovery(),"
        " (SELECT setting FROM pg_settings WHERE name = 'archive_mode') <> 'off',"
        " (SELECT nullif(setting, '(disabled)') FROM pg_settings WHERE name = 'archive_command'),"
        " (SELECT setting FROM pg_settings WHERE name = 'wal_level'),"
        " (SELECT setting FROM pg_settings WHERE name = 'data_directory'),"
        " (SELECT setting FROM pg_settings WHERE name = 'config_file'),"
        " (SELECT setting FROM pg_settings WHERE name = 'hba_file'),"
        " (SELECT setting FROM pg_settings WHERE name = 'ident_file')"
        " FROM pg_control_system() s, pg_control_checkpoint() c, pg_control_init() i";
    const char *values[12] = {0};

    if (!one_row(session, query, NULL, 0, arena, values, ARRAY_SIZE(values), err))
        return error_context(err, "ask the server who it is");
    int version = session->pq->PQserverVersion(session->connection);
    /* bigint is signed in SQL: large identifiers come as negative numbers. */
    *identity = (ServerIdentity){
        .version_number = (unsigned)version,
        .major = (unsigned)version / 10000,
        .system_identifier = (uint64_t)strtoll(text_or_empty(values[0]), NULL, 10),
        .timeline = (uint32_t)strtoul(text_or_empty(values[1]), NULL, 10),
        .wal_segment_size = (uint32_t)strtoul(text_or_empty(values[2]), NULL, 10),
        .has_checksums = text_is_true(values[3]),
        .in_recovery = text_is_true(values[4]),
        .archiving = text_is_true(values[5]),
        .archive_command = text_or_empty(values[6]),
        .wal_level = text_or_empty(values[7]),
        .data_directory = text_or_empty(values[8]),
        .config_file = text_or_empty(values[9]),
        .hba_file = text_or_empty(values[10]),
        .ident_file = text_or_empty(values[11]),
    };
    return true;
}

static bool text_lsn(const char *text, Lsn *lsn, Error *err)
{
    if (text == NULL)
        return error_set(err, ERR_POSTGRES, "the server answered with no LSN");
    return lsn_parse(text, lsn, err);
}

/* The label becomes a line of backup_label: a line feed in it would forge further lines. */
static bool session_check_label(const char *label, Error *err)
{
    if (strlen(label) > LABEL_SIZE_MAX)
        return error_set(err, ERR_USAGE, "label has more than %d bytes", LABEL_SIZE_MAX);
    for (const char *at = label; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            return error_set(err, ERR_USAGE, "label has a control character");
    }
    return true;
}

static bool is_before_15(Session *session)
{
    return session->pq->PQserverVersion(session->connection) < 150000;
}

bool session_backup_start(Session *session, const char *label, bool fast, Lsn *start, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *parameters[] = {label, fast ? "true" : "false"};
    /* Before 15 the third argument must say "not exclusive": its default is the other. */
    const char *query = is_before_15(session)
                            ? "SELECT pg_start_backup($1::text, $2::boolean, false)"
                            : "SELECT pg_backup_start($1::text, $2::boolean)";
    const char *value;

    if (!session_check_label(label, err))
        return false;
    if (!one_row(session, query, parameters, ARRAY_SIZE(parameters), &arena, &value, 1, err) ||
        !text_lsn(value, start, err))
        return error_context(err, "start the backup on the server");
    return true;
}

bool session_backup_stop(Session *session, Arena *arena, BackupStop *stop, Error *err)
{
    /*
     * wait_for_archive is always false: a wait that is interrupted loses the label, and it trusts
     * archive_status instead of looking into the archive (pg_backup_stop in xlogfuncs.c).
     */
    const char *query = is_before_15(session)
                            ? "SELECT lsn, labelfile, spcmapfile FROM pg_stop_backup(false, false)"
                            : "SELECT lsn, labelfile, spcmapfile FROM pg_backup_stop(false)";
    const char *values[3];
    Lsn lsn;

    if (!one_row(session, query, NULL, 0, arena, values, ARRAY_SIZE(values), err) ||
        !text_lsn(values[0], &lsn, err))
        return error_context(err, "stop the backup on the server");
    if (values[1] == NULL || *values[1] == '\0')
        return error_set(err, ERR_POSTGRES, "the server gave no backup_label");
    *stop =
        (BackupStop){.stop = lsn, .label = values[1], .tablespace_map = text_or_empty(values[2])};
    return true;
}

bool session_insert_lsn(Session *session, Lsn *lsn, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *value;

    if (!one_row(session,
                 "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
                 " ELSE pg_current_wal_insert_lsn() END",
                 NULL, 0, &arena, &value, 1, err) ||
        !text_lsn(value, lsn, err))
        return error_context(err, "ask the server where it writes WAL");
    return true;
}
