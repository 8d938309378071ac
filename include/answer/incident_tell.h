/*
 * incident_tell.h - an incident in the form of a runbook's updates: initial, status, resolution;
 * the timeline of what people noted and what pgcairn did; what is left to do, with dates.
 */
#pragma once

#include "cli/output.h"
#include "ledger/incident_record.h"
#include "ledger/ledger.h"

/* What the record says. Plain data. */
typedef struct IncidentStory {
    const Incident *incident;
    const Ledger *ledger; /* what ended since it began, the newest first */
    TimeUs now;
    TimeUs rto; /* the objective */
} IncidentStory;

/* What came of it so far, from the journal alone. */
typedef struct IncidentSummary {
    size_t restores, failures;   /* that ended since it began */
    const LedgerEntry *restored; /* the last that was started and verified; NULL */
    TimeUs opened_at;            /* by `promote` or `watch`; TIME_US_NONE */
    TimeUs last_commit;          /* the last one that it kept; TIME_US_NONE: not known */
    TimeUs first_left_out;       /* the first commit that is not in it; TIME_US_NONE: none known */
    bool is_counted;             /* what is not in it was counted once it was open: what follows */
    uint64_t lost;               /* commits that the archive has and it has not */
    TimeUs lost_last;            /* the latest of them; TIME_US_NONE */
    uint64_t left_elsewhere;     /* commits on other branches and in the old directory */
    TimeUs ended_at;             /* when that restore had ended, or the incident was closed */
} IncidentSummary;

/* Pure. */
void incident_summarize(const IncidentStory *story, IncidentSummary *summary);

void incident_print(const IncidentStory *story);
void incident_to_json(const IncidentStory *story, Json *json);
void incidents_print(const IncidentList *list, TimeUs now);
void incidents_to_json(const IncidentList *list, Json *json);
