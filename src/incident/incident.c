#include "answer/incident_tell.h"
#include "incident/incident_commands.h"
#include "pack/manifest.h"
#include "setup/repository.h"

/* A note of somebody's words, now. */
static bool incident_text(const Options *options, const char *what, Error *err)
{
    if (options->incident_text != NULL)
        return true;
    error_set(err, ERR_USAGE, "incident %s needs %s", options->incident_action, what);
    return error_hint(err, "as in `pgcairn incident %s \"...\"`", options->incident_action);
}

static bool incident_show(const Options *options, const Cluster *cluster, const Incident *incident,
                          Error *err)
{
    CLEANUP(ledger_done) Ledger ledger = {0};
    CLEANUP(json_done) Json json = {0};
    const IncidentStory story = {.incident = incident,
                                 .ledger = &ledger,
                                 .now = time_now(),
                                 .rto = (TimeUs)options->rto_ms * 1000};

    if (!ledger_load(&ledger, cluster, &(LedgerRequest){.since = incident->began}, err))
        return false;
    if (options->json) {
        incident_to_json(&story, &json);
        return json_print(&json, err);
    }
    incident_print(&story);
    return out_flush(err);
}

/* As it stands in the repository now. */
static bool incident_show_again(const Options *options, const Cluster *cluster, const char *id,
                                Error *err)
{
    CLEANUP(incident_list_done) IncidentList list = {0};
    const Incident *incident;

    return incident_list_load(&list, cluster, err) &&
           incident_choose(&list, id, false, &incident, err) &&
           incident_show(options, cluster, incident, err);
}

static bool incident_began(const Options *options, TimeUs now, TimeUs *began, Error *err)
{
    *began = now;
    if (options->began != NULL && !time_parse(options->began, began, err))
        return error_context(err, "--began");
    if (*began > now)
        return error_set(err, ERR_USAGE, "--began=%s is still to come", options->began);
    return true;
}

static bool incident_open(const Options *options, const Cluster *cluster, Error *err)
{
    IncidentNote note = {.kind = INCIDENT_OPEN,
                         .at = time_now(),
                         .text = options->incident_text,
                         .severity = options->severity};

    return incident_text(options, "what happens", err) &&
           incident_began(options, note.at, &note.began, err) && backup_id_new(note.id, err) &&
           incident_note_store(cluster, &note, err) &&
           incident_show_again(options, cluster, note.id, err);
}

/* Onto one that is open. */
static bool incident_add(const Options *options, const Cluster *cluster, IncidentEventKind kind,
                         Error *err)
{
    CLEANUP(incident_list_done) IncidentList list = {0};
    const Incident *incident;
    IncidentNote note = {.kind = kind,
                         .at = time_now(),
                         .text = options->incident_text,
                         .severity = "",
                         .began = TIME_US_NONE};

    if (!incident_text(options, kind == INCIDENT_CLOSE ? "its cause" : "what is new", err) ||
        !incident_list_load(&list, cluster, err) ||
        !incident_choose(&list, options->incident_id, true, &incident, err))
        return false;
    memcpy(note.id, incident->id, sizeof note.id);
    return incident_note_store(cluster, &note, err) &&
           incident_show_again(options, cluster, note.id, err);
}

static bool incident_list(const Options *options, const Cluster *cluster, Error *err)
{
    CLEANUP(incident_list_done) IncidentList list = {0};
    CLEANUP(json_done) Json json = {0};

    if (!incident_list_load(&list, cluster, err))
        return false;
    if (options->json) {
        incidents_to_json(&list, &json);
        return json_print(&json, err);
    }
    incidents_print(&list, time_now());
    return out_flush(err);
}

bool command_incident(const Options *options, Error *err)
{
    CLEANUP(repo_done) Repo repo = {0};
    Cluster cluster;
    const char *action = options->incident_action;

    if (!repository_open(options, REPOSITORY_FOR_ANSWER, &repo, &cluster, err))
        return false;
    if (strcmp(action, "open") == 0)
        return incident_open(options, &cluster, err);
    if (strcmp(action, "update") == 0)
        return incident_add(options, &cluster, INCIDENT_UPDATE, err);
    if (strcmp(action, "close") == 0)
        return incident_add(options, &cluster, INCIDENT_CLOSE, err);
    if (strcmp(action, "list") == 0)
        return incident_list(options, &cluster, err);
    return incident_show_again(
        options, &cluster,
        options->incident_id != NULL ? options->incident_id : options->incident_text, err);
}
