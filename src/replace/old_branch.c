#include "replace/old_branch.h"

#include "base/file.h"
#include "repo/recovery_plan.h"

enum { HISTORY_TEXT_MAX = 4 << 20 };

bool old_branch_proves(const OldBranch *branch, const OldSegment *file, uint32_t segment_size)
{
    return file->name.kind == WAL_SEGMENT && branch->last != 0 &&
           file->name.segment >= branch->first && file->name.segment <= branch->last &&
           path_timeline_of_segment(&branch->path, file->name.segment, segment_size) ==
               file->name.timeline;
}

/*
 * A server that was promoted and has made no checkpoint yet has its new timeline in
 * minRecoveryPointTLI only (xlog.c, CreateEndOfRecoveryRecord).
 */
static uint32_t timeline_of_control(const PgControl *control)
{
    return control->timeline > control->min_recovery_timeline ? control->timeline
                                                              : control->min_recovery_timeline;
}

/*
 * The timeline that a recovery goes along which restore has prepared and which has not ended, so
 * that nothing was ever committed there; 0: it is none. pg_control and pg_wal have older ones.
 */
static uint32_t timeline_of_recovery(const char *data)
{
    CLEANUP(arena_done) Arena arena = {0};
    RecoveryPlan plan;
    const char *settings;
    Error ignored = {0}; /* none, or not ours: then pg_control has to tell */

    if (!file_exists_in(data, "recovery.signal") ||
        !recovery_plan_load(data, &arena, &plan, &ignored) ||
        !recovery_settings_on_disk(data, &arena, &settings, &ignored) ||
        strcmp(plan.settings, settings) != 0)
        return 0;
    return plan.timeline;
}

/* Without pg_control: the newest that it wrote. */
static uint32_t timeline_of_wal(const OldWal *wal)
{
    uint32_t timeline = 0;

    for (size_t i = 0; i < wal->count; i++) {
        if (wal->items[i].name.kind == WAL_SEGMENT && wal->items[i].name.timeline > timeline)
            timeline = wal->items[i].name.timeline;
    }
    return timeline;
}

static bool read_history(const OldHistory *history, Arena *arena, TimelinePath *path, Error *err)
{
    CLEANUP(buffer_done) Buffer text = {0};

    return (file_read_whole(history->path, HISTORY_TEXT_MAX, &text, err) &&
            timeline_path_parse(history->timeline, (const char *)text.data, arena, path, err)) ||
           error_context(err, "read %s", history->path);
}

/* By its own history, else by the archive's; without either the path stays empty. */
static bool old_branch_find_path(const Cluster *cluster, const WalInventory *inventory,
                                 Arena *arena, OldBranch *branch, Error *err)
{
    Error attempt = {0};

    branch->history = old_wal_history(&branch->wal, branch->timeline);
    branch->is_history_archived =
        branch->timeline == 1 || wal_inventory_has_history(inventory, branch->timeline);
    if (branch->timeline == 1)
        return timeline_path_parse(1, NULL, arena, &branch->path, err);
    if (branch->history != NULL && read_history(branch->history, arena, &branch->path, &attempt))
        return true;
    branch->history = NULL;
    attempt = (Error){0};
    if (timeline_path_load(cluster, branch->timeline, arena, &branch->path, &attempt))
        return true;
    branch->path = (TimelinePath){0};
    if (attempt.code == ERR_NOT_FOUND || attempt.code == ERR_CORRUPT)
        return true;
    return error_pass(err, &attempt);
}

static bool old_branch_load(const Cluster *cluster, const OldPlaces *places, Arena *arena,
                            OldBranch *branch, Error *err)
{
    Error no_control = {0}; /* lost, damaged, or taken away: then the WAL has to tell */

    *branch = (OldBranch){
        .place = arena_text(arena, places->place),
        .wal_path = places->wal_count > 0 ? arena_text(arena, places->wal_paths[0]) : NULL,
        .commit_time = TIME_US_NONE,
        .own.last = TIME_US_NONE,
        .archived.last = TIME_US_NONE};
    for (size_t i = 0; i < places->wal_count; i++) {
        if (!old_wal_add(places->wal_paths[i], cluster, arena, &branch->wal, err))
            return false;
    }
    branch->has_control = places->data != NULL &&
                          pg_control_read(places->data, &branch->control, NULL, &no_control) &&
                          branch->control.system_identifier == cluster->system_identifier;
    const uint32_t recovery = branch->has_control ? timeline_of_recovery(places->data) : 0;
    branch->was_never_opened = recovery != 0;
    branch->timeline = recovery != 0         ? recovery
                       : branch->has_control ? timeline_of_control(&branch->control)
                                             : timeline_of_wal(&branch->wal);
    return true;
}

bool old_branch_look(const Cluster *cluster, const WalInventory *inventory, const OldPlaces *places,
                     Arena *arena, OldBranch *branch, Error *err)
{
    if (!old_branch_load(cluster, places, arena, branch, err))
        return false;
    if (branch->timeline == 0)
        return true;
    return (old_branch_find_path(cluster, inventory, arena, branch, err) &&
            old_branch_prove(cluster, inventory, arena, branch, err)) ||
           error_context(err, "look at %s", places->place);
}
