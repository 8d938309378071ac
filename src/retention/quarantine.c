#include "quarantine_parts.h"

#include "base/fault.h"
#include "base/interrupt.h"
#include "base/process.h"
#include "pack/manifest.h"
#include "repo/record.h"

#include <assert.h>
#include <inttypes.h>

enum {
    /* It counts rounds in which another process stores an object under the same name. */
    ROUNDS_MAX = 3,
    PIECE = 1 << 20,
};

static void record_place(RecordWriter *record, const Cluster *cluster, const char *key,
                         uint32_t timeline, uint64_t segment)
{
    char text[WAL_NAME_SIZE];

    record_text(
        record, key,
        wal_name_text(&(WalName){.kind = WAL_SEGMENT, .timeline = timeline, .segment = segment},
                      cluster->wal_segment_size, text));
}

/* First of all, so that whatever comes of it is told. */
static bool store_record(const Cluster *cluster, const QuarantinePlan *plan, const char *id,
                         Error *err)
{
    CLEANUP(text_freep) char *name = layout_quarantine_record(cluster->name, id);
    CLEANUP(record_writer_done) RecordWriter record = {0};

    record_begin(&record, "quarantine", 1);
    record_text(&record, "cluster", cluster->name);
    record_u64(&record, "system_identifier", cluster->system_identifier);
    record_u64(&record, "timeline", plan->timelines[0]);
    for (size_t i = 1; i < plan->timeline_count; i++)
        record_u64(&record, "descendant", plan->timelines[i]);
    if (plan->first <= plan->last) {
        record_place(&record, cluster, "first", plan->timelines[0], plan->first);
        record_place(&record, cluster, "last", plan->timelines[0], plan->last);
    }
    record_u64(&record, "objects", plan->count);
    record_u64(&record, "bytes", plan->bytes);
    record_time(&record, "at", time_now());
    record_text(&record, "host", process_host_name());
    return record_store(&record, cluster->repo->storage, name, err);
}

/* *is_moved false, without an error: another object has the name by now. */
static bool move_object(Storage *storage, const char *from, const char *to, bool *is_moved,
                        Error *err)
{
    char before[OBJECT_IDENTITY_SIZE];
    char now[OBJECT_IDENTITY_SIZE];
    Error attempt = {0};

    if (!storage_identify(storage, from, before, err))
        return false;
    bool is_copied = storage_copy(storage, from, to, &attempt);
    if (!FAULT_POINT("quarantine.after-copy", err) || !storage_identify(storage, from, now, err))
        return false;
    /*
     * The server was told that what archive-push stored again in place of a damaged one is durable.
     */
    *is_moved = is_copied && strcmp(before, now) == 0;
    if (strcmp(before, now) != 0)
        return !is_copied || storage_remove(storage, to, err);
    if (!is_copied)
        return error_pass(err, &attempt);
    return FAULT_POINT("quarantine.before-remove", err) && storage_remove(storage, from, err) &&
           FAULT_POINT("quarantine.after-remove", err);
}

static bool set_aside(const Cluster *cluster, const char *id, const char *object, Error *err)
{
    CLEANUP(text_freep) char *place = layout_quarantined(cluster->name, id, object);
    bool is_moved = false;

    for (int round = 0; round < ROUNDS_MAX && !is_moved; round++) {
        Error attempt = {0};

        if (!interrupt_check(err))
            return false;
        if (move_object(cluster->repo->storage, object, place, &is_moved, &attempt))
            continue;
        if (attempt.code == ERR_NOT_FOUND)
            return true; /* gone by now: a piece whose segment is whole, or by another run */
        *err = attempt;
        return error_context(err, "set \"%s\" aside", object);
    }
    return is_moved || error_set(err, ERR_UNREACHABLE, "\"%s\" keeps changing", object);
}

bool quarantine_carry_out(const Cluster *cluster, const QuarantinePlan *plan,
                          char id[BACKUP_ID_SIZE], Error *err)
{
    if (!backup_id_new(id, err) || !FAULT_POINT("quarantine.before-record", err) ||
        !store_record(cluster, plan, id, err))
        return error_context(err, "begin a quarantine");
    for (size_t i = 0; i < plan->count; i++) {
        if (!set_aside(cluster, id, plan->items[i].object, err))
            return false;
    }
    return true;
}

void quarantine_list_done(QuarantineList *list)
{
    arena_done(&list->arena);
    *list = (QuarantineList){0};
}

static void read_record(const Cluster *cluster, QuarantineSet *set, Arena *arena)
{
    CLEANUP(text_freep) char *name = layout_quarantine_record(cluster->name, set->id);
    CLEANUP(record_done) Record record = {0};
    Error ignored = {0}; /* what was set aside can be put back without it */
    uint64_t timeline;

    if (!record_load(cluster->repo->storage, name, "quarantine", 1, &record, &ignored) ||
        !record_get_u64(&record, "timeline", &timeline, &ignored) || timeline > UINT32_MAX ||
        !record_get_time(&record, "at", &set->at, &ignored))
        return;
    const char *first = record_find(&record, "first");
    const char *last = record_find(&record, "last");
    set->timeline = (uint32_t)timeline;
    set->first = arena_text(arena, first != NULL ? first : "");
    set->last = arena_text(arena, last != NULL ? last : "");
}

static QuarantineList quarantine_take_list(QuarantineList *from)
{
    QuarantineList taken = *from;

    *from = (QuarantineList){0};
    return taken;
}

bool quarantine_list_load(QuarantineList *list, const Cluster *cluster, Error *err)
{
    CLEANUP(text_freep) char *prefix = layout_quarantine_prefix(cluster->name);
    CLEANUP(object_list_done) ObjectList objects = {0};
    CLEANUP(quarantine_list_done) QuarantineList loaded = {0};

    if (!storage_list(cluster->repo->storage, prefix, &objects, err))
        return error_context(err, "list what was set aside");
    loaded.items = arena_alloc(&loaded.arena, (objects.count + 1) * sizeof loaded.items[0]);
    for (size_t i = 0; i < objects.count; i++) {
        QuarantineSet *set = loaded.count > 0 ? &loaded.items[loaded.count - 1] : NULL;
        char id[BACKUP_ID_SIZE];
        const char *what;

        if (!layout_quarantine_of(cluster->name, objects.objects[i].name, id, &what))
            continue;
        if (set == NULL || strcmp(set->id, id) != 0) {
            set = &loaded.items[loaded.count++];
            assert(set != NULL);
            *set = (QuarantineSet){.at = TIME_US_NONE, .first = "", .last = ""};
            memcpy(set->id, id, sizeof id);
            read_record(cluster, set, &loaded.arena);
        }
        if (strcmp(what, "record") == 0)
            continue;
        set->objects++;
        set->bytes += objects.objects[i].size;
    }
    *list = quarantine_take_list(&loaded);
    return true;
}

typedef struct Undo {
    const Cluster *cluster;
    ObjectList list; /* It has all objects of the set, including the record. */
    /* They have the names from before, in the order in which they were moved away. */
    QuarantineItem *items;
    size_t count;
    Arena arena;
} Undo;

static void undo_done(Undo *undo)
{
    object_list_done(&undo->list);
    arena_done(&undo->arena);
}

static bool refuse_id(const char *id, Error *err)
{
    error_set(err, ERR_USAGE, "\"%s\" is not the id of a quarantine", id);
    return error_hint(err, "`pgcairn wal-quarantine` lists what was set aside");
}

static bool load_set(Undo *undo, const char *id, Error *err)
{
    const Cluster *cluster = undo->cluster;
    CLEANUP(text_freep)
    char *prefix = text_format("%s/quarantine/%s/", cluster->name, id);

    if (!backup_id_is_valid(id, strlen(id)))
        return refuse_id(id, err);
    if (!storage_list(cluster->repo->storage, prefix, &undo->list, err))
        return false;
    undo->items = arena_alloc(&undo->arena, (undo->list.count + 1) * sizeof undo->items[0]);
    for (size_t i = 0; i < undo->list.count; i++) {
        const char *name = undo->list.objects[i].name;
        QuarantineItem item;

        name = arena_format(&undo->arena, "%s/%s", cluster->name, name + strlen(prefix));
        if (quarantine_item_of(cluster, name, &item)) {
            item.size = undo->list.objects[i].size;
            undo->items[undo->count++] = item;
        }
    }
    if (undo->count > 0)
        qsort(undo->items, undo->count, sizeof undo->items[0], quarantine_item_order);
    if (undo->list.count > 0)
        return true;
    error_set(err, ERR_NOT_FOUND, "nothing was set aside as %s", id);
    return error_hint(err, "`pgcairn wal-quarantine` lists what was set aside");
}

static bool object_is_same(Storage *storage, const char *a, const char *b, uint64_t size,
                           bool *same, Error *err)
{
    CLEANUP(buffer_done) Buffer one = {0};
    CLEANUP(buffer_done) Buffer other = {0};
    uint64_t there;

    if (!storage_stat(storage, b, &there, NULL, err))
        return false;
    *same = there == size;
    buffer_reserve(&one, PIECE);
    buffer_reserve(&other, PIECE);
    for (uint64_t offset = 0; *same && offset < size; offset += PIECE) {
        size_t want = size - offset < PIECE ? (size_t)(size - offset) : PIECE;

        if (!storage_read_range(storage, a, offset, want, one.data, err) ||
            !storage_read_range(storage, b, offset, want, other.data, err))
            return false;
        *same = memcmp(one.data, other.data, want) == 0;
    }
    return true;
}

static bool refuse_taken(const Cluster *cluster, const QuarantineItem *item, Error *err)
{
    char name[WAL_NAME_SIZE];

    error_set(err, ERR_EXISTS, "%s is in the archive of \"%s\" by now, with other content",
              wal_name_text(&item->name, cluster->wal_segment_size, name), cluster->name);
    return error_hint(err, "nothing was put back; set that aside first, if it is the wrong one");
}

/* Whether the name is free, or has what is to be put back. */
static bool look_at_name(const Undo *undo, const char *id, const QuarantineItem *item,
                         bool *is_there, Error *err)
{
    Storage *storage = undo->cluster->repo->storage;
    CLEANUP(text_freep) char *place = layout_quarantined(undo->cluster->name, id, item->object);
    Error attempt = {0};
    bool same = false;

    *is_there = object_is_same(storage, place, item->object, item->size, &same, &attempt);
    if (*is_there)
        return same || refuse_taken(undo->cluster, item, err);
    if (attempt.code == ERR_NOT_FOUND)
        return true;
    return error_pass(err, &attempt);
}

static bool put_back(const Undo *undo, const char *id, const QuarantineItem *item, Error *err)
{
    Storage *storage = undo->cluster->repo->storage;
    CLEANUP(text_freep) char *place = layout_quarantined(undo->cluster->name, id, item->object);
    bool is_there;

    if (!interrupt_check(err) || !look_at_name(undo, id, item, &is_there, err))
        return false;
    /* One that a killed run, or a server, has put there is perhaps not durable yet. */
    if (is_there ? !storage_sync(storage, item->object, err)
                 : !storage_copy(storage, place, item->object, err))
        return false;
    return FAULT_POINT("quarantine.after-put-back", err) && storage_remove(storage, place, err) &&
           FAULT_POINT("quarantine.after-forget", err);
}

bool quarantine_undo(const Cluster *cluster, const char *id, bool only_look, uint64_t *objects,
                     Error *err)
{
    CLEANUP(text_freep) char *record = layout_quarantine_record(cluster->name, id);
    CLEANUP(undo_done) Undo undo = {.cluster = cluster};

    if (!load_set(&undo, id, err))
        return false;
    *objects = undo.count;
    for (size_t i = 0; i < undo.count; i++) {
        bool is_there;

        if (!look_at_name(&undo, id, &undo.items[i], &is_there, err))
            return error_context(err, "put back what was set aside as %s", id);
    }
    if (only_look)
        return true;
    /* The other way round: histories first, then from the first segment on. */
    for (size_t i = undo.count; i-- > 0;) {
        if (!put_back(&undo, id, &undo.items[i], err))
            return error_context(err, "put back \"%s\"", undo.items[i].object);
    }
    return storage_remove(cluster->repo->storage, record, err) &&
           FAULT_POINT("quarantine.after-undo", err);
}
