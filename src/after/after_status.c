#include "after_parts.h"

static CheckResult result_of_level(HealthLevel level)
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
    return CHECK_FAILED;
}

/* Each finding is a result of its own; without any, all is well. */
bool after_status(AfterLook *look, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(health_done) Health health = {.name = look->request->health->name};
    Error attempt = {0};

    if (!health_look(look->request->health, &health, &attempt))
        return after_unknown(look, CHECK_STATUS, &attempt, err);
    health_judge(&health);
    for (size_t i = 0; i < health.finding_count; i++) {
        const HealthFinding *finding = &health.findings[i];

        checks_put(look->list, CHECK_STATUS, result_of_level(finding->level),
                   arena_format(&arena, "%s: %s", health_level_name(finding->level), finding->what),
                   finding->next);
    }
    if (health.finding_count == 0)
        checks_put(look->list, CHECK_STATUS, CHECK_PASSED, "OK", "");
    return true;
}
