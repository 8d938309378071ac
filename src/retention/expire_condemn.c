#include "expire_parts.h"

#include "base/fault.h"

#include <inttypes.h>

enum { PACK_ID_LENGTH = 32 };

/* What the policy has condemned a person may condemn, too: then it goes, damaged or not. */
static bool is_condemned_already(const RetentionBackup *backup)
{
    return backup->is_given_up ? backup->is_condemned_by_hand : backup->is_condemned;
}

static void add_backups(const ExpireRun *run, ItemList *items)
{
    for (size_t i = 0; i < run->plan.backup_count; i++) {
        const RetentionBackup *backup = run->plan.backups[i].backup;

        if (!planned_backup_goes(&run->plan, i) || is_condemned_already(backup))
            continue;
        item_list_add(items, CONDEMNED_BACKUP, backup->id);
        items->counts.backups++;
        items->counts.bytes += backup->bytes;
    }
}

static void add_stretch(const ExpireRun *run, ItemList *items, const RetainedWal *wal,
                        uint64_t first, uint64_t last)
{
    const uint32_t size = run->cluster->wal_segment_size;
    char from[WAL_NAME_SIZE], to[WAL_NAME_SIZE];
    WalName name = {.kind = WAL_SEGMENT, .timeline = wal->timeline, .segment = first};
    CLEANUP(text_freep) char *text = NULL;

    wal_name_text(&name, size, from);
    name.segment = last;
    text = text_format("%s %s", from, wal_name_text(&name, size, to));
    item_list_add(items, CONDEMNED_WAL, text);
    items->counts.segments += last - first + 1;
    for (uint64_t segment = first; segment <= last; segment++) {
        const WalStored *stored = wal_inventory_stored(&run->survey.wal, wal->timeline, segment);

        items->counts.bytes += stored != NULL ? stored->size : 0;
    }
}

/* Of a stretch that goes what is not condemned yet. */
static void add_new_wal(const ExpireRun *run, ItemList *items, const RetainedWal *wal)
{
    for (uint64_t segment = wal->first; segment <= wal->last;) {
        uint64_t end = segment;

        if (survey_wal_is_condemned(&run->survey, wal->timeline, segment)) {
            segment++;
            continue;
        }
        while (end < wal->last && !survey_wal_is_condemned(&run->survey, wal->timeline, end + 1))
            end++;
        add_stretch(run, items, wal, segment, end);
        segment = end + 1;
    }
}

static void add_wal(const ExpireRun *run, ItemList *items)
{
    for (size_t i = 0; i < run->plan.wal_count && run->plan.obstacle == NULL; i++) {
        if (run->plan.wal[i].reason == WAL_GOES)
            add_new_wal(run, items, &run->plan.wal[i]);
    }
}

/*
 * Packs that no manifest refers to: of backups that went, and of runs that were killed. While a
 * backup is at work its packs have no manifest yet; a reader of a backup that went needs them.
 */
static void add_packs(const ExpireRun *run, ItemList *items)
{
    const RetentionSurvey *survey = &run->survey;

    if (survey_find_lease(survey, LEASE_BACKUP) != NULL || survey_find_reader(survey) != NULL)
        return;
    for (size_t i = 0; i < survey->packs.count; i++) {
        const char *name = survey->packs.objects[i].name;
        const char *slash = strrchr(name, '/');
        const char *id = slash != NULL ? slash + 1 : name;

        if (survey->uses[i].users != NULL || strlen(id) != PACK_ID_LENGTH ||
            strspn(id, "0123456789abcdef") != PACK_ID_LENGTH ||
            condemned_has_pack(&survey->condemned, id))
            continue;
        item_list_add(items, CONDEMNED_PACK, id);
        items->counts.packs++;
        items->counts.bytes += survey->packs.objects[i].size;
    }
}

static bool was_there(const LeaseList *leases, const LeaseInfo *lease)
{
    for (size_t i = 0; i < leases->count; i++) {
        if (strcmp(leases->items[i].holder, lease->holder) == 0)
            return true;
    }
    return false;
}

/* Somebody who may not have seen the record, and whom the plan did not know. */
static bool find_newcomer(const ExpireRun *run, const char *id, char text[128], bool *found,
                          Error *err)
{
    CLEANUP(lease_list_done) LeaseList leases = {.count = 0};
    CLEANUP(condemned_list_done) CondemnedList condemned = {.count = 0};

    *found = false;
    if (!lease_list_load(&leases, run->cluster, run->lease, run->survey.input.now, err) ||
        !condemned_load(&condemned, run->cluster, err))
        return false;
    for (size_t i = 0; i < leases.count && !*found; i++) {
        *found =
            lease_is_of_user(&leases.items[i]) && !was_there(&run->survey.leases, &leases.items[i]);
        if (*found) {
            (void)snprintf(text, 128, "a %.24s began meanwhile on host \"%.60s\"",
                           leases.items[i].purpose, leases.items[i].host);
        }
    }
    for (size_t i = 0; i < condemned.count && !*found; i++) {
        bool is_known = strcmp(condemned.records[i].id, id) == 0;

        for (size_t at = 0; at < run->survey.condemned.count; at++) {
            is_known = is_known ||
                       strcmp(condemned.records[i].id, run->survey.condemned.records[at].id) == 0;
        }
        *found = !is_known;
        if (*found)
            (void)snprintf(text, 128, "condemned/%s was stored meanwhile", condemned.records[i].id);
    }
    return true;
}

/* Stored, then looked around: what is not known to be seen by all is taken back. */
static bool store_condemned(ExpireRun *run, const ItemList *items, Error *err)
{
    CondemnedRecord record = {
        /* Without a policy nothing goes but what a person gave up, and its packs. */
        .is_by_hand =
            run->request->given_up != NULL || !retention_policy_is_set(&run->request->policy),
        .at = run->survey.input.now,
        .grace = run->request->grace,
        .items = items->items,
        .count = items->count,
    };
    char why[128] = "";
    bool found = false;

    if (!FAULT_POINT("expire.before-condemn", err) ||
        !condemned_store(&record, run->cluster, err) || !FAULT_POINT("expire.after-condemn", err) ||
        !find_newcomer(run, record.id, why, &found, err))
        return false;
    if (found) {
        run->report->held = arena_format(&run->report->arena, "%s; run it again later", why);
        return condemned_remove(record.id, run->cluster, err);
    }
    for (size_t i = 0; i < items->count; i++) {
        if (items->items[i].kind == CONDEMNED_BACKUP) {
            report_add_id(run->report, &run->report->going, &run->report->going_count,
                          items->items[i].name);
        }
    }
    expire_count(&run->report->condemned, &items->counts);
    return true;
}

bool expire_condemn(ExpireRun *run, bool *did, Error *err)
{
    CLEANUP(item_list_done) ItemList items = {.items = NULL};
    const bool has_policy = retention_policy_is_set(&run->request->policy);

    *did = false;
    add_backups(run, &items);
    if (run->request->given_up == NULL)
        add_wal(run, &items);
    /* Without a policy only what a person gave up goes: packs of a backup that was. */
    if ((has_policy || run->report->removed.backups > 0) && run->survey.input.obstacle == NULL &&
        survey_knows_references(&run->survey))
        add_packs(run, &items);
    if (items.count == 0)
        return true;
    if (!store_condemned(run, &items, err))
        return error_context(err, "condemn what is not kept");
    *did = run->report->held == NULL;
    return true;
}
