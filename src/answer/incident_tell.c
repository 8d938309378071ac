#include "answer/incident_tell.h"

#include <inttypes.h>

static const double US_PER_S = 1e6;

/* What is left to do afterwards, and by when. */
static const struct {
    int days;
    const char *within, *what;
} incident_todo[] = {
    {1, "a day", "take a backup of the timeline that the database is on now: pgcairn backup"},
    {1, "a day", "look whether WAL is archived again and nothing is exposed: pgcairn status"},
    {1, "a day", "tell who uses the database what was lost, and since when it is back"},
    {7, "a week", "read all of the repository back: pgcairn verify"},
    {7, "a week", "find out why it happened and why it was not seen earlier; write it down"},
    {7, "a week",
     "remove what restores have kept beside the data directory, once it is not needed"},
    {30, "a month", "a full drill with what was changed: pgcairn drill --target=random --read-all"},
    {30, "a month", "hold the objectives (--rpo, --rto) and the runbook against what happened"},
};

static TimeUs incident_record_time(const LedgerEntry *entry, const char *key)
{
    TimeUs time = TIME_US_NONE;
    Error ignored = {0}; /* not known */

    return record_get_time(&entry->record, key, &time, &ignored) ? time : TIME_US_NONE;
}

static uint64_t incident_record_number(const LedgerEntry *entry, const char *key)
{
    uint64_t number = 0;
    Error ignored = {0}; /* not known: 0 */

    return record_get_u64(&entry->record, key, &number, &ignored) ? number : 0;
}

static bool entry_has_ended_well(const LedgerEntry *entry)
{
    return entry->status == ERR_NONE || entry->status == ERR_DEGRADED;
}

/* A copy beside the original brings nothing back. */
static bool entry_is_restore(const LedgerEntry *entry)
{
    const char *as_copy = record_find(&entry->record, "as_copy");

    return strcmp(entry->operation, "restore") == 0 &&
           (as_copy == NULL || strcmp(as_copy, "yes") != 0);
}

/* What happened after it was closed belongs to it no more. */
static bool incident_has_entry(const IncidentStory *story, const LedgerEntry *entry)
{
    return story->incident->closed_at == TIME_US_NONE ||
           entry->started <= story->incident->closed_at;
}

/* From then on people could work again: by the command that opened it, if it was another one. */
static bool entry_has_opened(const LedgerEntry *entry)
{
    const char *state = record_find(&entry->record, "state");
    bool is_one =
        strcmp(entry->operation, "promote") == 0 || strcmp(entry->operation, "watch") == 0;

    return is_one && entry_has_ended_well(entry) && state != NULL && strcmp(state, "open") == 0;
}

/* By the newest look at what came of it. */
static void summary_take_count(IncidentSummary *summary, const LedgerEntry *entry)
{
    const char *as_copy = record_find(&entry->record, "as_copy");

    if (summary->is_counted || strcmp(entry->operation, "aftermath") != 0 ||
        (as_copy != NULL && strcmp(as_copy, "yes") == 0) ||
        record_find(&entry->record, "commits_lost") == NULL)
        return;
    summary->is_counted = true;
    summary->lost = incident_record_number(entry, "commits_lost");
    summary->lost_last = incident_record_time(entry, "last_commit_lost");
}

void incident_summarize(const IncidentStory *story, IncidentSummary *summary)
{
    *summary = (IncidentSummary){.opened_at = TIME_US_NONE,
                                 .last_commit = TIME_US_NONE,
                                 .first_left_out = TIME_US_NONE,
                                 .lost_last = TIME_US_NONE,
                                 .ended_at = story->incident->closed_at};
    for (size_t i = 0; i < story->ledger->count; i++) {
        const LedgerEntry *entry = &story->ledger->items[i];
        const char *verified = record_find(&entry->record, "verified");

        if (!incident_has_entry(story, entry))
            continue;
        if (entry_has_opened(entry) && summary->opened_at == TIME_US_NONE &&
            summary->restored == NULL)
            summary->opened_at = entry->finished;
        if (summary->restored == NULL)
            summary_take_count(summary, entry);
        if (!entry_is_restore(entry))
            continue;
        summary->restores++;
        summary->failures += !entry_has_ended_well(entry);
        if (summary->restored != NULL || !entry_has_ended_well(entry) || verified == NULL ||
            strcmp(verified, "yes") != 0)
            continue;
        summary->restored = entry;
        summary->last_commit = incident_record_time(entry, "last_commit");
        summary->first_left_out = incident_record_time(entry, "first_left_out");
        summary->left_elsewhere = incident_record_number(entry, "commits_on_other_branches") +
                                  incident_record_number(entry, "commits_only_in_old_directory");
        summary->ended_at =
            summary->opened_at != TIME_US_NONE ? summary->opened_at : entry->finished;
    }
}

static const char *next_update(const char *severity)
{
    if (strcmp(severity, "SEV1") == 0)
        return "in 30 minutes";
    return strcmp(severity, "SEV2") == 0 ? "in an hour" : "in a day";
}

static void incident_print_initial(const Incident *incident)
{
    char began[TIME_TEXT_SIZE], opened[TIME_TEXT_SIZE];

    out_print("INITIAL UPDATE\n  incident    %s: %s\n  severity    %s\n", incident->id,
              incident->text, incident->severity);
    out_print("  began       %s\n  opened      %s\n  next update %s\n",
              time_text_local(incident->began, began), time_text_local(incident->opened_at, opened),
              next_update(incident->severity));
}

/* The last commit that is there again, and what came after it. */
static void incident_print_loss(const IncidentStory *story, const IncidentSummary *summary)
{
    const Incident *incident = story->incident;
    char time[TIME_TEXT_SIZE], span[OUT_TEXT_SIZE];

    if (summary->last_commit == TIME_US_NONE)
        return;
    out_print("  kept        every commit until %s\n", time_text_local(summary->last_commit, time));
    if (summary->first_left_out != TIME_US_NONE) {
        out_print("  left out    what was committed from %s on\n",
                  time_text_local(summary->first_left_out, time));
    }
    if (summary->is_counted && summary->lost > 0) {
        out_print("  lost        %" PRIu64 " commit%s that the archive has and the database has "
                  "not%s%s\n",
                  summary->lost, summary->lost == 1 ? "" : "s",
                  summary->lost_last != TIME_US_NONE ? ", the last of " : "",
                  summary->lost_last != TIME_US_NONE ? time_text_local(summary->lost_last, time)
                                                     : "");
    }
    if (summary->left_elsewhere > 0) {
        out_print("  elsewhere   %" PRIu64 " commits on other branches or in the old directory\n",
                  summary->left_elsewhere);
    }
    if (incident->began > summary->last_commit) {
        out_print(
            "  RPO         at most %s: from the last commit kept to the incident's beginning\n",
            out_duration(incident->began - summary->last_commit, span));
    } else {
        out_print("  RPO         nothing from before the incident's beginning\n");
    }
}

static void incident_print_state(const IncidentStory *story, const IncidentSummary *summary)
{
    const Incident *incident = story->incident;
    char span[OUT_TEXT_SIZE];
    const char *state = incident->closed_at != TIME_US_NONE ? "closed"
                        : summary->restored != NULL         ? "restored, not closed yet"
                        : summary->restores > 0             ? "a restore was tried"
                                                            : "no restore yet";

    out_print("\nSTATUS UPDATE\n  state       %s\n  restores    %zu, %zu of them failed\n", state,
              summary->restores, summary->failures);
    for (size_t i = incident->count; i-- > 0;) {
        if (incident->notes[i].kind == INCIDENT_UPDATE) {
            out_print("  last note   %s\n", incident->notes[i].text);
            break;
        }
    }
    if (incident->closed_at == TIME_US_NONE) {
        out_print("  so far      %s since it began\n",
                  out_duration(story->now - incident->began, span));
    }
    incident_print_loss(story, summary);
}

static void incident_print_resolution(const IncidentStory *story, const IncidentSummary *summary)
{
    const Incident *incident = story->incident;
    char time[TIME_TEXT_SIZE], span[OUT_TEXT_SIZE], objective[OUT_TEXT_SIZE];

    if (incident->closed_at == TIME_US_NONE)
        return;
    out_print("\nRESOLUTION\n  closed      %s\n  cause       %s\n",
              time_text_local(incident->closed_at, time), incident->cause);
    out_print("  lasted      %s from its beginning to its end\n",
              out_duration(incident->closed_at - incident->began, span));
    if (summary->restored != NULL) {
        TimeUs took = summary->ended_at - incident->began;
        out_print("  RTO         %s until %s, objective %s%s\n", out_duration(took, span),
                  summary->opened_at != TIME_US_NONE ? "the database was open"
                                                     : "the restore had ended",
                  out_duration(story->rto, objective), took > story->rto ? ": missed" : "");
    }
}

/* "pgcairn restore to ...", or what was looked at once it was back. */
static const char *entry_name(const LedgerEntry *entry, Arena *arena)
{
    const char *target = record_find(&entry->record, "target");
    const char *after = record_find(&entry->record, "after");

    if (after != NULL)
        return arena_format(arena, "checks after pgcairn %s", after);
    return arena_format(
        arena, "pgcairn %s%s%s%s", entry->operation,
        strcmp(entry->operation, "restore") != 0 || entry_is_restore(entry) ? "" : " of a copy",
        target != NULL ? " to " : "", target != NULL ? target : "");
}

static void incident_print_entry(const LedgerEntry *entry)
{
    CLEANUP(arena_done) Arena arena = {0};
    char time[TIME_TEXT_SIZE], span[OUT_TEXT_SIZE], status[32] = "";
    const char *error = record_find(&entry->record, "error");

    if (entry->status != ERR_NONE)
        (void)snprintf(status, sizeof status, ", exit status %u", entry->status);
    out_print("  %s  %s: %s%s%s%s\n", time_text_local(entry->started, time),
              entry_name(entry, &arena), out_duration(entry->finished - entry->started, span),
              status, error != NULL ? ": " : "", error != NULL ? error : "");
}

static void incident_print_note(const IncidentNote *note)
{
    char time[TIME_TEXT_SIZE];

    out_print("  %s  %s: %s\n", time_text_local(note->at, time), incident_event_name(note->kind),
              note->text);
}

/* Notes and what the journal has, merged by time. */
static void incident_print_timeline(const IncidentStory *story)
{
    const Incident *incident = story->incident;
    size_t left = story->ledger->count;
    size_t note = 0;
    char time[TIME_TEXT_SIZE];

    out_print("\nTIMELINE\n  %s  it began\n", time_text_local(incident->began, time));
    while (left > 0 || note < incident->count) {
        const LedgerEntry *entry = left > 0 ? &story->ledger->items[left - 1] : NULL;

        if (entry != NULL && !incident_has_entry(story, entry)) {
            left--;
        } else if (entry == NULL ||
                   (note < incident->count && incident->notes[note].at <= entry->started)) {
            incident_print_note(&incident->notes[note++]);
        } else {
            incident_print_entry(entry);
            left--;
        }
    }
}

/* Dates count from the end; until there is one, from now. */
static TimeUs todo_due(const IncidentStory *story, size_t index)
{
    TimeUs from =
        story->incident->closed_at != TIME_US_NONE ? story->incident->closed_at : story->now;

    return from + incident_todo[index].days * TIME_US_DAY;
}

static void incident_print_todo(const IncidentStory *story)
{
    char date[TIME_TEXT_SIZE];

    out_print("\nTO DO AFTERWARDS\n");
    for (size_t i = 0; i < ARRAY_SIZE(incident_todo); i++) {
        time_text_local(todo_due(story, i), date);
        out_print("  by %.10s (%s)  %s\n", date, incident_todo[i].within, incident_todo[i].what);
    }
}

void incident_print(const IncidentStory *story)
{
    IncidentSummary summary;

    incident_summarize(story, &summary);
    incident_print_initial(story->incident);
    incident_print_state(story, &summary);
    incident_print_resolution(story, &summary);
    incident_print_timeline(story);
    incident_print_todo(story);
}

static void incident_seconds(Json *json, const char *key, bool is_known, TimeUs time)
{
    if (is_known) {
        json_double(json, key, (double)time / US_PER_S);
    } else {
        json_text(json, key, NULL);
    }
}

static void incident_head_to_json(const Incident *incident, Json *json)
{
    bool is_closed = incident->closed_at != TIME_US_NONE;

    json_text(json, "incident", incident->id);
    json_text(json, "what", incident->text);
    json_text(json, "severity", incident->severity);
    json_bool(json, "is_closed", is_closed);
    json_time(json, "began_time", incident->began);
    json_time(json, "opened_time", incident->opened_at);
    json_time(json, "closed_time", incident->closed_at);
    json_text(json, "cause", is_closed ? incident->cause : NULL);
    incident_seconds(json, "lasted_s", is_closed, incident->closed_at - incident->began);
}

static void entry_to_json(const LedgerEntry *entry, Json *json)
{
    RestoreMeasure measure;

    json_begin_object(json, NULL);
    json_text(json, "operation", entry->operation);
    json_u64(json, "status", entry->status);
    json_time(json, "started_time", entry->started);
    json_time(json, "finished_time", entry->finished);
    json_double(json, "elapsed_s", (double)(entry->finished - entry->started) / US_PER_S);
    json_text(json, "host", entry->host);
    json_text(json, "backup", record_find(&entry->record, "backup"));
    json_text(json, "target", record_find(&entry->record, "target"));
    json_text(json, "message", record_find(&entry->record, "error"));
    json_begin_object(json, "phases");
    for (int phase = 0; restore_measure_get(&entry->record, &measure) && phase < PHASE_COUNT;
         phase++) {
        CLEANUP(text_freep) char *key = text_format("%s_s", restore_phase_key((RestorePhase)phase));
        if (measure.phases[phase] != TIME_US_NONE)
            json_double(json, key, (double)measure.phases[phase] / US_PER_S);
    }
    json_end_object(json);
    json_end_object(json);
}

static void summary_to_json(const IncidentStory *story, const IncidentSummary *summary, Json *json)
{
    TimeUs began = story->incident->began;
    bool is_restored = summary->restored != NULL;

    json_u64(json, "restores", summary->restores);
    json_u64(json, "failed_restores", summary->failures);
    json_time(json, "restored_time", is_restored ? summary->ended_at : TIME_US_NONE);
    incident_seconds(json, "rto_s", is_restored, is_restored ? summary->ended_at - began : 0);
    incident_seconds(json, "rto_objective_s", true, story->rto);
    json_time(json, "last_commit_time", summary->last_commit);
    json_time(json, "first_left_out_time", summary->first_left_out);
    incident_seconds(json, "rpo_s", summary->last_commit != TIME_US_NONE,
                     began > summary->last_commit ? began - summary->last_commit : 0);
    json_u64(json, "commits_elsewhere", summary->left_elsewhere);
    if (summary->is_counted) {
        json_u64(json, "commits_lost", summary->lost);
    } else {
        json_text(json, "commits_lost", NULL);
    }
    json_time(json, "last_commit_lost_time", summary->lost_last);
}

void incident_to_json(const IncidentStory *story, Json *json)
{
    const Incident *incident = story->incident;
    IncidentSummary summary;

    incident_summarize(story, &summary);
    json_begin_object(json, NULL);
    incident_head_to_json(incident, json);
    summary_to_json(story, &summary, json);
    json_begin_array(json, "notes");
    for (size_t i = 0; i < incident->count; i++) {
        json_begin_object(json, NULL);
        json_text(json, "event", incident_event_name(incident->notes[i].kind));
        json_time(json, "time", incident->notes[i].at);
        json_text(json, "what", incident->notes[i].text);
        json_text(json, "host", incident->notes[i].host);
        json_end_object(json);
    }
    json_end_array(json);
    json_begin_array(json, "operations");
    for (size_t i = story->ledger->count; i-- > 0;) {
        if (incident_has_entry(story, &story->ledger->items[i]))
            entry_to_json(&story->ledger->items[i], json);
    }
    json_end_array(json);
    json_begin_array(json, "to_do");
    for (size_t i = 0; i < ARRAY_SIZE(incident_todo); i++) {
        json_begin_object(json, NULL);
        json_time(json, "due_time", todo_due(story, i));
        json_text(json, "what", incident_todo[i].what);
        json_end_object(json);
    }
    json_end_array(json);
    json_end_object(json);
}

void incidents_print(const IncidentList *list, TimeUs now)
{
    char time[TIME_TEXT_SIZE], span[OUT_TEXT_SIZE];

    if (list->count == 0)
        out_print("no incident was opened\n");
    for (size_t i = 0; i < list->count; i++) {
        const Incident *incident = &list->items[i];
        bool is_open = incident->closed_at == TIME_US_NONE;

        out_print("%s  %s  began %s, %s %s  %s\n", incident->id, incident->severity,
                  time_text_local(incident->began, time), is_open ? "open for" : "closed after",
                  out_duration((is_open ? now : incident->closed_at) - incident->began, span),
                  incident->text);
    }
}

void incidents_to_json(const IncidentList *list, Json *json)
{
    json_begin_object(json, NULL);
    json_begin_array(json, "incidents");
    for (size_t i = 0; i < list->count; i++) {
        json_begin_object(json, NULL);
        incident_head_to_json(&list->items[i], json);
        json_end_object(json);
    }
    json_end_array(json);
    json_end_object(json);
}
