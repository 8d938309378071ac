#include "recovery/locks.h"

#include "glance.h"

#include <inttypes.h>

enum { DATABASES_MAX = 16, NAMES_MAX = 6 };

/* The databases in which something is locked; the startup process holds all that replay has. */
static const char databases_query[] =
    "SELECT string_agg(DISTINCT d.datname::text, E'\\n') FROM pg_locks l"
    " JOIN pg_database d ON d.oid = l.database"
    " JOIN pg_stat_activity a ON a.pid = l.pid"
    " WHERE a.backend_type = 'startup' AND l.locktype = 'relation'"
    " AND l.mode = 'AccessExclusiveLock' AND l.granted";

/* Tables before their indexes; what lies under them (TOAST) goes with them. */
static const char relations_query[] =
    "SELECT count(*), string_agg(name, ', ' ORDER BY place) FILTER (WHERE place <= 6) FROM ("
    "SELECT row_number() OVER (ORDER BY c.relkind NOT IN ('r', 'p', 'm', 'v'), c.oid) place,"
    " CASE WHEN n.nspname = 'public' THEN '' ELSE quote_ident(n.nspname) || '.' END"
    " || quote_ident(c.relname) AS name"
    " FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
    " JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE a.backend_type = 'startup' AND l.locktype = 'relation'"
    " AND l.mode = 'AccessExclusiveLock' AND l.granted"
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND n.nspname <> 'pg_toast') locked";

typedef struct Asking {
    const char *conninfo;
    const ServerLock *lock;
    const PgControl *control;
    LockedRelations *locked;
    Buffer *text;
} Asking;

static void add_database(const Asking *asking, const char *database)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(session_freep) Session *session = NULL;
    Error unseen = {0}; /* then only the database is named */
    const char *values[2] = {0};
    bool found = false;
    size_t count = 0;

    session =
        glance_database_session(asking->conninfo, asking->lock, asking->control, database, &unseen);
    bool is_told = session != NULL &&
                   session_row(session, relations_query, &arena, values, ARRAY_SIZE(values), &found,
                               &unseen) &&
                   found && values[0] != NULL && values[1] != NULL;
    if (is_told)
        count = strtoul(values[0], NULL, 10);
    if (asking->text->size > 0)
        buffer_print(asking->text, "; ");
    if (!is_told) {
        buffer_print(asking->text, "relations in database %s", database);
    } else {
        buffer_print(asking->text, "%s", values[1]);
        if (count > NAMES_MAX)
            buffer_print(asking->text, " and %zu more", count - NAMES_MAX);
        buffer_print(asking->text, " in database %s", database);
    }
    asking->locked->count += count > 0 ? count : 1;
}

static void add_databases(const Asking *asking, const char *names)
{
    CLEANUP(text_freep) char *copy = text_format("%s", names);
    char *rest = copy;
    char *name;

    for (int i = 0; i < DATABASES_MAX && (name = strsep(&rest, "\n")) != NULL; i++)
        add_database(asking, name);
}

bool recovery_locks(const char *data, const char *conninfo, LockedRelations *locked, Error *err)
{
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(session_freep) Session *session = NULL;
    CLEANUP(arena_done) Arena arena = {0};
    PgControl control;
    ServerLock lock;
    const char *names = NULL;
    bool found;

    *locked = (LockedRelations){.names = ""};
    if (!pg_control_read(data, &control, NULL, err) ||
        !server_lock_read(data, &arena, &lock, &found, err))
        return false;
    if (!found)
        return error_set(err, ERR_NOT_FOUND, "no server runs on %s", data);
    const Asking asking = {
        .conninfo = conninfo, .lock = &lock, .control = &control, .locked = locked, .text = &text};
    session = glance_database_session(conninfo, &lock, &control, NULL, err);
    if (session == NULL || !session_row(session, databases_query, &arena, &names, 1, &found, err))
        return false;
    if (found && names != NULL)
        add_databases(&asking, names);
    if (text.size > 0)
        locked->names = arena_format(&locked->arena, "%s", (const char *)text.data);
    return true;
}

void locked_relations_done(LockedRelations *locked)
{
    arena_done(&locked->arena);
    *locked = (LockedRelations){.names = ""};
}
