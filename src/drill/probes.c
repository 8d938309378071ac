#include "drill/probes.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "page_walk.h"
#include "probe_counts.h"
#include "probe_storage.h"

#include <stdlib.h>

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
         !probe_tell_names(look, of_database, PROBE_HOST,
                           "indexes on text may be out of order here", err)) ||
        !probe_tell_names(look, of_collations, PROBE_HOST,
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
    CLEANUP(texts_done) Texts libraries = {.columns = 1};
    Error attempt = {0};

    probe_begin(look, "library");
    if (!session_rows(look->session,
                      "SELECT DISTINCT probin FROM pg_proc WHERE probin IS NOT NULL ORDER BY 1", 1,
                      take_texts, &libraries, &attempt))
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
    return probe_tell_names(look,
                            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c"
                            " JOIN pg_namespace n ON n.oid = c.relnamespace"
                            " WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'm') ORDER BY 1",
                            PROBE_NOTED,
                            "unlogged, so empty after every recovery and in every backup", err);
}

/* One after another, as long as there is a session: one that a probe has ended is not had again
 * when the database no longer lets us in, which was told then. */
static bool probe_whole_database(ProbeLook *look, Error *err)
{
    static bool (*const parts[])(ProbeLook * look, Error * err) = {
        probe_collations, probe_libraries, probe_unlogged,
        probe_files,      probe_amcheck,   probe_sequences,
    };

    for (size_t i = 0; i < ARRAY_SIZE(parts) && look->session != NULL; i++) {
        if (!parts[i](look, err))
            return false;
    }
    return !look->request->read_all || look->session == NULL || probe_tables(look, err);
}

static bool probe_database(ProbeLook *look, Error *err)
{
    Error attempt = {0};

    probe_begin(look, "connect");
    look->session = probe_session(look, look->database, true, &attempt);
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
    return probe_whole_database(look, err);
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
    look->session = probe_session(look, probe->database, true, &attempt);
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

static bool library_is_in(const char *directory, size_t size, const char *name)
{
    CLEANUP(text_freep) char *path = text_format("%.*s/%s", (int)size, directory, name);
    CLEANUP(text_freep) char *file = text_format("%s.so", path);

    return file_exists(file) || file_exists(path);
}

/* A name without a directory is looked for along dynamic_library_path (dfmgr.c), "$libdir" in it.
 */
static bool library_is_on_path(const char *path, const char *libdir, const char *name)
{
    static const char own[] = "$libdir";

    for (const char *part = path; *part != '\0';) {
        const size_t size = strcspn(part, ":");
        const bool is_own = size == sizeof own - 1 && strncmp(part, own, size) == 0;

        if (is_own ? library_is_in(libdir, strlen(libdir), name) : library_is_in(part, size, name))
            return true;
        part += size + (part[size] == ':');
    }
    return false;
}

static bool library_is_there(const ProbeRequest *request, const char *libdir, const char *name)
{
    static const char own[] = "$libdir/";

    if (*name == '/')
        return library_is_in("", 0, name + 1);
    if (strncmp(name, own, sizeof own - 1) == 0)
        return library_is_in(libdir, strlen(libdir), name + sizeof own - 1);
    return library_is_on_path(request->library_path != NULL ? request->library_path : "$libdir",
                              libdir, name);
}

/* What the original preloads is not loaded in a copy: that it is there has to do. */
static void probe_preloaded(ProbeLook *look, const char *libdir)
{
    const ProbeRequest *request = look->request;

    probe_begin(look, "library");
    for (size_t i = 0; request->preloaded != NULL && request->preloaded[i] != NULL; i++) {
        const char *name = request->preloaded[i];

        if (library_is_there(request, libdir, name))
            continue;
        CLEANUP(text_freep)
        char *text = text_format("the original preloads %s, which is not on this host: with its "
                                 "own configuration the server would not start here",
                                 name);
        probe_put(look, PROBE_HOST, text);
    }
}

/*
 * The files themselves, without the server's help: also pages that no table or index leads to. A
 * checkpoint first: until then pages that were torn when the backup read them are right in memory
 * only.
 */
static bool probe_pages(ProbeLook *look, Error *err)
{
    CLEANUP(page_walk_done) PageWalk walk = {.data = look->request->data};
    Error attempt = {0};

    probe_begin(look, "pages");
    if (walk.data == NULL)
        return true;
    if (!session_run(look->session, "CHECKPOINT", &attempt))
        return probe_refused(look, "checkpoint", &attempt, err);
    if (!page_walk(&walk, err))
        return error_context(err, "check the pages in %s", walk.data);
    for (size_t i = 0; i < walk.told; i++)
        probe_put(look, PROBE_FAILED, walk.findings[i]);
    CLEANUP(text_freep)
    char *praise =
        text_format("%llu pages of %llu files are right%s", (unsigned long long)walk.pages,
                    (unsigned long long)walk.files,
                    walk.has_checksums ? "" : ", by their heads: the cluster has no checksums");
    probe_end(look, praise);
    return true;
}

static bool begin_cluster(ProbeLook *look, Texts *databases, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *values[2] = {0};
    bool found;

    probe_begin(look, "answer");
    look->database = "";
    look->session = probe_session(look, look->request->database, true, err);
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
    return probe_tablespaces(look, err) && probe_pages(look, err) &&
           session_rows(look->session,
                        "SELECT datname FROM pg_database WHERE datallowconn AND datconnlimit <> -2"
                        " ORDER BY datname",
                        1, take_texts, databases, err);
}

/* A failure is never left out alone: there is room for many. */
static void tell_left_out(ProbeLook *look)
{
    CLEANUP(text_freep)
    char *text = text_format("%zu findings like these are not listed", look->report->left_out);

    look->database = "";
    probe_begin(look, "others");
    if (look->report->left_out > 0)
        probe_put(look, PROBE_NOTED, text);
}

static bool probe_all(ProbeLook *look, Error *err)
{
    CLEANUP(texts_done) Texts databases = {.columns = 1};

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
    probe_compare_counts(look);
    tell_left_out(look);
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
