#include "catalog/branches.h"

#include "base/order.h"
#include "branch_wal.h"
#include "walk/walk.h"

#include <inttypes.h>
#include <stdlib.h>

/* Every timeline that anything in the repository belongs to. */
static void branches_collect_timelines(BranchList *list, const WalInventory *inventory,
                                       const BackupList *backups)
{
    size_t most =
        inventory->run_count + inventory->pieces.count + inventory->history_count + backups->count;
    size_t found = 0;

    list->timelines = arena_alloc(&list->arena, (most + 1) * sizeof *list->timelines);
    for (size_t i = 0; i < inventory->run_count; i++)
        list->timelines[found++] = inventory->runs[i].timeline;
    for (size_t i = 0; i < inventory->pieces.count; i++)
        list->timelines[found++] = inventory->pieces.items[i].timeline;
    for (size_t i = 0; i < inventory->history_count; i++)
        list->timelines[found++] = inventory->histories[i];
    for (size_t i = 0; i < backups->count; i++) {
        if (backups->items[i].has_header)
            list->timelines[found++] = backups->items[i].header.timeline;
    }
    qsort(list->timelines, found, sizeof *list->timelines, order_numbers);
    for (size_t i = 0; i < found; i++) {
        size_t kept = list->timeline_count;

        if (kept == 0 || list->timelines[kept - 1] != list->timelines[i])
            list->timelines[list->timeline_count++] = list->timelines[i];
    }
}

const char *branch_list_timelines(const BranchList *list, Arena *arena)
{
    const char *text = "";

    for (size_t i = 0; i < list->timeline_count; i++)
        text = arena_format(arena, "%s%s%" PRIu32, text, i > 0 ? ", " : "", list->timelines[i]);
    return text;
}

typedef struct BranchLoader {
    BranchList *list;
    const Cluster *cluster;
    const WalInventory *inventory;
} BranchLoader;

/* Its history is missing, damaged or can't be opened: no server can be told to recover along it. */
static bool branch_load_path(BranchLoader *loader, uint32_t timeline, TimelinePath *path,
                             bool *is_usable, Error *err)
{
    Error attempt = {0};

    *is_usable = wal_inventory_path(loader->inventory, loader->cluster, timeline,
                                    &loader->list->arena, path, &attempt);
    if (*is_usable)
        return true;
    if (attempt.code != ERR_NOT_FOUND && attempt.code != ERR_CORRUPT && attempt.code != ERR_IO) {
        *err = attempt;
        return error_context(err, "timeline %" PRIu32, timeline);
    }
    loader->list->unreadable = timeline;
    return true;
}

static bool add_timeline(BranchLoader *loader, uint32_t timeline, Error *err)
{
    Branch *branch = &loader->list->items[loader->list->count];
    TimelinePath path;
    bool is_usable;

    if (!branch_load_path(loader, timeline, &path, &is_usable, err))
        return false;
    if (!is_usable)
        return true;
    *branch = (Branch){
        .timeline = timeline,
        .path = path,
        .has_wal = wal_inventory_has_later(loader->inventory, timeline, 0),
        .last_commit.time = TIME_US_NONE,
        .gain = {.from = LSN_NEVER, .first = TIME_US_NONE, .last = TIME_US_NONE},
    };
    for (size_t i = 0; i + 1 < path.count; i++) {
        if (!path_step_is_empty(&path.steps[i]))
            branch->parent = path.steps[i].timeline;
    }
    branch->begin = path.steps[path.count - 1].begin;
    loader->list->count++;
    return true;
}

/* Where others leave this timeline last; 0: none does. */
static Lsn last_left(const BranchList *list, uint32_t timeline)
{
    Lsn last = 0;

    for (size_t i = 0; i < list->count; i++) {
        const PathStep *step = path_step_of(&list->items[i].path, timeline);

        if (step != NULL && !path_step_is_empty(step) && step->end > last)
            last = step->end;
    }
    return last;
}

/* Whether there is WAL of the timeline beyond this place, where others leave it. */
static bool branch_goes_on(const BranchLoader *loader, const Branch *branch, Lsn place, bool *does,
                           Error *err)
{
    const uint32_t size = loader->cluster->wal_segment_size;
    const uint64_t segment = wal_segment_of(place, size);
    WalWalk walk = {.cluster = loader->cluster,
                    .inventory = loader->inventory,
                    .path = &branch->path,
                    .from = place,
                    .threads = 1};
    WalTrailer trailer;
    bool is_open;
    Error attempt = {0};

    *does = wal_inventory_has_later(loader->inventory, branch->timeline, segment + 1);
    if (*does)
        return true;
    if (wal_walk_trailer(&walk, segment, &trailer, &is_open, &attempt)) {
        *does = trailer.summary.reader.last_end > place;
        return true;
    }
    if (attempt.code == ERR_CORRUPT || attempt.code == ERR_NOT_FOUND)
        return true; /* there is nothing, or nothing that can be restored: verify tells of damage */
    return error_pass(err, &attempt);
}

/* Keep those that end a path of their own. */
static bool keep_branches(BranchLoader *loader, Error *err)
{
    BranchList *list = loader->list;
    bool *gone = arena_alloc(&list->arena, list->count + 1);
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        Lsn left = last_left(list, list->items[i].timeline);
        bool does = true;

        if (left != 0 && !branch_goes_on(loader, &list->items[i], left, &does, err))
            return false;
        gone[i] = !does;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (!gone[i])
            list->items[kept++] = list->items[i];
    }
    list->count = kept;
    return true;
}

/* The newest along the path that can be restored. */
static const BackupInfo *newest_backup(const BackupList *backups, const TimelinePath *path)
{
    const BackupInfo *newest = NULL;

    for (size_t i = 0; i < backups->count; i++) {
        const BackupInfo *backup = &backups->items[i];

        if (backup->state == BACKUP_RESTORABLE && backup_is_on_path(backup, path) &&
            (newest == NULL || backup->header.stop > newest->header.stop))
            newest = backup;
    }
    return newest;
}

bool branch_list_load(BranchList *list, const Cluster *cluster, const WalInventory *inventory,
                      const BackupList *backups, Error *err)
{
    CLEANUP(branch_list_done)
    BranchList loaded = {.last_commit.time = TIME_US_NONE, .begins = TIME_US_NONE};
    BranchLoader loader = {.list = &loaded, .cluster = cluster, .inventory = inventory};

    branches_collect_timelines(&loaded, inventory, backups);
    loaded.items = arena_alloc(&loaded.arena, (loaded.timeline_count + 1) * sizeof(Branch));
    for (size_t i = 0; i < loaded.timeline_count; i++) {
        if (!add_timeline(&loader, loaded.timelines[i], err))
            return false;
    }
    if (!keep_branches(&loader, err))
        return false;
    for (size_t i = 0; i < loaded.count; i++)
        loaded.items[i].backup = newest_backup(backups, &loaded.items[i].path);
    *list = loaded;
    loaded = (BranchList){0};
    return true;
}

void branch_list_done(BranchList *list)
{
    arena_done(&list->arena);
    *list = (BranchList){0};
}

const Branch *branch_list_newest(const BranchList *list)
{
    return list->count > 0 ? &list->items[list->count - 1] : NULL;
}

bool branch_list_compare(BranchList *list, const Cluster *cluster, const WalInventory *inventory,
                         const BackupList *backups, const TimelinePath *path, unsigned threads,
                         Error *err)
{
    WalWalk walk = {.cluster = cluster, .inventory = inventory, .path = path, .threads = threads};

    list->backup = newest_backup(backups, path);
    if (!branch_end(&walk, &list->end, err) ||
        !branch_last_commit(&walk, &list->last_commit, err) ||
        !branch_begins(&walk, &list->begins, err))
        return false;
    for (size_t i = 0; i < list->count; i++) {
        Branch *branch = &list->items[i];

        walk.path = &branch->path;
        branch->gain = (BranchGain){.from = paths_part(&branch->path, path),
                                    .first = TIME_US_NONE,
                                    .last = TIME_US_NONE,
                                    .prepared_last = TIME_US_NONE};
        if (!branch_last_commit(&walk, &branch->last_commit, err) ||
            (branch->gain.from != LSN_NEVER && !branch_count(&walk, &branch->gain, err)))
            return error_context(err, "look at timeline %" PRIu32, branch->timeline);
    }
    return true;
}

bool branch_judge_default(BranchList *list, const Cluster *cluster, const WalInventory *inventory,
                          const BackupList *backups, const ServerBranch *server,
                          BranchAnswer *answer, Error *err)
{
    const Branch *newest = branch_list_newest(list);

    if (!branch_list_compare(list, cluster, inventory, backups, &newest->path, 1, err))
        return false;
    *answer = branch_judge(&(BranchQuestion){
        .list = list,
        .path = &newest->path,
        .kind = TARGET_LATEST,
        .is_found = true,
        .until = newest->has_wal ? list->end : LSN_NEVER,
        .server = server,
    });
    return true;
}
