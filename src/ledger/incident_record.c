#include "ledger/incident_record.h"

#include "base/process.h"
#include "base/random.h"

#include <inttypes.h>

static const char record_kind_incident[] = "incident";

static const char *const event_names[] = {
    [INCIDENT_OPEN] = "open", [INCIDENT_UPDATE] = "update", [INCIDENT_CLOSE] = "close"};

const char *incident_event_name(IncidentEventKind kind)
{
    return event_names[kind];
}

/* "20261122T031512.123Z", so that a listing has them in the order of time. */
static void incident_stamp(TimeUs at, char stamp[TIME_TEXT_SIZE])
{
    char text[TIME_TEXT_SIZE];
    size_t length = 0;

    time_text(at, text);
    for (const char *from = text; *from != '\0'; from++) {
        if (*from != '-' && *from != ':')
            stamp[length++] = *from;
    }
    stamp[length] = '\0';
}

bool incident_note_store(const Cluster *cluster, const IncidentNote *note, Error *err)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};
    CLEANUP(text_freep) char *prefix = layout_incident_prefix(cluster->name);
    CLEANUP(text_freep) char *name = NULL;
    char stamp[TIME_TEXT_SIZE];
    uint64_t number;

    if (!random_u64(&number, err))
        return false;
    record_begin(&record, record_kind_incident, 1);
    record_text(&record, "incident", note->id);
    record_text(&record, "event", incident_event_name(note->kind));
    record_time(&record, "at", note->at);
    record_text(&record, "host", process_host_name());
    record_text(&record, "text", note->text);
    if (note->kind == INCIDENT_OPEN) {
        record_text(&record, "severity", note->severity);
        record_time(&record, "began", note->began);
    }
    incident_stamp(note->at, stamp);
    name = text_format("%s%s/%s-%s-%08" PRIx32, prefix, note->id, stamp,
                       incident_event_name(note->kind), (uint32_t)number);
    return record_store(&record, cluster->repo->storage, name, err);
}

static bool incident_event_of(const char *name, IncidentEventKind *kind)
{
    for (size_t i = 0; i < ARRAY_SIZE(event_names); i++) {
        if (strcmp(name, event_names[i]) != 0)
            continue;
        *kind = (IncidentEventKind)i;
        return true;
    }
    return false;
}

static bool incident_note_decode(const Record *record, IncidentNote *note, Arena *arena, Error *err)
{
    const char *event, *text, *host;
    const char *severity = record_find(record, "severity");

    if (!record_get_text(record, "event", &event, err) ||
        !record_get_text(record, "text", &text, err) ||
        !record_get_text(record, "host", &host, err) ||
        !record_get_time(record, "at", &note->at, err))
        return false;
    if (!incident_event_of(event, &note->kind))
        return error_set(err, ERR_VERSION, "an event of a kind that is not known: %s", event);
    note->text = arena_text(arena, text);
    note->host = arena_text(arena, host);
    note->severity = severity != NULL ? arena_text(arena, severity) : "";
    note->began = TIME_US_NONE;
    return note->kind != INCIDENT_OPEN || record_get_time(record, "began", &note->began, err);
}

static Incident *incident_find(const IncidentList *list, const char *id)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].id, id) == 0)
            return &list->items[i];
    }
    return NULL;
}

/* Notes come in the order of their names: of ids, then of time. */
static void incident_take(IncidentList *list, const IncidentNote *note, size_t most)
{
    Incident *incident = incident_find(list, note->id);

    if (incident == NULL && note->kind == INCIDENT_OPEN) {
        incident = &list->items[list->count++];
        *incident = (Incident){.text = note->text,
                               .severity = note->severity,
                               .began = note->began,
                               .opened_at = note->at,
                               .closed_at = TIME_US_NONE,
                               .cause = "",
                               .notes = arena_alloc(&list->arena, most * sizeof *note)};
        memcpy(incident->id, note->id, sizeof incident->id);
    }
    if (incident == NULL) {
        list->unreadable++; /* of one whose opening is not there */
        return;
    }
    if (note->kind == INCIDENT_CLOSE) {
        incident->closed_at = note->at;
        incident->cause = note->text;
    }
    incident->notes[incident->count++] = *note;
}

static bool incident_note_read(IncidentList *list, const Cluster *cluster, const char *object,
                               size_t most, Error *err)
{
    CLEANUP(record_done) Record record = {0};
    IncidentNote note = {.kind = INCIDENT_UPDATE};
    Error attempt = {0};

    if (!layout_incident_of(cluster->name, object, note.id))
        return true;
    if (record_load(cluster->repo->storage, object, record_kind_incident, 1, &record, &attempt) &&
        incident_note_decode(&record, &note, &list->arena, &attempt)) {
        incident_take(list, &note, most);
        return true;
    }
    if (attempt.code != ERR_CORRUPT && attempt.code != ERR_VERSION) {
        *err = attempt;
        return false;
    }
    list->unreadable++;
    return true;
}

bool incident_list_load(IncidentList *list, const Cluster *cluster, Error *err)
{
    CLEANUP(text_freep) char *prefix = layout_incident_prefix(cluster->name);
    CLEANUP(object_list_done) ObjectList objects = {0};

    if (!storage_list(cluster->repo->storage, prefix, &objects, err))
        return error_context(err, "list the incidents");
    list->items = arena_alloc(&list->arena, (objects.count + 1) * sizeof list->items[0]);
    for (size_t i = 0; i < objects.count; i++) {
        if (!incident_note_read(list, cluster, objects.objects[i].name, objects.count - i, err))
            return error_context(err, "read the incidents");
    }
    return true;
}

void incident_list_done(IncidentList *list)
{
    arena_done(&list->arena);
    *list = (IncidentList){0};
}

static bool incident_choose_open(const IncidentList *list, const Incident **chosen, Error *err)
{
    *chosen = NULL;
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].closed_at != TIME_US_NONE)
            continue;
        if (*chosen != NULL) {
            error_set(err, ERR_REFUSED, "several incidents are open");
            return error_hint(err, "`pgcairn incident list` shows them; say which with --id=ID");
        }
        *chosen = &list->items[i];
    }
    return true;
}

bool incident_choose(const IncidentList *list, const char *id, bool must_be_open,
                     const Incident **chosen, Error *err)
{
    if (id != NULL) {
        *chosen = incident_find(list, id);
        if (*chosen == NULL)
            error_set(err, ERR_NOT_FOUND, "there is no incident %s", id);
    } else if (!incident_choose_open(list, chosen, err)) {
        return false;
    } else if (*chosen == NULL && !must_be_open && list->count > 0) {
        *chosen = &list->items[list->count - 1];
    } else if (*chosen == NULL) {
        error_set(err, ERR_NOT_FOUND, "no incident is open");
    }
    if (*chosen == NULL)
        return error_hint(err, "`pgcairn incident list` shows those that there are");
    if (must_be_open && (*chosen)->closed_at != TIME_US_NONE) {
        error_set(err, ERR_REFUSED, "incident %s is closed", (*chosen)->id);
        return error_hint(err, "`pgcairn incident open \"...\"` opens a new one");
    }
    return true;
}
