#include "restore/later_target.h"

#include "decision.h"
#include "minima.h"
#include "rebuild/held_places.h"
#include "replace/old_directory.h"
#include "repo/recovery_plan.h"

#include <errno.h>
#include <sys/stat.h>

static bool find_recovery(const char *data, AdvanceFrom *from, Arena *arena, Error *err)
{
    RecoveryPlan recovery;

    if (recovery_plan_load(data, arena, &recovery, err)) {
        from->timeline = recovery.timeline;
        return true;
    }
    if (err->code != ERR_NOT_FOUND)
        return false;
    error_clear(err);
    error_set(err, ERR_REFUSED, "%s is not in a recovery that `pgcairn restore` began", data);
    return error_hint(err, "its target is in its own settings: change recovery_target_..., and "
                           "start the server again");
}

/* What was replayed must be a part of the new path. */
static bool check_way(const Cluster *cluster, const Choice *choice, const AdvanceFrom *from,
                      Arena *arena, Error *err)
{
    const uint32_t next = path_last_timeline(&choice->whole_path);
    char replayed[LSN_TEXT_SIZE], text[LSN_TEXT_SIZE];
    TimelinePath own;

    if (next == from->timeline)
        return true;
    if (!wal_inventory_path(&choice->inventory, cluster, from->timeline, arena, &own, err))
        return error_context(err, "timeline %u", from->timeline);
    const Lsn part = paths_part(&own, &choice->whole_path);
    if (part >= from->replayed)
        return true;
    error_set(err, ERR_REFUSED, "timeline %u parts from timeline %u at %s, and %s was replayed",
              next, from->timeline, lsn_text(part, text), lsn_text(from->replayed, replayed));
    return error_hint(err,
                      "a recovery can't go back: `pgcairn restore` brings it to the other one");
}

static bool check_forward(const Choice *choice, const AdvanceFrom *from, Error *err)
{
    char replayed[LSN_TEXT_SIZE], target[LSN_TEXT_SIZE];

    if (choice->target.kind == TARGET_LATEST || choice->point.replay_end > from->replayed)
        return true;
    error_set(err, ERR_REFUSED, "the target ends replay at %s, and %s was replayed already",
              lsn_text(choice->point.replay_end, target), lsn_text(from->replayed, replayed));
    return error_hint(err, "a recovery can't go back: `pgcairn restore` with the earlier target "
                           "begins anew");
}

static bool find_data_mode(const char *data, uint32_t *mode, Error *err)
{
    struct stat status;

    if (stat(data, &status) != 0)
        return error_set_errno(err, ERR_IO, errno, "look at %s", data);
    *mode = status.st_mode & 0777;
    return true;
}

static bool later_target_choose(const Cluster *cluster, const RestoreRequest *request,
                                const AdvanceFrom *from, Choice *choice, RestorePlan *plan,
                                Error *err)
{
    static const OldDirectory nothing;
    RestoreRequest known = *request;

    known.goes_on_from = from->replayed;
    known.discard_wal = true; /* that of the directory is what was replayed */
    known.will_pause = true;
    if (known.target_timeline == 0)
        known.target_timeline = from->timeline;
    return decision_choose(cluster, &known, &nothing, plan, choice, err) &&
           check_way(cluster, choice, from, &plan->arena, err) &&
           choice_avoid_locks(cluster, &known, choice, err) && check_forward(choice, from, err);
}

bool advance_plan(const Cluster *cluster, const RestoreRequest *request, AdvanceFrom *from,
                  RestorePlan *plan, Error *err)
{
    CLEANUP(choice_done) Choice choice = {0};

    *plan = (RestorePlan){0};
    if (!path_resolve(request->data, &plan->arena, &plan->placement.data, err) ||
        !find_recovery(plan->placement.data, from, &plan->arena, err) ||
        !find_data_mode(plan->placement.data, &plan->placement.data_mode, err) ||
        !later_target_choose(cluster, request, from, &choice, plan, err) ||
        !decision_fill(cluster, request, &choice, plan, err) ||
        !minima_find(cluster, &choice.inventory, request->jobs, plan, err))
        return false;
    recovery_command_build(request, plan);
    return true;
}

bool advance_write(const RestoreRequest *request, RestorePlan *plan, Error *err)
{
    CLEANUP(held_places_done)
    HeldPlaces held = {.data = HELD_NONE, .extra = HELD_NONE};

    if (!held_open_resolved(&held.data, plan->placement.data, err))
        return false;
    plan->placement.held = &held;
    bool ok = recovery_settings_write(request, plan, err);
    plan->placement.held = NULL;
    return ok;
}
