#include "look.h"

#include "base/file.h"

#include <inttypes.h>

static const uint64_t read_here_max = UINT64_C(1) << 30;
static const uint64_t read_there_max = UINT64_C(64) << 20;

bool exposure_unknown(Exposure *exposure, const char *reason)
{
    *exposure = (Exposure){.state = EXPOSURE_UNKNOWN, .since = TIME_US_NONE};
    (void)snprintf(exposure->reason, sizeof exposure->reason, "%.*s",
                   (int)sizeof exposure->reason - 1, reason);
    return true;
}

/* Nothing after the archive's end can be seen: what is missing is younger than what is there. */
static void bound_exposure(const Look *look, const char *reason, Exposure *exposure)
{
    const ArchiveEnd *end = &look->health->end;

    exposure_unknown(exposure, reason);
    if (!look->health->has_repository || look->health->fork.is_found ||
        end->older_than == TIME_US_NONE)
        return;
    exposure->state = EXPOSURE_AT_MOST;
    exposure->since = end->older_than;
}

static void exposure_take_commit(const Look *look, const CommitFound *found, Exposure *exposure)
{
    uint32_t segment_size = look->health->cluster.wal_segment_size;
    WalName name = {.kind = WAL_SEGMENT,
                    .timeline = found->timeline,
                    .segment = wal_segment_of(found->commit.lsn, segment_size)};

    exposure->state = EXPOSURE_KNOWN;
    exposure->kind = found->kind;
    exposure->since = found->commit.time;
    exposure->lsn = found->commit.lsn;
    exposure->xid = found->commit.xid;
    wal_name_text(&name, segment_size, exposure->segment);
}

/*
 * No record at all after what is in the archive. A segment's first record begins after the header
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
 * wal_receiver_timeout, or forever without one. *again: it was told of WAL that comes any moment.
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
    if (server->answers && server->is_hidden) {
        return exposure_unknown(exposure, "this server is a standby, and whether it hears from its "
                                          "primary only a role with pg_monitor may see");
    }
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
    look->seen_to = 0;
    if (nothing_behind(look, search))
        return none_on_standby(look, &found, exposure, again);
    bool ok = commit_search(search, &found, &attempt);
    look->seen_to = found.seen_to;
    if (!ok && is_final(&attempt))
        return error_pass(err, &attempt);
    if (ok && found.is_found) {
        exposure_take_commit(look, &found, exposure);
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
        exposure_take_commit(look, &found, exposure);
        exposure->state = EXPOSURE_EVERYTHING;
    } else if (is_final(&ignored)) {
        return error_pass(err, &ignored);
    }
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
    if (!look_ask_again(look, err))
        return false;
    *is_ahead = server->answers && server->insert < durable;
    return true;
}

/* Every look at pg_wal that is refused would be an error in the server's log. */
static bool may_read(const Look *look, bool *may, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *value = NULL;
    bool found;

    *may = look->files.directory != NULL;
    if (*may || look->session == NULL)
        return true;
    if (!session_row(look->session,
                     "SELECT has_function_privilege("
                     "'pg_read_binary_file(text, bigint, bigint, boolean)', 'execute')",
                     &arena, &value, 1, &found, err))
        return false;
    *may = found && value != NULL && strcmp(value, "t") == 0;
    return true;
}

/*
 * That the archive goes as far as the server does not mean that it is the server's. Where the path
 * itself is not the archive's the exposure begins at its fork anyway.
 */
static bool look_find_fork(Look *look, Error *err)
{
    Health *health = look->health;
    const ServerLook *server = &health->server;
    const WalForkSearch search = {
        .cluster = &health->cluster,
        .wal = &health->wal,
        .path = &health->path,
        .end = &health->end,
        .read = wal_files_read,
        .context = &look->files,
        .written = server->answers ? server->flushed : 0,
        .checkpoint = server->data != NULL ? server->control.checkpoint : 0,
        .waiting =
            health->pile.is_known && health->pile.count > 0 ? &health->pile.oldest_name : NULL,
        .waiting_fails = server->answers && archiver_is_failing(&server->archiver),
    };
    Error attempt = {0};
    bool may = false;

    health->fork = (WalFork){0};
    if (health->end.lost_history != 0 ||
        (may_read(look, &may, &attempt) &&
         (!may || wal_fork_find(&search, &health->fork, &attempt))))
        return true;
    health->fork = (WalFork){0};
    if (!is_final(&attempt))
        return true; /* what is gone by now, or can't be read: others tell */
    return error_pass(err, &attempt);
}

/* From the fork on nothing of the server's is in the archive. */
static bool measure_behind_fork(Look *look, CommitSearch *search, Exposure *exposure, bool *again,
                                Error *err)
{
    Health *health = look->health;
    WalFork *fork = &health->fork;

    if (fork->is_older) {
        return exposure_unknown(exposure, "this server's WAL differs from the archive's, beginning "
                                          "at a place that is no longer in pg_wal");
    }
    search->durable = fork->lsn;
    search->read_from = fork->read_from;
    search->stored = fork->stored;
    if (!search_behind(look, search, exposure, again, err))
        return false;
    /* The end of what a server that is down has written differs, too, from WAL that goes on. */
    if (!health->server.answers && exposure->state != EXPOSURE_KNOWN && look->seen_to <= fork->lsn)
        fork->is_found = false;
    return true;
}

bool measure_by_archive(Look *look, Exposure *exposure, bool *again, Error *err)
{
    const ArchiveEnd *end = &look->health->end;
    CommitSearch search = search_of(look);

    *again = false;
    if (end->is_empty)
        return expose_everything(look, exposure, err);
    if (!check_ahead(look, &look->health->is_ahead, err))
        return false;
    if (!look_find_fork(look, err))
        return false;
    if (look->health->fork.is_found)
        return measure_behind_fork(look, &search, exposure, again, err);
    if (look->health->is_ahead) {
        /* All that the server has is in the archive, as far as it could be seen. */
        exposure_unknown(exposure, "the archive holds WAL that this server has not written");
        if (look->health->fork.is_compared)
            *exposure = (Exposure){.state = EXPOSURE_NONE, .since = TIME_US_NONE};
        return true;
    }
    search.durable = end->durable;
    search.read_from = end->read_from;
    search.stored = end->stored;
    return search_behind(look, &search, exposure, again, err);
}

/*
 * The repository can't be asked. What the server itself has not marked as archived is exposed for
 * sure, as far as anybody here can know; what it has marked we can't vouch for.
 */
bool measure_by_archiver(Look *look, Exposure *exposure, Error *err)
{
    const Health *health = look->health;
    uint32_t segment_size = health->cluster.wal_segment_size;
    CommitSearch search = search_of(look);
    bool again;

    exposure->by_archiver = true;
    /* It marks nothing, and what receive has acknowledged may be in its spool. */
    if (health->server.answers && !health->server.archive.is_on) {
        return exposure_unknown(exposure, "the repository can't be asked, and the server itself "
                                          "archives nothing");
    }
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
