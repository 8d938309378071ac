#include "after_parts.h"

#include "drill/probes.h"
#include "recovery/recovery.h"

/* As a drill asks a copy, but for what would be installed in it. */
static const char *content_conninfo(void *context, const char *database, bool is_read_only,
                                    Arena *arena)
{
    const AfterLook *look = context;
    const char *conninfo =
        recovery_conninfo(look->request->data, look->request->conninfo, database, arena);

    return is_read_only
               ? arena_format(arena, "%s options='-c default_transaction_read_only=on'", conninfo)
               : conninfo;
}

static CheckResult result_of_probe(ProbeResult result)
{
    switch (result) {
    case PROBE_PASSED:
        return CHECK_PASSED;
    case PROBE_NOTED:
        return CHECK_NOTED;
    case PROBE_HOST:
    case PROBE_FAILED:
        break;
    }
    return CHECK_FAILED;
}

static void content_put(AfterLook *look, const ProbeReport *report)
{
    CLEANUP(arena_done) Arena arena = {0};

    for (size_t i = 0; i < report->count; i++) {
        const Probe *probe = &report->items[i];

        if (probe->result == PROBE_PASSED)
            continue;
        checks_put(look->list, CHECK_CONTENT, result_of_probe(probe->result),
                   arena_format(&arena, "%s%s%s: %s", probe->name,
                                *probe->where != '\0' ? " in " : "", probe->where, probe->text),
                   "");
    }
    checks_put(
        look->list, CHECK_CONTENT, CHECK_PASSED,
        arena_format(&arena, "%zu looks found nothing wrong", probe_count(report, PROBE_PASSED)),
        "");
}

bool after_content(AfterLook *look, Error *err)
{
    CLEANUP(probe_report_done) ProbeReport report = {.count = 0};
    CLEANUP(arena_done) Arena arena = {0};
    const char *database = NULL;
    bool found;
    Error attempt = {0};

    checks_begin(look->list);
    if (!session_row(look->session, "SELECT current_database()", &arena, &database, 1, &found,
                     &attempt))
        return after_unknown(look, CHECK_CONTENT, &attempt, err);
    const ProbeRequest request = {.conninfo = content_conninfo,
                                  .conninfo_context = look,
                                  .database = database != NULL ? database : "postgres",
                                  .major = look->major,
                                  .read_all = true};
    if (!probes_run(&request, &report, &attempt)) {
        if (attempt.code == ERR_INTERRUPTED)
            return error_pass(err, &attempt);
        checks_put(look->list, CHECK_CONTENT, CHECK_FAILED, attempt.message, attempt.hint);
        return true;
    }
    content_put(look, &report);
    return true;
}
