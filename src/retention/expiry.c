#include "expire_parts.h"

#include "base/fault.h"
#include "base/log.h"
#include "base/process.h"
#include "repo/journal.h"
#include "repo/reserve.h"

#include <inttypes.h>

enum { ROUNDS = 5 }; /* of --now: manifests, then packs and WAL, then a look that finds nothing */

bool expire_check_clock(TimeUs store, TimeUs host, Error *err)
{
    const TimeUs apart = store > host ? store - host : host - store;

    if (apart <= RETENTION_CLOCK_SLACK)
        return true;
    error_set(err, ERR_REFUSED,
              "this host's clock and the repository's are %" PRId64 " seconds apart: nothing is "
              "removed by a clock that is wrong",
              apart / 1000000);
    return error_hint(err, "set the clock of this host, or of the one that has the repository, and "
                           "run it again");
}

static void expire_run_done(ExpireRun *run)
{
    retention_plan_done(&run->plan);
    retention_survey_done(&run->survey);
    lease_freep(&run->lease);
}

/* What there is now, and what is to be made of it. */
static bool expire_look(ExpireRun *run, Error *err)
{
    const ExpireRequest *request = run->request;

    if (!lease_check(run->lease, err))
        return false;
    retention_plan_done(&run->plan);
    retention_survey_done(&run->survey);
    if (!retention_survey(&run->survey, run->cluster,
                          &(SurveyRequest){.policy = request->policy,
                                           .zone = request->zone,
                                           .now = lease_stored_at(run->lease),
                                           .own = run->lease,
                                           .given_up = request->given_up},
                          err))
        return false;
    retention_plan(&run->survey.input, &run->plan);
    if (run->plan.obstacle != NULL)
        run->report->obstacle = arena_text(&run->report->arena, run->plan.obstacle);
    return true;
}

/* The backup that a person named has to be one, and one that may go. */
static bool check_given_up(const ExpireRun *run, Error *err)
{
    const char *id = run->request->given_up;

    for (size_t i = 0; id != NULL && i < run->plan.backup_count; i++) {
        const PlannedBackup *planned = &run->plan.backups[i];

        if (strcmp(planned->backup->id, id) != 0)
            continue;
        if (planned_backup_goes(&run->plan, i))
            return true;
        if (run->plan.obstacle != NULL)
            return error_set(err, ERR_REFUSED, "backup %s stays: %s", id, run->plan.obstacle);
        return error_set(err, ERR_REFUSED, "backup %s stays: it is %s", id,
                         planned->rules & KEPT_BY_PIN     ? "pinned (pgcairn unpin lets it go)"
                         : planned->rules & KEPT_BY_LEASE ? "being read"
                                                          : "the last one that was proven");
    }
    return id == NULL || error_set(err, ERR_NOT_FOUND, "there is no backup %s", id);
}

/* Before a record goes that said it: `verify` must not miss what was removed. */
static void expire_write_journal(const ExpireRun *run, TimeUs started, const Error *failure)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};
    const ExpireReport *report = run->report;
    Error problem = {0};

    record_begin(&record, "journal", 1);
    record_text(&record, "operation", "expire");
    record_u64(&record, "status", (uint64_t)failure->code);
    record_time(&record, "started", started);
    record_time(&record, "finished", time_now());
    record_text(&record, "host", process_host_name());
    record_u64(&record, "condemned_bytes", report->condemned.bytes);
    record_u64(&record, "removed_packs", report->removed.packs);
    record_u64(&record, "removed_segments", report->removed.segments);
    record_u64(&record, "bytes", report->removed.bytes);
    for (size_t i = 0; i < report->going_count; i++)
        record_text(&record, "condemned", report->going[i]);
    for (size_t i = 0; i < report->gone_count; i++)
        record_text(&record, "removed", report->gone[i]);
    for (size_t i = 0; i < report->saved_count; i++)
        record_text(&record, "spared", report->saved[i]);
    if (failure->code != ERR_NONE)
        record_text(&record, "error", failure->message);
    if (!journal_store(run->cluster, "expire", &record, &problem))
        log_warn("journal entry not written", log_str("error", problem.message));
}

static bool remove_finished(ExpireRun *run, TimeUs started, Error *err)
{
    const Error none = {0};

    if (run->finished_count > 0 || run->report->condemned.bytes > 0 || run->report->going_count > 0)
        expire_write_journal(run, started, &none);
    for (size_t i = 0; i < run->finished_count; i++) {
        if (!FAULT_POINT("expire.before-record", err) ||
            !condemned_remove(run->finished[i], run->cluster, err))
            return false;
    }
    run->finished_count = 0;
    return true;
}

/* When the first of what is condemned goes: now, earlier, or by a person who says it again. */
static void expire_note_until(ExpireRun *run, bool has_condemned)
{
    TimeUs *until = &run->report->until;
    const TimeUs new_until = run->survey.input.now + run->request->grace;
    const CondemnedRecord *said_before =
        run->request->given_up != NULL
            ? condemned_find_by_hand(&run->survey.condemned, run->request->given_up)
            : NULL;

    if (has_condemned && (*until == TIME_US_NONE || new_until < *until)) {
        *until = new_until;
    } else if (!has_condemned && said_before != NULL) {
        *until = condemned_until(said_before);
    }
}

/* One look, what is due, another look when that changed anything, what goes next. */
static bool expire_round(ExpireRun *run, bool *did, Error *err)
{
    bool has_removed = false;
    bool has_condemned = false;

    run->report->until = TIME_US_NONE;
    run->report->obstacle = run->report->held = NULL;
    if (!expire_look(run, err) || !check_given_up(run, err))
        return false;
    if (run->request->given_up == NULL && !expire_carry_out(run, &has_removed, err))
        return false;
    if (has_removed && !expire_look(run, err))
        return false;
    if (!expire_condemn(run, &has_condemned, err))
        return false;
    if (run->request->given_up == NULL && !expire_leftovers(run, err))
        return false;
    expire_note_until(run, has_condemned);
    *did = has_removed || has_condemned;
    return true;
}

/* With no grace what is condemned is due at once: the rounds of days are made one after another. */
static bool expire_rounds(ExpireRun *run, Error *err)
{
    const TimeUs started = time_now();
    bool did = true;

    for (int round = 0; round < ROUNDS && did; round++) {
        bool ok = expire_round(run, &did, err);

        if (!ok && run->report->removed.backups > 0)
            expire_write_journal(run, started, err);
        if (!ok || !remove_finished(run, started, err))
            return false;
        did = did && run->request->at_once && run->request->grace == 0 &&
              run->request->given_up == NULL;
    }
    return true;
}

bool expire_run(const Cluster *cluster, const ExpireRequest *request, ExpireReport *report,
                Error *err)
{
    CLEANUP(expire_run_done)
    ExpireRun run = {.cluster = cluster, .request = request, .report = report};

    *report = (ExpireReport){.until = TIME_US_NONE};
    if (!request->at_once && request->grace < RETENTION_GRACE_MIN) {
        error_set(err, ERR_USAGE,
                  "a grace of less than 40 minutes is shorter than four lives of a "
                  "lease");
        return error_hint(err, "with --now --yes a shorter one is taken: when you are sure that "
                               "nothing else uses the repository");
    }
    reserve_use(cluster);
    if (!lease_take(cluster, &(LeaseRequest){.kind = LEASE_EXPIRE}, &run.lease, err) ||
        !expire_check_clock(lease_stored_at(run.lease), time_now(), err) ||
        !expire_rounds(&run, err))
        return false;
    report->is_complete = true;
    reserve_fill(cluster);
    return true;
}

void expire_report_done(ExpireReport *report)
{
    arena_done(&report->arena);
    *report = (ExpireReport){.until = TIME_US_NONE};
}

/* Stored anew without what is spared, then the old one goes: at no moment is more condemned. */
static bool spare_backup(const Cluster *cluster, const CondemnedRecord *record, const char *id,
                         Error *err)
{
    CLEANUP(item_list_done) ItemList rest = {.items = NULL};
    CondemnedRecord smaller = *record;

    for (size_t i = 0; i < record->count; i++) {
        if (record->items[i].kind != CONDEMNED_BACKUP || strcmp(record->items[i].name, id) != 0)
            item_list_add(&rest, record->items[i].kind, record->items[i].name);
    }
    smaller.items = rest.items;
    smaller.count = rest.count;
    if (rest.count > 0 && !condemned_store(&smaller, cluster, err))
        return false;
    return FAULT_POINT("expire.after-spare", err) && condemned_remove(record->id, cluster, err);
}

/* The policy let it go, and would again. */
static bool pin_spared(const Cluster *cluster, const ExpireReport *report, Error *err)
{
    for (size_t i = 0; i < report->saved_count; i++) {
        if (!mark_store(cluster,
                        &(Mark){.kind = MARK_PIN,
                                .what = MARK_OF_BACKUP,
                                .subject = report->saved[i],
                                .at = time_now(),
                                .until = TIME_US_NONE,
                                .by = "expire",
                                .host = process_host_name(),
                                .reason = "brought back by expire --spare",
                                .evidence = ""},
                        err))
            return false;
    }
    return true;
}

static bool spare_found(const Cluster *cluster, const CondemnedList *list, const char *id,
                        ExpireReport *report, Error *err)
{
    const CondemnedRecord *named = condemned_find(list, id);

    if (named != NULL) {
        report_add_id(report, &report->saved, &report->saved_count, id);
        report->spared.backups = 1;
        return pin_spared(cluster, report, err) && spare_backup(cluster, named, id, err);
    }
    for (size_t i = 0; i < list->count; i++) {
        const CondemnedRecord *record = &list->records[i];

        if (strcmp(record->id, id) != 0)
            continue;
        for (size_t at = 0; at < record->count; at++) {
            if (record->items[at].kind == CONDEMNED_BACKUP)
                report_add_id(report, &report->saved, &report->saved_count, record->items[at].name);
            report->spared.backups += record->items[at].kind == CONDEMNED_BACKUP;
            report->spared.packs += record->items[at].kind == CONDEMNED_PACK;
            report->spared.segments += record->items[at].kind == CONDEMNED_WAL;
        }
        return pin_spared(cluster, report, err) && condemned_remove(record->id, cluster, err);
    }
    error_set(err, ERR_NOT_FOUND, "nothing of the name %s is condemned", id);
    return error_hint(err, "`pgcairn list` shows what is about to go; what has gone can't be "
                           "brought back");
}

bool expire_spare(const Cluster *cluster, const char *id, ExpireReport *report, Error *err)
{
    CLEANUP(lease_freep) Lease *lease = NULL;
    CLEANUP(condemned_list_done) CondemnedList list = {.count = 0};

    *report = (ExpireReport){.until = TIME_US_NONE};
    reserve_use(cluster);
    return lease_take(cluster, &(LeaseRequest){.kind = LEASE_EXPIRE}, &lease, err) &&
           condemned_load(&list, cluster, err) && spare_found(cluster, &list, id, report, err);
}
