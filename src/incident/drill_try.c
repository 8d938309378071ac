#include "drill_parts.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory_limit.h"
#include "base/owner.h"
#include "base/process.h"
#include "cli/output.h"
#include "drill/no_network.h"
#include "postgres/settings.h"
#include "walk/wal_scan.h"

#include <unistd.h>

bool drill_is_verdict(const Error *err)
{
    return err->code == ERR_NONE || err->code == ERR_RECOVERY || err->code == ERR_CORRUPT ||
           err->code == ERR_DEGRADED;
}

/*
 * A tablespace that was created after the backup is created by replay where the WAL says, which is
 * outside of the scratch place: another cluster's may be there, and what is made there would stay.
 */
static bool refuse_tablespace(void *context, uint32_t oid, const char *path, Error *err)
{
    (void)context;
    if (path[0] != '/')
        return true; /* inside the data directory */
    error_set(err, ERR_REFUSED,
              "tablespace %u was created after the backup: replay would create it at %s, where a "
              "restore needs that directory too, and a drill must not write",
              oid, path);
    return error_hint(err, "take a new backup, whose tablespaces can be put elsewhere: `pgcairn "
                           "backup`; or try an instant before it");
}

static bool check_tablespaces(const Drill *drill, Error *err)
{
    const Decision *decision = &drill->story.plan.decision;
    CLEANUP(wal_inventory_done) WalInventory inventory = {0};
    const WalWalk walk = {.cluster = drill->cluster,
                          .inventory = &inventory,
                          .path = &decision->path,
                          .from = decision->manifest.header.start,
                          .to = decision->point.replay_end,
                          .threads = (unsigned)drill->options.jobs};

    return (wal_inventory_load(&inventory, drill->cluster, err) &&
            wal_scan_tablespaces(&walk, refuse_tablespace, NULL, err)) ||
           error_context(err, "look for tablespaces in the WAL to be replayed");
}

static bool drill_plan(Drill *drill, Error *err)
{
    RestorePlan *made = &drill->story.plan;

    if (!restore_plan(drill->cluster, &drill->request, made, err))
        return false;
    drill->is_planned = true;
    drill->evidence.backup = made->decision.manifest.header.id;
    drill->evidence.server_version = made->decision.manifest.header.server_version;
    drill->evidence.wal_segments = made->decision.wal_segments;
    drill->evidence.wal_stored_bytes = made->decision.wal_stored_bytes;
    drill->evidence.target_timeline = path_last_timeline(&made->decision.path);
    return check_tablespaces(drill, err);
}

/* Words of a list of libraries (varlena.c, SplitDirectoriesString), as they are read there. */
static const char *const *split_list(const char *list, Arena *arena)
{
    const char **words = arena_alloc(arena, (strlen(list) / 2 + 2) * sizeof *words);
    size_t count = 0;

    while (*list != '\0') {
        list += strspn(list, " ,\"");
        const size_t length = strcspn(list, ",\"");
        size_t size = length;
        while (size > 0 && list[size - 1] == ' ')
            size--;
        if (size > 0)
            words[count++] = arena_text_part(arena, list, size);
        list += length;
    }
    return (const char *const *)words;
}

/* Where the original's libraries are, by the configuration that came back, before it is put away.
 */
static void read_libraries(Drill *drill)
{
    const RestorePlan *made = &drill->story.plan;
    CLEANUP(settings_done) SettingList settings = {0};
    CLEANUP(text_freep) char *own = text_format("%s/postgresql.conf", drill->scratch.data);
    CLEANUP(text_freep)
    char *automatic = text_format("%s/postgresql.auto.conf", drill->scratch.data);
    const char *file = made->configuration.config_file;
    Error unread = {0}, unread_too = {0}; /* then there is nothing to look for */

    (void)!settings_read(file != NULL ? file : own, &settings, &unread);
    (void)!settings_read(automatic, &settings, &unread_too);
    const char *list = settings_value(&settings, "shared_preload_libraries");
    const char *path = settings_value(&settings, "dynamic_library_path");
    drill->preloaded = split_list(list != NULL ? list : "", &drill->arena);
    drill->library_path = path != NULL ? arena_text(&drill->arena, path) : NULL;
}

/* A guess, for what watches the recovery: what leads in is known when the server is open. */
static void guess_way_in(Drill *drill, unsigned major)
{
    WayIn *way = &drill->way;

    way_in_find(drill->scratch.data, major, &drill->arena, way);
    drill->session =
        (SafeSession){.socket = drill->scratch.socket,
                      .role = way->roles[0] != NULL ? way->roles[0] : "postgres",
                      .database = way->databases[0] != NULL ? way->databases[0] : "postgres",
                      .major = major,
                      .is_read_only = true};
    drill->options.conninfo = safe_session(&drill->session, &drill->arena);
}

static bool make_safe(Drill *drill, Error *err)
{
    const RestorePlan *made = &drill->story.plan;
    const unsigned major = made->decision.manifest.header.major;
    const Scratch *scratch = &drill->scratch;
    const char *dropped;

    const SafeCopy copy = {.major = major,
                           .data = scratch->data,
                           .socket = scratch->socket,
                           .conf = scratch->conf,
                           .preload = drill->asked->preload != NULL ? drill->asked->preload : "",
                           .library_path = drill->library_path,
                           .minima = made->decision.minima,
                           .raised = drill->story.raised,
                           .memory = memory_limit()};
    drill->story.settings = safe_copy_settings(&copy, &drill->arena);
    drill->evidence.settings = drill->story.settings;
    if (!safe_copy_write_files(scratch->conf, err) ||
        !safe_copy_strip_auto_conf(scratch->data, &drill->arena, &dropped, err))
        return error_context(err, "make the copy safe");
    if (*dropped != '\0')
        log_debug("settings of ALTER SYSTEM are left out in the copy", log_str("names", dropped));
    guess_way_in(drill, major);
    return true;
}

static bool drill_rebuild(Drill *drill, Error *err)
{
    RestoreStory *story = &drill->story;
    Progress progress = {.phase = "rebuild"};
    RestoreRequest request = drill->request;

    request.progress = &progress;
    progress_to_terminal(&progress, !drill->options.no_progress);
    story->is_restored = restore_run(drill->cluster, &request, &story->plan, &story->report, err);
    progress_end(&progress);
    drill->evidence.phases[DRILL_REBUILD] = (uint64_t)story->report.elapsed_rebuild;
    drill->evidence.phases[DRILL_SYNC] = (uint64_t)story->report.elapsed_sync;
    drill->evidence.files = story->report.rebuilt.files;
    drill->evidence.bytes = story->report.rebuilt.bytes;
    drill->evidence.read_bytes = story->report.rebuilt.bytes_read;
    story->raised = restore_raised_parameters(&story->plan);
    return story->is_restored || error_context(err, "restore into %s", drill->scratch.data);
}

/* For the next run, should this one be killed. */
static bool note_server(void *context, pid_t pid, Error *err)
{
    const Drill *drill = context;

    return FAULT_POINT("drill.server-unknown", err) &&
           scratch_note_server(&drill->scratch, pid, err) && FAULT_POINT("drill.server-noted", err);
}

/* Without a network where that is possible; and what asks libpq for a server without saying which
 * one gets the copy itself. */
static void cut_off(Drill *drill)
{
    const char **env = arena_alloc(&drill->arena, 3 * sizeof *env);

    env[0] = arena_format(&drill->arena, "PGHOST=%s", drill->scratch.socket);
    env[1] = arena_format(&drill->arena, "PGPORT=%d", (int)SAFE_PORT);
    env[2] = NULL;
    drill->story.env = env;
    drill->evidence.has_network = !network_can_be_left();
    if (drill->evidence.has_network) {
        log_warn("this system can't take the network away from the copy: what its functions call "
                 "can reach other hosts");
    } else {
        drill->story.in_child = network_leave;
    }
}

static bool drill_recover(Drill *drill, Error *err)
{
    RestoreStory *story = &drill->story;
    Progress replay = {.phase = "replay"};

    cut_off(drill);
    story->on_start = note_server;
    story->on_start_context = drill;
    progress_to_terminal(&replay, !drill->options.no_progress);
    const bool ok = restore_start(story, &replay, err);
    progress_end(&replay);
    drill->evidence.phases[DRILL_REPLAY] = (uint64_t)story->elapsed_replay;
    drill->evidence.phases[DRILL_OPEN] = (uint64_t)story->elapsed_open;
    drill->evidence.reached = story->reached;
    drill->evidence.last_commit = restore_last_commit(story);
    drill->evidence.new_timeline = story->new_timeline;
    if (!ok)
        drill->is_hosts_fault = probe_is_of_host(err->message);
    return ok;
}

static bool has_counts(const Evidence *evidence, bool is_sequence)
{
    for (size_t i = 0; i < evidence->count_count; i++) {
        if (evidence->counts[i].is_sequence == is_sequence)
            return true;
    }
    return false;
}

/* The last drill that passed and counted them: to an instant that is not after this one's. */
static const Evidence *find_last_drill(const Drill *drill, const EvidenceList *list,
                                       bool is_sequence)
{
    const Evidence *before = NULL;

    for (size_t i = 0; i < list->count; i++) {
        const Evidence *evidence = &list->items[i];

        if (strcmp(evidence->verdict, "passed") == 0 && has_counts(evidence, is_sequence) &&
            evidence->reached <= drill->evidence.reached)
            before = evidence;
    }
    return before;
}

static bool judge_probes(Drill *drill, Error *err)
{
    const ProbeReport *report = &drill->probes;
    const Probe *failed = probe_first(report, PROBE_FAILED);
    const Probe *first = failed != NULL ? failed : probe_first(report, PROBE_HOST);
    const size_t count = probe_count(report, PROBE_FAILED) + probe_count(report, PROBE_HOST);

    if (first == NULL)
        return true;
    drill->is_hosts_fault = failed == NULL;
    error_set(err, ERR_RECOVERY, "%s%s%s: %s", first->name, *first->where != '\0' ? " in " : "",
              first->where, first->text);
    if (count > 1)
        error_context(err, "%zu probes failed, the first", count);
    return false;
}

static const char *session_in_copy(void *context, const char *database, bool is_read_only,
                                   Arena *arena)
{
    const Drill *drill = context;
    SafeSession session = drill->session;

    session.database = database;
    session.is_read_only = is_read_only;
    return safe_session(&session, arena);
}

/* That nobody may log in says nothing of the backup, and a recovery that went well is kept. */
static bool drill_enter(Drill *drill, Error *err)
{
    if (way_in_try(&drill->way, &drill->session, err))
        return true;
    drill->is_hosts_fault = err->code == ERR_REFUSED;
    if (err->code != ERR_INTERRUPTED)
        err->code = ERR_RECOVERY;
    return error_context(err, "ask the recovered server");
}

static bool drill_probe(Drill *drill, Error *err)
{
    CLEANUP(evidence_list_done) EvidenceList list = {0};
    Error unread = {0}; /* then nothing is compared */
    (void)!evidence_list_load(&list, drill->cluster, &unread);
    const ProbeRequest request = {.conninfo = session_in_copy,
                                  .conninfo_context = drill,
                                  .database = drill->session.database,
                                  .is_copy = true,
                                  .data = drill->scratch.data,
                                  .major = drill->story.plan.decision.manifest.header.major,
                                  .read_all = drill->asked->read_all,
                                  .file = drill->file.count > 0 ? &drill->file : NULL,
                                  .preloaded = drill->preloaded,
                                  .library_path = drill->library_path,
                                  .before_rows = find_last_drill(drill, &list, false),
                                  .before_sequences = find_last_drill(drill, &list, true)};
    const TimeUs begin = time_monotonic();

    const bool ok = probes_run(&request, &drill->probes, err);
    drill->evidence.phases[DRILL_PROBE] = (uint64_t)(time_monotonic() - begin);
    if (drill->probes.server_version != 0)
        drill->evidence.server_version = drill->probes.server_version;
    return ok && judge_probes(drill, err);
}

bool drill_try(Drill *drill, Error *err)
{
    TimeUs begin = time_monotonic();

    if (!drill_plan(drill, err))
        return false;
    drill->story.elapsed_plan = time_monotonic() - begin;
    drill->evidence.phases[DRILL_PLAN] = (uint64_t)drill->story.elapsed_plan;
    if (!drill_rebuild(drill, err))
        return false;
    read_libraries(drill);
    return make_safe(drill, err) && drill_recover(drill, err) &&
           FAULT_POINT("drill.before-probes", err) && drill_enter(drill, err) &&
           drill_probe(drill, err);
}
