#include "answer/log_branches.h"
#include "answer/log_print.h"

#include "base/log.h"
#include "cli/output.h"
#include "command/commands.h"
#include "setup/repository.h"
#include "walk/wal_source.h"

#include <inttypes.h>

enum { TIMELINES_SHOWN = 8 };

/* What the repository says, and what was asked. */
typedef struct LogRun {
    const Options *options;
    Repo repo;
    Cluster cluster;
    WalInventory wal;
    LogBranches branches;   /* These branches are gone through. */
    HappeningRequest asked; /* It is asked of each of them. */
    /* The fields below are of the branch that is being worked on. */
    TimelinePath path;
    uint32_t timeline; /* It is the tip of the branch. */
    /* The branch begins here, when none of its WAL is archived yet. 0 means that some is. */
    Lsn unborn;
    HappeningRequest request;
    LogPrinter printer;
    /* The fields below are of all branches so far. */
    uint64_t shown, gaps;
    bool is_limited; /* It ended because --limit lines were shown. */
    Error problem;   /* It says why the first missing name could not be found. */
} LogRun;

static void log_run_done(LogRun *run)
{
    log_printer_done(&run->printer);
    log_branches_done(&run->branches);
    wal_inventory_done(&run->wal);
    repo_done(&run->repo);
}

/* Whether the archive has WAL of the path's last timeline, under whatever name. */
static bool log_has_wal(const LogRun *run, bool *has, Error *err)
{
    const TimelinePath *path = &run->path;
    const uint64_t first =
        wal_segment_of(path->steps[path->count - 1].begin, run->cluster.wal_segment_size);
    WalSource source;

    *has = wal_inventory_has_later(&run->wal, path_last_timeline(path), 0);
    if (*has)
        return true;
    if (!wal_source_on_path(&run->cluster, &run->wal, path, first, &source, err))
        return false;
    *has = source.form != WAL_NOWHERE;
    return true;
}

/*
 * A timeline of which nothing but its history is archived yet, as for a while after every recovery
 * to a point in time: what it has so far is its parent's, up to the place where it begins, in the
 * middle of a segment that would be its own.
 */
static bool follow_parent(LogRun *run, Error *err)
{
    TimelinePath *path = &run->path;
    bool has = false;

    while (path->count > 1) {
        if (!log_has_wal(run, &has, err))
            return false;
        if (has)
            break;
        run->unborn = path->steps[--path->count].begin;
        path->steps[path->count - 1].end = 0;
    }
    if (run->unborn != 0 && (run->request.walk.to == 0 || run->request.walk.to > run->unborn)) {
        run->request.walk.to = run->unborn;
    } else {
        run->unborn = 0;
    }
    return true;
}

/* "1, 2, 3": the newest of many. */
static const char *timelines_text(const LogBranches *branches, Arena *arena)
{
    const size_t first =
        branches->timeline_count > TIMELINES_SHOWN ? branches->timeline_count - TIMELINES_SHOWN : 0;
    const char *text = first > 0 ? "..., " : "";

    for (size_t i = first; i < branches->timeline_count; i++) {
        text = arena_format(arena, "%s%s%" PRIu32, text, i > first ? ", " : "",
                            branches->timelines[i]);
    }
    return text;
}

static bool has_timeline(const LogBranches *branches, uint32_t timeline)
{
    for (size_t i = 0; i < branches->timeline_count; i++) {
        if (branches->timelines[i] == timeline)
            return true;
    }
    return false;
}

static bool log_load_path(void *context, uint32_t timeline, Arena *arena, TimelinePath *path,
                          Error *err)
{
    LogRun *run = context;

    if (wal_inventory_path(&run->wal, &run->cluster, timeline, arena, path, err))
        return true;
    if (err->code == ERR_NOT_FOUND) {
        error_clear(err);
        error_set(err, ERR_CORRUPT,
                  "timeline %" PRIu32 " is in the repository, and its history, which says where it "
                  "left its parent, is not",
                  timeline);
    }
    if (err->code == ERR_CORRUPT) {
        error_hint(err,
                   "look for %08" PRIX32
                   ".history in pg_wal of a server that was on it, and put it "
                   "in with archive-push; --timeline=N looks at an older timeline",
                   timeline);
    }
    return false;
}

/* The one that was asked for, whole; or the newest; or with --drops all. */
static bool choose_branches(LogRun *run, Error *err)
{
    LogBranches *branches = &run->branches;
    const Options *options = run->options;
    uint32_t timeline;

    log_branches_timelines(&run->wal, branches);
    if (options->timeline == NULL && options->drops)
        return log_branches_find(log_load_path, run, branches, err);
    timeline = branches->timelines[branches->timeline_count - 1];
    if (options->timeline != NULL && !timeline_parse(options->timeline, &timeline, err))
        return false;
    if (!has_timeline(branches, timeline)) {
        error_set(err, ERR_NOT_FOUND, "there is no timeline %" PRIu32, timeline);
        return error_hint(err, "there %s %s", branches->timeline_count == 1 ? "is" : "are",
                          timelines_text(branches, &branches->arena));
    }
    branches->items[0].timeline = timeline;
    branches->count = 1;
    return log_load_path(run, timeline, &branches->arena, &branches->items[0].path, err) ||
           error_context(err, "timeline %" PRIu32, timeline);
}

static bool log_load(LogRun *run, Error *err)
{
    return repository_open(run->options, REPOSITORY_FOR_ANSWER, &run->repo, &run->cluster, err) &&
           wal_inventory_load(&run->wal, &run->cluster, err) && choose_branches(run, err);
}

/* A position has a slash and no instant has one before a zone's name: "0/3000028". */
static bool parse_bound(const char *text, const char *option, Lsn *lsn, TimeUs *time, Error *err)
{
    if (text == NULL)
        return true;
    if (strspn(text, "0123456789ABCDEFabcdef") == strcspn(text, "/"))
        return lsn_parse(text, lsn, err) || error_context(err, "--%s", option);
    return time_parse(text, time, err) || error_context(err, "--%s", option);
}

static bool log_parse_request(LogRun *run, Error *err)
{
    const Options *options = run->options;
    HappeningRequest *request = &run->asked;

    *request =
        (HappeningRequest){.from = TIME_US_NONE, .to = TIME_US_NONE, .only_drops = options->drops};
    if (!parse_bound(options->log_from, "from", &request->walk.from, &request->from, err) ||
        !parse_bound(options->log_to, "to", &request->walk.to, &request->to, err))
        return false;
    if ((request->walk.from != 0 && request->walk.to != 0 &&
         request->walk.to < request->walk.from) ||
        (request->from != TIME_US_NONE && request->to != TIME_US_NONE &&
         request->to < request->from))
        return error_set(err, ERR_USAGE, "--to is before --from");
    return true;
}

static WalkStep log_show(void *context, const Happening *happening, Error *err)
{
    LogRun *run = context;

    if (happening->kind == HAPPENING_GAP)
        run->gaps++;
    if ((run->options->limit > 0 && run->shown == run->options->limit) || out_is_closed()) {
        run->is_limited = true;
        return WALK_STOP;
    }
    run->shown++;
    return walk_step(run->options->json ? log_print_json(&run->printer, happening, err)
                                        : log_print_line(&run->printer, happening, err));
}

static bool log_begin(LogRun *run, const LogBranch *branch, Error *err)
{
    run->timeline = branch->timeline;
    run->path = branch->path;
    run->unborn = 0;
    run->request = run->asked;
    if (branch->from > run->request.walk.from)
        run->request.walk.from = branch->from;
    if (!follow_parent(run, err))
        return false;
    run->request.walk.cluster = &run->cluster;
    run->request.walk.inventory = &run->wal;
    run->request.walk.path = &run->path;
    run->request.walk.threads = (unsigned)run->options->jobs;
    run->request.on_entry = log_show;
    run->request.context = run;
    log_printer_done(&run->printer);
    run->printer.walk = &run->request.walk;
    run->printer.target_timeline = run->branches.timeline_count > 1 ? branch->timeline : 0;
    run->printer.names =
        relation_names_new(&run->cluster, &run->path, &run->wal, run->options->conninfo);
    return true;
}

/* Each with its own end, since what is not there of it is another thing. */
static bool read_branch(LogRun *run, const LogBranch *branch, Error *err)
{
    const bool is_json = run->options->json;
    WalScanEnd end;

    if (!log_begin(run, branch, err))
        return false;
    if (branch->from != 0 && run->request.walk.to != 0 &&
        run->request.walk.to <= run->request.walk.from)
        return true; /* what was asked for lies before it */
    if (run->branches.count > 1 && !log_print_branch(branch, is_json, err))
        return false;
    uint64_t shown_before = run->shown;
    if (!happenings_read(&run->request, &end, err) ||
        !log_print_end(&run->printer, is_json,
                       &(LogEnd){.scan = end,
                                 .is_limited = run->is_limited,
                                 .is_bounded = run->request.walk.to != 0 && !end.is_empty &&
                                               end.until >= run->request.walk.to,
                                 .timeline = run->timeline,
                                 .unborn = run->unborn,
                                 .shown = run->shown - shown_before,
                                 .gaps = run->gaps},
                       err))
        return false;
    if (run->problem.code == ERR_NONE)
        run->problem = *relation_names_problem(run->printer.names);
    return true;
}

/* Who looks at one branch has to know that there is more. */
static bool tell_others(LogRun *run, Error *err)
{
    LogBranches all = {0};
    Error unknown = {0}; /* then there is less to say */

    if (run->options->json || run->branches.count > 1 || run->branches.timeline_count < 2)
        return true;
    log_branches_timelines(&run->wal, &all);
    if (log_branches_find(log_load_path, run, &all, &unknown)) {
        for (size_t i = 0; i < all.count; i++) {
            if (all.items[i].timeline != run->timeline)
                log_print_other(&all.items[i]);
        }
    }
    log_branches_done(&all);
    return out_flush(err);
}

/* Law 13: what could not be looked at is never exit 0. */
static bool log_judge(const LogRun *run, Error *err)
{
    if (run->gaps > 0) {
        error_set(err, ERR_CORRUPT,
                  "WAL is missing or damaged at %" PRIu64
                  " place%s: what happened there is not known",
                  run->gaps, run->gaps == 1 ? "" : "s");
        return error_hint(err, "`pgcairn verify` tells what that means for restores");
    }
    if (run->problem.code == ERR_NONE)
        return true;
    error_set(err, ERR_DEGRADED, "some names are missing: %s", run->problem.message);
    return error_hint(err, "every event is shown; only some names are missing");
}

bool command_log(const Options *options, Error *err)
{
    CLEANUP(log_run_done) LogRun run = {.options = options};

    if (!log_parse_request(&run, err) || !log_load(&run, err))
        return false;
    for (size_t i = 0; i < run.branches.count && !run.is_limited; i++) {
        if (!read_branch(&run, &run.branches.items[i], err))
            return false;
    }
    return tell_others(&run, err) && log_judge(&run, err);
}
