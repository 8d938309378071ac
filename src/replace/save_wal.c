#include "replace/save_wal.h"

#include "old_archiving.h"
#include "rebuild/held_places.h"
#include "rebuild/recovery_settings.h"
#include "rebuild/restored_file.h"

#include "base/file.h"
#include "walk/wal_source.h"

#include <errno.h>
#include <sys/stat.h>

enum { HISTORY_TEXT_MAX = 4 << 20 };

typedef struct Saving {
    const Cluster *cluster;
    const RestoreRequest *request;
    const OldBranch *own;
    const WalInventory *inventory;
    WalSaved *saved;
} Saving;

/* The word was said for the directory's timeline, and so for those that led to it. */
static bool is_timeline_saved(const Saving *saving, uint32_t timeline)
{
    return saving->request->save_timeline != 0 &&
           saving->request->save_timeline == saving->own->timeline &&
           path_step_of(&saving->own->path, timeline) != NULL;
}

/* A history that the archive does not know gets there by a server, or when somebody says so. */
static bool is_timeline_known(const Saving *saving, uint32_t timeline)
{
    return timeline == 1 || wal_inventory_has_history(saving->inventory, timeline) ||
           is_timeline_saved(saving, timeline);
}

/*
 * A segment without a mark is complete when WAL goes to its end: the server died before it could
 * mark it (on its next start it would, XLogArchiveCheckDone). That there is a next file proves
 * nothing: a recycled one of another timeline can lie at just that address (xlog.c,
 * RemoveNonParentXlogFiles).
 */
static bool is_complete(const Saving *saving, const OldSegment *file)
{
    const OldBranch *own = saving->own;
    const uint32_t timeline = file->name.timeline;

    if (file->is_ready)
        return true;
    return !file->is_done &&
           (old_wal_archives(&own->wal, timeline) || is_timeline_saved(saving, timeline)) &&
           (file->name.segment < own->last ||
            (file->name.segment == own->last && own->is_last_whole));
}

/* A server that left the timeline in this segment, or took a backup there: beside proven WAL. */
static bool is_beside_proven(const Saving *saving, const OldSegment *file)
{
    const OldBranch *own = saving->own;
    const PathStep *step = path_step_of(&own->path, file->name.timeline);

    return file->is_ready && step != NULL && file->name.segment >= own->first &&
           file->name.segment <= own->last &&
           (step->end == 0 ||
            wal_segment_start(file->name.segment, saving->cluster->wal_segment_size) < step->end);
}

static bool needs_push(const Saving *saving, const OldSegment *file)
{
    if (!is_timeline_known(saving, file->name.timeline))
        return false;
    switch (file->name.kind) {
    case WAL_SEGMENT:
        return old_branch_proves(saving->own, file, saving->cluster->wal_segment_size) &&
               !wal_inventory_has(saving->inventory, file->name.timeline, file->name.segment) &&
               is_complete(saving, file);
    case WAL_PARTIAL:
    case WAL_BACKUP_HISTORY:
        return is_beside_proven(saving, file);
    case WAL_HISTORY:
        return false; /* see push_histories() */
    }
    return false;
}

/* False: the server's archiver would try this one again, and none after it. */
static bool push_one(const Saving *saving, const char *path)
{
    WalSaved *saved = saving->saved;

    if (saving->request->push(saving->request->push_context, path, &saved->reason)) {
        saved->pushed++;
        return true;
    }
    saved->unsaved++;
    return false;
}

/* First, as the archiver does: they are what makes a timeline known. */
static bool push_histories(const Saving *saving)
{
    const TimelinePath *path = &saving->own->path;

    for (size_t i = 0; i < path->count; i++) {
        const uint32_t timeline = path->steps[i].timeline;
        const OldHistory *history = old_wal_history(&saving->own->wal, timeline);
        if (history == NULL || timeline == 1 || !is_timeline_saved(saving, timeline) ||
            wal_inventory_has_history(saving->inventory, timeline))
            continue;
        if (!push_one(saving, history->path))
            return false;
    }
    return true;
}

/* What it takes for archived, and the archive lacks: after it there would be a hole. */
static bool is_archived_elsewhere(const Saving *saving, const OldSegment *file)
{
    const uint32_t size = saving->cluster->wal_segment_size;
    char name[WAL_NAME_SIZE];

    if (!file->is_done || !old_branch_proves(saving->own, file, size) ||
        wal_inventory_has(saving->inventory, file->name.timeline, file->name.segment))
        return false;
    if (saving->saved->reason.code == ERR_NONE) {
        error_set(&saving->saved->reason, ERR_REFUSED,
                  "its server takes %s for archived, and this archive does not have it",
                  wal_name_text(&file->name, size, name));
    }
    return true;
}

static void push_all(const Saving *saving)
{
    const OldWal *wal = &saving->own->wal;
    bool go_on = push_histories(saving);

    for (size_t i = 0; i < wal->count; i++) {
        go_on = go_on && !is_archived_elsewhere(saving, &wal->items[i]);
        if (!needs_push(saving, &wal->items[i]))
            continue;
        if (go_on) {
            go_on = push_one(saving, wal->items[i].path);
        } else {
            saving->saved->unsaved++;
        }
    }
}

/* A copy adds nothing to its original's archive, unless somebody said which timeline. */
static bool belongs_there(const Cluster *cluster, const RestoreRequest *request,
                          const RestorePlan *plan)
{
    return request->save_timeline != 0 ||
           (!request->as_copy && old_directory_archives(cluster, plan->placement.data));
}

bool restore_save_wal(const Cluster *cluster, const RestoreRequest *request,
                      const RestorePlan *plan, WalSaved *saved, Error *err)
{
    CLEANUP(wal_inventory_done) WalInventory inventory = {0};
    const OldDirectory *directory = plan->old.directory;

    *saved = (WalSaved){0};
    if (!directory->has_own || request->discard_wal || request->push == NULL ||
        directory->own.verdict != OLD_TAIL || !belongs_there(cluster, request, plan))
        return true;
    if (!wal_inventory_load(&inventory, cluster, err))
        return false;
    const Saving saving = {.cluster = cluster,
                           .request = request,
                           .own = &directory->own,
                           .inventory = &inventory,
                           .saved = saved};
    push_all(&saving);
    if (saved->unsaved == 0 || saved->reason.code != ERR_EXISTS)
        return true;
    /* Two servers archive at this moment: which of both is meant is not for us to say. */
    *err = saved->reason;
    err->code = ERR_REFUSED;
    return false;
}

static void add_local(RestorePlan *plan, const PlannedWal *file)
{
    PlannedWal *all = arena_alloc(&plan->arena, (plan->old.local_wal_count + 1) * sizeof *all);

    if (plan->old.local_wal_count > 0)
        memcpy(all, plan->old.local_wal, plan->old.local_wal_count * sizeof *all);
    all[plan->old.local_wal_count] = *file;
    all[plan->old.local_wal_count++].path = arena_text(&plan->arena, file->path);
    plan->old.local_wal = all;
}

static bool plan_segment(const Cluster *cluster, const WalInventory *inventory, uint64_t segment,
                         RestorePlan *plan, Error *err)
{
    WalSource source;

    if (!wal_source_on_path(cluster, inventory, &plan->decision.path, segment, &source, err))
        return false;
    if (source.form == WAL_LOCAL_FILE) {
        add_local(plan, &(PlannedWal){.path = source.path,
                                      .name = {.kind = WAL_SEGMENT,
                                               .timeline = source.timeline,
                                               .segment = segment}});
    }
    return true;
}

static bool is_local_history(const WalInventory *inventory, uint32_t timeline)
{
    for (size_t i = 0; i < inventory->local_history_count; i++) {
        if (inventory->local_histories[i].timeline == timeline)
            return true;
    }
    return false;
}

/* The histories of the path that the archive does not have. */
static void plan_histories(const WalInventory *inventory, const OldDirectory *directory,
                           RestorePlan *plan)
{
    for (size_t i = 0; i < plan->decision.path.count; i++) {
        const uint32_t timeline = plan->decision.path.steps[i].timeline;
        const OldHistory *history = old_wal_history(&directory->own.wal, timeline);
        if (history == NULL || !is_local_history(inventory, timeline))
            continue;
        add_local(plan, &(PlannedWal){.path = history->path,
                                      .name = {.kind = WAL_HISTORY, .timeline = timeline}});
    }
}

/*
 * A server looks for transactions that were prepared before a fork in its parent's own segment
 * (fork_wal.h), and the archive may not have that.
 */
static void plan_parents(const WalInventory *inventory, const OldDirectory *directory,
                         uint64_t last, RestorePlan *plan)
{
    const uint32_t size = plan->decision.manifest.header.wal_segment_size;

    for (size_t i = 1; i < plan->decision.path.count; i++) {
        const Lsn fork = plan->decision.path.steps[i].begin;
        const uint32_t parent = plan->decision.path.steps[i - 1].timeline;
        const uint64_t segment = wal_segment_of(fork, size);
        const OldSegment *file = old_wal_find(&directory->own.wal, parent, segment);
        if (file == NULL || fork % size == 0 || segment > last ||
            wal_inventory_has(inventory, parent, segment) || segment < directory->own.first ||
            segment > directory->own.last)
            continue;
        add_local(plan, &(PlannedWal){.path = file->path, .name = file->name, .is_parents = true});
    }
}

bool save_wal_plan(const Cluster *cluster, const WalInventory *inventory,
                   const OldDirectory *directory, RestorePlan *plan, Error *err)
{
    const ManifestHeader *header = &plan->decision.manifest.header;
    const uint64_t last = plan->decision.target.kind == TARGET_LATEST
                              ? plan->decision.last_segment
                              : plan->decision.point.segment;

    for (uint64_t segment = wal_segment_of(header->start, header->wal_segment_size);
         segment <= last; segment++) {
        const uint32_t timeline =
            path_timeline_of_segment(&plan->decision.path, segment, header->wal_segment_size);
        if (!wal_inventory_has(inventory, timeline, segment) &&
            !plan_segment(cluster, inventory, segment, plan, err))
            return false;
    }
    if (directory->has_own) {
        plan_histories(inventory, directory, plan);
        plan_parents(inventory, directory, last, plan);
    }
    return true;
}

/* Where a file of the old pg_wal is, now that the old directory is out of the way. */
static char *path_now(const RestorePlan *plan, const PlannedWal *file)
{
    static const char pg_wal[] = "/pg_wal/";
    const size_t size = strlen(plan->placement.data), wal_size = sizeof pg_wal - 1;
    const char *rest = file->path + size;

    if (!plan->old.is_occupied || !path_is_inside(file->path, plan->placement.data))
        return text_format("%s", file->path);
    if (plan->old.moved_to != NULL)
        return text_format("%s%s", plan->old.moved_to, rest);
    if (plan->old.wal_kept != NULL && strncmp(rest, pg_wal, wal_size) == 0)
        return text_format("%s/%s", plan->old.wal_kept, rest + wal_size);
    return text_format("%s", file->path);
}

/* Its timeline is left in it, or the server would go on writing there. */
static bool is_left_in(const RestorePlan *plan, const PlannedWal *file)
{
    const uint32_t size = plan->decision.manifest.header.wal_segment_size;

    return file->name.kind == WAL_SEGMENT && plan->decision.point.replay_end % size != 0 &&
           file->name.segment == wal_segment_of(plan->decision.point.replay_end, size);
}

/*
 * A parent's segment is there to be read; a history, and what is complete, for the new server to
 * archive. The segment that its own timeline begins in the server sees to itself.
 */
static bool put_mark(const RestorePlan *plan, const PlannedWal *file, const char *name,
                     const FileAttributes *attributes, Error *err)
{
    if (!file->is_parents && is_left_in(plan, file))
        return true;
    CLEANUP(text_freep)
    char *mark =
        text_format("pg_wal/archive_status/%s.%s", name, file->is_parents ? "done" : "ready");
    return restored_file_put(held_at(&plan->placement.held->data, mark), "", 0, attributes, true,
                             err);
}

static bool put_file(const RestorePlan *plan, const PlannedWal *file, Error *err)
{
    const uint32_t size = plan->decision.manifest.header.wal_segment_size;
    char name[WAL_NAME_SIZE];
    CLEANUP(text_freep) char *from = path_now(plan, file);
    CLEANUP(text_freep)
    char *path = text_format("pg_wal/%s", wal_name_text(&file->name, size, name));
    CLEANUP(buffer_done) Buffer content = {0};
    FileAttributes attributes = {.mode = data_file_mode(&plan->placement), .mtime = TIME_US_NONE};

    return file_read_whole(from, size > HISTORY_TEXT_MAX ? size : HISTORY_TEXT_MAX, &content,
                           err) &&
           restored_file_put(held_at(&plan->placement.held->data, path), content.data, content.size,
                             &attributes, true, err) &&
           put_mark(plan, file, name, &attributes, err);
}

/* The parent's segment up to the fork may have come out of the archive (fork_wal.h). */
static bool saved_is_there(const RestorePlan *plan, const PlannedWal *file)
{
    char name[WAL_NAME_SIZE];
    CLEANUP(text_freep)
    char *path = text_format(
        "pg_wal/%s",
        wal_name_text(&file->name, plan->decision.manifest.header.wal_segment_size, name));

    return file->is_parents && held_has(held_at(&plan->placement.held->data, path));
}

/* An archive that has it by now is asked first, and its copy comes from there. */
static bool saved_is_archived(const WalInventory *inventory, const PlannedWal *file)
{
    return file->name.kind == WAL_HISTORY
               ? wal_inventory_has_history(inventory, file->name.timeline)
               : wal_inventory_has(inventory, file->name.timeline, file->name.segment);
}

bool save_wal_put(const Cluster *cluster, const RestorePlan *plan, uint64_t *count, Error *err)
{
    CLEANUP(wal_inventory_done) WalInventory inventory = {0};

    *count = 0;
    if (plan->old.local_wal_count == 0)
        return true;
    if (!wal_inventory_load(&inventory, cluster, err))
        return false;
    for (size_t i = 0; i < plan->old.local_wal_count; i++) {
        const PlannedWal *file = &plan->old.local_wal[i];
        if (saved_is_archived(&inventory, file) || saved_is_there(plan, file))
            continue;
        if (!put_file(plan, file, err))
            return error_context(err, "keep the old directory's WAL");
        *count += file->name.kind == WAL_SEGMENT && !file->is_parents ? 1 : 0;
    }
    return true;
}
