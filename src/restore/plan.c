#include "choice.h"
#include "data_state.h"
#include "minima.h"
#include "preflight.h"
#include "recovery_settings.h"
#include "target_notes.h"
#include "unlogged.h"

#include <time.h>

/* The plan outlives the choice: what points into its arena is copied. */
static void copy_path(const TimelinePath *from, Arena *arena, TimelinePath *to)
{
    to->count = from->count;
    to->steps = arena_alloc(arena, from->count * sizeof *to->steps);
    memcpy(to->steps, from->steps, from->count * sizeof *to->steps);
}

/* To the millisecond: two restores of one second must not keep things under one name. */
static const char *stamp_now(Arena *arena)
{
    const TimeUs now = time_now();
    struct tm fields;
    char text[32];

    (void)time_split_utc(now / 1000000, &fields);
    (void)strftime(text, sizeof text, "%Y%m%dT%H%M%S", &fields);
    return arena_format(arena, "%s.%03dZ", text, (int)(now / 1000 % 1000));
}

/*
 * Whether nothing of what is restored lies beyond the place where they part: then the operator
 * asked for what both have. A time can stop replay among the first records beyond, which commit
 * nothing.
 */
static bool is_before(const RestoreWish *wish, const Choice *choice, Lsn place)
{
    const WalEvent *last = &choice->point.last_before;

    if (wish->target.kind == TARGET_TIME && last->time != TIME_US_NONE)
        return last->lsn < place;
    return choice->point.replay_end <= place;
}

static void take_branches(const RestoreWish *wish, const Choice *choice, RestorePlan *plan)
{
    const BranchList *branches = &choice->branches;

    plan->branches = arena_alloc(&plan->arena, (branches->count + 1) * sizeof *plan->branches);
    for (size_t i = 0; i < branches->count; i++) {
        const Branch *branch = &branches->items[i];

        if (branch->gain.commits > 0 && !is_before(wish, choice, branch->gain.from)) {
            plan->branches[plan->branch_count++] =
                (PlannedBranch){.timeline = branch->timeline, .gain = branch->gain};
        }
    }
}

static void take_choice(const RestoreWish *wish, const Choice *choice, RestorePlan *plan)
{
    const ManifestHeader *header = &plan->manifest.header;
    uint64_t first = wal_segment_of(header->start, header->wal_segment_size);

    copy_path(&choice->path, &plan->arena, &plan->path);
    plan->target = choice->target;
    if (choice->target.name != NULL)
        plan->target.name = arena_text(&plan->arena, choice->target.name);
    plan->point = choice->point;
    plan->has_time_fallback = choice->has_time_fallback;
    plan->time_asked = wish->target.kind == TARGET_TIME ? wish->target.time : TIME_US_NONE;
    plan->archive_end = choice->end.last_segment;
    plan->is_end_open =
        !wal_inventory_has(&choice->inventory, choice->end.last_timeline, choice->end.last_segment);
    uint64_t last = plan->target.kind == TARGET_LATEST ? plan->archive_end : plan->point.segment;
    plan->wal_segments = last >= first ? last - first + 1 : 0;
}

static bool check_manifest(const Cluster *cluster, const Manifest *manifest, Arena *arena,
                           Error *err)
{
    const ManifestHeader *header = &manifest->header;
    ManifestFault fault;

    if (header->wal_segment_size != cluster->wal_segment_size) {
        return error_set(err, ERR_CORRUPT, "backup %s has WAL segments of %u bytes, the cluster %u",
                         header->id, header->wal_segment_size, cluster->wal_segment_size);
    }
    if (manifest_find_fault(manifest, &fault)) {
        return error_set(err, ERR_CORRUPT, "backup %s can't be restored: %s", header->id,
                         manifest_fault_text(&fault, arena));
    }
    return cluster_check(cluster, header->system_identifier, header->major, header->id, err);
}

static uint64_t bytes_to_write(const Manifest *manifest)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < manifest->entry_count; i++) {
        const ManifestEntry *entry = &manifest->entries[i];
        if (entry->kind == ENTRY_FILE || entry->kind == ENTRY_EXTRA)
            bytes += entry->size;
    }
    return bytes;
}

/* The operator may have counted on the newest backup: say that an older one is taken, and why. */
static void warn_of_damaged(const RestoreWish *wish, const Choice *choice, RestorePlan *plan)
{
    for (size_t i = 0; wish->backup == NULL && i < choice->backups.count; i++) {
        const BackupInfo *backup = &choice->backups.items[i];
        if (backup->state == BACKUP_DAMAGED) {
            plan_warn(plan, "backup %s is damaged and was passed over: %s", backup->header.id,
                      backup->reason);
        }
    }
}

bool restore_plan(const Cluster *cluster, const RestoreWish *wish, RestorePlan *plan, Error *err)
{
    CLEANUP(choice_done) Choice choice = {0};

    *plan = (RestorePlan){0};
    plan->stamp = stamp_now(&plan->arena);
    if (!path_resolve(wish->data, &plan->arena, &plan->data, err))
        return error_context(err, "data directory");
    if (!choice_make(cluster, wish, &choice, err) ||
        !manifest_load(&plan->manifest, cluster, choice.backup->header.id, err) ||
        !check_manifest(cluster, &plan->manifest, &plan->arena, err))
        return false;
    take_choice(wish, &choice, plan);
    take_branches(wish, &choice, plan);
    if (!minima_find(cluster, &choice.inventory, wish->jobs, plan, err) ||
        !unlogged_leave_out(cluster, &choice.inventory, wish->jobs, plan, err))
        return false;
    plan->bytes = bytes_to_write(&plan->manifest);
    recovery_command_build(wish, plan);
    if (!preflight(cluster, wish, plan, err))
        return false;
    warn_of_damaged(wish, &choice, plan);
    plan_warn_of_target(cluster, wish, &choice, plan);
    return true;
}

void restore_plan_done(RestorePlan *plan)
{
    manifest_done(&plan->manifest);
    arena_done(&plan->arena);
    *plan = (RestorePlan){0};
}
