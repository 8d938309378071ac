#include "retention/keeping_outlook.h"

#include "retention/simulate.h"

/* What goes now. */
static void outlook_take_plan(const RetentionPlan *plan, KeepingOutlook *outlook)
{
    if (plan->obstacle != NULL) {
        outlook->obstacle = arena_text(&outlook->arena, plan->obstacle);
        return;
    }
    outlook->backup_bytes = plan->backup_bytes;
    outlook->wal_bytes = plan->wal_bytes;
    for (size_t i = 0; i < plan->backup_count; i++) {
        if (!planned_backup_goes(plan, i))
            continue;
        if (outlook->backups++ == 0)
            outlook->next = arena_text(&outlook->arena, plan->backups[i].backup->id);
    }
}

static void outlook_take_future(const RetentionInput *input, const SimulateRequest *request,
                                KeepingOutlook *outlook)
{
    const char *next = retention_simulate_next(input, request, &outlook->next_at);

    if (next != NULL)
        outlook->next = arena_text(&outlook->arena, next);
}

bool keeping_foresee(const Cluster *cluster, const SurveyRequest *request, TimeUs every,
                     KeepingOutlook *outlook, Error *err)
{
    CLEANUP(retention_survey_done) RetentionSurvey survey = {.cluster = NULL};
    CLEANUP(retention_plan_done) RetentionPlan plan = {0};
    SurveyRequest look = *request;

    *outlook = (KeepingOutlook){.next_at = request->now, .every = every > 0 ? every : TIME_US_DAY};
    if (!retention_policy_is_set(&request->policy))
        return true;
    look.is_only_told = true;
    if (!retention_survey(&survey, cluster, &look, err))
        return false;
    retention_plan(&survey.input, &plan);
    outlook->is_known = true;
    outlook_take_plan(&plan, outlook);
    if (outlook->next == NULL && outlook->obstacle == NULL) {
        outlook_take_future(&survey.input,
                            &(SimulateRequest){.span = outlook->every * NEXT_STEPS,
                                               .every = outlook->every,
                                               .zone = request->zone},
                            outlook);
    }
    return true;
}

void keeping_outlook_done(KeepingOutlook *outlook)
{
    arena_done(&outlook->arena);
    *outlook = (KeepingOutlook){.is_known = false};
}
