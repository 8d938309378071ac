#include "look.h"

#include "base/file.h"

#include <inttypes.h>

enum {
    /* How often the server may take away what was just to be read: it was archived meanwhile. */
    ROUNDS_MAX = 4,
    HISTORY_SIZE_MAX = 4 << 20,
};

static const uint64_t read_here_max = UINT64_C(1) << 30;
static const uint64_t read_there_max = UINT64_C(64) << 20;

/* One look in progress. */
typedef struct Look {
    Health *health;
    Session *session; /* NULL: the server does not answer */
    WalFiles files;
    Arena *arena;
} Look;

static void look_done(Look *look)
{
    session_freep(&look->session);
}

/* ---- the repository ---- */

static bool open_repository(const HealthWish *wish, Health *health, Error *err)
{
    Storage *storage = storage_open(wish->repo, err);

    return storage != NULL && repo_open(&health->repo, storage, err) &&
           cluster_open(&health->repo, wish->cluster, &health->cluster, err);
}

/* Takes the place of what was listed before. */
static bool list_archive(Health *health, Error *err)
{
    BackupList backups = {0};
    WalInventory wal = {0};

    if (!wal_inventory_load(&wal, &health->cluster, err))
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
    if (is_final(attempt)) {
        *err = *attempt;
        return false;
    }
    health->has_repository = false;
    health->no_repository = *attempt;
    return true;
}

/* Without the repository the cluster is what the server says that it is. */
static void cluster_of_server(Health *health, const char *name)
{
    const ServerLook *server = &health->server;

    health->cluster = (Cluster){.system_identifier = server->system_identifier,
                                .major = server->major,
                                .wal_segment_size = server->wal_segment_size};
    (void)snprintf(health->cluster.name, sizeof health->cluster.name, "%s", name);
}

/* ---- the server's timeline path ---- */

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

static bool find_path(Look *look, TimelinePath *path, Error *err)
{
    const Health *health = look->health;
    uint32_t timeline = health->server.timeline;
    const char *history = NULL;
    Error attempt = {0};

    if (timeline == 1)
        return timeline_path_parse(1, NULL, look->arena, path, err);
    if (history_of_server(look, timeline, &history, &attempt) && history != NULL)
        return timeline_path_parse(timeline, history, look->arena, path, err);
    if (is_final(&attempt)) {
        *err = attempt;
        return false;
    }
    if (health->has_repository)
        return timeline_path_load(&health->cluster, timeline, look->arena, path, err);
    return error_set(err, ERR_NOT_FOUND, "the history of timeline %" PRIu32 " can't be read",
                     timeline);
}

/* ---- the exposure ---- */

static bool exposure_unknown(Exposure *exposure, const char *reason)
{
    *exposure = (Exposure){.state = EXPOSURE_UNKNOWN, .since = TIME_US_NONE};
    (void)snprintf(exposure->reason, sizeof exposure->reason, "%.*s",
                   (int)sizeof exposure->reason - 1, reason);
    return true;
}

/* Nothing behind the archive's end can be seen: what is missing is younger than what is there. */
static void bound_exposure(const Look *look, const char *reason, Exposure *exposure)
{
    const ArchiveEnd *end = &look->health->end;

    exposure_unknown(exposure, reason);
    if (!look->health->has_repository || end->older_than == TIME_US_NONE)
        return;
    exposure->state = EXPOSURE_AT_MOST;
    exposure->since = end->older_than;
}

static void take_commit(const Look *look, const CommitFound *found, Exposure *exposure)
{
    uint32_t segment_size = look->health->cluster.wal_segment_size;
    WalName name = {.kind = WAL_SEGMENT,
                    .timeline = found->timeline,
                    .segment = wal_segment_of(found->commit.lsn, segment_size)};

    exposure->state = EXPOSURE_KNOWN;
    exposure->since = found->commit.time;
    exposure->lsn = found->commit.lsn;
    exposure->xid = found->commit.xid;
    wal_name_text(&name, segment_size, exposure->segment);
}

/*
 * No record at all behind what is in the archive. A segment's first record begins behind the header
 * of its first page, and others at multiples of 8.
 */
static bool nothing_behind(const Look *look, const CommitSearch *search)
{
    const ServerLook *server = &look->health->server;
    bool at_begin = search->read_from % look->health->cluster.wal_segment_size == 0;

    return server->answers && server->insert != 0 &&
           (server->insert <= ((search->durable + 7) & ~(Lsn)7) ||
            (at_begin && server->insert <= search->read_from + WAL_SEGMENT_HEADER_SIZE));
}

/*
 * Connected is not yet hearing: a connection that is cut without a word looks alive for
 * wal_receiver_timeout, or for ever without one. *again: it was told of WAL that comes any moment.
 */
static bool none_on_streaming(const Look *look, Exposure *exposure, bool *again)
{
    static const TimeUs quiet = 60000000; /* it asks its primary after half of 60 s by default */
    const ServerLook *server = &look->health->server;
    CLEANUP(text_freep) char *reason = NULL;
    char lsn[LSN_TEXT_SIZE];

    if (server->told > server->insert) {
        reason = text_format("this standby knows of WAL up to %s, and has not received it yet",
                             lsn_text(server->told, lsn));
        bound_exposure(look, reason, exposure);
        *again = true;
    } else if (server->heard_at != TIME_US_NONE && server->now - server->heard_at > quiet) {
        exposure_unknown(exposure, "this standby has heard nothing from its primary since then");
        exposure->state = EXPOSURE_AT_MOST;
        exposure->since = server->heard_at;
    } else {
        exposure->state = EXPOSURE_NONE;
    }
    return true;
}

static bool none_on_standby(const Look *look, const CommitFound *found, Exposure *exposure,
                            bool *again)
{
    const ServerLook *server = &look->health->server;
    CLEANUP(text_freep) char *reason = NULL;
    char lsn[LSN_TEXT_SIZE];

    if (!server->in_recovery) {
        exposure->state = EXPOSURE_NONE;
        return true;
    }
    if (server->answers && server->is_streaming)
        return none_on_streaming(look, exposure, again);
    reason = text_format("this server is a standby and hears nothing from its primary: up to %s "
                         "all is archived, and what was committed since it can't tell",
                         lsn_text(found->seen_to != 0 ? found->seen_to : server->insert, lsn));
    return exposure_unknown(exposure, reason);
}

/* *again: the server took away what was to be read, since it was archived meanwhile. */
static bool search_behind(Look *look, const CommitSearch *search, Exposure *exposure, bool *again,
                          Error *err)
{
    CommitFound found = {0};
    Error attempt = {0};

    *again = false;
    if (nothing_behind(look, search))
        return none_on_standby(look, &found, exposure, again);
    bool ok = commit_search(search, &found, &attempt);
    if (!ok && is_final(&attempt)) {
        *err = attempt;
        return false;
    }
    if (ok && found.is_found) {
        take_commit(look, &found, exposure);
    } else if (ok && found.is_complete) {
        return none_on_standby(look, &found, exposure, again);
    } else {
        *again = ok;
        bound_exposure(look, ok ? found.reason : attempt.message, exposure);
    }
    return true;
}

static CommitSearch search_of(Look *look)
{
    const ServerLook *server = &look->health->server;

    return (CommitSearch){
        .cluster = &look->health->cluster,
        .path = &look->health->path,
        .read = wal_files_read,
        .context = &look->files,
        .flushed = server->answers ? server->flushed : 0,
        .checkpoint = server->data != NULL ? server->control.checkpoint : 0,
        .directory = look->files.directory,
        .bytes_max = look->files.directory != NULL ? read_here_max : read_there_max,
    };
}

/* The oldest segment of the path that pg_wal has, of those without a gap up to `behind`. */
static uint64_t oldest_in_wal(const Look *look, uint64_t behind)
{
    uint32_t segment_size = look->health->cluster.wal_segment_size;
    uint64_t oldest = behind;

    while (oldest > 0 && look->files.directory != NULL) {
        uint64_t segment = oldest - 1;
        WalName name = {.kind = WAL_SEGMENT,
                        .timeline =
                            path_timeline_of_segment(&look->health->path, segment, segment_size),
                        .segment = segment};
        char text[WAL_NAME_SIZE];
        CLEANUP(text_freep)
        char *path =
            text_format("%s/%s", look->files.directory, wal_name_text(&name, segment_size, text));

        if (!file_exists(path))
            break;
        oldest = segment;
    }
    return oldest;
}

/* Nothing was ever archived: all that the server holds is exposed, not only what WAL shows. */
static bool expose_everything(Look *look, Exposure *exposure, Error *err)
{
    const ServerLook *server = &look->health->server;
    uint32_t segment_size = look->health->cluster.wal_segment_size;
    Lsn end = server->answers ? server->flushed : server->control.redo;
    CommitSearch search = search_of(look);
    CommitFound found = {0};
    Error ignored = {0}; /* the age is an extra */

    exposure->state = EXPOSURE_EVERYTHING;
    if (end == 0 || look->files.directory == NULL)
        return true;
    search.durable =
        wal_segment_start(oldest_in_wal(look, wal_segment_before(end, segment_size)), segment_size);
    search.read_from = search.durable;
    if (commit_search(&search, &found, &ignored) && found.is_found) {
        take_commit(look, &found, exposure);
        exposure->state = EXPOSURE_EVERYTHING;
    } else if (is_final(&ignored)) {
        *err = ignored;
        return false;
    }
    return true;
}

/* It may have gone away meanwhile: then that is the fact. */
static bool ask_again(Look *look, Error *err)
{
    ServerLook *server = &look->health->server;
    Error attempt = {0};

    if (look->session == NULL || server_look_again(look->session, look->arena, server, &attempt))
        return true;
    if (is_final(&attempt)) {
        *err = attempt;
        return false;
    }
    session_freep(&look->session);
    look->files.session = NULL;
    server->answers = false;
    server->no_answer = arena_text(look->arena, attempt.message);
    return true;
}

/*
 * The archive can be ahead of what the server had written when it was asked: then it is asked
 * again. It can't stay ahead, unless the archive is not (only) this server's: a second server on
 * the same timeline, or a data directory that was set back.
 */
static bool check_ahead(Look *look, bool *is_ahead, Error *err)
{
    const ServerLook *server = &look->health->server;
    Lsn durable = look->health->end.durable;

    *is_ahead = false;
    if (!server->answers || server->in_recovery || server->insert >= durable)
        return true;
    if (!ask_again(look, err))
        return false;
    *is_ahead = server->answers && server->insert < durable;
    return true;
}

/* Against what the archive holds. */
static bool measure(Look *look, Exposure *exposure, bool *again, Error *err)
{
    const ArchiveEnd *end = &look->health->end;
    CommitSearch search = search_of(look);

    *again = false;
    if (end->is_empty)
        return expose_everything(look, exposure, err);
    if (!check_ahead(look, &look->health->is_ahead, err))
        return false;
    if (look->health->is_ahead)
        return exposure_unknown(exposure, "the archive holds WAL that this server has not written");
    search.durable = end->durable;
    search.read_from = end->read_from;
    search.stored = end->stored;
    return search_behind(look, &search, exposure, again, err);
}

/*
 * The repository can't be asked. What the server itself has not marked as archived is exposed for
 * sure, as far as anybody here can know; what it has marked we can't vouch for.
 */
static bool measure_by_archiver(Look *look, Exposure *exposure, Error *err)
{
    const Health *health = look->health;
    uint32_t segment_size = health->cluster.wal_segment_size;
    CommitSearch search = search_of(look);
    bool again;

    exposure->by_archiver = true;
    if (health->pile.is_known && health->pile.count > 0) {
        search.durable = wal_segment_start(health->pile.oldest_name.segment, segment_size);
    } else if (health->pile.is_known && health->server.answers && health->server.flushed != 0) {
        search.durable = wal_segment_start(wal_segment_before(health->server.flushed, segment_size),
                                           segment_size);
    } else {
        return exposure_unknown(exposure, "neither the repository nor the server can be asked");
    }
    search.read_from = search.durable;
    if (!search_behind(look, &search, exposure, &again, err))
        return false;
    exposure->by_archiver = true;
    return true;
}

/* Path and archive's end for what the server and the listing say now. */
static bool find_end(Look *look, Exposure *exposure, Error *err)
{
    Health *health = look->health;
    Error attempt = {0};

    health->has_end = find_path(look, &health->path, &attempt) &&
                      (!health->has_repository ||
                       archive_end_find(&health->cluster, &health->wal, &health->backups,
                                        &health->path, &health->end, &attempt));
    if (health->has_end)
        return true;
    if (is_final(&attempt)) {
        *err = attempt;
        return false;
    }
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
        if (round > 0 && !ask_again(look, err))
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
        if (health->has_repository ? !measure(look, exposure, &again, err)
                                   : !measure_by_archiver(look, exposure, err))
            return false;
    }
    exposure->at = server_look_now(server);
    exposure_set_age(exposure);
    return true;
}

/* ---- all of it ---- */

static bool check_identity(const Health *health, Error *err)
{
    const ServerLook *server = &health->server;

    if (!server->is_known || !health->has_repository)
        return true;
    return cluster_check(&health->cluster, server->system_identifier, server->major, "the server",
                         err);
}

bool health_look(const HealthWish *wish, Health *health, Error *err)
{
    CLEANUP(look_done) Look look = {.health = health, .arena = &health->arena};
    Error attempt = {0};

    *health = (Health){.name = wish->cluster, .rpo = wish->rpo, .has_repository = true};
    if (!server_look(wish, look.arena, &health->server, &look.session, err))
        return false;
    look.files.session = look.session;
    if (health->server.data != NULL)
        look.files.directory = arena_format(look.arena, "%s/pg_wal", health->server.data);
    if (!note_repository(health, open_repository(wish, health, &attempt), &attempt, err) ||
        !check_identity(health, err))
        return false;
    if (!health->has_repository)
        cluster_of_server(health, wish->cluster);
    if (!ready_pile_look(&health->server, look.session, look.arena, &health->pile, err) ||
        !measure_exposure(&look, err))
        return false;
    if (health->has_repository) {
        bool ok = window_list_load(&health->windows, &health->cluster, &health->wal,
                                   &health->backups, &attempt);
        if (!note_repository(health, ok, &attempt, err))
            return false;
    }
    health->now = server_look_now(&health->server);
    return true;
}

void health_done(Health *health)
{
    window_list_done(&health->windows);
    backup_list_done(&health->backups);
    wal_inventory_done(&health->wal);
    repo_done(&health->repo);
    arena_done(&health->arena);
}
