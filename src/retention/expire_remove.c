#include "expire_parts.h"

#include "base/fault.h"
#include "base/interrupt.h"
#include "catalog/listed_pack.h"

#include <inttypes.h>

/* A run may ask for less than what was promised, if a person said so. */
static TimeUs grace_of(const ExpireRun *run, const CondemnedRecord *record)
{
    const TimeUs asked = run->request->grace;

    return run->request->at_once && asked < record->grace ? asked : record->grace;
}

static bool record_is_due(ExpireRun *run, const CondemnedRecord *record)
{
    const TimeUs until = record->at + grace_of(run, record);

    if (until <= run->survey.input.now)
        return true;
    if (run->report->until == TIME_US_NONE || until < run->report->until)
        run->report->until = until;
    return false;
}

/*
 * Whether it would be kept now: it was pinned or is used since, the policy keeps more, or what was
 * to stay instead of it is not good any more.
 */
static bool backup_is_wanted(const ExpireRun *run, const CondemnedRecord *record, const char *id)
{
    const RetentionInput *input = &run->survey.input;
    CLEANUP(retention_plan_done) RetentionPlan plan = {0};
    CLEANUP(arena_done) Arena arena = {0};
    RetentionBackup *backups = arena_alloc(&arena, (input->backup_count + 1) * sizeof backups[0]);
    RetentionInput without = *input;
    bool is_wanted = false;

    for (size_t i = 0; i < input->backup_count; i++) {
        const bool is_it = strcmp(input->backups[i].id, id) == 0;
        const CondemnedRecord *other = condemned_find(&run->survey.condemned, input->backups[i].id);

        backups[i] = input->backups[i];
        backups[i].is_given_up = record->is_by_hand && is_it;
        backups[i].is_condemned =
            other != NULL && (record->is_by_hand ? !is_it : other->is_by_hand);
    }
    without.backups = backups;
    retention_plan(&without, &plan);
    for (size_t i = 0; i < plan.backup_count; i++) {
        if (strcmp(backups[i].id, id) == 0) {
            is_wanted =
                record->is_by_hand ? !planned_backup_goes(&plan, i) : plan.backups[i].rules != 0;
        }
    }
    return is_wanted;
}

static const RetentionBackup *find_backup(const ExpireRun *run, const char *id)
{
    for (size_t i = 0; i < run->survey.input.backup_count; i++) {
        if (strcmp(run->survey.input.backups[i].id, id) == 0)
            return &run->survey.input.backups[i];
    }
    return NULL;
}

/* What was said of it, which nobody needs once it is gone. */
static bool remove_beside(const Cluster *cluster, const char *id, Error *err)
{
    CLEANUP(text_freep) char *known = layout_known_prefix(cluster->name);
    CLEANUP(text_freep) char *marks = layout_mark_prefix(cluster->name);
    CLEANUP(object_list_done) ObjectList objects = {0};
    CLEANUP(object_list_done) ObjectList marked = {0};

    if (!storage_list(cluster->repo->storage, known, &objects, err) ||
        !storage_list(cluster->repo->storage, marks, &marked, err))
        return false;
    for (size_t i = 0; i < objects.count; i++) {
        char about[BACKUP_ID_SIZE];

        if (layout_known_backup_of(cluster->name, objects.objects[i].name, about) &&
            strcmp(about, id) == 0 &&
            !storage_remove(cluster->repo->storage, objects.objects[i].name, err))
            return false;
    }
    for (size_t i = 0; i < marked.count; i++) {
        MarkName mark;

        if (layout_mark_of(cluster->name, marked.objects[i].name, &mark) &&
            strcmp(mark.what, "backup") == 0 && strcmp(mark.subject, id) == 0 &&
            !storage_remove(cluster->repo->storage, marked.objects[i].name, err))
            return false;
    }
    return true;
}

static bool remove_backup(ExpireRun *run, const CondemnedRecord *record, const char *id, Error *err)
{
    CLEANUP(text_freep) char *manifest = layout_manifest(run->cluster->name, id);

    if (!interrupt_check(err) || !FAULT_POINT("expire.before-manifest", err) ||
        !expire_check_again(run, record, id, err) ||
        !storage_remove(run->cluster->repo->storage, manifest, err) ||
        !FAULT_POINT("expire.after-manifest", err) || !remove_beside(run->cluster, id, err))
        return error_context(err, "remove backup %s", id);
    report_add_id(run->report, &run->report->gone, &run->report->gone_count, id);
    run->report->removed.backups++;
    return true;
}

static bool remove_pack(ExpireRun *run, const CondemnedRecord *record, const char *id, Error *err)
{
    const ObjectInfo *pack = pack_find_listed(&run->survey.packs, id);

    if (pack == NULL)
        return true; /* a run before this one was killed here */
    if (!interrupt_check(err) || !FAULT_POINT("expire.before-pack", err) ||
        !expire_check_again(run, record, NULL, err) ||
        !storage_remove(run->cluster->repo->storage, pack->name, err))
        return error_context(err, "remove pack %s", id);
    run->report->removed.packs++;
    run->report->removed.bytes += pack->size;
    return true;
}

static bool pack_is_wanted(const ExpireRun *run, const char *id)
{
    const ObjectInfo *pack = pack_find_listed(&run->survey.packs, id);

    if (!survey_knows_references(&run->survey))
        return true;
    return pack != NULL && run->survey.uses[pack - run->survey.packs.objects].users != NULL;
}

static const RetainedWal *find_planned(const RetentionPlan *plan, uint32_t timeline,
                                       uint64_t segment)
{
    for (size_t i = 0; i < plan->wal_count; i++) {
        const RetainedWal *wal = &plan->wal[i];

        if (wal->timeline == timeline && wal->first <= segment && segment <= wal->last)
            return wal;
    }
    return NULL;
}

/* Where the next stored stretch after this segment begins; past `last`: there is none. */
static uint64_t next_planned(const RetentionPlan *plan, const WalName *first, uint64_t last)
{
    uint64_t next = last + 1;

    for (size_t i = 0; i < plan->wal_count; i++) {
        const RetainedWal *wal = &plan->wal[i];

        if (wal->timeline == first->timeline && wal->first > first->segment && wal->first < next)
            next = wal->first;
    }
    return next;
}

/* Of a condemned stretch what still goes; the others are kept by something by now. */
static bool remove_stretch(ExpireRun *run, const CondemnedRecord *record, const char *text,
                           Error *err)
{
    WalName first, last;

    if (!condemned_wal_parse(text, run->cluster->wal_segment_size, &first, &last))
        return true;
    for (uint64_t segment = first.segment; segment <= last.segment;) {
        const RetainedWal *wal = find_planned(&run->plan, first.timeline, segment);
        WalName from = first, to = first;

        from.segment = segment;
        to.segment = wal == NULL                ? next_planned(&run->plan, &from, last.segment) - 1
                     : wal->last < last.segment ? wal->last
                                                : last.segment;
        if (wal == NULL || wal->reason == WAL_GOES) {
            if (!expire_check_again(run, record, NULL, err) ||
                !expire_remove_wal(run, record, &from, &to, err))
                return error_context(err, "remove WAL");
        } else {
            run->report->spared.segments += to.segment - segment + 1;
        }
        segment = to.segment + 1;
    }
    return true;
}

/* A backup that is wanted after all stays, and so does the record of the others until they went. */
static bool carry_out_item(ExpireRun *run, const CondemnedRecord *record, const CondemnedItem *item,
                           Error *err)
{
    switch (item->kind) {
    case CONDEMNED_BACKUP:
        if (find_backup(run, item->name) == NULL || !backup_is_wanted(run, record, item->name))
            return remove_backup(run, record, item->name, err);
        report_add_id(run->report, &run->report->saved, &run->report->saved_count, item->name);
        run->report->spared.backups++;
        return true;
    case CONDEMNED_PACK:
        if (!pack_is_wanted(run, item->name))
            return remove_pack(run, record, item->name, err);
        run->report->spared.packs++;
        return true;
    case CONDEMNED_WAL:
        return remove_stretch(run, record, item->name, err);
    }
    return true;
}

/* Why a record that is due is left alone this time; NULL: it is carried out. */
static const char *find_hold(ExpireRun *run, const CondemnedRecord *record)
{
    const RetentionSurvey *survey = &run->survey;
    const LeaseInfo *reader = survey_find_reader(survey);

    if (record->is_by_hand ? survey->input.obstacle != NULL : run->plan.obstacle != NULL)
        return record->is_by_hand ? survey->input.obstacle : run->plan.obstacle;
    for (size_t i = 0; i < survey->leases.count && reader == NULL && run->request->at_once; i++)
        reader = lease_is_of_user(&survey->leases.items[i]) ? &survey->leases.items[i] : NULL;
    if (reader == NULL)
        return NULL;
    return arena_format(&run->report->arena,
                        "process %" PRIu64 " on host \"%s\" is using the repository (%s)",
                        reader->pid, reader->host,
                        reader->purpose[0] != '\0' ? reader->purpose : "its lease can't be read");
}

static bool carry_out_record(ExpireRun *run, const CondemnedRecord *record, bool *did, Error *err)
{
    const char *hold = find_hold(run, record);
    const char **longer;

    if (hold != NULL) {
        run->report->held = hold;
        return true;
    }
    run->checked = (LookTime){0}; /* Nobody has looked whether this record is still there. */
    for (size_t i = 0; i < record->count; i++) {
        if (!carry_out_item(run, record, &record->items[i], err))
            return false;
    }
    longer = arena_alloc(&run->report->arena, (run->finished_count + 1) * sizeof *longer);
    for (size_t i = 0; i < run->finished_count; i++)
        longer[i] = run->finished[i];
    longer[run->finished_count++] = arena_text(&run->report->arena, record->id);
    run->finished = longer;
    *did = true;
    return true;
}

static bool is_finished(const ExpireRun *run, const char *id)
{
    for (size_t i = 0; i < run->finished_count; i++) {
        if (strcmp(run->finished[i], id) == 0)
            return true;
    }
    return false;
}

bool expire_carry_out(ExpireRun *run, bool *did, Error *err)
{
    const CondemnedList *condemned = &run->survey.condemned;

    *did = false;
    for (size_t i = 0; i < condemned->count; i++) {
        const CondemnedRecord *record = &condemned->records[i];

        if (record->is_readable && !is_finished(run, record->id) && record_is_due(run, record) &&
            !carry_out_record(run, record, did, err))
            return false;
    }
    return true;
}
