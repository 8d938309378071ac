#include "decision.h"

#include "left_out.h"
#include "minima.h"
#include "preflight.h"
#include "rebuild/recovery_settings.h"
#include "rebuild/unlogged.h"
#include "replace/data_state.h"
#include "replace/loss.h"
#include "replace/old_directory.h"
#include "replace/save_wal.h"
#include "target_notes.h"

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
static bool is_before(const RestoreRequest *request, const Choice *choice, Lsn place)
{
    const WalEvent *last = &choice->point.last_before;

    if (request->target.kind == TARGET_TIME && last->time != TIME_US_NONE)
        return last->lsn < place;
    return choice->point.replay_end <= place;
}

static void take_branches(const RestoreRequest *request, const Choice *choice, RestorePlan *plan)
{
    const BranchList *branches = &choice->branches;

    plan->decision.branches =
        arena_alloc(&plan->arena, (branches->count + 1) * sizeof *plan->decision.branches);
    for (size_t i = 0; i < branches->count; i++) {
        const Branch *branch = &branches->items[i];

        if (branch_gain_last(&branch->gain) != TIME_US_NONE &&
            !is_before(request, choice, branch->gain.from)) {
            plan->decision.branches[plan->decision.branch_count++] =
                (PlannedBranch){.timeline = branch->timeline, .gain = branch->gain};
        }
    }
}

/* TARGET_LATEST: of what is replayed the last segment that is whole in the archive; 0: none. */
static uint64_t last_archived(const Choice *choice, uint64_t first, uint32_t segment_size)
{
    for (uint64_t segment = choice->end.last_segment; segment >= first && segment > 0; segment--) {
        if (wal_inventory_has(&choice->inventory,
                              path_timeline_of_segment(&choice->path, segment, segment_size),
                              segment))
            return segment;
    }
    return 0;
}

static void take_choice(const RestoreRequest *request, const Choice *choice, RestorePlan *plan)
{
    const ManifestHeader *header = &plan->decision.manifest.header;
    uint64_t first = wal_segment_of(header->start, header->wal_segment_size);

    copy_path(&choice->path, &plan->arena, &plan->decision.path);
    plan->decision.target = choice->target;
    if (choice->target.name != NULL)
        plan->decision.target.name = arena_text(&plan->arena, choice->target.name);
    plan->decision.point = choice->point;
    plan->decision.has_time_fallback = choice->has_time_fallback;
    plan->decision.locked_xid = choice->locked_xid;
    plan->decision.locks_held = choice->locks_held;
    plan->decision.time_asked =
        request->target.kind == TARGET_TIME ? request->target.time : TIME_US_NONE;
    plan->decision.last_segment = choice->end.last_segment;
    plan->decision.archive_end = last_archived(choice, first, header->wal_segment_size);
    uint64_t last = plan->decision.target.kind == TARGET_LATEST ? plan->decision.last_segment
                                                                : plan->decision.point.segment;
    plan->decision.wal_segments = last >= first ? last - first + 1 : 0;
}

static bool check_cluster(const Cluster *cluster, const ManifestHeader *header, Error *err)
{
    if (header->wal_segment_size != cluster->wal_segment_size) {
        return error_set(err, ERR_CORRUPT, "backup %s has WAL segments of %u bytes, the cluster %u",
                         header->id, header->wal_segment_size, cluster->wal_segment_size);
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

/*
 * All of it: the backup was chosen by its head. The lease comes before that look: once the manifest
 * is read, its packs stay for as long as the lease lives.
 */
static bool load_chosen(const Cluster *cluster, const char *id, RestorePlan *plan, bool only_looks,
                        Error *err)
{
    ManifestFault fault;

    lease_freep(&plan->lease);
    if (!only_looks)
        lease_take_to_read(cluster, id, LEASE_READ_EVERY_MS, &plan->lease);
    if (!manifest_load(&plan->decision.manifest, cluster, id, err))
        return false;
    return !manifest_find_fault(&plan->decision.manifest, &fault) ||
           error_set(err, ERR_CORRUPT, "%s", manifest_fault_text(&fault, &plan->arena));
}

static void note_unread(UnreadBackups *unread, const char *id, const Error *cause, Arena *arena)
{
    UnreadBackup *items = arena_alloc(arena, (unread->count + 1) * sizeof *items);

    if (unread->count > 0)
        memcpy(items, unread->items, unread->count * sizeof *items);
    memcpy(items[unread->count].id, id, sizeof items[unread->count].id);
    items[unread->count].cause = *cause;
    unread->items = items;
    unread->count++;
}

/*
 * Chosen by the heads; then the whole manifest is read, and where it can't be, that backup is one
 * of the damaged ones and the choice is made anew: the same as if the head had shown it.
 */
bool decision_choose(const Cluster *cluster, const RestoreRequest *request,
                     const OldDirectory *directory, RestorePlan *plan, Choice *choice, Error *err)
{
    UnreadBackups unread = {.count = 0};

    for (;;) {
        Error attempt = {0};

        if (!choice_make(cluster, request, directory, &unread, choice, err))
            return false;
        if (load_chosen(cluster, choice->backup->header.id, plan, request->only_looks, &attempt))
            return true;
        if (attempt.code != ERR_CORRUPT && attempt.code != ERR_VERSION)
            return error_pass(err, &attempt);
        note_unread(&unread, choice->backup->header.id, &attempt, &plan->arena);
        manifest_done(&plan->decision.manifest);
        choice_done(choice);
    }
}

bool decision_fill(const Cluster *cluster, const RestoreRequest *request, const Choice *choice,
                   RestorePlan *plan, Error *err)
{
    if (!check_cluster(cluster, &plan->decision.manifest.header, err))
        return false;
    take_choice(request, choice, plan);
    return true;
}

/* The operator may have counted on the newest backup: say that an older one is taken, and why. */
static void warn_of_damaged(const RestoreRequest *request, const Choice *choice, RestorePlan *plan)
{
    for (size_t i = 0; request->backup == NULL && i < choice->backups.count; i++) {
        const BackupInfo *backup = &choice->backups.items[i];
        if (backup_is_out(backup)) {
            plan_warn(plan, "backup %s is %s and was passed over: %s", backup->header.id,
                      backup->state == BACKUP_NEWER ? "of a newer version" : "damaged",
                      backup->reason);
        } else if (backup->suspect != NULL && choice->backup->suspect == NULL &&
                   backup->header.stop > choice->backup->header.stop) {
            plan_warn(plan, "backup %s is suspect and was passed over: %s", backup->header.id,
                      backup->suspect);
        }
    }
    if (choice->backup->suspect != NULL) {
        plan_warn(plan, "backup %s is suspect: %s", choice->backup->header.id,
                  choice->backup->suspect);
    }
}

static const char *verdict_name(OldVerdict verdict)
{
    switch (verdict) {
    case OLD_ARCHIVED:
        return "archived";
    case OLD_TAIL:
        return "tail";
    case OLD_APART:
        return "apart";
    case OLD_BEYOND:
        return "beyond";
    }
    return "";
}

static void report_directory(const OldDirectory *directory, const RestoreRequest *request,
                             RestorePlan *plan)
{
    const OldBranch *own = &directory->own;

    plan->old.report = (DirectoryReport){.state = "", .last_commit = TIME_US_NONE};
    if (!directory->has_own || own->timeline == 0)
        return;
    plan->old.report = (DirectoryReport){
        .timeline = own->timeline,
        .reached = own->reached,
        .state = verdict_name(own->verdict),
        .parts_at = own->apart,
        .only_there = old_commits_any(&own->own) ? old_commits_text(&own->own, &plan->arena) : NULL,
        .commits = own->own.count,
        .prepared = own->own.prepared,
        .last_commit = own->own.last,
        .may_be_more = own->own.is_least,
        .is_given_up = request->discard_wal};
}

static bool look_at_directory(const Cluster *cluster, RestoreRequest *request, RestorePlan *plan,
                              OldDirectory *directory, Error *err)
{
    if (!old_directory_look(cluster, request, plan->placement.data, &plan->arena, directory, err))
        return false;
    plan->old.directory = directory;
    report_directory(directory, request, plan);
    if (directory->has_server && !request->discard_wal)
        request->server = &directory->server;
    return true;
}

static void warn_of_kept(const OldDirectory *directory, RestorePlan *plan)
{
    for (size_t i = 0; i < directory->kept_count; i++) {
        const char *wal_path = directory->kept[i].wal_path;
        bool is_used = false;
        for (size_t n = 0; n < plan->old.local_wal_count; n++)
            is_used |= path_is_inside(plan->old.local_wal[n].path, wal_path);
        if (is_used) {
            plan_warn(plan,
                      "%s was kept by an earlier restore: WAL in it that the archive does not have "
                      "is replayed",
                      wal_path);
        }
    }
}

static LossQuestion loss_question(const OldDirectory *directory, const RestoreRequest *request,
                                  const RestorePlan *plan)
{
    return (LossQuestion){.own = &directory->own,
                          .path = &plan->decision.path,
                          .goes_to_end = request->target.kind == TARGET_LATEST ||
                                         plan->decision.has_time_fallback,
                          .until = plan->decision.point.replay_end,
                          .removes = request->occupied != OCCUPIED_MOVE_ASIDE,
                          .is_saved = request->save_timeline == directory->own.timeline};
}

/*
 * A restore of everything can't bring what is on another history, or where no WAL leads: that is
 * said before anything is looked for, which might find another reason.
 */
static bool check_loss_of_all(const OldDirectory *directory, const RestoreRequest *request,
                              RestorePlan *plan, Error *err)
{
    const LossQuestion question = loss_question(directory, request, plan);

    if (!directory->has_own || request->discard_wal || request->occupied == OCCUPIED_REFUSE ||
        request->target.kind != TARGET_LATEST)
        return true;
    LossKind kind = loss_of(&question);
    return (kind != LOSS_APART && kind != LOSS_BEYOND) ||
           loss_refuse(&question, kind, &plan->arena, err);
}

static bool check_loss(const OldDirectory *directory, const RestoreRequest *request,
                       RestorePlan *plan, Error *err)
{
    const LossQuestion question = loss_question(directory, request, plan);
    const OldBranch *own = &directory->own;

    if (!directory->has_own || plan->old.choice == OCCUPIED_REFUSE)
        return true;
    LossKind kind = loss_of(&question);
    if (request->discard_wal) {
        if (kind != LOSS_NONE) {
            plan_warn(plan, "--discard-wal gives up what only %s has: %s", own->place,
                      old_commits_text(&own->own, &plan->arena));
        }
        return true;
    }
    if (kind == LOSS_KEPT && own->verdict != OLD_TAIL) {
        plan_warn(plan, "%s has what neither the archive nor this restore has: %s", own->place,
                  old_commits_text(&own->own, &plan->arena));
    }
    return loss_refuse(&question, kind, &plan->arena, err);
}

/* Another timeline than the directory's, which nobody else knows, takes one more word. */
static void hint_at_discarding(const OldDirectory *directory, Error *err)
{
    const OldBranch *own = &directory->own;
    const size_t size = strlen(err->hint);

    if (err->code != ERR_REFUSED || !directory->has_own || own->verdict != OLD_TAIL ||
        own->is_history_archived || strstr(err->hint, "--target-timeline=") == NULL)
        return;
    (void)snprintf(err->hint + size, sizeof err->hint - size,
                   "; timeline %u is nowhere but in %s: another one takes --discard-wal as well",
                   own->timeline, own->place);
}

static bool plan_restore(const Cluster *cluster, const RestoreRequest *request,
                         const OldDirectory *directory, RestorePlan *plan, Error *err)
{
    CLEANUP(choice_done) Choice choice = {0};

    if (!check_loss_of_all(directory, request, plan, err))
        return false;
    if (!decision_choose(cluster, request, directory, plan, &choice, err)) {
        hint_at_discarding(directory, err);
        return false;
    }
    if (!choice_avoid_locks(cluster, request, &choice, err) ||
        !decision_fill(cluster, request, &choice, plan, err))
        return false;
    take_branches(request, &choice, plan);
    if (!minima_find(cluster, &choice.inventory, request->jobs, plan, err) ||
        !unlogged_leave_out(cluster, &choice.inventory, request->jobs, plan, err) ||
        !save_wal_plan(cluster, &choice.inventory, directory, plan, err))
        return false;
    if (!left_out_plan(request, plan, err))
        return false;
    warn_of_kept(directory, plan);
    plan->decision.bytes = bytes_to_write(&plan->decision.manifest);
    recovery_command_build(request, plan);
    if (!preflight(cluster, request, plan, err) || !check_loss(directory, request, plan, err))
        return false;
    warn_of_damaged(request, &choice, plan);
    plan_warn_of_target(cluster, request, &choice, plan);
    return true;
}

bool restore_plan(const Cluster *cluster, const RestoreRequest *request, RestorePlan *plan,
                  Error *err)
{
    RestoreRequest known = *request;

    *plan = (RestorePlan){0};
    plan->old.stamp = stamp_now(&plan->arena);
    OldDirectory *directory = arena_alloc(&plan->arena, sizeof *directory);
    if (!path_resolve(request->data, &plan->arena, &plan->placement.data, err))
        return error_context(err, "data directory");
    return look_at_directory(cluster, &known, plan, directory, err) &&
           plan_restore(cluster, &known, directory, plan, err);
}

void restore_plan_done(RestorePlan *plan)
{
    manifest_done(&plan->decision.manifest);
    lease_freep(&plan->lease);
    arena_done(&plan->arena);
    *plan = (RestorePlan){0};
}
