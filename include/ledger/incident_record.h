/*
 * incident_record.h - incidents as they are kept in the repository: what people noted, as small
 * objects that are never changed. What pgcairn did meanwhile is in the journal.
 *
 * incident/ID/TIME-EVENT-RANDOM, docs/format.md, chapter 7.7.
 */
#pragma once

#include "repo/layout.h"
#include "repo/record.h"
#include "repo/repo.h"

typedef enum IncidentEventKind { INCIDENT_OPEN, INCIDENT_UPDATE, INCIDENT_CLOSE } IncidentEventKind;
const char *incident_event_name(IncidentEventKind kind); /* It returns, for example, "open". */

/* One note. Texts belong to the caller, or to the list that was loaded. */
typedef struct IncidentNote {
    char id[BACKUP_ID_SIZE]; /* It is the incident's id. */
    IncidentEventKind kind;
    TimeUs at;
    const char *text;     /* It says what happens. For CLOSE it is the cause. */
    const char *host;     /* The note was made on this host. */
    const char *severity; /* For OPEN it is, for example, "SEV1". Otherwise it is "". */
    TimeUs began;         /* For OPEN the incident began then. Otherwise it is TIME_US_NONE. */
} IncidentNote;

bool incident_note_store(const Cluster *cluster, const IncidentNote *note, Error *err) MUST_CHECK;

typedef struct Incident {
    char id[BACKUP_ID_SIZE];
    const char *text, *severity;
    TimeUs began, opened_at;
    TimeUs closed_at;  /* TIME_US_NONE means that it is open. */
    const char *cause; /* It may be "". */
    /* They are in the order of time. The note that opened the incident is among them. */
    IncidentNote *notes;
    size_t count;
} Incident;

typedef struct IncidentList {
    Incident *items; /* The oldest comes first. */
    size_t count;
    size_t unreadable; /* This many notes are damaged, or newer than this program. */
    Arena arena;
} IncidentList;

/* ERR_UNREACHABLE, ERR_IO. An incident whose opening can't be read is not in it. */
bool incident_list_load(IncidentList *list, const Cluster *cluster, Error *err) MUST_CHECK;
void incident_list_done(IncidentList *list); /* for CLEANUP() */

/*
 * The one that is meant: of this id; or, without one, the only one that is open; or, if none need
 * be open, the newest. ERR_NOT_FOUND; ERR_REFUSED when several are open.
 */
bool incident_choose(const IncidentList *list, const char *id, bool must_be_open,
                     const Incident **chosen, Error *err) MUST_CHECK;
