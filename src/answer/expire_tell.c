#include "answer/expire_tell.h"

#include "retention/periods.h"

#include <inttypes.h>

/* "window (needed for 2026-11-23 10:00), weekly 2026-W44" */
static const char *rules_text(const PlannedBackup *planned, Arena *arena)
{
    const char *text = "";

    for (unsigned bit = 0; bit < RETENTION_RULES; bit++) {
        const unsigned rule = 1U << bit;
        const bool is_period = rule >= KEPT_BY_DAY && rule <= KEPT_BY_YEAR;
        char period[PERIOD_TEXT_SIZE] = "";
        char time[TIME_TEXT_SIZE];

        if ((planned->rules & rule) == 0)
            continue;
        text = arena_format(arena, "%s%s%s", text, *text != '\0' ? ", " : "",
                            retention_rule_text((RetentionRule)rule));
        if (is_period) {
            const size_t kind = bit - 2;
            text =
                arena_format(arena, "%s %s", text,
                             retention_period_text(kind, planned->backup->periods[kind], period));
        }
        if (rule == KEPT_BY_WINDOW && planned->needed_for != TIME_US_NONE) {
            text = arena_format(arena, "%s (needed for %s)", text,
                                time_text(planned->needed_for, time));
        }
        if (rule == KEPT_BY_PIN && planned->backup->pinned_until != TIME_US_MAX) {
            text = arena_format(arena, "%s until %s", text,
                                time_text(planned->backup->pinned_until, time));
        }
    }
    return text;
}

static const char *verdict_of(const RetentionPlan *plan, size_t i)
{
    const PlannedBackup *planned = &plan->backups[i];

    if (planned->backup->is_condemned)
        return "condemned";
    return planned->rules != 0 ? "keep" : plan->obstacle != NULL ? "stays" : "remove";
}

static const char *reason_of(const RetentionSurvey *survey, const RetentionPlan *plan, size_t i,
                             Arena *arena)
{
    const PlannedBackup *planned = &plan->backups[i];
    const CondemnedRecord *record = condemned_find(&survey->condemned, planned->backup->id);
    char time[TIME_TEXT_SIZE];

    if (record != NULL) {
        return arena_format(arena, "goes after %s unless `expire --spare` brings it back",
                            time_text(condemned_until(record), time));
    }
    return planned->rules != 0      ? rules_text(planned, arena)
           : plan->obstacle == NULL ? "no rule keeps it"
                                    : "no rule keeps it, but nothing is removed now";
}

static void tell_stretch(const RetentionSurvey *survey, const RetentionPlan *plan,
                         const RetainedWal *wal)
{
    const uint32_t size = survey->cluster->wal_segment_size;
    char first[WAL_NAME_SIZE], last[WAL_NAME_SIZE], bytes[OUT_TEXT_SIZE];
    WalName name = {.kind = WAL_SEGMENT, .timeline = wal->timeline, .segment = wal->first};

    wal_name_text(&name, size, first);
    name.segment = wal->last;
    out_print("%-9s WAL %s..%s  %s%s%s%s; %s\n",
              wal->reason != WAL_GOES  ? "keep"
              : plan->obstacle != NULL ? "stays"
                                       : "remove",
              first, wal_name_text(&name, size, last), wal_reason_text(wal->reason),
              wal->backup != NULL ? " " : "", wal->backup != NULL ? wal->backup : "",
              wal->is_dead ? " (a history that was left)" : "", out_bytes(wal->bytes, bytes));
}

void expire_plan_tell(const RetentionSurvey *survey, const RetentionPlan *plan)
{
    CLEANUP(arena_done) Arena arena = {0};
    char bytes[OUT_TEXT_SIZE];

    for (size_t i = 0; i < plan->backup_count; i++) {
        const PlannedBackup *planned = &plan->backups[i];

        out_print("%-9s %s  %s; %s %s\n", verdict_of(plan, i), planned->backup->id,
                  reason_of(survey, plan, i, &arena), planned->rules != 0 ? "would free" : "frees",
                  out_bytes(planned->backup->bytes, bytes));
    }
    for (size_t i = 0; i < plan->wal_count; i++)
        tell_stretch(survey, plan, &plan->wal[i]);
    if (plan->obstacle != NULL) {
        out_print("\nNothing is removed: %s.\n", plan->obstacle);
        return;
    }
    out_print("\nThe policy frees %s now", out_bytes(plan->backup_bytes, bytes));
    out_print(" in packs and %s in WAL.\n", out_bytes(plan->wal_bytes, bytes));
}

static void plan_backup_to_json(const RetentionSurvey *survey, const RetentionPlan *plan, size_t i,
                                Json *json)
{
    CLEANUP(arena_done) Arena arena = {0};
    const PlannedBackup *planned = &plan->backups[i];
    const CondemnedRecord *record = condemned_find(&survey->condemned, planned->backup->id);

    json_begin_object(json, NULL);
    json_text(json, "backup", planned->backup->id);
    json_text(json, "verdict", verdict_of(plan, i));
    json_begin_array(json, "rules");
    for (unsigned bit = 0; bit < RETENTION_RULES; bit++) {
        if (planned->rules & (1U << bit))
            json_text(json, NULL, retention_rule_text((RetentionRule)(1U << bit)));
    }
    json_end_array(json);
    json_text(json, "reason", reason_of(survey, plan, i, &arena));
    json_time(json, "time", planned->at);
    json_time(json, "needed_for", planned->needed_for);
    json_time(json, "goes_time", record != NULL ? condemned_until(record) : TIME_US_NONE);
    json_u64(json, "bytes", planned->backup->bytes);
    json_end_object(json);
}

void expire_plan_to_json(const RetentionSurvey *survey, const RetentionPlan *plan, Json *json)
{
    const uint32_t size = survey->cluster->wal_segment_size;

    json_text(json, "obstacle", plan->obstacle);
    json_begin_array(json, "backups");
    for (size_t i = 0; i < plan->backup_count; i++)
        plan_backup_to_json(survey, plan, i, json);
    json_end_array(json);
    json_begin_array(json, "wal");
    for (size_t i = 0; i < plan->wal_count; i++) {
        const RetainedWal *wal = &plan->wal[i];
        WalName name = {.kind = WAL_SEGMENT, .timeline = wal->timeline, .segment = wal->first};
        char text[WAL_NAME_SIZE];

        json_begin_object(json, NULL);
        json_u64(json, "timeline", wal->timeline);
        json_text(json, "first_segment", wal_name_text(&name, size, text));
        name.segment = wal->last;
        json_text(json, "last_segment", wal_name_text(&name, size, text));
        json_text(json, "verdict",
                  wal->reason != WAL_GOES  ? "keep"
                  : plan->obstacle != NULL ? "stays"
                                           : "remove");
        json_text(json, "reason", wal_reason_text(wal->reason));
        json_text(json, "backup", wal->backup);
        json_bool(json, "is_left_branch", wal->is_dead);
        json_u64(json, "bytes", wal->bytes);
        json_end_object(json);
    }
    json_end_array(json);
    json_u64(json, "backup_bytes", plan->backup_bytes);
    json_u64(json, "wal_bytes", plan->wal_bytes);
}

static void tell_counts(const char *what, const ExpireCounts *counts)
{
    char bytes[OUT_TEXT_SIZE];

    if (counts->backups + counts->packs + counts->segments + counts->others == 0)
        return;
    out_print("%-10s %" PRIu64 " backups, %" PRIu64 " packs, %" PRIu64 " segments of WAL", what,
              counts->backups, counts->packs, counts->segments);
    if (counts->others > 0)
        out_print(", %" PRIu64 " leftovers", counts->others);
    out_print("%s%s\n", counts->bytes > 0 ? ": " : "",
              counts->bytes > 0 ? out_bytes(counts->bytes, bytes) : "");
}

static void tell_ids(const char *head, const char *const *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out_print("  %s %s\n", head, ids[i]);
}

void expire_report_tell(const ExpireReport *report)
{
    char time[TIME_TEXT_SIZE];

    tell_counts("removed", &report->removed);
    tell_ids("backup", report->gone, report->gone_count);
    tell_counts("condemned", &report->condemned);
    tell_ids("backup", report->going, report->going_count);
    tell_counts("spared", &report->spared);
    tell_ids("backup", report->saved, report->saved_count);
    if (report->obstacle != NULL)
        out_print("Nothing is condemned: %s.\n", report->obstacle);
    if (report->held != NULL)
        out_print("What is due was left alone: %s.\n", report->held);
    if (report->until != TIME_US_NONE) {
        out_print("What is condemned goes with the first run after %s; until then `pgcairn expire "
                  "--spare=ID` brings it back.\n",
                  time_text(report->until, time));
    } else if (report->is_complete && report->obstacle == NULL && report->held == NULL &&
               report->removed.backups + report->removed.packs + report->removed.segments +
                       report->removed.others ==
                   0) {
        out_print("There is nothing to remove.\n");
    }
}

static void counts_to_json(const char *key, const ExpireCounts *counts, const char *const *ids,
                           size_t count, Json *json)
{
    json_begin_object(json, key);
    json_begin_array(json, "backups");
    for (size_t i = 0; i < count; i++)
        json_text(json, NULL, ids[i]);
    json_end_array(json);
    json_u64(json, "packs", counts->packs);
    json_u64(json, "segments", counts->segments);
    json_u64(json, "leftovers", counts->others);
    json_u64(json, "bytes", counts->bytes);
    json_end_object(json);
}

void expire_report_to_json(const ExpireReport *report, Json *json)
{
    counts_to_json("removed", &report->removed, report->gone, report->gone_count, json);
    counts_to_json("condemned", &report->condemned, report->going, report->going_count, json);
    counts_to_json("spared", &report->spared, report->saved, report->saved_count, json);
    json_text(json, "obstacle", report->obstacle);
    json_text(json, "held", report->held);
    json_time(json, "next_time", report->until);
}

enum { SIMULATED_ROWS = 24 };

void simulation_tell(const Simulation *simulation)
{
    CLEANUP(table_freep) Table *table = table_new(4);
    const size_t each = simulation->count / SIMULATED_ROWS + 1;
    char backup[OUT_TEXT_SIZE], wal[OUT_TEXT_SIZE];

    out_print("each backup adds %s", out_bytes(simulation->bytes_per_backup, backup));
    out_print(", WAL %s a day, by what there is\n\n",
              out_bytes(simulation->wal_bytes_per_day, wal));
    table_row(table, (const char *const[]){"at", "backups", "packs", "WAL"});
    for (size_t i = 0; i < simulation->count; i++) {
        const SimulatedStep *step = &simulation->steps[i];
        char at[TIME_TEXT_SIZE], count[24];

        if (i % each != 0 && i + 1 != simulation->count)
            continue;
        (void)snprintf(count, sizeof count, "%zu", step->backups);
        table_row(table, (const char *const[]){time_text(step->at, at), count,
                                               out_bytes(step->backup_bytes, backup),
                                               out_bytes(step->wal_bytes, wal)});
    }
    if (simulation->count > 0)
        table_print(table);
    if (simulation->obstacle != NULL)
        out_print("\nAt some time nothing would be removed: %s.\n", simulation->obstacle);
}

void simulation_to_json(const Simulation *simulation, Json *json)
{
    json_begin_object(json, NULL);
    json_u64(json, "bytes_per_backup", simulation->bytes_per_backup);
    json_u64(json, "wal_bytes_per_day", simulation->wal_bytes_per_day);
    json_text(json, "obstacle", simulation->obstacle);
    json_begin_array(json, "steps");
    for (size_t i = 0; i < simulation->count; i++) {
        const SimulatedStep *step = &simulation->steps[i];

        json_begin_object(json, NULL);
        json_time(json, "time", step->at);
        json_u64(json, "backups", step->backups);
        json_u64(json, "backup_bytes", step->backup_bytes);
        json_u64(json, "wal_bytes", step->wal_bytes);
        json_end_object(json);
    }
    json_end_array(json);
    json_end_object(json);
}

void keeping_tell(const BackupList *backups, const MarkList *marks, const CondemnedList *condemned)
{
    char time[TIME_TEXT_SIZE];

    for (size_t i = 0; i < backups->count; i++) {
        const char *id = backups->items[i].header.id;
        const Mark *pin = mark_find(marks, MARK_PIN, MARK_OF_BACKUP, id);
        const CondemnedRecord *record = condemned_find(condemned, id);

        if (pin != NULL) {
            out_print("%s is pinned%s%s%s%s\n", id, pin->until != TIME_US_NONE ? " until " : "",
                      pin->until != TIME_US_NONE ? time_text(pin->until, time) : "",
                      *pin->reason != '\0' ? ": " : "", pin->reason);
        }
        if (record != NULL) {
            out_print("%s goes with the first expire after %s; `pgcairn expire --spare=%s` brings "
                      "it back\n",
                      id, time_text(condemned_until(record), time), id);
        }
    }
    if (condemned->has_unreadable)
        out_print("What is condemned can't be read: nothing is removed (pgcairn verify tells)\n");
}

void keeping_to_json(const BackupList *backups, const MarkList *marks,
                     const CondemnedList *condemned, Json *json)
{
    json_begin_array(json, "keeping");
    for (size_t i = 0; i < backups->count; i++) {
        const char *id = backups->items[i].header.id;
        const Mark *pin = mark_find(marks, MARK_PIN, MARK_OF_BACKUP, id);
        const CondemnedRecord *record = condemned_find(condemned, id);

        if (pin == NULL && record == NULL)
            continue;
        json_begin_object(json, NULL);
        json_text(json, "backup", id);
        json_bool(json, "pinned", pin != NULL);
        json_time(json, "pinned_until_time", pin != NULL ? pin->until : TIME_US_NONE);
        json_text(json, "pin_reason", pin != NULL ? pin->reason : NULL);
        json_time(json, "goes_time", record != NULL ? condemned_until(record) : TIME_US_NONE);
        json_end_object(json);
    }
    json_end_array(json);
}

static const char *next_text(const KeepingOutlook *outlook, Arena *arena)
{
    char at[TIME_TEXT_SIZE], each[OUT_TEXT_SIZE];

    if (outlook->backups > 1) {
        return arena_format(arena, "%zu backups go next, the first is %s", outlook->backups,
                            outlook->next);
    }
    if (outlook->backups == 1)
        return arena_format(arena, "%s goes next", outlook->next);
    if (outlook->next == NULL)
        return arena_format(arena, "keeps all of these backups for the next %d", NEXT_STEPS);
    return arena_format(arena, "%s goes next, about %.10s, with a backup every %s", outlook->next,
                        time_text_local(outlook->next_at, at), out_duration(outlook->every, each));
}

const char *keeping_outlook_text(const KeepingOutlook *outlook, Arena *arena)
{
    char packs[OUT_TEXT_SIZE], wal[OUT_TEXT_SIZE];

    if (!outlook->is_known)
        return NULL;
    if (outlook->obstacle != NULL)
        return arena_format(arena, "nothing is removed now: %s", outlook->obstacle);
    if (outlook->backup_bytes + outlook->wal_bytes == 0)
        return next_text(outlook, arena);
    return arena_format(arena, "%s; frees %s in packs and %s in WAL now", next_text(outlook, arena),
                        out_bytes(outlook->backup_bytes, packs),
                        out_bytes(outlook->wal_bytes, wal));
}

void keeping_outlook_to_json(const KeepingOutlook *outlook, Json *json)
{
    if (!outlook->is_known) {
        json_text(json, "policy", NULL);
        return;
    }
    json_begin_object(json, "policy");
    json_text(json, "obstacle", outlook->obstacle);
    json_u64(json, "backups", outlook->backups);
    json_u64(json, "backup_bytes", outlook->backup_bytes);
    json_u64(json, "wal_bytes", outlook->wal_bytes);
    json_text(json, "next", outlook->next);
    json_time(json, "next_time", outlook->next != NULL ? outlook->next_at : TIME_US_NONE);
    json_end_object(json);
}
