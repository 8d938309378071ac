#include "after_parts.h"

CheckResult result_of_finding(HealthLevel level, const char *topic)
{
    switch (level) {
    case HEALTH_OK:
        return CHECK_PASSED;
    case HEALTH_WARNING:
        return CHECK_NOTED;
    case HEALTH_UNKNOWN:
        return CHECK_UNKNOWN;
    case HEALTH_CRITICAL:
        break;
    }
    return strcmp(topic, "backup") == 0 ? CHECK_NOTED : CHECK_FAILED;
}

/* Then it can't be well, and a restore would follow the branch that the archive has. */
static bool is_archived_nowhere(const CheckList *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const AfterCheck *check = &list->items[i];

        if (check->kind == CHECK_ARCHIVE &&
            (check->result == CHECK_FAILED || check->result == CHECK_TO_DO))
            return true;
    }
    return false;
}

/* Each finding is a result of its own; without any, all is well. */
bool after_status(AfterLook *look, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(health_done) Health health = {.name = look->request->health->name};
    Error attempt = {0};

    if (is_archived_nowhere(look->list)) {
        checks_put(look->list, CHECK_STATUS, CHECK_TO_DO,
                   "once WAL of this timeline gets into the archive", "`pgcairn status`");
        return true;
    }
    if (!health_look(look->request->health, &health, &attempt))
        return after_unknown(look, CHECK_STATUS, &attempt, err);
    health_judge(&health);
    for (size_t i = 0; i < health.finding_count; i++) {
        const HealthFinding *finding = &health.findings[i];

        checks_put(look->list, CHECK_STATUS, result_of_finding(finding->level, finding->topic),
                   arena_format(&arena, "%s: %s", health_level_name(finding->level), finding->what),
                   finding->next);
    }
    if (health.finding_count == 0)
        checks_put(look->list, CHECK_STATUS, CHECK_PASSED, "OK", "");
    return true;
}
