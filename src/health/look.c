#include "look.h"

#include "base/file.h"

#include <inttypes.h>

enum {
    /*
     * The server may remove what was about to be read this often, because it was archived
     * meanwhile.
     */
    ROUNDS_MAX = 4,
    HISTORY_SIZE_MAX = 4 << 20,
};

static void look_done(Look *look)
{
    session_freep(&look->session);
}

/* Takes the place of what was listed before. */
static bool list_archive(Health *health, Error *err)
{
    BackupList backups = {0};
    WalInventory wal = {0};

    if (!wal_inventory_load_remembered(&wal, &health->cluster, err))
        return false;
    wal_inventory_done(&health->wal);
    health->wal = wal;
    if (!backup_list_load(&backups, &health->cluster, &health->wal, err))
        return false;
    backup_list_done(&health->backups);
    health->backups = backups;
    return true;
}

/* True when it worked, or when that it did not is a fact. */
static bool note_repository(Health *health, bool ok, const Error *attempt, Error *err)
{
    if (ok)
        return true;
    if (is_final(attempt))
        return error_pass(err, attempt);
    health->has_repository = false;
    health->no_repository = *attempt;
    return true;
}

/* Without the repository the cluster is what the server says that it is. */
static void cluster_of_server(Health *health)
{
    const ServerLook *server = &health->server;

    health->cluster = (Cluster){.system_identifier = server->system_identifier,
                                .major = server->major,
                                .wal_segment_size = server->wal_segment_size};
    (void)snprintf(health->cluster.name, sizeof health->cluster.name, "%s", health->name);
}

/* The server has the history file itself, whether or not it is in the archive. */
static bool history_of_server(Look *look, uint32_t timeline, const char **history, Error *err)
{
    CLEANUP(buffer_done) Buffer text = {0};
    char name[WAL_NAME_SIZE];
    bool is_there;

    wal_name_text(&(WalName){.kind = WAL_HISTORY, .timeline = timeline},
                  look->health->cluster.wal_segment_size, name);
    if (!wal_files_read(&look->files, name, 0, HISTORY_SIZE_MAX, &text, &is_there, err))
        return false;
    *history = is_there && memchr(text.data, '\0', text.size) == NULL
                   ? arena_text_part(look->arena, (const char *)text.data, text.size)
                   : NULL;
    return true;
}

static bool look_find_path(Look *look, TimelinePath *path, Error *err)
{
    const Health *health = look->health;
    uint32_t timeline = health->server.timeline;
    const char *history = NULL;
    Error attempt = {0};

    if (timeline == 1)
        return timeline_path_parse(1, NULL, look->arena, path, err);
    if (history_of_server(look, timeline, &history, &attempt) && history != NULL)
        return timeline_path_parse(timeline, history, look->arena, path, err);
    if (is_final(&attempt))
        return error_pass(err, &attempt);
    if (health->has_repository)
        return timeline_path_load(&health->cluster, timeline, look->arena, path, err);
    return error_set(err, ERR_NOT_FOUND, "the history of timeline %" PRIu32 " can't be read",
                     timeline);
}

/* Path and archive's end for what the server and the listing say now. */
static bool find_end(Look *look, Exposure *exposure, Error *err)
{
    Health *health = look->health;
    Error attempt = {0};

    health->has_end = look_find_path(look, &health->path, &attempt) &&
                      (!health->has_repository ||
                       archive_end_find(&health->cluster, &health->wal, &health->backups,
                                        &health->path, &health->end, &attempt));
    if (health->has_end)
        return true;
    if (is_final(&attempt))
        return error_pass(err, &attempt);
    return exposure_unknown(exposure, attempt.message);
}

/*
 * The server is asked first, then the archive is listed, then pg_wal is read: so what was flushed
 * when it was asked is seen in one of both, and what is seen in neither was taken away in between,
 * because it was archived. Then all is looked at again.
 */
static bool measure_exposure(Look *look, Error *err)
{
    Health *health = look->health;
    ServerLook *server = &health->server;
    Exposure *exposure = &health->exposure;
    bool again = true;

    for (int round = 0; again && round < ROUNDS_MAX; round++) {
        Error attempt = {0};

        again = false;
        if (round > 0 && !look_ask_again(look, err))
            return false;
        if (health->has_repository &&
            !note_repository(health, list_archive(health, &attempt), &attempt, err))
            return false;
        exposure_unknown(exposure, server->no_answer);
        if (!server->answers && server->data == NULL)
            break;
        *exposure->reason = '\0';
        if (!find_end(look, exposure, err))
            return false;
        again =
            !health->has_end; /* what was listed can be gone by now: pieces of a whole segment */
        if (again)
            continue;
        if (health->has_repository ? !measure_by_archive(look, exposure, &again, err)
                                   : !measure_by_archiver(look, exposure, err))
            return false;
    }
    exposure->at = server_look_now(server);
    exposure_set_age(exposure);
    return true;
}

static bool take_cluster(const HealthRequest *request, Health *health, Error *err)
{
    if (!note_repository(health, request->cluster != NULL, request->no_cluster, err))
        return false;
    if (health->has_repository) {
        health->cluster = *request->cluster;
    } else {
        cluster_of_server(health);
    }
    return true;
}

static bool health_check_identity(const Health *health, Error *err)
{
    const ServerLook *server = &health->server;

    if (!server->is_known || !health->has_repository)
        return true;
    return cluster_check(&health->cluster, server->system_identifier, server->major, "the server",
                         err);
}

bool health_look(const HealthRequest *request, Health *health, Error *err)
{
    CLEANUP(look_done) Look look = {.health = health, .arena = &health->arena};
    Error attempt = {0};

    *health = (Health){.name = request->name,
                       .rpo = request->rpo,
                       .backup_age = request->backup_age,
                       .rto = request->rto,
                       .has_repository = true};
    if (!server_look(request, look.arena, &health->server, &look.session, err))
        return false;
    look.files.session = look.session;
    if (health->server.data != NULL)
        look.files.directory = arena_format(look.arena, "%s/pg_wal", health->server.data);
    if (!take_cluster(request, health, err) || !health_check_identity(health, err))
        return false;
    if (!ready_pile_look(&health->server, look.session, look.arena, &health->pile, err) ||
        !measure_exposure(&look, err) ||
        !archive_place_look(&request->store, health, look.arena, err))
        return false;
    health->now = server_look_now(&health->server);
    if (health->has_repository) {
        bool ok = window_list_load(&health->windows, &health->cluster, &health->wal,
                                   &health->backups, &attempt) &&
                  branches_look(health, &attempt) && room_look(health, look.arena, &attempt) &&
                  ledger_look(health, request, look.arena, &attempt);
        if (!note_repository(health, ok, &attempt, err))
            return false;
    }
    return true;
}

void health_done(Health *health)
{
    branch_list_done(&health->branches);
    window_list_done(&health->windows);
    backup_list_done(&health->backups);
    wal_inventory_done(&health->wal);
    arena_done(&health->arena);
}
