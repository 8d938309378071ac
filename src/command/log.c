#include "log_print.h"

#include "base/log.h"
#include "cli/output.h"
#include "command/commands.h"

#include <inttypes.h>

/* What the repository says, and what was asked. */
typedef struct LogRun {
    const Options *options;
    Repo repo;
    Cluster cluster;
    WalInventory wal;
    TimelinePath path;
    uint32_t timeline; /* the one asked for */
    Lsn unborn;        /* where it begins, when none of its WAL is archived yet; 0: some is */
    Arena arena;
    HappeningWish wish;
    LogPrinter printer;
    uint64_t shown, gaps;
    bool is_limited; /* it ended because --limit lines were shown */
} LogRun;

static void run_done(LogRun *run)
{
    relation_names_freep(&run->printer.names);
    buffer_done(&run->printer.text);
    wal_inventory_done(&run->wal);
    repo_done(&run->repo);
    arena_done(&run->arena);
}

/* The newest, as restore follows it. */
static uint32_t timeline_of(const LogRun *run)
{
    if (run->options->timeline != 0)
        return (uint32_t)run->options->timeline;
    return run->wal.timeline_max > 0 ? run->wal.timeline_max : 1;
}

static bool has_wal(const WalInventory *inventory, uint32_t timeline)
{
    for (size_t i = 0; i < inventory->pieces.count; i++) {
        if (inventory->pieces.items[i].timeline == timeline)
            return true;
    }
    return wal_inventory_has_later(inventory, timeline, 0);
}

/*
 * A timeline of which nothing but its history is archived yet, as for a while after every recovery
 * to a point in time: what it has so far is its parent's, up to the place where it begins, in the
 * middle of a segment that would be its own.
 */
static void follow_parent(LogRun *run)
{
    TimelinePath *path = &run->path;

    while (path->count > 1 && !has_wal(&run->wal, path->steps[path->count - 1].timeline)) {
        run->unborn = path->steps[--path->count].begin;
        path->steps[path->count - 1].end = 0;
    }
    if (run->unborn != 0 && (run->wish.walk.to == 0 || run->wish.walk.to > run->unborn)) {
        run->wish.walk.to = run->unborn;
    } else {
        run->unborn = 0;
    }
}

static bool load_path(LogRun *run, Error *err)
{
    uint32_t timeline = timeline_of(run);

    run->timeline = timeline;
    if (timeline_path_load(&run->cluster, timeline, &run->arena, &run->path, err)) {
        follow_parent(run);
        return true;
    }
    if (err->code == ERR_NOT_FOUND && run->options->timeline == 0) {
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
    return error_context(err, "timeline %" PRIu32, timeline);
}

static bool load(LogRun *run, Error *err)
{
    Storage *storage = storage_open(run->options->repo, err);

    return storage != NULL && repo_open(&run->repo, storage, err) &&
           cluster_open(&run->repo, run->options->cluster, &run->cluster, err) &&
           wal_inventory_load(&run->wal, &run->cluster, err) && load_path(run, err);
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

static bool parse_wish(LogRun *run, Error *err)
{
    const Options *options = run->options;
    HappeningWish *wish = &run->wish;

    *wish = (HappeningWish){.from = TIME_US_NONE, .to = TIME_US_NONE, .only_drops = options->drops};
    if (!parse_bound(options->log_from, "from", &wish->walk.from, &wish->from, err) ||
        !parse_bound(options->log_to, "to", &wish->walk.to, &wish->to, err))
        return false;
    if ((wish->walk.from != 0 && wish->walk.to != 0 && wish->walk.to < wish->walk.from) ||
        (wish->from != TIME_US_NONE && wish->to != TIME_US_NONE && wish->to < wish->from))
        return error_set(err, ERR_USAGE, "--to is before --from");
    return true;
}

static bool show(void *context, const Happening *happening, Error *err)
{
    LogRun *run = context;

    if (happening->kind == HAPPENING_GAP)
        run->gaps++;
    if ((run->options->limit > 0 && run->shown == run->options->limit) || out_is_closed()) {
        run->is_limited = true;
        return false;
    }
    run->shown++;
    return run->options->json ? log_print_json(&run->printer, happening, err)
                              : log_print_line(&run->printer, happening, err);
}

static void begin(LogRun *run)
{
    run->wish.walk.cluster = &run->cluster;
    run->wish.walk.inventory = &run->wal;
    run->wish.walk.path = &run->path;
    run->wish.walk.threads = (unsigned)run->options->jobs;
    run->wish.on_entry = show;
    run->wish.context = run;
    run->printer.walk = &run->wish.walk;
    run->printer.names =
        relation_names_new(&run->cluster, &run->path, &run->wal, run->options->conninfo);
}

/* Law 13: what could not be looked at is never exit 0. */
static bool judge(const LogRun *run, Error *err)
{
    const Error *problem = relation_names_problem(run->printer.names);

    if (run->gaps > 0) {
        error_set(err, ERR_CORRUPT,
                  "WAL is missing or damaged at %" PRIu64
                  " place%s: what happened there is not known",
                  run->gaps, run->gaps == 1 ? "" : "s");
        return error_hint(err, "`pgcairn verify` tells what that means for restores");
    }
    if (problem->code == ERR_NONE)
        return true;
    error_set(err, ERR_DEGRADED, "some names are missing: %s", problem->message);
    return error_hint(err, "what happened is all there; only names come from elsewhere");
}

bool command_log(const Options *options, Error *err)
{
    CLEANUP(run_done) LogRun run = {.options = options};
    WalScanEnd end;

    if (!parse_wish(&run, err) || !load(&run, err))
        return false;
    begin(&run);
    if (!happenings_read(&run.wish, &end, err) ||
        !log_print_end(&run.printer, options->json,
                       &(LogEnd){.scan = end,
                                 .is_limited = run.is_limited,
                                 .is_bounded = run.wish.walk.to != 0 && !end.is_empty &&
                                               end.until >= run.wish.walk.to,
                                 .timeline = run.timeline,
                                 .unborn = run.unborn,
                                 .shown = run.shown,
                                 .gaps = run.gaps},
                       err))
        return false;
    return judge(&run, err);
}
