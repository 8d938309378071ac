#include "drill/instant.h"

/* What of a timeline is in the list already: branches share their ancestors. */
typedef struct SeenTimeline {
    uint32_t timeline;
    uint64_t segment; /* The list has it up to this segment. */
} SeenTimeline;

typedef struct Collection {
    InstantList *list;
    size_t capacity;
    const Cluster *cluster;
    const RecoveryWindow *window; /* This window is being walked. */
    Lsn from;                     /* The walk goes from here on. */
    SeenTimeline *seen;
    size_t seen_count;
} Collection;

static void instant_add(Collection *collection, const Instant *instant)
{
    InstantList *list = collection->list;

    if (list->count == collection->capacity) {
        const size_t capacity = 2 * collection->capacity + 64;
        Instant *items = arena_alloc(&list->arena, capacity * sizeof *items);
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        collection->capacity = capacity;
    }
    list->items[list->count++] = *instant;
}

static SeenTimeline *seen_of(Collection *collection, uint32_t timeline)
{
    for (size_t i = 0; i < collection->seen_count; i++) {
        if (collection->seen[i].timeline == timeline)
            return &collection->seen[i];
    }
    return NULL;
}

/* Whether the segment is new; from now on it is not. */
static bool segment_is_new(Collection *collection, uint32_t timeline, uint64_t segment)
{
    SeenTimeline *seen = seen_of(collection, timeline);

    if (seen != NULL && segment <= seen->segment)
        return false;
    if (seen == NULL) {
        seen = &collection->seen[collection->seen_count++];
        seen->timeline = timeline;
    }
    seen->segment = segment;
    return true;
}

static void add_special(Collection *collection, InstantKind kind, Lsn from)
{
    if (from < collection->from || from >= collection->window->until)
        return;
    instant_add(collection,
                &(Instant){.kind = kind,
                           .timeline = collection->window->timeline,
                           .segment = wal_segment_of(from, collection->cluster->wal_segment_size),
                           .from = from});
}

/*
 * Of a segment that holds the window's beginning only a part of the commits is inside: which one
 * was drawn is counted again when it is read.
 */
static WalkStep instant_add_segment(void *context, uint32_t timeline, uint64_t segment,
                                    const WalTrailer *trailer, Error *err)
{
    Collection *collection = context;
    const WalSummary *summary = &trailer->summary;
    const Lsn begin = wal_segment_start(segment, collection->cluster->wal_segment_size);

    (void)err;
    if (!segment_is_new(collection, timeline, segment))
        return WALK_ON;
    if (summary->commit_count > 0 && summary->last_commit_end > collection->from) {
        instant_add(collection,
                    &(Instant){.kind = INSTANT_COMMIT,
                               .timeline = collection->window->timeline,
                               .segment = segment,
                               .from = begin > collection->from ? begin : collection->from,
                               .commits = summary->commit_count});
    }
    for (size_t i = 0; i < summary->restore_point_count && i < WAL_RESTORE_POINTS_KEPT; i++)
        add_special(collection, INSTANT_RESTORE_POINT, summary->restore_points[i].lsn);
    return WALK_ON;
}

static void add_ends(Collection *collection, const TimelinePath *path, const BackupList *backups)
{
    for (size_t i = 0; i + 1 < path->count; i++)
        add_special(collection, INSTANT_FORK, path->steps[i].end);
    for (size_t i = 0; i < backups->count; i++) {
        const BackupInfo *backup = &backups->items[i];

        if (backup->state == BACKUP_RESTORABLE && backup_is_on_path(backup, path))
            add_special(collection, INSTANT_BACKUP_END, backup->header.stop);
    }
}

static bool add_window(Collection *collection, const WalInventory *inventory,
                       const BackupList *backups, const BackupInfo *backup, Error *err)
{
    InstantList *list = collection->list;
    const RecoveryWindow *window = collection->window;
    TimelinePath path;
    WalWalkEnd end;

    if (!timeline_path_load(collection->cluster, window->timeline, &list->arena, &path, err))
        return false;
    collection->from = window->from;
    if (backup != NULL) {
        if (!backup_is_on_path(backup, &path) || backup->header.stop >= window->until)
            return true;
        if (backup->header.stop > collection->from)
            collection->from = backup->header.stop;
    }
    const WalWalk walk = {.cluster = collection->cluster,
                          .inventory = inventory,
                          .path = &path,
                          .from = collection->from,
                          .to = window->until,
                          .threads = 1};
    if (!wal_walk_trailers(&walk, instant_add_segment, collection, &end, err))
        return false;
    add_ends(collection, &path, backups);
    return true;
}

bool instant_list_load(InstantList *list, const Cluster *cluster, const WalInventory *inventory,
                       const BackupList *backups, const BackupInfo *backup, Error *err)
{
    CLEANUP(window_list_done) WindowList windows = {0};
    Collection collection = {.list = list, .cluster = cluster};

    if (!window_list_load(&windows, cluster, inventory, backups, err))
        return false;
    collection.seen = arena_alloc(
        &list->arena, (inventory->run_count + inventory->pieces.count + 1) * sizeof(SeenTimeline));
    for (size_t i = 0; i < windows.count; i++) {
        collection.window = &windows.items[i];
        if (!add_window(&collection, inventory, backups, backup, err)) {
            return error_context(err, "look what can be drawn on timeline %u",
                                 windows.items[i].timeline);
        }
    }
    return true;
}

void instant_list_done(InstantList *list)
{
    arena_done(&list->arena);
    *list = (InstantList){0};
}

/* The records of the kind that was drawn, counted. */
typedef struct EventSearch {
    const Instant *instant;
    uint64_t wanted; /* It says which of them is wanted, from 0 on. */
    uint64_t found;
    WalEvent event, last;
} EventSearch;

static WalkStep look_at_event(void *context, const WalEvent *event, Error *err)
{
    EventSearch *search = context;
    const WalEventKind kind =
        search->instant->kind == INSTANT_RESTORE_POINT ? EVENT_RESTORE_POINT : EVENT_COMMIT;

    (void)err;
    /* One that straddles two segments is counted where it ends. */
    if (event->kind != kind || event->end <= search->instant->from)
        return WALK_ON;
    search->last = *event;
    if (search->found++ == search->wanted)
        search->event = *event;
    return search->found <= search->wanted ? WALK_ON : WALK_STOP;
}

/* From where the WAL is read: a commit that ends in a segment can begin in the one before. */
static Lsn read_from(const Instant *instant, uint32_t size)
{
    const bool is_whole = instant->kind == INSTANT_COMMIT && instant->from % size == 0;

    return is_whole && instant->from > size ? instant->from - size : instant->from;
}

/* Of fewer commits than the trailer counts (some come before the window) the last one is taken. */
static bool find_event(EventSearch *search, const WalWalk *walk, Error *err)
{
    WalWalkEnd end;

    if (!wal_walk_events(walk, look_at_event, search, &end, err))
        return false;
    if (search->found > 0 && search->found <= search->wanted)
        search->event = search->last;
    return true;
}

static const char *instant_describe(InstantList *list, const Cluster *cluster,
                                    const TimelinePath *path, const Instant *instant,
                                    const EventSearch *search)
{
    char segment[WAL_NAME_SIZE], lsn[LSN_TEXT_SIZE];
    const uint32_t size = cluster->wal_segment_size;
    const WalName name = {.kind = WAL_SEGMENT,
                          .timeline = path_timeline_of_segment(path, instant->segment, size),
                          .segment = instant->segment};

    wal_name_text(&name, size, segment);
    if (instant->kind == INSTANT_COMMIT) {
        return arena_format(&list->arena, "commit %llu of %llu in %s",
                            (unsigned long long)search->wanted + 1,
                            (unsigned long long)instant->commits, segment);
    }
    if (instant->kind == INSTANT_RESTORE_POINT && search->found > 0)
        return arena_format(&list->arena, "restore point \"%s\"", search->event.name);
    return arena_format(&list->arena, "%s%s at %s",
                        search->found > 0 ? "the first commit after the " : "",
                        instant_kind_name(instant->kind), lsn_text(instant->from, lsn));
}

bool instant_resolve(InstantList *list, const Cluster *cluster, const WalInventory *inventory,
                     const InstantDraw *draw, InstantTarget *target, Error *err)
{
    const Instant *instant = &list->items[draw->index];
    const uint32_t size = cluster->wal_segment_size;
    EventSearch search = {.instant = instant, .wanted = draw->commit};
    TimelinePath path;

    if (!timeline_path_load(cluster, instant->timeline, &list->arena, &path, err))
        return false;
    const WalWalk walk = {
        .cluster = cluster,
        .inventory = inventory,
        .path = &path,
        .from = read_from(instant, size),
        .to = instant->kind == INSTANT_COMMIT ? wal_segment_start(instant->segment + 1, size) : 0,
        .threads = 1};
    if (!find_event(&search, &walk, err))
        return error_context(err, "look for the instant that was drawn");
    *target = (InstantTarget){
        .target = {.kind = TARGET_LSN, .lsn = search.found > 0 ? search.event.lsn : instant->from},
        .timeline = instant->timeline,
        .text = instant_describe(list, cluster, &path, instant, &search)};
    return true;
}
