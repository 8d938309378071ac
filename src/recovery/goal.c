#include "recovery/recovery.h"

#include "repo/recovery_plan.h"

/* By the plan of a restore, which is valid only for the settings that it was made for. */
static bool goal_of_plan(const RecoveryPlan *plan, uint32_t wal_segment_size, RecoveryGoal *goal)
{
    Error ignored = {0}; /* no bound */
    WalName last;

    if (plan->target_end != 0) {
        goal->lsn = plan->target_end;
        return true;
    }
    if (wal_name_parse(plan->bound, wal_segment_size, &last, &ignored)) {
        goal->lsn = wal_segment_start(last.segment + 1, wal_segment_size);
        goal->is_bound = true;
        return true;
    }
    goal->has_no_target = !recovery_settings_have_target(plan->settings);
    return goal->has_no_target;
}

RecoveryGoal recovery_goal(const char *data, uint32_t wal_segment_size)
{
    CLEANUP(arena_done) Arena arena = {0};
    Error unread = {0}, no_plan = {0}, no_lsn = {0};
    RecoveryPlan plan;
    RecoveryGoal goal = {0};
    const char *text;

    if (!recovery_settings_on_disk(data, &arena, &text, &unread))
        return goal;
    if (recovery_plan_load(data, &arena, &plan, &no_plan) && strcmp(plan.settings, text) == 0 &&
        goal_of_plan(&plan, wal_segment_size, &goal))
        return goal;
    const char *lsn = recovery_settings_value(text, "recovery_target_lsn", &arena);
    if (lsn != NULL && !lsn_parse(lsn, &goal.lsn, &no_lsn))
        goal.lsn = 0;
    return goal;
}
