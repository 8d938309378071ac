#include "restore/restore.h"

#include "aftermath.h"
#include "base/log.h"
#include "cli/output.h"
#include "incident/incident_commands.h"
#include "push/push.h"
#include "restore_parts.h"
#include "setup/repository.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <unistd.h>

enum {
    NAME_MAX_BYTES = 63, /* It is MAXFNAMELEN - 1, xlog_internal.h. */
    FIRST_NORMAL_XID = 3,
};

static const char *absolute_path(const char *path, Arena *arena)
{
    char directory[PATH_MAX];

    if (path[0] == '/' || getcwd(directory, sizeof directory) == NULL)
        return path;
    return arena_format(arena, "%s/%s", directory, path);
}

static bool parse_number(const char *text, const char *option, uint64_t most, uint64_t *number,
                         Error *err)
{
    char *end;

    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value > most)
        return error_set(err, ERR_USAGE, "--%s=%s is not a valid number", option, text);
    *number = value;
    return true;
}

/* 64-bit numbers (txid_current(), pg_current_xact_id()) hold the epoch above the xid in WAL. */
static bool parse_xid(const char *text, uint32_t *xid, Error *err)
{
    uint64_t number;

    if (!parse_number(text, "target-xid", UINT64_MAX, &number, err))
        return false;
    *xid = (uint32_t)number;
    if (*xid < FIRST_NORMAL_XID)
        return error_set(err, ERR_USAGE, "--target-xid=%s is not a transaction id", text);
    return true;
}

static bool parse_target_name(const char *text, Target *target, Error *err)
{
    if (*text == '\0' || strlen(text) > NAME_MAX_BYTES) {
        return error_set(err, ERR_USAGE, "--target-name: a restore point has 1 to %d bytes",
                         NAME_MAX_BYTES);
    }
    target->name = text;
    return true;
}

bool restore_target_parse(const Options *options, Target *target, Error *err)
{
    *target = (Target){.kind = TARGET_LATEST, .is_exclusive = options->target_exclusive};
    if (options->target != NULL)
        target->kind = strcmp(options->target, "immediate") == 0 ? TARGET_IMMEDIATE : TARGET_LATEST;
    if (options->target_time != NULL) {
        target->kind = TARGET_TIME;
        return time_parse(options->target_time, &target->time, err);
    }
    if (options->target_lsn != NULL) {
        target->kind = TARGET_LSN;
        return lsn_parse(options->target_lsn, &target->lsn, err);
    }
    if (options->target_xid != NULL) {
        target->kind = TARGET_XID;
        return parse_xid(options->target_xid, &target->xid, err);
    }
    if (options->target_name != NULL) {
        target->kind = TARGET_NAME;
        return parse_target_name(options->target_name, target, err);
    }
    return true;
}

static TargetAction parse_action(const char *text)
{
    if (strcmp(text, "promote") == 0)
        return ACTION_PROMOTE;
    return strcmp(text, "shutdown") == 0 ? ACTION_SHUTDOWN : ACTION_PAUSE;
}

bool restore_timeline_parse(const char *text, uint32_t *timeline, Error *err)
{
    *timeline = 0;
    if (text == NULL || strcmp(text, "latest") == 0)
        return true;
    return timeline_parse(text, timeline, err) || error_context(err, "--target-timeline");
}

static bool parse_saved_timeline(const char *text, uint32_t *timeline, Error *err)
{
    uint64_t number = 0;

    if (text != NULL && !parse_number(text, "save-timeline", UINT32_MAX, &number, err))
        return error_hint(err, "the number of the timeline that the old directory is on");
    *timeline = (uint32_t)number;
    return true;
}

/* OID=PATH or OLDPATH=PATH; the new path is absolute, so the last "=/" is where it begins. */
static bool parse_moves(const Options *options, Arena *arena, RestoreRequest *request, Error *err)
{
    TablespaceMove *moves = arena_alloc(arena, (options->tablespace_count + 1) * sizeof *moves);

    for (size_t i = 0; i < options->tablespace_count; i++) {
        const char *text = options->tablespaces[i];
        const char *at = NULL;
        for (const char *next = strstr(text, "=/"); next != NULL; next = strstr(next + 1, "=/"))
            at = next;
        if (at == NULL || at == text) {
            error_set(err, ERR_USAGE, "--tablespace=%s", text);
            return error_hint(err, "OID=PATH or OLDPATH=PATH, with an absolute path");
        }
        moves[i].name = arena_text_part(arena, text, (size_t)(at - text));
        moves[i].path = at + 1;
    }
    request->moves = moves;
    request->move_count = options->tablespace_count;
    return true;
}

bool restore_tool_describe(const Options *options, Arena *arena, RestoreRequest *request,
                           Error *err)
{
    char self[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    const char **words = arena_alloc(arena, 4 * sizeof *words);
    size_t count = 0;

    if (size < 0)
        return error_set_errno(err, ERR_IO, errno, "find out where this program is");
    self[size] = '\0';
    request->tool = arena_text(arena, self);
    const char *repo =
        strstr(options->repo, "://") != NULL ? options->repo : absolute_path(options->repo, arena);
    words[count++] = arena_format(arena, "--repo=%s", repo);
    words[count++] = arena_format(arena, "--cluster=%s", options->cluster);
    if (options->config != NULL)
        words[count++] = arena_format(arena, "--config=%s", absolute_path(options->config, arena));
    request->tool_options = (const char *const *)words;
    return true;
}

static bool story_push_wal(void *context, const char *path, Error *err)
{
    const RestoreStory *story = context;
    PushRequest request = {.path = path, .threads = story->request->jobs};
    PushResult result = {0};

    if (!compression_parse("zstd", &request.compression, err) ||
        !archive_push(story->cluster, &request, &result, err))
        return false;
    text_freep(&result.aside);
    log_info("archived what only the old data directory had", log_str("file", path));
    return true;
}

/*
 * What is used after the old directory is gone, or written to meanwhile. The spools of other
 * commands are found by what is in them.
 */
static void list_needed(const Options *options, Arena *arena, RestoreRequest *request)
{
    const char *repo =
        strncmp(options->repo, "file://", 7) == 0 ? options->repo + 7 : options->repo;
    const NeededPlace places[] = {
        {"the repository", absolute_path(repo, arena)},
        {"the configuration file", absolute_path(options->config_file, arena)},
        {"this program", request->tool},
        {"the spool of archive-push", "/var/spool/pgcairn"},
        {"the server's log (--server-log)",
         options->server_log != NULL ? absolute_path(options->server_log, arena) : NULL},
        {"what this program's output goes to", "/proc/self/fd/1"},
        {"what this program's messages go to", "/proc/self/fd/2"},
    };
    NeededPlace *needed = arena_alloc(arena, ARRAY_SIZE(places) * sizeof *needed);

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        if (places[i].path != NULL)
            needed[request->needed_count++] = places[i];
    }
    request->needed = needed;
}

bool restore_make_request(const Options *options, Arena *arena, RestoreStory *story,
                          RestoreRequest *request, Error *err)
{
    *request = (RestoreRequest){
        .data = absolute_path(options->data, arena),
        .backup = options->backup,
        .believes_known = options->dry_run,
        .only_looks = options->dry_run,
        .discard_wal = options->discard_wal,
        .server_is_stopped = options->server_is_stopped,
        .no_wal_check = options->no_wal_check,
        .allows_damaged = options->allow_damaged,
        .as_copy = options->as_copy,
        .will_start = options->start,
        .port = (unsigned)options->port,
        .socket = options->socket != NULL ? absolute_path(options->socket, arena) : NULL,
        .jobs = (unsigned)options->jobs,
        .pg_bin = options->pg_bin,
        .only_databases = (const char *const *)options->only_databases,
        .only_database_count = options->only_database_count,
        .push = story_push_wal,
        .push_context = story,
    };
    if (options->move_aside)
        request->occupied = OCCUPIED_MOVE_ASIDE;
    if (options->force)
        request->occupied = OCCUPIED_FORCE;
    if (options->delta)
        request->occupied = OCCUPIED_DELTA;
    if (!restore_target_parse(options, &request->target, err) ||
        !restore_timeline_parse(options->target_timeline, &request->target_timeline, err) ||
        !parse_saved_timeline(options->save_timeline, &request->save_timeline, err) ||
        !parse_moves(options, arena, request, err) ||
        !restore_tool_describe(options, arena, request, err))
        return false;
    list_needed(options, arena, request);
    story->action = parse_action(options->target_action);
    /* Only a shutdown at the target can be verified: pg_control then says what was reached. */
    request->action = options->start ? ACTION_SHUTDOWN : story->action;
    /* Without a target nothing stops the server: it opens at the end of the archive. */
    if (request->target.kind == TARGET_LATEST)
        story->action = ACTION_PROMOTE;
    request->will_pause = story->action == ACTION_PAUSE;
    return true;
}

/*
 * All is checked: now, and before anything is changed, the old directory's WAL goes into the
 * archive. What could not be archived is kept with the old directory, or as a directory beside it.
 */
static bool save_wal(RestoreStory *story, Error *err)
{
    if (!restore_save_wal(story->cluster, story->request, &story->plan, &story->saved, err))
        return error_context(err, "save the WAL of %s", story->request->data);
    if (story->saved.unsaved > 0) {
        log_warn("WAL of the old data directory could not be archived: it is kept",
                 log_u64("files", story->saved.unsaved),
                 log_str("reason", story->saved.reason.message));
    }
    return true;
}

static bool make_plan(RestoreStory *story, Error *err)
{
    TimeUs begin = time_monotonic();

    if (!restore_plan(story->cluster, story->request, &story->plan, err) ||
        !restore_check_places(story, err) || !restore_check_log(story, err))
        return false;
    story->elapsed_plan = time_monotonic() - begin;
    story->slots_before = restore_slots_of(story->plan.placement.data, &story->plan.arena);
    restore_estimate(story);
    return true;
}

/*
 * Law 13: pages that were bad when they were backed up come back bad, unless WAL rewrote them
 * since. That is not a success that nobody needs to look at.
 */
static bool tell_bad_pages(const RestoreStory *story, Error *err)
{
    const ManifestHeader *backup = &story->plan.decision.manifest.header;

    if (backup->bad_pages == 0)
        return true;
    error_set(err, ERR_DEGRADED,
              "it is restored, but %" PRIu64
              " of its pages had a wrong checksum when backup %s was "
              "taken",
              backup->bad_pages, backup->id);
    return error_hint(err, "`pg_amcheck` and the server's log tell what is affected; an older "
                           "backup (--backup) may have the pages whole");
}

static bool carry_out(RestoreStory *story, Error *err)
{
    Progress progress = {.phase = "rebuild"};
    RestoreRequest request = *story->request;

    request.progress = &progress;
    progress_to_terminal(&progress, !story->options->no_progress);
    story->is_restored = restore_run(story->cluster, &request, &story->plan, &story->report, err);
    progress_end(&progress);
    if (!story->is_restored)
        return error_context(err, "restore into %s", story->plan.placement.data);
    story->raised = restore_raised_parameters(&story->plan);
    if (!story->options->start)
        return tell_bad_pages(story, err);

    Progress replay = {.phase = "replay"};
    progress_to_terminal(&replay, !story->options->no_progress);
    bool ok = restore_start(story, &replay, err);
    progress_end(&replay);
    return ok && tell_bad_pages(story, err);
}

/* A server that runs there is stopped later; without a choice it would not work then either. */
static bool check_undecided(const RestoreStory *story, Error *err)
{
    if (story->plan.undecided.code == ERR_NONE)
        return true;
    return error_pass(err, &story->plan.undecided);
}

/* Whatever comes of it, the restore is done. */
static void story_remove_old(RestoreStory *story)
{
    Error failure = {0};

    if (!restore_remove_old(&story->plan, &failure)) {
        log_warn("the old directory could not be removed: remove it yourself",
                 log_str("directory", story->plan.old.moved_to),
                 log_str("reason", failure.message));
    }
}

/* The database is back: told at once, then what comes afterwards is looked at. */
static bool restore_tell_and_check(RestoreStory *story, Error *err)
{
    const bool checks = story->is_started && story->sight.state != RECOVERY_TARGET_REACHED;

    if (!story->options->json && !restore_tell_result(story, err))
        return false;
    return !checks || restore_check_after(story, err);
}

/* ERR_DEGRADED: it is done, and the report tells what is not as it was asked for. */
static bool story_finish(RestoreStory *story, bool ok, Error *err)
{
    Error unsaid = {0};

    story->finished_at = time_now();
    if (ok)
        story_remove_old(story);
    restore_write_journal(story, err);
    if (!ok && err->code != ERR_DEGRADED)
        return false;
    bool is_told = restore_tell_and_check(story, &unsaid);
    if (story->options->json && unsaid.code == ERR_NONE)
        is_told = restore_tell_result(story, &unsaid);
    if (is_told)
        is_told = aftermath_judge(story->aftermath, &unsaid);
    return ok && !is_told ? error_pass(err, &unsaid) : ok;
}

static bool restore_story_run(RestoreStory *story, Error *err)
{
    story->started_at = time_now();
    if (!make_plan(story, err)) {
        if (!story->options->dry_run)
            restore_write_journal(story, err);
        return false;
    }
    if (story->options->dry_run)
        return restore_tell_plan(story, err) && check_undecided(story, err);
    if ((!story->options->json && !restore_tell_plan(story, err)) || !save_wal(story, err)) {
        restore_write_journal(story, err);
        return false;
    }
    const bool ok = carry_out(story, err);
    return story_finish(story, ok, err);
}

bool command_restore(const Options *options, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(repo_done) Repo repo = {0};
    CLEANUP(aftermath_done) Aftermath aftermath = {.options = options};
    Cluster cluster;
    RestoreRequest request;
    RestoreStory story = {
        .options = options, .cluster = &cluster, .request = &request, .aftermath = &aftermath};

    story.sight.last_commit = TIME_US_NONE;
    if (!aftermath_prepare(&aftermath, options, err) ||
        !restore_make_request(options, &arena, &story, &request, err) ||
        !repository_open(options, REPOSITORY_FOR_READING, &repo, &cluster, err))
        return false;
    bool ok = restore_story_run(&story, err);
    restore_plan_done(&story.plan);
    return ok;
}
