#include "quarantine_parts.h"

#include "walk/inventory.h"

#include <inttypes.h>

/* Segments of one timeline that go; with `all` the history goes, too. */
typedef struct Extent {
    uint32_t timeline;
    uint64_t first, last;
} Extent;

typedef struct Planning {
    const Cluster *cluster;
    const QuarantineRequest *request;
    ObjectList wal, open;
    Extent *extents; /* The first is what was asked for. */
    size_t extent_count;
    QuarantinePlan *plan;
} Planning;

static void planning_done(Planning *planning)
{
    object_list_done(&planning->wal);
    object_list_done(&planning->open);
}

void quarantine_plan_done(QuarantinePlan *plan)
{
    arena_done(&plan->arena);
    *plan = (QuarantinePlan){0};
}

bool quarantine_item_of(const Cluster *cluster, const char *object, QuarantineItem *item)
{
    const uint32_t size = cluster->wal_segment_size;
    uint32_t to;

    *item = (QuarantineItem){.object = object};
    if (layout_wal_name_of(cluster->name, object, size, &item->name))
        return true;
    item->is_piece = layout_piece_of(cluster->name, object, size, &item->name, &item->from, &to);
    return item->is_piece;
}

int quarantine_item_order(const void *a, const void *b)
{
    const QuarantineItem *one = a;
    const QuarantineItem *other = b;
    const bool is_history = one->name.kind == WAL_HISTORY;

    if (one->name.timeline != other->name.timeline)
        return one->name.timeline > other->name.timeline ? -1 : 1;
    if (is_history != (other->name.kind == WAL_HISTORY))
        return is_history ? 1 : -1;
    if (one->name.segment != other->name.segment)
        return one->name.segment > other->name.segment ? -1 : 1;
    if (one->is_piece != other->is_piece)
        return one->is_piece ? -1 : 1;
    if (one->from != other->from)
        return one->from > other->from ? -1 : 1;
    return -strcmp(one->object, other->object);
}

static bool extent_has(const Extent *extent, const QuarantineItem *item)
{
    return item->name.timeline == extent->timeline && item->name.kind != WAL_HISTORY &&
           item->name.segment >= extent->first && item->name.segment <= extent->last;
}

/* Whether WAL of the timeline stays. */
static bool keeps_wal(const Planning *planning, const Extent *extent)
{
    const ObjectList *lists[] = {&planning->wal, &planning->open};
    QuarantineItem item;

    for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
        for (size_t i = 0; i < lists[l]->count; i++) {
            if (quarantine_item_of(planning->cluster, lists[l]->objects[i].name, &item) &&
                item.name.timeline == extent->timeline && item.name.kind != WAL_HISTORY &&
                !extent_has(extent, &item))
                return true;
        }
    }
    return false;
}

static void extent_count_all(QuarantinePlan *plan, const QuarantineItem *item)
{
    plan->bytes += item->size;
    plan->segments += !item->is_piece && item->name.kind == WAL_SEGMENT;
    plan->partials += item->name.kind == WAL_PARTIAL;
    plan->histories += item->name.kind == WAL_HISTORY;
    plan->others += item->name.kind == WAL_BACKUP_HISTORY;
    plan->pieces += item->is_piece;
    if (item->stored_at > plan->newest_at)
        plan->newest_at = item->stored_at;
}

static void extent_take(Planning *planning, const Extent *extent, const ObjectList *list)
{
    QuarantinePlan *plan = planning->plan;
    const bool takes_history = !keeps_wal(planning, extent);

    for (size_t i = 0; i < list->count; i++) {
        const ObjectInfo *object = &list->objects[i];
        QuarantineItem item;

        if (!quarantine_item_of(planning->cluster, object->name, &item))
            continue;
        if (!extent_has(extent, &item) && !(takes_history && item.name.kind == WAL_HISTORY &&
                                            item.name.timeline == extent->timeline))
            continue;
        item.object = arena_text(&plan->arena, object->name);
        item.size = object->size;
        item.stored_at = object->stored_at;
        plan->items[plan->count++] = item;
        extent_count_all(plan, &item);
        if (extent != planning->extents || item.name.kind == WAL_HISTORY)
            continue;
        plan->first = item.name.segment < plan->first ? item.name.segment : plan->first;
        plan->last = item.name.segment > plan->last ? item.name.segment : plan->last;
    }
}

/* Has the child a whole segment of its own where it left, with what its parent did before? */
static bool has_first(const Planning *planning, uint32_t timeline, uint64_t segment)
{
    char text[WAL_NAME_SIZE];
    CLEANUP(text_freep)
    char *object = layout_wal(
        planning->cluster->name,
        wal_name_text(&(WalName){.kind = WAL_SEGMENT, .timeline = timeline, .segment = segment},
                      planning->cluster->wal_segment_size, text));

    for (size_t i = 0; i < planning->wal.count; i++) {
        if (strcmp(planning->wal.objects[i].name, object) == 0)
            return true;
    }
    return false;
}

/* Whether the path goes on from WAL that is to be set aside, at *left. */
static bool extent_goes_on(const Planning *planning, const Extent *extent, const TimelinePath *path,
                           Lsn *left)
{
    const PathStep *step = path_step_of(path, extent->timeline);

    if (step == NULL || step->end == 0)
        return false;
    const uint64_t segment = wal_segment_of(step->end, planning->cluster->wal_segment_size);
    *left = step->end;
    if (segment > extent->first)
        return extent->first <= extent->last;
    return segment == extent->first &&
           step->end != wal_segment_start(segment, planning->cluster->wal_segment_size) &&
           !has_first(planning, step[1].timeline, segment);
}

static bool refuse_dependent(const Extent *extent, uint32_t timeline, Lsn left, Error *err)
{
    char place[LSN_TEXT_SIZE];

    error_set(err, ERR_REFUSED,
              "timeline %" PRIu32 " goes on from what would be set aside: it left timeline %" PRIu32
              " at %s",
              timeline, extent->timeline, lsn_text(left, place));
    return error_hint(err, "--descendants sets it aside as well; --to ends before that place");
}

/* Timelines that come from what goes, by the histories that are there. */
static bool find_descendants(Planning *planning, Error *err)
{
    for (size_t i = 0; i < planning->wal.count; i++) {
        const Extent *extent = &planning->extents[0];
        CLEANUP(arena_done) Arena arena = {0};
        Error attempt = {0};
        QuarantineItem item;
        TimelinePath path;
        Lsn left;

        if (!quarantine_item_of(planning->cluster, planning->wal.objects[i].name, &item) ||
            item.name.kind != WAL_HISTORY || item.name.timeline <= extent->timeline)
            continue;
        if (!timeline_path_load(planning->cluster, item.name.timeline, &arena, &path, &attempt)) {
            if (attempt.code == ERR_CORRUPT || attempt.code == ERR_NOT_FOUND)
                continue; /* it says nothing */
            return error_pass(err, &attempt);
        }
        if (!extent_goes_on(planning, extent, &path, &left))
            continue;
        if (!planning->request->takes_descendants)
            return refuse_dependent(extent, item.name.timeline, left, err);
        planning->extents[planning->extent_count++] = (Extent){item.name.timeline, 0, UINT64_MAX};
    }
    return true;
}

/* What the timeline did after the child left it, from the segment in which that was. */
static bool resolve_fork(const Planning *planning, Extent *extent, Error *err)
{
    const uint32_t child = planning->request->beyond_fork;
    CLEANUP(arena_done) Arena arena = {0};
    TimelinePath path;

    if (child == 0)
        return true;
    if (!timeline_path_load(planning->cluster, child, &arena, &path, err))
        return error_context(err, "look where timeline %" PRIu32 " began", child);
    const PathStep *step = extent->timeline != 0
                               ? path_step_of(&path, extent->timeline)
                               : path_step_at(&path, path.steps[path.count - 1].begin - 1);
    if (step == NULL || step->end == 0) {
        return error_set(err, ERR_NOT_FOUND,
                         "timeline %" PRIu32 " does not come from timeline %" PRIu32, child,
                         extent->timeline);
    }
    extent->timeline = step->timeline;
    extent->first = wal_segment_of(step->end, planning->cluster->wal_segment_size);
    return true;
}

static void note_timelines(const Planning *planning)
{
    QuarantinePlan *plan = planning->plan;

    plan->timelines = arena_alloc(&plan->arena, planning->extent_count * sizeof plan->timelines[0]);
    for (size_t i = 0; i < planning->extent_count; i++)
        plan->timelines[plan->timeline_count++] = planning->extents[i].timeline;
}

bool quarantine_plan(const Cluster *cluster, const QuarantineRequest *request, QuarantinePlan *plan,
                     Error *err)
{
    CLEANUP(text_freep) char *wal = layout_wal_prefix(cluster->name);
    CLEANUP(text_freep) char *open = layout_open_prefix(cluster->name);
    CLEANUP(quarantine_plan_done)
    QuarantinePlan made = {.first = UINT64_MAX, .newest_at = TIME_US_NONE};
    CLEANUP(planning_done)
    Planning planning = {.cluster = cluster, .request = request, .plan = &made};

    /* Pieces first: those that are removed meanwhile are then seen as the whole segment, too. */
    if (!storage_list(cluster->repo->storage, open, &planning.open, err) ||
        !storage_list(cluster->repo->storage, wal, &planning.wal, err))
        return error_context(err, "list the archive of %s", cluster->name);
    const size_t objects = planning.wal.count + planning.open.count + 1;
    planning.extents = arena_alloc(&made.arena, objects * sizeof planning.extents[0]);
    made.items = arena_alloc(&made.arena, objects * sizeof made.items[0]);
    planning.extents[planning.extent_count++] =
        (Extent){request->timeline, request->first, request->last};
    if (!resolve_fork(&planning, &planning.extents[0], err) || !find_descendants(&planning, err))
        return false;
    for (size_t i = 0; i < planning.extent_count; i++) {
        extent_take(&planning, &planning.extents[i], &planning.wal);
        extent_take(&planning, &planning.extents[i], &planning.open);
    }
    if (made.count == 0) {
        error_set(err, ERR_NOT_FOUND, "there is no such WAL in the archive of \"%s\"",
                  cluster->name);
        return error_hint(err, "`pgcairn list` shows which segments of which timeline there are");
    }
    qsort(made.items, made.count, sizeof made.items[0], quarantine_item_order);
    note_timelines(&planning);
    *plan = made;
    made = (QuarantinePlan){0};
    return true;
}

bool quarantine_plan_has(const void *context, const char *object)
{
    const QuarantinePlan *plan = context;

    for (size_t i = 0; i < plan->count; i++) {
        if (strcmp(plan->items[i].object, object) == 0)
            return true;
    }
    return false;
}
