#include "glance.h"

#include "server/presence.h"

#include <sys/stat.h>

/*
 * The operator's conninfo may lead elsewhere, even to the very server that the backup is of: same
 * system identifier then, but not started at the same time.
 */
static bool is_that_server(Session *session, const ServerLock *lock, const PgControl *control,
                           Error *err)
{
    static const int64_t seconds_apart_max =
        30; /* the lock file is written before memory is set up */
    CLEANUP(arena_done) Arena arena = {0};
    const char *values[3] = {0};
    bool found = false;

    if (!session_row(
            session,
            "SELECT system_identifier, extract(epoch FROM pg_postmaster_start_time())::bigint,"
            " current_setting('port') FROM pg_control_system()",
            &arena, values, ARRAY_SIZE(values), &found, err))
        return false;
    if (!found || values[0] == NULL || values[1] == NULL || values[2] == NULL)
        return error_set(err, ERR_POSTGRES, "the server does not say who it is");
    int64_t apart = strtoll(values[1], NULL, 10) - lock->started_at / 1000000;
    if ((uint64_t)strtoll(values[0], NULL, 10) != control->system_identifier ||
        strtoul(values[2], NULL, 10) != lock->port || apart > seconds_apart_max ||
        apart < -seconds_apart_max) {
        return error_set(err, ERR_USAGE,
                         "the connection leads to another server than the one of %s", lock->data);
    }
    return true;
}

static Session *glance_open(const char *conninfo, const ServerLock *lock, const PgControl *control,
                            const char *database, Error *err)
{
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(session_freep) Session *session = NULL;

    server_conninfo(lock, conninfo, database, &text);
    if (conninfo == NULL)
        buffer_print(&text, "connect_timeout=5");
    session = session_open((const char *)text.data, err);
    if (session == NULL || !is_that_server(session, lock, control, err))
        return NULL;
    return TAKE(session);
}

Session *glance_session(const char *conninfo, const ServerLock *lock, const PgControl *control,
                        Error *err)
{
    return glance_open(conninfo, lock, control, NULL, err);
}

/* The catalogue itself may be among what is locked: this must not wait forever, too. */
static const char patience_query[] =
    "SELECT set_config('lock_timeout', '2s', false), set_config('statement_timeout', '10s', false)";

Session *glance_database_session(const char *conninfo, const ServerLock *lock,
                                 const PgControl *control, const char *database, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(session_freep) Session *session = NULL;
    const char *values[2];
    bool found;

    session = glance_open(conninfo, lock, control, database, err);
    if (session == NULL ||
        !session_row(session, patience_query, &arena, values, ARRAY_SIZE(values), &found, err))
        return NULL;
    return TAKE(session);
}

const char *recovery_conninfo(const char *data, const char *conninfo, const char *database,
                              Arena *arena)
{
    CLEANUP(buffer_done) Buffer text = {0};
    ServerLock lock;
    bool found = false;
    Error unknown = {0}; /* then whoever connects is told */

    found = server_lock_read(data, arena, &lock, &found, &unknown) && found;
    if (!found && conninfo == NULL)
        return "";
    server_conninfo(found ? &lock : NULL, conninfo, database, &text);
    return arena_text_part(arena, (const char *)text.data, text.size);
}

Session *recovery_session(const char *data, const char *conninfo, const char *database, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    PgControl control;
    ServerLock lock;
    bool found;

    if (!pg_control_read(data, &control, NULL, err) ||
        !server_lock_read(data, &arena, &lock, &found, err))
        return NULL;
    if (!found || !presence_answers(data, &lock)) {
        error_set(err, ERR_NOT_FOUND, "no server runs on %s", data);
        return NULL;
    }
    return glance_database_session(conninfo, &lock, &control, database, err);
}

/* "00000003000000000000002A": the timeline it begins with. */
static uint32_t file_timeline(const char *name)
{
    char text[9] = "";

    memcpy(text, name, strnlen(name, 8));
    return (uint32_t)strtoul(text, NULL, 16);
}

bool glance_by_sql(Session *session, unsigned major, SqlGlance *glance, Error *err)
{
    /* Functions of recovery are errors outside of it; a promotion in between is tried again. */
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(text_freep)
    char *query = text_format(
        "SELECT pg_is_in_recovery(),"
        " CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() END,"
        " (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::bigint,"
        " CASE WHEN pg_is_in_recovery() THEN %s END,"
        " CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_lsn()) END",
        major >= 14 ? "pg_get_wal_replay_pause_state() = 'paused'" : "pg_is_wal_replay_paused()");
    const char *values[5] = {0};
    bool found = false;

    if (!session_row(session, query, &arena, values, ARRAY_SIZE(values), &found, err))
        return false;
    if (!found || values[0] == NULL)
        return error_set(err, ERR_POSTGRES, "the server does not say where it is");
    *glance = (SqlGlance){
        .in_recovery = strcmp(values[0], "t") == 0,
        .is_paused = values[3] != NULL && strcmp(values[3], "t") == 0,
        .last_commit = values[2] != NULL ? strtoll(values[2], NULL, 10) : TIME_US_NONE,
        .timeline = values[4] != NULL ? file_timeline(values[4]) : 0,
    };
    return values[1] == NULL || lsn_parse(values[1], &glance->replayed, err);
}

bool title_parse(const char *title, uint32_t segment_size, TitleGlance *glance)
{
    static const char recovering[] = "startup recovering ";
    static const char waiting[] = "startup waiting for ";
    TitleGlance found = {.is_waiting = strncmp(title, waiting, strlen(waiting)) == 0};
    Error ignored = {0}; /* another activity */
    const char *name = title + (found.is_waiting ? strlen(waiting) : strlen(recovering));

    if (!found.is_waiting && strncmp(title, recovering, strlen(recovering)) != 0)
        return false;
    if (!wal_name_parse(name, segment_size, &found.name, &ignored) ||
        found.name.kind != WAL_SEGMENT)
        return false;
    (void)snprintf(found.segment, sizeof found.segment, "%s", name);
    *glance = found;
    return true;
}

bool glance_by_title(pid_t pid, uint32_t segment_size, TitleGlance *glance)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *title;

    return server_startup_title(pid, &arena, &title) && title_parse(title, segment_size, glance);
}
