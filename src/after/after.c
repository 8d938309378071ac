#include "after_parts.h"

#include "recovery/recovery.h"

/* The timeline in the name of the file that is being written. */
static bool after_ask(AfterLook *look, const char **version, Arena *arena, Error *err)
{
    static const char query[] = "SELECT current_setting('server_version'), pg_is_in_recovery(),"
                                " CASE WHEN NOT pg_is_in_recovery() THEN"
                                " substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END";
    const char *values[3] = {0};
    bool found;

    look->session = recovery_session(look->request->data, look->request->conninfo, NULL, err);
    if (look->session == NULL ||
        !session_row(look->session, query, arena, values, ARRAY_SIZE(values), &found, err))
        return false;
    *version = values[0] != NULL ? values[0] : "";
    look->major = (unsigned)strtoul(*version, NULL, 10);
    look->sight->is_open = values[1] != NULL && strcmp(values[1], "f") == 0;
    if (values[2] != NULL)
        look->sight->timeline = (uint32_t)strtoul(values[2], NULL, 16);
    return true;
}

/* *answers: the server can be asked more. */
static bool after_answer(AfterLook *look, bool *answers, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *version = "";
    Error attempt = {0};

    checks_begin(look->list);
    *answers = after_ask(look, &version, &arena, &attempt);
    if (!*answers && attempt.code == ERR_INTERRUPTED)
        return error_pass(err, &attempt);
    if (!*answers) {
        checks_put(look->list, CHECK_ANSWER, CHECK_FAILED, attempt.message, attempt.hint);
    } else if (look->request->wanted[CHECK_ANSWER]) {
        checks_put(
            look->list, CHECK_ANSWER, CHECK_PASSED,
            arena_format(&arena, "PostgreSQL %s accepts connections, %s", version,
                         look->sight->is_open ? "open for writing" : "paused, open for reading"),
            "");
    }
    return true;
}

static bool after_backup(AfterLook *look, Error *err)
{
    const AfterRequest *request = look->request;
    const char *text = "";
    Error attempt = {0};

    if (request->take_backup == NULL) {
        checks_put(look->list, CHECK_BACKUP, CHECK_TO_DO,
                   "the first backup of this timeline is not taken yet: until then a restore "
                   "replays from an older one",
                   "`pgcairn backup`");
        return true;
    }
    if (request->take_backup(request->context, &look->list->arena, &text, &attempt)) {
        checks_put(look->list, CHECK_BACKUP, CHECK_PASSED, text, "");
        return true;
    }
    if (attempt.code == ERR_INTERRUPTED)
        return error_pass(err, &attempt);
    checks_put(look->list, CHECK_BACKUP, CHECK_FAILED, attempt.message, attempt.hint);
    return true;
}

/* Where WAL is not archived, on purpose or as nobody knows the repository. */
static bool after_can_archive(AfterLook *look)
{
    const AfterRequest *request = look->request;

    if (request->is_copy || request->cluster != NULL)
        return !request->is_copy;
    checks_put(look->list, CHECK_ARCHIVE, CHECK_TO_DO,
               arena_format(&look->list->arena, "the repository can't be looked at: %s",
                            request->no_cluster),
               "name it with --repo");
    return false;
}

typedef bool AfterPart(AfterLook *look, Error *err);

static const struct {
    CheckKind kind;
    AfterPart *run;
    bool needs_repository;
} later_parts[] = {{CHECK_ARCHIVE, after_archive, true},
                   {CHECK_STANDBYS, after_standbys, false},
                   {CHECK_BACKUP, after_backup, true},
                   {CHECK_STATUS, after_status, true}};

/* What only a server that has left recovery has. */
static bool after_open(AfterLook *look, Error *err)
{
    const AfterRequest *request = look->request;
    bool can_archive = true;
    bool is_asked = false;

    for (size_t i = 0; i < ARRAY_SIZE(later_parts); i++) {
        if (!request->wanted[later_parts[i].kind])
            continue;
        checks_begin(look->list);
        if (later_parts[i].needs_repository && !is_asked) {
            can_archive = after_can_archive(look);
            is_asked = true;
        }
        if (later_parts[i].needs_repository && !can_archive)
            continue;
        if (!later_parts[i].run(look, err))
            return false;
    }
    return true;
}

/* What a server that is in recovery can't have yet. */
static void after_paused(AfterLook *look)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *names = "";

    for (size_t i = 0; i < ARRAY_SIZE(later_parts); i++) {
        if (!look->request->wanted[later_parts[i].kind])
            continue;
        names = arena_format(&arena, "%s%s%s", names, *names != '\0' ? ", " : "",
                             after_check_name(later_parts[i].kind));
    }
    if (*names != '\0') {
        checks_begin(look->list);
        checks_put(look->list, CHECK_ARCHIVE, CHECK_TO_DO,
                   arena_format(&arena, "once it is open: %s", names), "`pgcairn promote`");
    }
}

bool after_check(const AfterRequest *request, CheckList *list, AfterSight *sight, Error *err)
{
    AfterLook look = {.request = request, .list = list, .sight = sight};
    bool answers;

    *sight = (AfterSight){.is_open = false};
    bool ok = after_answer(&look, &answers, err);
    if (ok && answers) {
        ok = (!request->wanted[CHECK_DATABASES] || after_databases(&look, err)) &&
             (request->probes == NULL || !request->wanted[CHECK_PROBES] ||
              after_probes(&look, err)) &&
             (!request->wanted[CHECK_CONTENT] || after_content(&look, err));
    }
    if (ok && answers && !request->is_copy) {
        if (sight->is_open) {
            ok = after_open(&look, err);
        } else {
            after_paused(&look);
        }
    }
    session_freep(&look.session);
    return ok;
}
