#include "after_parts.h"

#include "postgres/left_empty.h"
#include "recovery/recovery.h"

#include <inttypes.h>

enum { DATABASES_ASKED_MAX = 10000, DATABASE_COLLATIONS_SINCE = 15 };

/* Names of databases, one after another. */
typedef struct AskedDatabases {
    const char *items[DATABASES_ASKED_MAX];
    size_t count;
    Arena *arena;
} AskedDatabases;

static bool database_take(void *context, const char *const *values, Error *err)
{
    AskedDatabases *names = context;

    (void)err;
    if (names->count < ARRAY_SIZE(names->items) && values[0] != NULL)
        names->items[names->count++] = arena_text(names->arena, values[0]);
    return true;
}

/* Lets us in, and its catalog can be read. */
static bool database_answers(const AfterLook *look, const char *name, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(session_freep) Session *session = NULL;
    const char *relations;
    bool found;

    session = recovery_session(look->request->data, look->request->conninfo, name, err);
    return session != NULL && session_row(session, "SELECT count(*) FROM pg_class", &arena,
                                          &relations, 1, &found, err);
}

/* Of a restore with --only-database: its catalog says so, and the server lets nobody in. */
static bool is_left_empty(const Error *refusal)
{
    return strstr(refusal->message, LEFT_EMPTY_VERSION) != NULL;
}

static bool after_each_database(AfterLook *look, const AskedDatabases *names, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    size_t failed = 0;
    size_t entered = 0;

    for (size_t i = 0; i < names->count; i++) {
        Error attempt = {0};

        if (database_answers(look, names->items[i], &attempt)) {
            entered++;
            continue;
        }
        if (attempt.code == ERR_INTERRUPTED)
            return error_pass(err, &attempt);
        if (is_left_empty(&attempt))
            continue;
        failed++;
        checks_put(look->list, CHECK_DATABASES, CHECK_FAILED,
                   arena_format(&arena, "%s: %s", names->items[i], attempt.message), attempt.hint);
    }
    if (failed == 0) {
        checks_put(look->list, CHECK_DATABASES, CHECK_PASSED,
                   arena_format(&arena, "%zu of %zu let us in", entered, names->count), "");
    }
    return true;
}

/* By the whole cluster's catalog: what its databases were sorted by, and what this host has (15 on;
 * a drill asks for single collations, too). */
static bool after_collations(AfterLook *look, Error *err)
{
    static const char query[] =
        "SELECT string_agg(format('%s (%s, this host has %s)', datname, datcollversion,"
        " pg_database_collation_actual_version(oid)), ', ' ORDER BY datname) FROM pg_database"
        " WHERE datcollversion IS NOT NULL AND datallowconn AND datcollversion IS DISTINCT FROM"
        " pg_database_collation_actual_version(oid)";
    CLEANUP(arena_done) Arena arena = {0};
    const char *names = NULL;
    bool found;

    if (look->major < DATABASE_COLLATIONS_SINCE)
        return true;
    if (!session_row(look->session, query, &arena, &names, 1, &found, err))
        return false;
    if (found && names != NULL) {
        checks_put(
            look->list, CHECK_DATABASES, CHECK_NOTED,
            arena_format(&arena,
                         "sorted by another version of the collation, so indexes on text may "
                         "be out of order: %s",
                         names),
            "REINDEX DATABASE, then ALTER DATABASE NAME REFRESH COLLATION VERSION");
    }
    return true;
}

bool after_databases(AfterLook *look, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *conninfo = look->request->conninfo;
    AskedDatabases *names = arena_alloc(&arena, sizeof *names);
    Error attempt = {0};

    checks_begin(look->list);
    if (conninfo != NULL && strstr(conninfo, "://") != NULL) {
        checks_put(look->list, CHECK_DATABASES, CHECK_UNKNOWN,
                   "a URI in --conninfo leads to one database only",
                   "give it as words: --conninfo=\"host=... user=...\"");
        return true;
    }
    names->count = 0;
    names->arena = &arena;
    /* -2: half dropped. 0: closed on purpose, to all but superusers. */
    if (!session_rows(look->session,
                      "SELECT datname FROM pg_database WHERE datallowconn"
                      " AND datconnlimit NOT IN (-2, 0)"
                      " ORDER BY datname",
                      1, database_take, names, &attempt))
        return after_unknown(look, CHECK_DATABASES, &attempt, err);
    if (!after_each_database(look, names, err))
        return false;
    return after_collations(look, &attempt) || after_unknown(look, CHECK_DATABASES, &attempt, err);
}

/* As long as it needs, but never for a lock; and it can change nothing. Names are found as for
 * everybody, not as for a session of ours. */
static bool probe_ask(const AfterLook *look, const SqlProbe *probe, Arena *arena,
                      const char **answer, bool *found, Error *err)
{
    CLEANUP(session_freep) Session *session = NULL;

    session = recovery_session(look->request->data, look->request->conninfo, probe->database, err);
    return session != NULL && session_run(session, "SET default_transaction_read_only = on", err) &&
           session_run(session, "SET statement_timeout = 0", err) &&
           session_run(session, "RESET search_path", err) &&
           session_row(session, probe->sql, arena, answer, 1, found, err);
}

static bool after_probe(AfterLook *look, const SqlProbe *probe, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *answer = NULL;
    const char *why;
    bool found = false;
    Error attempt = {0};

    checks_begin(look->list);
    if (!probe_ask(look, probe, &arena, &answer, &found, &attempt)) {
        if (attempt.code == ERR_INTERRUPTED)
            return error_pass(err, &attempt);
        why = attempt.message;
    } else if (sql_probe_holds(probe, found, answer, &arena, &why)) {
        checks_put(look->list, CHECK_PROBES, CHECK_PASSED,
                   arena_format(&arena, "%s: %s", probe->name, answer != NULL ? answer : ""), "");
        return true;
    }
    checks_put(look->list, CHECK_PROBES, CHECK_FAILED,
               arena_format(&arena, "%s: %s", probe->name, why), "");
    return true;
}

bool after_probes(AfterLook *look, Error *err)
{
    const ProbeFile *file = look->request->probes;

    for (size_t i = 0; i < file->count; i++) {
        if (!after_probe(look, &file->items[i], err))
            return false;
    }
    return true;
}
