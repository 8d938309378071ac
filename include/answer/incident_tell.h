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
    const Ledger *ledger; /* It has what ended since the incident began, the newest first. */
    TimeUs now;
    TimeUs rto; /* It is the objective. */
} IncidentStory;

/* What came of it so far, from the journal alone. */
typedef struct IncidentSummary {
    size_t restores, failures; /* They count what ended since the incident began. */
    /* It is the last restore that was started and verified, or NULL. */
    const LedgerEntry *restored;
    /* `promote` or `watch` opened the cluster then. TIME_US_NONE means that neither did. */
    TimeUs opened_at;
    /* It is the last commit that the cluster kept. TIME_US_NONE means that it is not known. */
    TimeUs last_commit;
    /* It is the first commit that the cluster lacks. TIME_US_NONE means that none is known. */
    TimeUs first_left_out;
    /* What the cluster lacks was counted once it was open. The next three fields are valid. */
    bool is_counted;
    uint64_t lost;           /* The archive has this many commits that the cluster lacks. */
    TimeUs lost_last;        /* It is the time of the latest of them, or TIME_US_NONE. */
    uint64_t left_elsewhere; /* This many commits are on other branches or in the old directory. */
    TimeUs ended_at;         /* That restore had ended, or the incident was closed, at this time. */
} IncidentSummary;

/* Pure. */
void incident_summarize(const IncidentStory *story, IncidentSummary *summary);

void incident_print(const IncidentStory *story);
void incident_to_json(const IncidentStory *story, Json *json);
void incidents_print(const IncidentList *list, TimeUs now);
void incidents_to_json(const IncidentList *list, Json *json);
