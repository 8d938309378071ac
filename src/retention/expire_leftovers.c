#include "expire_parts.h"

#include "base/interrupt.h"

#include <inttypes.h>

/*
 * What runs leave that nobody needs and no plan mentions. Each has a rule of its own; what is not
 * pgcairn's is never touched.
 */
static const TimeUs piece_keep = TIME_US_DAY;
static const TimeUs unfinished_keep = TIME_US_DAY;
static const TimeUs damaged_keep = 30 * TIME_US_DAY;

static bool remove_leftover(ExpireRun *run, const ObjectInfo *object, Error *err)
{
    if (!interrupt_check(err) || !storage_remove(run->cluster->repo->storage, object->name, err))
        return error_context(err, "remove what is left over");
    run->report->removed.others++;
    run->report->removed.bytes += object->size;
    return true;
}

/* Pieces of a segment that is whole by now, and was for a day: a reader may have listed both. */
static bool is_old_piece(const ExpireRun *run, const ObjectInfo *object)
{
    uint32_t from, to;
    WalName name;

    return layout_piece_of(run->cluster->name, object->name, run->cluster->wal_segment_size, &name,
                           &from, &to) &&
           wal_inventory_has(&run->survey.wal, name.timeline, name.segment) &&
           object->stored_at < run->survey.input.now - piece_keep;
}

/* "....wal.damaged-0123abcd", and the segment that took its place has been there for as long. */
static bool is_old_damaged(const ExpireRun *run, const ObjectInfo *object)
{
    const Cluster *cluster = run->cluster;
    const TimeUs before = run->survey.input.now - damaged_keep;
    const char *ending = strstr(object->name, ".wal.damaged-");
    const WalStored *twin;
    WalName name;

    if (ending == NULL || object->stored_at >= before)
        return false;
    CLEANUP(text_freep)
    char *good = text_format("%.*s.wal", (int)(ending - object->name), object->name);
    if (!layout_wal_name_of(cluster->name, good, cluster->wal_segment_size, &name) ||
        name.kind != WAL_SEGMENT ||
        wal_inventory_damage(&run->survey.wal, name.timeline, name.segment,
                             cluster->wal_segment_size) != NULL)
        return false;
    twin = wal_inventory_stored(&run->survey.wal, name.timeline, name.segment);
    return twin != NULL && twin->at < before;
}

/* Told by its name, which begins with when it was written: "20261122T031512.123Z-". */
static bool is_old_entry(const ExpireRun *run, const ObjectInfo *object)
{
    const char *name = strrchr(object->name, '/');

    return run->request->journal_keep != 0 && name != NULL && name[1] >= '0' && name[1] <= '9' &&
           object->stored_at < run->survey.input.now - run->request->journal_keep;
}

/* What verify has found of a backup that is gone. */
static bool is_known_of_none(const ExpireRun *run, const ObjectInfo *object)
{
    char id[BACKUP_ID_SIZE];

    return layout_known_backup_of(run->cluster->name, object->name, id) &&
           backup_list_find(&run->survey.backups, id) == NULL &&
           object->stored_at < run->survey.input.now - TIME_US_DAY;
}

/* Of runs that were killed: a day at least, since who writes slowly still writes. */
static bool remove_unfinished(ExpireRun *run, Error *err)
{
    const TimeUs grace = run->request->grace;
    const TimeUs age = grace > unfinished_keep ? grace : unfinished_keep;
    Unfinished found = {.count = 0};
    const bool ok = storage_remove_unfinished(run->cluster->repo->storage, run->cluster->name,
                                              run->survey.input.now - age, &found, err);

    run->report->removed.others += found.count;
    run->report->removed.bytes += found.bytes;
    return ok;
}

typedef bool LeftoverRule(const ExpireRun *run, const ObjectInfo *object);

static bool remove_by_rule(ExpireRun *run, const char *prefix, LeftoverRule *rule, Error *err)
{
    CLEANUP(object_list_done) ObjectList objects = {0};

    if (!storage_list(run->cluster->repo->storage, prefix, &objects, err))
        return false;
    for (size_t i = 0; i < objects.count; i++) {
        if (rule(run, &objects.objects[i]) && !remove_leftover(run, &objects.objects[i], err))
            return false;
    }
    return true;
}

bool expire_leftovers(ExpireRun *run, Error *err)
{
    const char *cluster = run->cluster->name;
    CLEANUP(text_freep) char *open = layout_open_prefix(cluster);
    CLEANUP(text_freep) char *wal = layout_wal_prefix(cluster);
    CLEANUP(text_freep) char *journal = layout_journal_prefix(cluster);
    CLEANUP(text_freep) char *known = layout_known_prefix(cluster);

    if (!retention_policy_is_set(&run->request->policy) || run->plan.obstacle != NULL ||
        survey_find_reader(&run->survey) != NULL)
        return true;
    for (size_t i = 0; i < run->survey.leases.count; i++) {
        if (run->survey.leases.items[i].is_void)
            lease_list_remove(run->cluster, &run->survey.leases.items[i]);
    }
    return remove_by_rule(run, open, is_old_piece, err) &&
           remove_by_rule(run, wal, is_old_damaged, err) &&
           remove_by_rule(run, journal, is_old_entry, err) &&
           remove_by_rule(run, known, is_known_of_none, err) && remove_unfinished(run, err);
}
