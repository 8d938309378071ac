#include "probe_storage.h"

#include "base/interrupt.h"
#include "probe_counts.h"

#include <stdlib.h>

bool probe_tablespaces(ProbeLook *look, Error *err)
{
    /* The directory in it is named by major and catalog version (catalog/catalog.h). */
    static const char query[] =
        "SELECT format('%I', t.spcname) FROM pg_tablespace t, pg_control_system() s"
        " WHERE t.spcname NOT IN ('pg_default', 'pg_global') AND NOT coalesce((pg_stat_file("
        "format('pg_tblspc/%s/PG_%s_%s', t.oid, current_setting('server_version_num')::int / 10000,"
        " s.catalog_version_no), true)).isdir, false)";

    probe_begin(look, "tablespace");
    if (!probe_tell_names(look, query, PROBE_FAILED,
                          "not there, and all that was in them is missing", err))
        return false;
    probe_end(look, "each has its directory");
    return true;
}

bool probe_files(ProbeLook *look, Error *err)
{
    static const char query[] =
        "SELECT format('%I.%I (%s)', n.nspname, c.relname, pg_relation_filepath(c.oid))"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'i', 'm', 'S', 't') AND c.relpersistence <> 't'"
        " AND pg_relation_filepath(c.oid) IS NOT NULL"
        " AND (pg_stat_file(pg_relation_filepath(c.oid), true)).size IS NULL ORDER BY 1";

    probe_begin(look, "files");
    if (!probe_tell_names(look, query, PROBE_FAILED, "missing", err))
        return false;
    probe_end(look, "each relation has its file");
    return true;
}

/* What amcheck can do here. schema NULL: this host, or this database, does not have it. */
typedef struct Amcheck {
    const char *schema; /* It is quoted. */
    bool has_heaps;     /* verify_heapam() is there, as it is from 14 on. */
} Amcheck;

/* In a copy, which is thrown away, it can be installed or renewed; else it is there or it is not.
 */
static bool install_amcheck(ProbeLook *look, Error *err)
{
    static const char *const statements[] = {
        "CREATE SCHEMA IF NOT EXISTS pgcairn_drill",
        "CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA pgcairn_drill",
        "ALTER EXTENSION amcheck UPDATE",
    };
    CLEANUP(session_freep) Session *writer = probe_session(look, look->database, false, err);

    for (size_t i = 0; writer != NULL && i < ARRAY_SIZE(statements); i++) {
        Error refused = {0}; /* then it is not there, and that is told */

        (void)!session_run(writer, statements[i], &refused);
        if (!interrupt_check(err))
            return false;
    }
    return writer != NULL;
}

static bool find_amcheck(ProbeLook *look, Arena *arena, Amcheck *amcheck, Error *err)
{
    static const char query[] =
        "SELECT quote_ident(n.nspname), (SELECT count(*) FROM pg_proc p WHERE p.proname ="
        " 'verify_heapam' AND p.pronamespace = n.oid) FROM pg_extension e"
        " JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'";
    const char *values[2] = {0};
    bool found;

    *amcheck = (Amcheck){.schema = NULL};
    if ((look->request->is_copy && !install_amcheck(look, err)) ||
        !session_row(look->session, query, arena, values, 2, &found, err))
        return false;
    if (found)
        *amcheck = (Amcheck){.schema = values[0], .has_heaps = strcmp(values[1], "0") != 0};
    return true;
}

/* What is out of order is told in the server's words, and the next one looked at. */
static bool check_each(ProbeLook *look, const Texts *indexes, const char *before, const char *after,
                       Error *err)
{
    for (size_t i = 0; i + 1 < indexes->count; i += 2) {
        CLEANUP(text_freep)
        char *query = text_format("%s%s%s", before, indexes->items[i], after);
        Error attempt = {0};

        if (!session_run(look->session, query, &attempt) &&
            !probe_refused(look, indexes->items[i + 1], &attempt, err))
            return false;
        if (look->session == NULL)
            return true;
    }
    return true;
}

/* With read_all each row of the table must be in the index, too. */
static bool check_indexes(ProbeLook *look, const Amcheck *amcheck, size_t *count, Error *err)
{
    static const char query[] =
        "SELECT c.oid, format('%I.%I', n.nspname, c.relname) FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND c.relkind = 'i'"
        " AND c.relpersistence = 'p' AND i.indisready AND i.indisvalid ORDER BY 1";
    CLEANUP(texts_done) Texts indexes = {.columns = 2};
    CLEANUP(text_freep) char *before = text_format("SELECT %s.bt_index_check(", amcheck->schema);
    Error attempt = {0};

    if (!session_rows(look->session, query, 2, take_texts, &indexes, &attempt))
        return probe_refused(look, "", &attempt, err);
    *count = indexes.count / 2;
    return check_each(look, &indexes, before, look->request->read_all ? ", true)" : ")", err);
}

/* Of a table that is bad all over the first findings are told. */
static bool check_table(ProbeLook *look, const Amcheck *amcheck, const char *oid, const char *name,
                        Error *err)
{
    CLEANUP(text_freep)
    char *query = text_format("SELECT format('block %%s, item %%s: %%s', blkno, offnum, msg)"
                              " FROM %s.verify_heapam(%s, check_toast := true)",
                              amcheck->schema, oid);

    return probe_tell_names(look, query, PROBE_FAILED, name, err);
}

static bool check_heaps(ProbeLook *look, const Amcheck *amcheck, size_t *count, Error *err)
{
    static const char query[] =
        "SELECT c.oid, format('%I.%I', n.nspname, c.relname) FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am a ON a.oid = c.relam"
        " WHERE a.amname = 'heap' AND c.relkind IN ('r', 'm', 't') AND c.relpersistence = 'p'"
        " ORDER BY c.relfilenode, 1";
    CLEANUP(texts_done) Texts tables = {.columns = 2};
    Error attempt = {0};

    if (!amcheck->has_heaps)
        return true;
    if (!session_rows(look->session, query, 2, take_texts, &tables, &attempt))
        return probe_refused(look, "", &attempt, err);
    *count = tables.count / 2;
    for (size_t i = 0; i + 1 < tables.count && look->session != NULL; i += 2) {
        if (!check_table(look, amcheck, tables.items[i], tables.items[i + 1], err))
            return false;
    }
    return true;
}

bool probe_amcheck(ProbeLook *look, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    Amcheck amcheck;
    Error attempt = {0};
    size_t indexes = 0, tables = 0;

    probe_begin(look, "amcheck");
    if (!find_amcheck(look, &arena, &amcheck, &attempt))
        return probe_refused(look, "", &attempt, err);
    if (amcheck.schema == NULL) {
        probe_put(look, PROBE_NOTED,
                  "indexes and tables were not checked: the extension is not on this host");
        return true;
    }
    if (!check_indexes(look, &amcheck, &indexes, err) ||
        (look->session != NULL && !check_heaps(look, &amcheck, &tables, err)))
        return false;
    CLEANUP(text_freep)
    char *praise = text_format("%zu btree indexes and %zu tables in order", indexes, tables);
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

bool probe_tables(ProbeLook *look, Error *err)
{
    static const char query[] = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c"
                                " JOIN pg_namespace n ON n.oid = c.relnamespace"
                                " WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p'"
                                " ORDER BY c.relfilenode";
    CLEANUP(texts_done) Texts tables = {.columns = 1};
    Error attempt = {0};
    uint64_t rows = 0;

    probe_begin(look, "tables");
    if (!session_rows(look->session, query, 1, take_texts, &tables, &attempt))
        return probe_refused(look, "", &attempt, err);
    for (size_t i = 0; i < tables.count; i++) {
        if (!read_table(look, tables.items[i], &rows, err))
            return false;
        if (look->session == NULL)
            return true;
    }
    CLEANUP(text_freep)
    char *praise =
        text_format("%zu tables read, %llu rows", tables.count, (unsigned long long)rows);
    probe_end(look, praise);
    return true;
}
