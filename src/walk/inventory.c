#include "walk/inventory.h"

#include "inventory_part.h"
#include "sources.h"

#include "repo/layout.h"
#include "wal/wal_object.h"
#include "walk/known_folders.h"

#include <inttypes.h>

enum { HISTORY_SIZE_MAX = 4 << 20 };

/* What a listing becomes. Arrays are as long as the listing at most. */
typedef struct InventoryLoader {
    WalInventory *inventory;
    const Cluster *cluster;
    WalStored *stored; /* They are those of the segments, in the order of the listing. */
    size_t stored_count;
} InventoryLoader;

static void inventory_add_segment(InventoryLoader *loader, const WalName *name,
                                  const ObjectInfo *object)
{
    WalInventory *inventory = loader->inventory;
    WalStored *stored = &loader->stored[loader->stored_count++];

    *stored = (WalStored){.size = object->size, .at = object->stored_at};
    if (inventory->run_count > 0) {
        WalRun *last = &inventory->runs[inventory->run_count - 1];

        if (last->timeline == name->timeline && last->last + 1 == name->segment) {
            last->last++;
            last->stored_bytes += object->size;
            return;
        }
    }
    inventory->runs[inventory->run_count++] = (WalRun){
        .timeline = name->timeline,
        .first = name->segment,
        .last = name->segment,
        .stored_bytes = object->size,
        .stored = stored,
    };
}

/*
 * Names come sorted: by timeline, then segment (docs/format.md, chapter 1: hexadecimal digits of
 * fixed width), history files by timeline. A .partial or .backup file is not a segment, but shows
 * that its timeline exists.
 */
static void add_object(InventoryLoader *loader, const ObjectInfo *object)
{
    WalInventory *inventory = loader->inventory;
    WalName name;

    if (!layout_wal_name_of(loader->cluster->name, object->name, loader->cluster->wal_segment_size,
                            &name))
        return;
    if (name.timeline > inventory->timeline_max)
        inventory->timeline_max = name.timeline;
    if (object->stored_at > inventory->newest_at)
        inventory->newest_at = object->stored_at;
    if (name.kind == WAL_SEGMENT)
        inventory_add_segment(loader, &name, object);
    if (name.kind == WAL_PARTIAL) {
        inventory->partials[inventory->partial_count++] =
            (WalLeft){.timeline = name.timeline, .segment = name.segment};
    }
    if (name.kind == WAL_HISTORY)
        inventory->histories[inventory->history_count++] = name.timeline;
}

void wal_inventory_add_names(WalInventory *inventory, const Cluster *cluster,
                             const ObjectList *list)
{
    Arena *arena = &inventory->arena;
    InventoryLoader loader = {
        .inventory = inventory,
        .cluster = cluster,
        .stored = arena_alloc(arena, (list->count + 1) * sizeof(WalStored)),
    };

    inventory->runs = arena_alloc(arena, (list->count + 1) * sizeof(WalRun));
    inventory->partials = arena_alloc(arena, (list->count + 1) * sizeof(WalLeft));
    inventory->histories = arena_alloc(arena, (list->count + 1) * sizeof(uint32_t));
    for (size_t i = 0; i < list->count; i++)
        add_object(&loader, &list->objects[i]);
    for (size_t i = 0; i < inventory->pieces.count; i++) {
        if (inventory->pieces.items[i].timeline > inventory->timeline_max)
            inventory->timeline_max = inventory->pieces.items[i].timeline;
    }
}

static bool inventory_list_whole(const Cluster *cluster, ObjectList *list, Error *err)
{
    CLEANUP(text_freep) char *prefix = layout_wal_prefix(cluster->name);

    return storage_list(cluster->repo->storage, prefix, list, err);
}

/* Pieces first: those that are removed meanwhile are then seen twice, as the whole segment too. */
static bool inventory_load(WalInventory *inventory, const Cluster *cluster,
                           bool (*list_names)(const Cluster *, ObjectList *, Error *), Error *err)
{
    CLEANUP(object_list_done) ObjectList list = {0};
    CLEANUP(wal_pieces_done) WalPieceList pieces = {0};
    CLEANUP(mark_list_done) MarkList marks = {.count = 0};
    WalInventory loaded = {.newest_at = TIME_US_NONE};

    if (!mark_list_load(&marks, cluster, err) || !wal_pieces_load(&pieces, cluster, err))
        return false;
    if (!list_names(cluster, &list, err))
        return error_context(err, "list the archive of %s", cluster->name);
    loaded.pieces = pieces;
    pieces = (WalPieceList){0};
    loaded.marks = marks;
    marks = (MarkList){.count = 0};
    wal_inventory_add_names(&loaded, cluster, &list);
    loaded.known = wal_knowledge_new(cluster);
    loaded.sources = wal_sources_new();
    *inventory = loaded;
    return true;
}

bool wal_inventory_load(WalInventory *inventory, const Cluster *cluster, Error *err)
{
    return inventory_load(inventory, cluster, inventory_list_whole, err);
}

bool wal_inventory_load_remembered(WalInventory *inventory, const Cluster *cluster, Error *err)
{
    return inventory_load(inventory, cluster, known_folders_list, err);
}

void wal_inventory_done(WalInventory *inventory)
{
    wal_knowledge_freep(&inventory->known);
    wal_sources_freep(&inventory->sources);
    wal_part_freep(&inventory->part);
    arena_done(&inventory->arena);
    mark_list_done(&inventory->marks);
    wal_pieces_done(&inventory->pieces);
    *inventory = (WalInventory){0};
}

void wal_inventory_distrust(WalInventory *inventory)
{
    wal_knowledge_freep(&inventory->known);
}

void wal_inventory_forget_damage(WalInventory *inventory)
{
    for (size_t i = 0; i < inventory->marks.count; i++) {
        Mark *mark = &inventory->marks.items[i];

        if (strcmp(mark->kind, MARK_DAMAGE) == 0)
            mark->is_void = true;
    }
}

const Mark *wal_inventory_damage(const WalInventory *inventory, uint32_t timeline, uint64_t segment,
                                 uint32_t segment_size)
{
    const WalName name = {.kind = WAL_SEGMENT, .timeline = timeline, .segment = segment};
    char text[WAL_NAME_SIZE];

    if (inventory->part != NULL) /* has no marks */
        inventory->part->is_exceeded = true;
    if (inventory->marks.count == 0)
        return NULL;
    return mark_find(&inventory->marks, MARK_DAMAGE, MARK_OF_WAL,
                     wal_name_text(&name, segment_size, text));
}

bool wal_marked_removed(const MarkList *marks, uint32_t segment_size, uint32_t timeline,
                        uint64_t segment, uint64_t *last)
{
    for (size_t i = 0; i < marks->count; i++) {
        const Mark *mark = &marks->items[i];
        WalName from, to;
        Error ignored = {0}; /* one that can't be read says of no segment that it was removed */

        if (mark->is_void || mark->what != MARK_OF_WAL || strcmp(mark->kind, MARK_REMOVED) != 0 ||
            !wal_name_parse(mark->subject, segment_size, &from, &ignored) ||
            !wal_name_parse(mark->evidence, segment_size, &to, &ignored) ||
            from.timeline != timeline || segment < from.segment || segment > to.segment)
            continue;
        *last = to.segment;
        return true;
    }
    return false;
}

/* The first run whose last segment is at or after this one; the runs are sorted. */
static size_t find_run(const WalInventory *inventory, uint32_t timeline, uint64_t segment)
{
    size_t low = 0;
    size_t high = inventory->run_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const WalRun *run = &inventory->runs[middle];

        if (run->timeline < timeline || (run->timeline == timeline && run->last < segment)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const WalRun *wal_inventory_run(const WalInventory *inventory, uint32_t timeline, uint64_t segment)
{
    size_t i = find_run(inventory, timeline, segment);

    if (i < inventory->run_count && inventory->runs[i].timeline == timeline &&
        inventory->runs[i].first <= segment)
        return &inventory->runs[i];
    wal_part_ask(inventory->part, timeline, segment);
    return NULL;
}

const WalStored *wal_inventory_stored(const WalInventory *inventory, uint32_t timeline,
                                      uint64_t segment)
{
    const WalRun *run = wal_inventory_run(inventory, timeline, segment);

    return run == NULL || run->stored == NULL ? NULL : &run->stored[segment - run->first];
}

bool wal_inventory_has(const WalInventory *inventory, uint32_t timeline, uint64_t segment)
{
    return wal_inventory_run(inventory, timeline, segment) != NULL;
}

bool wal_inventory_has_later(const WalInventory *inventory, uint32_t timeline, uint64_t segment)
{
    size_t i = find_run(inventory, timeline, segment);

    if (i < inventory->run_count && inventory->runs[i].timeline == timeline)
        return true;
    for (i = 0; i < inventory->pieces.count; i++) {
        if (inventory->pieces.items[i].timeline == timeline &&
            inventory->pieces.items[i].segment >= segment)
            return true;
    }
    wal_part_ask_from(inventory->part, timeline, segment);
    return false;
}

bool wal_inventory_has_partial(const WalInventory *inventory, uint32_t timeline, uint64_t segment)
{
    for (size_t i = 0; i < inventory->partial_count; i++) {
        if (inventory->partials[i].timeline == timeline &&
            inventory->partials[i].segment == segment)
            return true;
    }
    wal_part_ask(inventory->part, timeline, segment);
    return false;
}

/* A .partial counts, so it is looked for first: it may be all that is known of the timeline. */
bool wal_inventory_has_any(const WalInventory *inventory, uint32_t timeline)
{
    for (size_t i = 0; i < inventory->partial_count; i++) {
        if (inventory->partials[i].timeline == timeline)
            return true;
    }
    return wal_sources_know(inventory->sources, timeline) ||
           wal_inventory_has_later(inventory, timeline, 0);
}

bool wal_inventory_has_history(const WalInventory *inventory, uint32_t timeline)
{
    for (size_t i = 0; i < inventory->history_count; i++) {
        if (inventory->histories[i] == timeline)
            return true;
    }
    return false;
}

static bool inventory_take_text(void *context, const void *data, size_t size, Error *err)
{
    Buffer *text = context;

    if (text->size + size > HISTORY_SIZE_MAX)
        return error_set(err, ERR_CORRUPT, "far too large for a history file");
    buffer_append(text, data, size);
    return true;
}

bool timeline_path_load(const Cluster *cluster, uint32_t timeline, Arena *arena, TimelinePath *path,
                        Error *err)
{
    CLEANUP(buffer_done) Buffer text = {0};
    char name[WAL_NAME_SIZE];
    WalTrailer trailer;

    if (timeline == 1)
        return timeline_path_parse(timeline, NULL, arena, path, err);
    wal_name_text(&(WalName){.kind = WAL_HISTORY, .timeline = timeline}, cluster->wal_segment_size,
                  name);
    if (!wal_object_read(cluster, name, 1, inventory_take_text, &text, &trailer, err))
        return error_context(err, "read %s", name);
    if (trailer.kind != WAL_HISTORY || trailer.timeline != timeline ||
        (text.size > 0 && memchr(text.data, '\0', text.size) != NULL)) {
        error_set(err, ERR_CORRUPT, "the stored object is not this history");
        return error_context(err, "read %s", name);
    }
    buffer_append(&text, "", 1);
    return timeline_path_parse(timeline, (const char *)text.data, arena, path, err) ||
           error_context(err, "read %s", name);
}

void wal_inventory_add_history(WalInventory *inventory, uint32_t timeline, const char *text)
{
    size_t count = inventory->history_count, at = count;
    uint32_t *histories;
    LocalHistory *local;

    if (wal_inventory_has_history(inventory, timeline))
        return;
    histories = arena_alloc(&inventory->arena, (count + 1) * sizeof *histories);
    for (; at > 0 && inventory->histories[at - 1] > timeline; at--)
        histories[at] = inventory->histories[at - 1];
    histories[at] = timeline;
    if (at > 0)
        memcpy(histories, inventory->histories, at * sizeof *histories);
    inventory->histories = histories;
    inventory->history_count++;
    if (timeline > inventory->timeline_max)
        inventory->timeline_max = timeline;

    count = inventory->local_history_count++;
    local = arena_alloc(&inventory->arena, (count + 1) * sizeof *local);
    if (count > 0)
        memcpy(local, inventory->local_histories, count * sizeof *local);
    local[count] =
        (LocalHistory){.timeline = timeline, .text = arena_text(&inventory->arena, text)};
    inventory->local_histories = local;
}

bool wal_inventory_path(const WalInventory *inventory, const Cluster *cluster, uint32_t timeline,
                        Arena *arena, TimelinePath *path, Error *err)
{
    for (size_t i = 0; i < inventory->local_history_count; i++) {
        if (inventory->local_histories[i].timeline == timeline) {
            return timeline_path_parse(timeline, inventory->local_histories[i].text, arena, path,
                                       err);
        }
    }
    return timeline_path_load(cluster, timeline, arena, path, err);
}

/* The last segment before the next timeline of the path takes over from the owner of `segment`. */
static uint64_t last_owned(const TimelinePath *path, uint64_t segment, uint32_t segment_size)
{
    for (size_t i = 1; i < path->count; i++) {
        uint64_t begin = wal_segment_of(path->steps[i].begin, segment_size);

        if (begin > segment)
            return begin - 1;
    }
    return UINT64_MAX;
}

bool wal_inventory_reach(const WalInventory *inventory, const TimelinePath *path, Lsn from,
                         uint32_t segment_size, uint64_t *segment, uint32_t *timeline)
{
    uint64_t next = wal_segment_of(from, segment_size);
    bool any = false;

    for (;;) {
        uint32_t owner = path_timeline_of_segment(path, next, segment_size);
        const WalRun *run = wal_inventory_run(inventory, owner, next);
        uint64_t limit = last_owned(path, next, segment_size);

        if (run == NULL)
            return any;
        any = true;
        *segment = run->last < limit ? run->last : limit;
        *timeline = owner;
        next = *segment + 1;
    }
}
