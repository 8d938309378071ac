#include "rebuild/restore_plan.h"

#include <stdarg.h>

enum { WARNINGS_MAX = 32 };

const char *target_action_name(TargetAction action)
{
    switch (action) {
    case ACTION_PAUSE:
        return "pause";
    case ACTION_PROMOTE:
        return "promote";
    case ACTION_SHUTDOWN:
        return "shutdown";
    }
    return "";
}

const char *target_kind_name(TargetKind kind)
{
    switch (kind) {
    case TARGET_LATEST:
        return "latest";
    case TARGET_IMMEDIATE:
        return "immediate";
    case TARGET_TIME:
        return "time";
    case TARGET_XID:
        return "xid";
    case TARGET_LSN:
        return "lsn";
    case TARGET_NAME:
        return "name";
    }
    return "";
}

void plan_warn(RestorePlan *plan, const char *format, ...)
{
    va_list args;
    char text[1024];

    if (plan->warnings == NULL)
        plan->warnings = arena_alloc(&plan->arena, WARNINGS_MAX * sizeof *plan->warnings);
    if (plan->warning_count == WARNINGS_MAX)
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    plan->warnings[plan->warning_count++] = arena_text(&plan->arena, text);
}
