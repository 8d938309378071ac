#include "expire_parts.h"

#include "base/fault.h"
#include "base/interrupt.h"
#include "base/process.h"
#include "wal/wal_piece.h"

#include <inttypes.h>

static bool wal_is_within(const WalName *name, const WalName *first, const WalName *last)
{
    return name->kind != WAL_HISTORY && name->timeline == first->timeline &&
           name->segment >= first->segment && name->segment <= last->segment;
}

/* A stretch that was removed before, and touches this one: one mark is about both. */
static bool mark_touches(const Mark *mark, uint32_t segment_size, WalName *first, WalName *last)
{
    Error ignored = {0}; /* not the name of a segment: not ours */
    WalName begin, end;

    if (mark->is_void || mark->what != MARK_OF_WAL || strcmp(mark->kind, MARK_REMOVED) != 0 ||
        !wal_name_parse(mark->subject, segment_size, &begin, &ignored) ||
        !wal_name_parse(mark->evidence, segment_size, &end, &ignored) ||
        begin.timeline != first->timeline || begin.segment > last->segment + 1 ||
        end.segment + 1 < first->segment)
        return false;
    if (begin.segment < first->segment)
        first->segment = begin.segment;
    if (end.segment > last->segment)
        last->segment = end.segment;
    return true;
}

static bool store_removed(const Cluster *cluster, const WalName *first, const WalName *last,
                          bool is_void, Error *err)
{
    char subject[WAL_NAME_SIZE], end[WAL_NAME_SIZE];

    return mark_store(
        cluster,
        &(Mark){.kind = MARK_REMOVED,
                .what = MARK_OF_WAL,
                .subject = wal_name_text(first, cluster->wal_segment_size, subject),
                .is_void = is_void,
                .at = time_now(),
                .until = TIME_US_NONE,
                .by = "expire",
                .host = process_host_name(),
                .reason = is_void ? "part of a longer stretch" : "no backup that is kept needs it",
                .evidence = wal_name_text(last, cluster->wal_segment_size, end)},
        err);
}

/*
 * So that nobody takes what is taken away for lost: before any of it goes, a mark says from where
 * to where. Those of stretches beside it are joined to it.
 */
static bool say_removed(const Cluster *cluster, const WalName *first, const WalName *last,
                        Error *err)
{
    CLEANUP(mark_list_done) MarkList marks = {.count = 0};
    WalName begin = *first;
    WalName end = *last;
    Error ignored = {0};
    WalName other;

    if (!mark_list_load(&marks, cluster, err))
        return false;
    for (size_t i = 0; i < marks.count; i++)
        (void)mark_touches(&marks.items[i], cluster->wal_segment_size, &begin, &end);
    if (!store_removed(cluster, &begin, &end, false, err))
        return false;
    for (size_t i = 0; i < marks.count; i++) {
        WalName from = *first;
        WalName to = *last;

        if (mark_touches(&marks.items[i], cluster->wal_segment_size, &from, &to) &&
            wal_name_parse(marks.items[i].subject, cluster->wal_segment_size, &other, &ignored) &&
            other.segment != begin.segment && !store_removed(cluster, &other, last, true, err))
            return false;
    }
    return true;
}

/* A segment that was stored since the look is of somebody who wants it: the next look judges. */
static bool was_seen(const ExpireRun *run, const WalName *name)
{
    return name->kind != WAL_SEGMENT ||
           wal_inventory_has(&run->survey.wal, name->timeline, name->segment);
}

static bool remove_objects(ExpireRun *run, const CondemnedRecord *record, const WalName *first,
                           const WalName *last, Error *err)
{
    const Cluster *cluster = run->cluster;
    CLEANUP(text_freep) char *prefix = layout_wal_prefix(cluster->name);
    CLEANUP(object_list_done) ObjectList objects = {0};

    if (!storage_list(cluster->repo->storage, prefix, &objects, err))
        return false;
    for (size_t i = 0; i < objects.count; i++) {
        const ObjectInfo *object = &objects.objects[i];
        WalName name;

        if (!layout_wal_name_of(cluster->name, object->name, cluster->wal_segment_size, &name) ||
            !wal_is_within(&name, first, last) || !was_seen(run, &name))
            continue;
        if (!interrupt_check(err) || !FAULT_POINT("expire.before-segment", err) ||
            !expire_check_again(run, record, NULL, err) ||
            !storage_remove(cluster->repo->storage, object->name, err))
            return false;
        run->report->removed.segments += name.kind == WAL_SEGMENT;
        run->report->removed.others += name.kind != WAL_SEGMENT;
        run->report->removed.bytes += object->size;
    }
    return true;
}

/* What came of a segment while it was being written. */
static bool remove_pieces(ExpireRun *run, const CondemnedRecord *record, const WalName *first,
                          const WalName *last, Error *err)
{
    const Cluster *cluster = run->cluster;
    CLEANUP(text_freep) char *prefix = layout_open_prefix(cluster->name);
    CLEANUP(object_list_done) ObjectList objects = {0};

    if (!storage_list(cluster->repo->storage, prefix, &objects, err))
        return false;
    for (size_t i = 0; i < objects.count; i++) {
        uint32_t from, to;
        WalName name;

        if (!layout_piece_of(cluster->name, objects.objects[i].name, cluster->wal_segment_size,
                             &name, &from, &to) ||
            !wal_is_within(&name, first, last))
            continue;
        if (!expire_check_again(run, record, NULL, err) ||
            !storage_remove(cluster->repo->storage, objects.objects[i].name, err))
            return false;
        run->report->removed.others++;
        run->report->removed.bytes += objects.objects[i].size;
    }
    return true;
}

/* What was found wrong with a segment that is not there any more is nobody's business. */
static bool remove_damage(const ExpireRun *run, const WalName *first, const WalName *last,
                          Error *err)
{
    const Cluster *cluster = run->cluster;
    CLEANUP(text_freep) char *prefix = layout_mark_prefix(cluster->name);
    CLEANUP(object_list_done) ObjectList objects = {0};

    if (!storage_list(cluster->repo->storage, prefix, &objects, err))
        return false;
    for (size_t i = 0; i < objects.count; i++) {
        Error ignored = {0};
        MarkName mark;
        WalName name;

        if (layout_mark_of(cluster->name, objects.objects[i].name, &mark) &&
            strcmp(mark.kind, MARK_DAMAGE) == 0 && strcmp(mark.what, "wal") == 0 &&
            wal_name_parse(mark.subject, cluster->wal_segment_size, &name, &ignored) &&
            wal_is_within(&name, first, last) &&
            !storage_remove(cluster->repo->storage, objects.objects[i].name, err))
            return false;
    }
    return true;
}

bool expire_remove_wal(ExpireRun *run, const CondemnedRecord *record, const WalName *first,
                       const WalName *last, Error *err)
{
    return say_removed(run->cluster, first, last, err) && FAULT_POINT("expire.after-mark", err) &&
           remove_objects(run, record, first, last, err) &&
           remove_pieces(run, record, first, last, err) && remove_damage(run, first, last, err);
}
