#include "choice.h"

#include "search.h"

#include "catalog/wal_source.h"

#include <stdlib.h>

void choice_done(Choice *choice)
{
    wal_inventory_done(&choice->inventory);
    backup_list_done(&choice->backups);
    arena_done(&choice->arena);
}

/* ---- all timelines ----------------------------------------------------------------------------
 */

static int descending(const void *a, const void *b)
{
    uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;

    return first > second ? -1 : first < second ? 1 : 0;
}

/* Every timeline that anything in the repository belongs to, the newest first. */
static uint32_t *all_timelines(Choice *choice, size_t *count)
{
    const WalInventory *inventory = &choice->inventory;
    size_t most = inventory->run_count + inventory->history_count + choice->backups.count;
    uint32_t *timelines = arena_alloc(&choice->arena, (most + 1) * sizeof *timelines);
    size_t found = 0, kept = 0;

    for (size_t i = 0; i < inventory->run_count; i++)
        timelines[found++] = inventory->runs[i].timeline;
    for (size_t i = 0; i < inventory->history_count; i++)
        timelines[found++] = inventory->histories[i];
    for (size_t i = 0; i < choice->backups.count; i++) {
        if (choice->backups.items[i].has_header)
            timelines[found++] = choice->backups.items[i].header.timeline;
    }
    qsort(timelines, found, sizeof *timelines, descending);
    for (size_t i = 0; i < found; i++) {
        if (kept == 0 || timelines[kept - 1] != timelines[i])
            timelines[kept++] = timelines[i];
    }
    *count = kept;
    return timelines;
}

/*
 * The newest timeline, as the server's own "latest" is. An older one lacks what was committed on
 * the newest and holds what that one gave up: it is never taken instead unless it, or a backup from
 * which the newest can't be reached, was asked for. Nor is one with a history that can't be read
 * passed over: it may be the one that counts.
 */
static bool find_path(Search *search, const uint32_t *timelines, size_t count, Error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!search_open_path(search, timelines[i], err))
            return false;
        if (search->count > 0) {
            return i == 0 || search->wish->backup != NULL ||
                   refuse_older(search, timelines[0], timelines[i], err);
        }
    }
    return refuse_no_candidate(search->choice, search->wish, err);
}

static bool load(const Cluster *cluster, const RestoreWish *wish, Choice *choice, Error *err)
{
    if (!wal_inventory_load(&choice->inventory, cluster, err))
        return false;
    if (wish->allows_damaged)
        wal_inventory_forget_damage(&choice->inventory);
    if (!backup_list_load(&choice->backups, cluster, &choice->inventory, err))
        return false;
    if (!wish->believes_known)
        wal_inventory_distrust(&choice->inventory);
    return wish->backup == NULL || choice_check_backup(choice, wish->backup, err);
}

/* ---- the path as the server is told it ----------------------------------------------------------
 */

static bool stops_before(const Choice *choice, Lsn fork)
{
    switch (choice->target.kind) {
    case TARGET_LATEST:
        return false;
    case TARGET_IMMEDIATE:
        return choice->backup->header.stop <= fork;
    case TARGET_TIME:
    case TARGET_XID:
    case TARGET_LSN:
    case TARGET_NAME:
        break;
    }
    /* The record itself: one behind the fork that stops replay before it is not on the parent. */
    return choice->point.stop_record < fork;
}

/* Whether what the parent wrote up to the fork is there, without the help of the path. */
static bool parent_reaches(const Choice *choice, const Cluster *cluster, uint32_t parent, Lsn fork)
{
    const uint64_t segment = wal_segment_before(fork, cluster->wal_segment_size);
    WalSource source;
    Error ignored = {0}; /* then it is reached along the child */

    return wal_source_find(cluster, &choice->inventory, parent, segment, &source, &ignored) &&
           wal_segment_start(segment, cluster->wal_segment_size) + source.size >= fork;
}

/*
 * A target before the last fork is reached along the parent. Along the child the server would read
 * the parent's records out of the child's first segment, and then fail to open when a transaction
 * was prepared there: it looks for it in the parent's segment, which it has not restored
 * (xlogutils.c, XLogReadDetermineTimeline, by twophase.c: "requested WAL segment ... has already
 * been removed"). And the history of the timeline that it begins would have switches that go back.
 * Where the parent's segment never became whole, it comes from elsewhere (wal_source.h), from the
 * child's at the least.
 */
static void shorten_path(Choice *choice, const Cluster *cluster)
{
    TimelinePath *path = &choice->path;

    while (path->count > 1) {
        Lsn fork = path->steps[path->count - 1].begin;
        uint32_t parent = path->steps[path->count - 2].timeline;

        if (!stops_before(choice, fork) || choice->backup->header.timeline > parent)
            return;
        if (!parent_reaches(choice, cluster, parent, fork))
            return;
        path->count--;
        path->steps[path->count - 1].end = 0;
    }
}

static void keep_whole_path(Choice *choice)
{
    const TimelinePath *path = &choice->path;

    choice->whole_path.count = path->count;
    choice->whole_path.steps = arena_alloc(&choice->arena, path->count * sizeof *path->steps);
    memcpy(choice->whole_path.steps, path->steps, path->count * sizeof *path->steps);
}

/*
 * A timeline of which nothing but its history is archived yet, as for a while after every recovery
 * to a point in time. What lies before the fork is all there, on the parent: a target there can be
 * reached, above all the better one that the operator now wishes to have chosen. Sets
 * choice->backup, and clears err; false, err as it was, when that does not help.
 */
static bool search_before_fork(Search *search, Error *err)
{
    Choice *choice = search->choice;
    TimelinePath path = search->path, parent = {.count = path.count - 1};
    const PathStep *last = &path.steps[path.count - 1];
    Error attempt = {0}; /* the one there is says more */
    Verdict verdict;

    if (path.count < 2 || search->wish->target.kind == TARGET_LATEST ||
        wal_inventory_has_later(&choice->inventory, last->timeline, 0))
        return false;
    parent.steps = arena_alloc(&choice->arena, parent.count * sizeof *parent.steps);
    memcpy(parent.steps, path.steps, parent.count * sizeof *parent.steps);
    parent.steps[parent.count - 1].end = 0;
    /* The candidates stay: what leads to the fork also leads to what is before it. */
    search->path = parent;
    if (search_along_path(search, &choice->backup, &verdict, &attempt) && choice->backup != NULL &&
        !choice->has_time_fallback && stops_before(choice, last->begin)) {
        error_clear(err);
        return true;
    }
    search->path = path;
    choice->backup = NULL;
    return false;
}

bool choice_make(const Cluster *cluster, const RestoreWish *wish, Choice *choice, Error *err)
{
    Search search = {.cluster = cluster, .wish = wish, .choice = choice};
    size_t count;
    Verdict verdict;

    *choice = (Choice){0};
    if (!load(cluster, wish, choice, err))
        return false;
    const uint32_t *timelines = all_timelines(choice, &count);
    const uint32_t only[] = {wish->target_timeline};
    bool is_pinned = wish->target_timeline != 0;
    if (!find_path(&search, is_pinned ? only : timelines, is_pinned ? 1 : count, err))
        return false;
    if (!search_along_path(&search, &choice->backup, &verdict, err) &&
        (err->code != ERR_CORRUPT || !search_before_fork(&search, err)))
        return false;
    if (choice->backup == NULL)
        (void)search_before_fork(&search, err);
    choice->path = search.path;
    keep_whole_path(choice);
    if (choice->backup != NULL) {
        shorten_path(choice, cluster);
        return true;
    }
    if (verdict == VERDICT_TOO_NEW)
        return refuse_too_early(&search, err);
    return refuse_not_seen(&search, timelines, count, err);
}
