#include "drill/probes.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "drill/safe_copy.h"
#include "server/session.h"

#include <stdlib.h>
#include <unistd.h>

/* One database while it is looked at. */
typedef struct ProbeLook {
    const ProbeRequest *request;
    ProbeReport *report;
    const char *database;
    Session *session; /* read-only */
    const char *probe;
    TimeUs begin;
    size_t failed; /* of this probe here */
} ProbeLook;

size_t probe_count(const ProbeReport *report, ProbeResult result)
{
    size_t count = 0;

    for (size_t i = 0; i < report->count; i++)
        count += report->items[i].result == result;
    return count;
}

const Probe *probe_first(const ProbeReport *report, ProbeResult result)
{
    for (size_t i = 0; i < report->count; i++) {
        if (report->items[i].result == result)
            return &report->items[i];
    }
    return NULL;
}

void probe_report_done(ProbeReport *report)
{
    arena_done(&report->arena);
    *report = (ProbeReport){0};
}

/* Of very many findings the first ones are told; how many there are is in the number. */
static void probe_put(ProbeLook *look, ProbeResult result, const char *text)
{
    ProbeReport *report = look->report;

    if (result == PROBE_FAILED || result == PROBE_HOST)
        look->failed++;
    if (report->count == PROBES_MAX)
        return;
    report->items[report->count++] =
        (Probe){.result = result,
                .name = arena_text(&report->arena, look->probe),
                .where = arena_text(&report->arena, look->database),
                .text = arena_format(&report->arena, "%.*s", (int)PROBE_TEXT_MAX, text),
                .elapsed = time_monotonic() - look->begin};
}

static void probe_begin(ProbeLook *look, const char *probe)
{
    look->probe = probe;
    look->begin = time_monotonic();
    look->failed = 0;
}

static void probe_note_count(ProbeLook *look, bool is_sequence, const char *name,
                             const char *number)
{
    ProbeReport *report = look->report;

    if (report->count_count == COUNTS_MAX || number == NULL)
        return;
    report->counts[report->count_count++] =
        (Count){.is_sequence = is_sequence,
                .where = arena_text(&report->arena, look->database),
                .name = arena_text(&report->arena, name),
                .number = strtoll(number, NULL, 10)};
}

static Session *open_session(const ProbeLook *look, const char *database, bool read_only,
                             Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};

    return session_open(
        safe_session(look->request->socket, look->request->role, database, read_only, &arena), err);
}

/*
 * What a probe's question met: the server's "no" is a finding. A lost connection means that the
 * server has died of it, or that the session was ended: a new one tells which.
 */
static bool probe_refused(ProbeLook *look, const char *about, Error *attempt, Error *err)
{
    CLEANUP(text_freep)
    char *text = text_format("%s%s%s", about, *about != '\0' ? ": " : "", attempt->message);

    if (attempt->code == ERR_INTERRUPTED)
        return error_pass(err, attempt);
    probe_put(look, PROBE_FAILED, text);
    if (attempt->code != ERR_UNREACHABLE)
        return true;
    session_freep(&look->session);
    Error gone = {0};
    look->session = open_session(look, look->database, true, &gone);
    if (look->session != NULL)
        return true;
    error_set(err, ERR_RECOVERY, "the server died of the probe \"%s\" in database %s: %s",
              look->probe, look->database, attempt->message);
    return false;
}

/* The names that a query has found, in one text; a list of lists would be too long to read. */
typedef struct Names {
    Buffer text;
    size_t count;
} Names;

enum { NAMES_SHOWN = 8 };

static void names_done(Names *names)
{
    buffer_done(&names->text);
}

static bool take_name(void *context, const char *const *values, Error *err)
{
    Names *names = context;

    (void)err;
    if (names->count++ < NAMES_SHOWN)
        buffer_print(&names->text, "%s%s", names->count > 1 ? ", " : "", values[0]);
    return true;
}

/* "3 tables: a, b, c" for what a query of one column finds; nothing is told when it finds nothing.
 */
static bool tell_names(ProbeLook *look, const char *query, ProbeResult result, const char *what,
                       Error *err)
{
    CLEANUP(names_done) Names names = {0};
    Error attempt = {0};

    buffer_print(&names.text, "%s", "");
    if (!session_rows(look->session, query, 1, take_name, &names, &attempt))
        return probe_refused(look, "", &attempt, err);
    if (names.count > 0) {
        CLEANUP(text_freep)
        char *text = text_format("%s: %s%s", what, (const char *)names.text.data,
                                 names.count > NAMES_SHOWN ? ", ..." : "");
        probe_put(look, result, text);
    }
    return true;
}

static void probe_end(ProbeLook *look, const char *praise)
{
    if (look->failed == 0)
        probe_put(look, PROBE_PASSED, praise);
}

/* pg_database.datcollversion is there from 15 on; a collation's own version in all. */
static bool probe_collations(ProbeLook *look, Error *err)
{
    static const char of_database[] =
        "SELECT format('the database is sorted by version %s, this host has %s', datcollversion,"
        " pg_database_collation_actual_version(oid)) FROM pg_database"
        " WHERE datname = current_database() AND datcollversion IS DISTINCT FROM"
        " pg_database_collation_actual_version(oid) AND datcollversion IS NOT NULL";
    static const char of_collations[] =
        "SELECT format('%I.%I is of version %s, this host has %s', n.nspname, c.collname,"
        " c.collversion, pg_collation_actual_version(c.oid))"
        " FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace"
        " WHERE c.collversion IS NOT NULL AND c.collversion IS DISTINCT FROM"
        " pg_collation_actual_version(c.oid) AND c.collencoding IN (-1, (SELECT encoding FROM"
        " pg_database WHERE datname = current_database()))";

    probe_begin(look, "collation");
    if ((look->request->major >= 15 &&
         !tell_names(look, of_database, PROBE_HOST, "indexes on text may be out of order here",
                     err)) ||
        !tell_names(look, of_collations, PROBE_HOST,
                    "indexes that use these collations may be out of order here", err))
        return false;
    probe_end(look, "versions are those of this host");
    return true;
}

static bool is_missing_library(const char *message)
{
    return strstr(message, "could not access file") != NULL ||
           strstr(message, "could not load library") != NULL;
}

typedef struct Texts {
    const char **items;
    size_t count, capacity;
    Arena arena;
} Texts;

static void texts_done(Texts *texts)
{
    arena_done(&texts->arena);
}

/* Every column of a row, one after another. */
static bool take_texts(Texts *texts, const char *const *values, size_t columns)
{
    if (texts->count + columns > texts->capacity) {
        const size_t capacity = 2 * texts->capacity + 64;
        const char **items = arena_alloc(&texts->arena, capacity * sizeof *items);
        if (texts->count > 0)
            memcpy(items, texts->items, texts->count * sizeof *items);
        texts->items = items;
        texts->capacity = capacity;
    }
    for (size_t i = 0; i < columns; i++) {
        texts->items[texts->count++] =
            arena_text(&texts->arena, values[i] != NULL ? values[i] : "");
    }
    return true;
}

static bool take_column(void *context, const char *const *values, Error *err)
{
    (void)err;
    return take_texts(context, values, 1);
}

static bool take_columns(void *context, const char *const *values, Error *err)
{
    (void)err;
    return take_texts(context, values, 2);
}

static bool load_library(ProbeLook *look, const char *library, Error *err)
{
    CLEANUP(buffer_done) Buffer statement = {0};
    Error attempt = {0};

    buffer_print(&statement, "LOAD '");
    for (const char *c = library; *c != '\0'; c++)
        buffer_print(&statement, *c == '\'' ? "''" : "%c", *c);
    buffer_print(&statement, "'");
    if (session_run(look->session, (const char *)statement.data, &attempt))
        return true;
    if (attempt.code != ERR_POSTGRES)
        return probe_refused(look, library, &attempt, err);
    CLEANUP(text_freep) char *text = text_format("%s: %s", library, attempt.message);
    /* Some can only be preloaded, which a drill does not do: that the file is there has to do. */
    probe_put(look, is_missing_library(attempt.message) ? PROBE_HOST : PROBE_NOTED, text);
    return true;
}

static bool probe_libraries(ProbeLook *look, Error *err)
{
    CLEANUP(texts_done) Texts libraries = {0};
    Error attempt = {0};

    probe_begin(look, "library");
    if (!session_rows(look->session,
                      "SELECT DISTINCT probin FROM pg_proc WHERE probin IS NOT NULL ORDER BY 1", 1,
                      take_column, &libraries, &attempt))
        return probe_refused(look, "", &attempt, err);
    for (size_t i = 0; i < libraries.count; i++) {
        if (!load_library(look, libraries.items[i], err))
            return false;
        if (look->session == NULL)
            return true;
    }
    CLEANUP(text_freep) char *praise = text_format("%zu can be loaded", libraries.count);
    probe_end(look, praise);
    return true;
}

static bool probe_unlogged(ProbeLook *look, Error *err)
{
    probe_begin(look, "unlogged");
    return tell_names(look,
                      "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c"
                      " JOIN pg_namespace n ON n.oid = c.relnamespace"
                      " WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'm') ORDER BY 1",
                      PROBE_NOTED, "unlogged, so empty after every recovery and in every backup",
                      err);
}

/* The copy is thrown away, so what it lacks can be installed; NULL: this host does not have it. */
static bool find_amcheck(ProbeLook *look, Arena *arena, const char **schema, Error *err)
{
    static const char query[] = "SELECT quote_ident(n.nspname) FROM pg_extension e"
                                " JOIN pg_namespace n ON n.oid = e.extnamespace"
                                " WHERE e.extname = 'amcheck'";
    CLEANUP(session_freep) Session *writer = open_session(look, look->database, false, err);
    Error refused = {0}; /* then it is not there, and that is told */
    bool found = false;

    *schema = NULL;
    if (writer == NULL)
        return false;
    (void)!session_run(writer, "CREATE SCHEMA IF NOT EXISTS pgcairn_drill", &refused);
    error_clear(&refused);
    (void)!session_run(writer, "CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA pgcairn_drill",
                       &refused);
    error_clear(&refused);
    (void)!session_row(writer, query, arena, schema, 1, &found, &refused);
    return interrupt_check(err);
}

/* An index that is not in order is told in the server's words, and the next one looked at. */
static bool check_each(ProbeLook *look, const Texts *objects, const char *before, const char *after,
                       Error *err)
{
    for (size_t i = 0; i + 1 < objects->count; i += 2) {
        CLEANUP(text_freep)
        char *query = text_format("%s%s%s", before, objects->items[i], after);
        Error attempt = {0};

        if (!session_run(look->session, query, &attempt) &&
            !probe_refused(look, objects->items[i + 1], &attempt, err))
            return false;
    }
    return true;
}

static bool probe_indexes(ProbeLook *look, Error *err)
{
    static const char query[] =
        "SELECT c.oid, format('%I.%I', n.nspname, c.relname) FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND c.relkind = 'i'"
        " AND c.relpersistence = 'p' AND i.indisready AND i.indisvalid ORDER BY 1";
    CLEANUP(texts_done) Texts indexes = {0};
    CLEANUP(arena_done) Arena arena = {0};
    const char *schema;
    Error attempt = {0};

    probe_begin(look, "amcheck");
    if (!find_amcheck(look, &arena, &schema, &attempt))
        return probe_refused(look, "", &attempt, err);
    if (schema == NULL) {
        probe_put(look, PROBE_NOTED,
                  "indexes were not checked: this host does not have the extension");
        return true;
    }
    if (!session_rows(look->session, query, 2, take_columns, &indexes, &attempt))
        return probe_refused(look, "", &attempt, err);
    CLEANUP(text_freep) char *before = text_format("SELECT %s.bt_index_check(", schema);
    if (!check_each(look, &indexes, before, ")", err))
        return false;
    CLEANUP(text_freep) char *praise = text_format("%zu btree indexes in order", indexes.count / 2);
    probe_end(look, praise);
    return true;
}

/* As text, so that what is stored out of line is read, too. */
static bool read_table(ProbeLook *look, const char *name, uint64_t *rows, Error *err)
{
    CLEANUP(text_freep)
    char *query =
        text_format("SELECT count(*), coalesce(sum(length(t::text)), 0) FROM ONLY %s t", name);
    CLEANUP(arena_done) Arena arena = {0};
    const char *values[2] = {0};
    Error attempt = {0};
    bool found;

    if (!session_row(look->session, query, &arena, values, 2, &found, &attempt))
        return probe_refused(look, name, &attempt, err);
    probe_note_count(look, false, name, values[0]);
    *rows += values[0] != NULL ? strtoull(values[0], NULL, 10) : 0;
    return true;
}

static bool probe_tables(ProbeLook *look, Error *err)
{
    static const char query[] = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c"
                                " JOIN pg_namespace n ON n.oid = c.relnamespace"
                                " WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p'"
                                " ORDER BY c.relfilenode";
    CLEANUP(texts_done) Texts tables = {0};
    Error attempt = {0};
    uint64_t rows = 0;

    probe_begin(look, "tables");
    if (!session_rows(look->session, query, 1, take_column, &tables, &attempt))
        return probe_refused(look, "", &attempt, err);
    for (size_t i = 0; i < tables.count; i++) {
        if (!read_table(look, tables.items[i], &rows, err))
            return false;
    }
    CLEANUP(text_freep)
    char *praise =
        text_format("%zu tables read, %llu rows", tables.count, (unsigned long long)rows);
    probe_end(look, praise);
    return true;
}

static bool take_sequence(void *context, const char *const *values, Error *err)
{
    (void)err;
    probe_note_count(context, true, values[0], values[1]);
    return true;
}

/* Only noted down: the next drill compares. */
static bool note_sequences(ProbeLook *look, Error *err)
{
    Error attempt = {0};

    probe_begin(look, "sequences");
    return session_rows(look->session,
                        "SELECT format('%I.%I', schemaname, sequencename), last_value"
                        " FROM pg_sequences ORDER BY 1",
                        2, take_sequence, look, &attempt) ||
           probe_refused(look, "", &attempt, err);
}

static bool probe_database(ProbeLook *look, Error *err)
{
    Error attempt = {0};

    probe_begin(look, "connect");
    look->session = open_session(look, look->database, true, &attempt);
    if (look->session == NULL) {
        if (attempt.code == ERR_INTERRUPTED)
            return error_pass(err, &attempt);
        probe_put(look, PROBE_FAILED, attempt.message);
        return true;
    }
    CLEANUP(arena_done) Arena arena = {0};
    const char *relations = NULL;
    bool found;
    if (!session_row(look->session, "SELECT count(*) FROM pg_class", &arena, &relations, 1, &found,
                     &attempt))
        return probe_refused(look, "pg_class", &attempt, err);
    CLEANUP(text_freep) char *praise = text_format("%s relations", relations);
    probe_put(look, PROBE_PASSED, praise);
    return probe_collations(look, err) && probe_libraries(look, err) && probe_unlogged(look, err) &&
           probe_indexes(look, err) && note_sequences(look, err) &&
           (!look->request->read_all || probe_tables(look, err));
}

static bool probe_by_sql(ProbeLook *look, const SqlProbe *probe, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *answer = NULL;
    const char *why;
    Error attempt = {0};
    bool found = false;

    look->database = probe->database;
    probe_begin(look, probe->name);
    look->session = open_session(look, probe->database, true, &attempt);
    /* Names are found as for everybody, not as for a session of ours. */
    if (look->session == NULL || !session_run(look->session, "RESET search_path", &attempt) ||
        !session_row(look->session, probe->sql, &arena, &answer, 1, &found, &attempt)) {
        if (look->session != NULL)
            return probe_refused(look, "", &attempt, err);
        probe_put(look, PROBE_FAILED, attempt.message);
        return attempt.code != ERR_INTERRUPTED || interrupt_check(err);
    }
    if (sql_probe_holds(probe, found, answer, &arena, &why)) {
        probe_put(look, PROBE_PASSED, answer != NULL ? answer : "");
    } else {
        probe_put(look, PROBE_FAILED, why);
    }
    return true;
}

/* What the original preloads is not loaded in a copy: that it is there has to do. */
static void probe_preloaded(ProbeLook *look, const char *directory)
{
    probe_begin(look, "library");
    for (size_t i = 0; look->request->preloaded != NULL && look->request->preloaded[i] != NULL;
         i++) {
        const char *name = look->request->preloaded[i];
        const bool is_beside = strncmp(name, "$libdir/", 8) == 0;
        CLEANUP(text_freep)
        char *path = *name == '/' ? text_format("%s", name)
                                  : text_format("%s/%s", directory, is_beside ? name + 8 : name);
        CLEANUP(text_freep) char *file = text_format("%s.so", path);

        if (file_exists(file) || file_exists(path))
            continue;
        CLEANUP(text_freep)
        char *text = text_format("the original preloads %s, which is not on this host: with its "
                                 "own configuration the server would not start here",
                                 name);
        probe_put(look, PROBE_HOST, text);
    }
}

/* How the number before compares: less than half of the rows, or a sequence that stands further
 * back, is told. What is right to go, only the operator knows. */
static void compare_counts(ProbeLook *look)
{
    const Evidence *before = look->request->before;

    probe_begin(look, "since the last drill");
    for (size_t i = 0; before != NULL && i < before->count_count; i++) {
        const Count *was = &before->counts[i];
        const Count *is = NULL;

        for (size_t j = 0; j < look->report->count_count && is == NULL; j++) {
            const Count *count = &look->report->counts[j];
            if (count->is_sequence == was->is_sequence && strcmp(count->where, was->where) == 0 &&
                strcmp(count->name, was->name) == 0)
                is = count;
        }
        const bool is_less = is != NULL && (was->is_sequence ? is->number < was->number
                                                             : is->number < was->number / 2);
        if (!is_less)
            continue;
        look->database = was->where;
        CLEANUP(text_freep)
        char *text = text_format("%s %s: %lld, and %lld in drill %s",
                                 was->is_sequence ? "sequence" : "rows of", was->name,
                                 (long long)is->number, (long long)was->number, before->id);
        probe_put(look, PROBE_NOTED, text);
    }
}

static bool begin_cluster(ProbeLook *look, Texts *databases, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *values[2] = {0};
    bool found;

    probe_begin(look, "answer");
    look->database = "";
    look->session = open_session(look, "template1", true, err);
    if (look->session == NULL ||
        !session_row(look->session,
                     "SELECT current_setting('server_version_num'),"
                     " (SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR')",
                     &arena, values, 2, &found, err))
        return false;
    look->report->server_version = strtoull(values[0] != NULL ? values[0] : "", NULL, 10);
    CLEANUP(text_freep) char *praise = text_format("by PostgreSQL %s", values[0]);
    probe_put(look, PROBE_PASSED, praise);
    probe_preloaded(look, values[1] != NULL ? values[1] : "");
    return session_rows(look->session,
                        "SELECT datname FROM pg_database WHERE datallowconn AND datconnlimit <> -2"
                        " ORDER BY datname",
                        1, take_column, databases, err);
}

static bool probe_all(ProbeLook *look, Error *err)
{
    CLEANUP(texts_done) Texts databases = {0};

    if (!begin_cluster(look, &databases, err)) {
        if (err->code != ERR_INTERRUPTED)
            err->code = ERR_RECOVERY;
        return error_context(err, "ask the recovered server");
    }
    for (size_t i = 0; i < databases.count; i++) {
        session_freep(&look->session);
        look->database = databases.items[i];
        if (!probe_database(look, err))
            return error_context(err, "probe database %s", databases.items[i]);
    }
    const ProbeFile *file = look->request->file;
    for (size_t i = 0; file != NULL && i < file->count; i++) {
        session_freep(&look->session);
        if (!probe_by_sql(look, &file->items[i], err))
            return false;
    }
    compare_counts(look);
    return true;
}

bool probes_run(const ProbeRequest *request, ProbeReport *report, Error *err)
{
    ProbeLook look = {.request = request, .report = report, .database = ""};

    report->items = arena_alloc(&report->arena, PROBES_MAX * sizeof report->items[0]);
    report->counts = arena_alloc(&report->arena, COUNTS_MAX * sizeof report->counts[0]);
    const bool ok = probe_all(&look, err);
    session_freep(&look.session);
    return ok;
}
