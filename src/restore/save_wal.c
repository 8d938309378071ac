#include "save_wal.h"

#include "data_state.h"
#include "old_wal.h"
#include "restored_file.h"

#include "base/file.h"

#include <errno.h>
#include <sys/stat.h>

/* ---- into the archive -------------------------------------------------------------------------
 */

/*
 * A segment without a mark is complete when the next one has been begun: the server died before it
 * could mark it (on its next start it would, XLogArchiveCheckDone).
 */
static bool needs_push(const OldWal *wal, const OldSegment *segment, const WalInventory *inventory)
{
    if (segment->is_ready)
        return true;
    if (segment->name.kind != WAL_SEGMENT || segment->is_done ||
        !old_wal_archives(wal, segment->name.timeline))
        return false;
    return !wal_inventory_has(inventory, segment->name.timeline, segment->name.segment) &&
           old_wal_find(wal, segment->name.timeline, segment->name.segment + 1) != NULL;
}

static void push_one(const RestoreWish *wish, const OldSegment *segment, WalSaved *saved)
{
    Error failed = {0};

    if (wish->push(wish->push_context, segment->path, &failed)) {
        saved->pushed++;
        return;
    }
    if (saved->unsaved++ == 0)
        saved->reason = failed;
}

static bool push_all(const Cluster *cluster, const RestoreWish *wish, const char *directory,
                     WalSaved *saved, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(wal_inventory_done) WalInventory inventory = {0};
    OldWal wal;

    if (!old_wal_load(directory, cluster, &arena, &wal, err) ||
        !wal_inventory_load(&inventory, cluster, err))
        return false;
    /* History files first, as the archiver does: they are what makes a timeline known. */
    for (size_t i = 0; i < wal.count; i++) {
        if (wal.items[i].name.kind == WAL_HISTORY)
            push_one(wish, &wal.items[i], saved);
    }
    for (size_t i = 0; i < wal.count; i++) {
        if (wal.items[i].name.kind != WAL_HISTORY && needs_push(&wal, &wal.items[i], &inventory))
            push_one(wish, &wal.items[i], saved);
    }
    return true;
}

bool restore_save_wal(const Cluster *cluster, const RestoreWish *wish, WalSaved *saved, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *data;
    DataLook look;

    *saved = (WalSaved){0};
    if (wish->occupied == OCCUPIED_REFUSE || wish->discard_wal || wish->push == NULL)
        return true;
    if (!path_resolve(wish->data, &arena, &data, err) ||
        !data_look(data, cluster, &arena, &look, err))
        return false;
    if (!look.same_cluster)
        return true;
    const char *directory = arena_format(&arena, "%s/pg_wal", data);
    if (!push_all(cluster, wish, directory, saved, err))
        return false;
    for (size_t i = 0; i < look.marker.wal_kept_count; i++) {
        if (!push_all(cluster, wish, look.marker.wal_kept[i], saved, err))
            return false;
    }
    return true;
}

/* ---- as the tail of this recovery -------------------------------------------------------------
 */

static bool copy_segment(const Cluster *cluster, const RestorePlan *plan, const OldSegment *segment,
                         Error *err)
{
    CLEANUP(text_freep) char *path = text_format("%s/pg_wal/%s", plan->data, segment->file);
    CLEANUP(buffer_done) Buffer content = {0};
    FileAttributes attributes = {.mode = (plan->data_mode & 0050) != 0 ? 0640 : 0600,
                                 .uid = plan->uid,
                                 .gid = plan->gid,
                                 .mtime = TIME_US_NONE};

    return file_read_whole(segment->path, cluster->wal_segment_size, &content, err) &&
           restored_file_put(path, content.data, content.size, &attributes, true, err);
}

typedef struct TailSources {
    OldWal *items;
    size_t count;
    Arena arena;
} TailSources;

static void tail_sources_done(TailSources *sources)
{
    arena_done(&sources->arena);
}

static bool add_source(TailSources *sources, const char *directory, const Cluster *cluster,
                       Error *err)
{
    return old_wal_load(directory, cluster, &sources->arena, &sources->items[sources->count++],
                        err);
}

static bool load_sources(const Cluster *cluster, const RestorePlan *plan, TailSources *sources,
                         Error *err)
{
    size_t earlier = 0;

    while (plan->wal_sources != NULL && plan->wal_sources[earlier] != NULL)
        earlier++;
    sources->items = arena_alloc(&sources->arena, (earlier + 2) * sizeof *sources->items);
    if (plan->wal_kept != NULL && !add_source(sources, plan->wal_kept, cluster, err))
        return false;
    if (plan->moved_to != NULL) {
        const char *wal = arena_format(&sources->arena, "%s/pg_wal", plan->moved_to);
        if (!add_source(sources, wal, cluster, err))
            return false;
    }
    for (size_t i = 0; i < earlier; i++) {
        if (!add_source(sources, plan->wal_sources[i], cluster, err))
            return false;
    }
    return true;
}

static const OldSegment *find_in(const TailSources *sources, uint32_t timeline, uint64_t segment)
{
    const OldSegment *found = NULL;

    for (size_t i = 0; found == NULL && i < sources->count; i++)
        found = old_wal_find(&sources->items[i], timeline, segment);
    return found;
}

/*
 * The first segment of the tail: the last one of the archive too, when that is not whole. The old
 * directory may have more of it; archive-get compares.
 */
static bool tail_begin(const Cluster *cluster, const RestorePlan *plan, uint64_t *segment,
                       Error *err)
{
    CLEANUP(wal_inventory_done) WalInventory inventory = {0};

    if (!wal_inventory_load(&inventory, cluster, err))
        return false;
    *segment = plan->archive_end;
    if (wal_inventory_has(&inventory, path_last_timeline(&plan->path), *segment))
        (*segment)++;
    return true;
}

bool save_wal_tail(const Cluster *cluster, const RestoreWish *wish, const RestorePlan *plan,
                   uint64_t *count, Error *err)
{
    CLEANUP(tail_sources_done) TailSources sources = {0};

    uint64_t segment;

    *count = 0;
    if (plan->target.kind != TARGET_LATEST || wish->discard_wal ||
        (plan->occupied && !plan->same_cluster))
        return true;
    if (!load_sources(cluster, plan, &sources, err) || !tail_begin(cluster, plan, &segment, err))
        return error_context(err, "keep the old directory's WAL");
    for (;; segment++) {
        const OldSegment *found = find_in(&sources, path_last_timeline(&plan->path), segment);
        if (found == NULL)
            return true;
        if (!copy_segment(cluster, plan, found, err))
            return error_context(err, "keep the old directory's WAL");
        (*count)++;
    }
}
