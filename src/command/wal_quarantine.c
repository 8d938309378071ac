#include "retention/quarantine.h"

#include "base/log.h"
#include "catalog/windows.h"
#include "cli/hint.h"
#include "cli/output.h"
#include "command/commands.h"
#include "repo/journal.h"
#include "setup/repository.h"
#include "storage/wrap.h"
#include "wal/wal_object.h"

#include <inttypes.h>

/* What can be restored, with or without what is to be set aside. */
typedef struct State {
    Repo repo;
    Cluster cluster;
    WalInventory wal;
    BackupList backups;
    WindowList windows;
} State;

/* What is in the WAL that goes. */
typedef struct Contents {
    uint64_t commits;
    TimeUs first, last; /* They are the times of the first and the last of them, or TIME_US_NONE. */
} Contents;

typedef struct Quarantine {
    const Options *options;
    Repo repo;
    Cluster cluster;
    QuarantinePlan plan;
    Contents contents;
    State before, after;
    bool is_done;
    char id[BACKUP_ID_SIZE];
} Quarantine;

static void state_done(State *state)
{
    window_list_done(&state->windows);
    backup_list_done(&state->backups);
    wal_inventory_done(&state->wal);
}

static void quarantine_done(Quarantine *quarantine)
{
    state_done(&quarantine->before);
    state_done(&quarantine->after);
    quarantine_plan_done(&quarantine->plan);
    repo_done(&quarantine->repo);
}

/* As the repository looks through this storage, which is borrowed. */
static bool load_state(State *state, const Quarantine *quarantine, Storage *storage, Error *err)
{
    state->repo = quarantine->repo;
    state->repo.storage = storage;
    state->cluster = quarantine->cluster;
    state->cluster.repo = &state->repo;
    return wal_inventory_load(&state->wal, &state->cluster, err) &&
           backup_list_load(&state->backups, &state->cluster, &state->wal, err) &&
           window_list_load(&state->windows, &state->cluster, &state->wal, &state->backups, err);
}

/* A position, or the name of a segment, which may say the timeline. */
static bool parse_place(const Quarantine *quarantine, const char *option, const char *text,
                        QuarantineRequest *request, uint64_t *segment, Error *err)
{
    const uint32_t size = quarantine->cluster.wal_segment_size;
    Error attempt = {0};
    WalName name;
    Lsn lsn;

    if (text == NULL)
        return true;
    if (lsn_parse(text, &lsn, &attempt)) {
        *segment = wal_segment_of(lsn, size);
        return true;
    }
    error_clear(&attempt);
    if (!wal_name_parse(text, size, &name, &attempt) || name.kind != WAL_SEGMENT) {
        error_set(err, ERR_USAGE, "--%s=%s is neither a position nor the name of a segment", option,
                  text);
        return error_hint(err, "as in --%s=0/5000000 or --%s=000000010000000000000005", option,
                          option);
    }
    if (request->timeline != 0 && name.timeline != request->timeline) {
        return error_set(err, ERR_USAGE, "--%s=%s is of timeline %" PRIu32 ", not of %" PRIu32,
                         option, text, name.timeline, request->timeline);
    }
    request->timeline = name.timeline;
    *segment = name.segment;
    return true;
}

static bool quarantine_parse_request(const Quarantine *quarantine, QuarantineRequest *request,
                                     Error *err)
{
    const Options *options = quarantine->options;

    *request = (QuarantineRequest){.timeline = (uint32_t)options->wrong_timeline,
                                   .last = UINT64_MAX,
                                   .beyond_fork = (uint32_t)options->beyond_fork,
                                   .takes_descendants = options->descendants};
    if (options->beyond_fork != 0 && options->log_from != NULL)
        return error_set(err, ERR_USAGE, "--from and --beyond-fork both say where it begins");
    if (!parse_place(quarantine, "from", options->log_from, request, &request->first, err) ||
        !parse_place(quarantine, "to", options->log_to, request, &request->last, err))
        return false;
    if (request->first > request->last)
        return error_set(err, ERR_USAGE, "--to lies before --from");
    if (request->timeline != 0 || request->beyond_fork != 0)
        return true;
    error_set(err, ERR_USAGE, "wal-quarantine needs --timeline: which WAL is the wrong one");
    return error_hint(err, "`pgcairn list` shows the timelines, `pgcairn log --timeline=N` what "
                           "was committed on them");
}

static void contents_add_segment(Contents *contents, const WalSummary *summary)
{
    contents->commits += summary->commit_count;
    if (summary->commit_count == 0)
        return;
    if (contents->first == TIME_US_NONE || summary->commit_time_min < contents->first)
        contents->first = summary->commit_time_min;
    if (contents->last == TIME_US_NONE || summary->commit_time_max > contents->last)
        contents->last = summary->commit_time_max;
}

/*
 * From where on a timeline's WAL is its own. The segment in which it began also has its parent's
 * commits, and, in what its parent did beyond a fork, those before that are the child's, too.
 */
static bool own_begin(const Quarantine *quarantine, uint32_t timeline, Lsn *begin, Error *err)
{
    const uint32_t child = (uint32_t)quarantine->options->beyond_fork;
    const bool is_parent = child != 0 && timeline == quarantine->plan.timelines[0];
    CLEANUP(arena_done) Arena arena = {0};
    Error attempt = {0};
    TimelinePath path;

    *begin = 0;
    if (timeline_path_load(&quarantine->cluster, is_parent ? child : timeline, &arena, &path,
                           &attempt)) {
        const PathStep *step = path_step_of(&path, timeline);
        *begin = step == NULL ? 0 : is_parent ? step->end : step->begin;
    }
    if (attempt.code == ERR_NONE || attempt.code == ERR_CORRUPT || attempt.code == ERR_NOT_FOUND)
        return true;
    return error_pass(err, &attempt);
}

static WalkStep contents_count_event(void *context, const WalEvent *event, Error *err)
{
    Contents *contents = context;
    const WalSummary one = {
        .commit_count = 1, .commit_time_min = event->time, .commit_time_max = event->time};

    (void)err;
    if (event->kind == EVENT_COMMIT)
        contents_add_segment(contents, &one);
    return WALK_ON;
}

/* Record by record from `from` on. */
static bool count_part(Quarantine *quarantine, const WalName *name, Lsn from, Error *err)
{
    const uint32_t size = quarantine->cluster.wal_segment_size;
    PathStep step = {.timeline = name->timeline};
    const TimelinePath path = {.steps = &step, .count = 1};
    const WalWalk walk = {.cluster = &quarantine->cluster,
                          .inventory = &quarantine->before.wal,
                          .path = &path,
                          .from = from,
                          .to = wal_segment_start(name->segment + 1, size),
                          .threads = 1};
    WalWalkEnd end;

    return wal_walk_events(&walk, contents_count_event, &quarantine->contents, &end, err);
}

static bool contents_count_segment(Quarantine *quarantine, const WalName *name, Lsn own, Error *err)
{
    const uint32_t size = quarantine->cluster.wal_segment_size;
    char text[WAL_NAME_SIZE];
    WalTrailer trailer;

    if (own > wal_segment_start(name->segment, size) && wal_segment_of(own, size) == name->segment)
        return count_part(quarantine, name, own, err);
    if (!wal_object_trailer(&quarantine->cluster, wal_name_text(name, size, text), &trailer, err))
        return false;
    contents_add_segment(&quarantine->contents, &trailer.summary);
    return true;
}

/* What is damaged, or only there in part, is not counted. */
static bool count_contents(Quarantine *quarantine, Error *err)
{
    const QuarantinePlan *plan = &quarantine->plan;
    uint32_t timeline = 0;
    Lsn own = 0;

    quarantine->contents = (Contents){.first = TIME_US_NONE, .last = TIME_US_NONE};
    for (size_t i = 0; i < plan->count; i++) {
        const QuarantineItem *item = &plan->items[i];
        Error attempt = {0};

        if (item->is_piece || item->name.kind != WAL_SEGMENT)
            continue;
        if (item->name.timeline != timeline &&
            !own_begin(quarantine, item->name.timeline, &own, err))
            return false;
        timeline = item->name.timeline;
        if (contents_count_segment(quarantine, &item->name, own, &attempt) ||
            attempt.code == ERR_CORRUPT || attempt.code == ERR_NOT_FOUND)
            continue;
        return error_pass(err, &attempt);
    }
    return true;
}

static bool quarantine_look(Quarantine *quarantine, Error *err)
{
    Storage *storage = quarantine->repo.storage;
    QuarantineRequest request;

    if (!quarantine_parse_request(quarantine, &request, err) ||
        !quarantine_plan(&quarantine->cluster, &request, &quarantine->plan, err) ||
        !load_state(&quarantine->before, quarantine, storage, err) ||
        !count_contents(quarantine, err))
        return false;
    CLEANUP(storage_freep)
    Storage *view = storage_hide_new(storage, quarantine_plan_has, &quarantine->plan);
    if (!load_state(&quarantine->after, quarantine, view, err))
        return error_context(err, "look at the archive without it");
    /* What it says now holds; nothing is read through the view any more. */
    quarantine->after.repo.storage = storage;
    return true;
}

static const char *quarantine_segment_name(const Quarantine *quarantine, uint64_t segment,
                                           char text[WAL_NAME_SIZE])
{
    return wal_name_text(&(WalName){.kind = WAL_SEGMENT,
                                    .timeline = quarantine->plan.timelines[0],
                                    .segment = segment},
                         quarantine->cluster.wal_segment_size, text);
}

static void quarantine_print_count(uint64_t count, const char *one, const char *many,
                                   const char **comma)
{
    if (count == 0)
        return;
    out_print("%s%" PRIu64 " %s", *comma, count, count == 1 ? one : many);
    *comma = ", ";
}

static void quarantine_print_plan(const Quarantine *quarantine)
{
    const QuarantinePlan *plan = &quarantine->plan;
    const Contents *contents = &quarantine->contents;
    char first[WAL_NAME_SIZE], last[WAL_NAME_SIZE], bytes[OUT_TEXT_SIZE], age[OUT_TEXT_SIZE];
    char from[TIME_TEXT_SIZE], until[TIME_TEXT_SIZE];
    const char *comma = "";

    out_print("timeline  %" PRIu32, plan->timelines[0]);
    if (plan->first <= plan->last) {
        out_print(", %s .. %s", quarantine_segment_name(quarantine, plan->first, first),
                  quarantine_segment_name(quarantine, plan->last, last));
    }
    for (size_t i = 1; i < plan->timeline_count; i++)
        out_print("; and timeline %" PRIu32 ", which comes from it", plan->timelines[i]);
    out_print("\nobjects   ");
    quarantine_print_count(plan->segments, "segment", "segments", &comma);
    quarantine_print_count(plan->partials, "partial segment", "partial segments", &comma);
    quarantine_print_count(plan->pieces, "piece", "pieces", &comma);
    quarantine_print_count(plan->others, "backup history", "backup histories", &comma);
    quarantine_print_count(plan->histories, "timeline history", "timeline histories", &comma);
    out_print("; %s\n", out_bytes(plan->bytes, bytes));
    if (contents->commits > 0) {
        out_print("commits   %" PRIu64 ", from %s to %s\n", contents->commits,
                  time_text_postgres(contents->first, from),
                  time_text_postgres(contents->last, until));
    }
    if (!quarantine->is_done && plan->newest_at != TIME_US_NONE && time_now() > plan->newest_at) {
        out_print("stored    the last %s ago: stop the wrong server's archiving first\n",
                  out_duration(time_now() - plan->newest_at, age));
    }
}

static void print_state(const char *when, const State *state)
{
    CLEANUP(table_freep) Table *table = table_new(4);

    if (state->windows.count == 0) {
        out_print("\n%s: nothing can be restored\n", when);
        return;
    }
    out_print("\n%s, every instant in these windows can be restored:\n", when);
    table_row(table, (const char *const[]){"timeline", "from", "until", "last position"});
    for (size_t i = 0; i < state->windows.count; i++) {
        const RecoveryWindow *window = &state->windows.items[i];
        char timeline[16], from[TIME_TEXT_SIZE], until[TIME_TEXT_SIZE], lsn[LSN_TEXT_SIZE];

        (void)snprintf(timeline, sizeof timeline, "%" PRIu32, window->timeline);
        table_row(table,
                  (const char *const[]){timeline, time_text_postgres(window->from_time, from),
                                        window->until_time == TIME_US_NONE
                                            ? "no commit yet"
                                            : time_text_postgres(window->until_time, until),
                                        lsn_text(window->until, lsn)});
    }
    table_print(table);
}

/* Restorable in the one state and not in the other. */
static bool is_lost(const BackupInfo *backup, const State *after)
{
    const BackupInfo *then = backup_list_find(&after->backups, backup->header.id);

    return backup->state == BACKUP_RESTORABLE && (then == NULL || then->state != BACKUP_RESTORABLE);
}

static void print_lost(const Quarantine *quarantine)
{
    const BackupList *backups = &quarantine->before.backups;

    for (size_t i = 0; i < backups->count; i++) {
        if (is_lost(&backups->items[i], &quarantine->after)) {
            out_print("\nbackup %s needs some of it: without it that backup can't be restored\n",
                      backups->items[i].header.id);
        }
    }
}

static bool quarantine_print_all(const Quarantine *quarantine, Error *err)
{
    const Options *options = quarantine->options;

    if (quarantine->is_done) {
        out_print("Set aside as %s:\n\n", quarantine->id);
    } else {
        out_print("This would be set aside; nothing was changed. With --yes it is done.\n\n");
    }
    quarantine_print_plan(quarantine);
    print_state("Before", &quarantine->before);
    print_state("After", &quarantine->after);
    print_lost(quarantine);
    if (quarantine->is_done) {
        CLEANUP(arena_done) Arena arena = {0};
        CLEANUP(text_freep)
        char *undo = text_format("`pgcairn wal-quarantine --undo=%s --yes`", quarantine->id);

        out_print("\nIt is put back by: %s\n", hint_complete(options, undo, &arena));
    }
    return out_flush(err);
}

static void state_to_json(const char *key, const State *state, Json *json)
{
    json_begin_object(json, key);
    json_begin_array(json, "windows");
    for (size_t i = 0; i < state->windows.count; i++) {
        const RecoveryWindow *window = &state->windows.items[i];

        json_begin_object(json, NULL);
        json_u64(json, "timeline", window->timeline);
        json_time_exact(json, "from_time_exact", window->from_time);
        json_time_exact(json, "until_time_exact", window->until_time);
        json_lsn(json, "until_lsn", window->until);
        json_end_object(json);
    }
    json_end_array(json);
    json_begin_array(json, "restorable_backups");
    for (size_t i = 0; i < state->backups.count; i++) {
        if (state->backups.items[i].state == BACKUP_RESTORABLE)
            json_text(json, NULL, state->backups.items[i].header.id);
    }
    json_end_array(json);
    json_end_object(json);
}

static bool quarantine_print_json(const Quarantine *quarantine, Error *err)
{
    const QuarantinePlan *plan = &quarantine->plan;
    const bool has_segments = plan->first <= plan->last;
    CLEANUP(json_done) Json json = {0};
    char name[WAL_NAME_SIZE];

    json_begin_object(&json, NULL);
    json_bool(&json, "is_done", quarantine->is_done);
    json_text(&json, "id", quarantine->is_done ? quarantine->id : NULL);
    json_begin_array(&json, "timelines");
    for (size_t i = 0; i < plan->timeline_count; i++)
        json_u64(&json, NULL, plan->timelines[i]);
    json_end_array(&json);
    json_text(&json, "first_segment",
              has_segments ? quarantine_segment_name(quarantine, plan->first, name) : NULL);
    json_text(&json, "last_segment",
              has_segments ? quarantine_segment_name(quarantine, plan->last, name) : NULL);
    json_u64(&json, "objects", plan->count);
    json_u64(&json, "bytes", plan->bytes);
    json_u64(&json, "segments", plan->segments);
    json_u64(&json, "partials", plan->partials);
    json_u64(&json, "pieces", plan->pieces);
    json_u64(&json, "histories", plan->histories);
    json_u64(&json, "commits", quarantine->contents.commits);
    json_time_exact(&json, "first_commit_time_exact", quarantine->contents.first);
    json_time_exact(&json, "last_commit_time_exact", quarantine->contents.last);
    state_to_json("before", &quarantine->before, &json);
    state_to_json("after", &quarantine->after, &json);
    json_end_object(&json);
    return json_print(&json, err);
}

static void set_to_json(const QuarantineSet *set, Json *json)
{
    json_begin_object(json, NULL);
    json_text(json, "id", set->id);
    json_u64(json, "timeline", set->timeline);
    json_text(json, "first_segment", *set->first != '\0' ? set->first : NULL);
    json_text(json, "last_segment", *set->last != '\0' ? set->last : NULL);
    json_time(json, "time", set->at);
    json_u64(json, "objects", set->objects);
    json_u64(json, "bytes", set->bytes);
    json_end_object(json);
}

static bool list_json(const QuarantineList *list, Error *err)
{
    CLEANUP(json_done) Json json = {0};

    json_begin_array(&json, NULL);
    for (size_t i = 0; i < list->count; i++)
        set_to_json(&list->items[i], &json);
    json_end_array(&json);
    return json_print(&json, err);
}

static bool print_list(const Quarantine *quarantine, Error *err)
{
    CLEANUP(quarantine_list_done) QuarantineList list = {0};
    CLEANUP(table_freep) Table *table = table_new(5);

    if (!quarantine_list_load(&list, &quarantine->cluster, err))
        return false;
    if (quarantine->options->json)
        return list_json(&list, err);
    if (list.count == 0)
        out_print("Nothing was set aside.\n");
    table_row(table, (const char *const[]){"id", "timeline", "first", "last", "objects"});
    for (size_t i = 0; i < list.count; i++) {
        const QuarantineSet *set = &list.items[i];
        char timeline[16], objects[24];

        (void)snprintf(timeline, sizeof timeline, "%" PRIu32, set->timeline);
        (void)snprintf(objects, sizeof objects, "%" PRIu64, set->objects);
        table_row(table, (const char *const[]){set->id, set->timeline != 0 ? timeline : "?",
                                               set->first, set->last, objects});
    }
    if (list.count > 0)
        table_print(table);
    return out_flush(err);
}

static void quarantine_write_journal(const Quarantine *quarantine, const char *id, uint64_t objects,
                                     TimeUs started, const Error *failure)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};
    const Options *options = quarantine->options;
    Error problem = {0};

    record_begin(&record, "journal", 1);
    record_text(&record, "operation", "wal-quarantine");
    record_u64(&record, "status", (uint64_t)failure->code);
    record_time(&record, "started", started);
    record_time(&record, "finished", time_now());
    record_text(&record, "options", options->command_line != NULL ? options->command_line : "");
    record_text(&record, "quarantine", id);
    record_u64(&record, "objects", objects);
    if (failure->code != ERR_NONE)
        record_text(&record, "error", failure->message);
    if (!journal_store(&quarantine->cluster, "wal-quarantine", &record, &problem))
        log_warn("journal entry not written", log_str("error", problem.message));
}

static bool quarantine_do(Quarantine *quarantine, Error *err)
{
    const TimeUs started = time_now();

    quarantine->is_done =
        quarantine_carry_out(&quarantine->cluster, &quarantine->plan, quarantine->id, err);
    quarantine_write_journal(quarantine, quarantine->id, quarantine->plan.count, started, err);
    if (!quarantine->is_done)
        return false;
    state_done(&quarantine->after);
    quarantine->after = (State){.wal = {0}};
    return load_state(&quarantine->after, quarantine, quarantine->repo.storage, err);
}

static bool quarantine_undo_one(const Quarantine *quarantine, Error *err)
{
    const Options *options = quarantine->options;
    const TimeUs started = time_now();
    CLEANUP(json_done) Json json = {0};
    uint64_t objects = 0;
    bool ok = quarantine_undo(&quarantine->cluster, options->undo, !options->yes, &objects, err);

    if (options->yes)
        quarantine_write_journal(quarantine, options->undo, objects, started, err);
    if (!ok)
        return false;
    if (options->json) {
        json_begin_object(&json, NULL);
        json_bool(&json, "is_done", options->yes);
        json_text(&json, "id", options->undo);
        json_u64(&json, "objects", objects);
        json_end_object(&json);
        return json_print(&json, err);
    }
    out_print(options->yes
                  ? "%" PRIu64 " objects were put back; pgcairn list shows what can be restored.\n"
                  : "%" PRIu64 " objects can be put back; nothing was changed. With --yes it is "
                    "done.\n",
              objects);
    return out_flush(err);
}

bool command_wal_quarantine(const Options *options, Error *err)
{
    CLEANUP(quarantine_done) Quarantine quarantine = {.options = options};
    const RepositoryUse use = options->yes ? REPOSITORY_FOR_WRITING : REPOSITORY_FOR_ANSWER;
    const bool names_something = options->wrong_timeline != 0 || options->beyond_fork != 0 ||
                                 options->log_from != NULL || options->log_to != NULL;

    if (!repository_open(options, use, &quarantine.repo, &quarantine.cluster, err))
        return false;
    if (options->undo != NULL && names_something)
        return error_set(err, ERR_USAGE, "--undo can't be combined with options that name WAL");
    if (options->undo != NULL)
        return quarantine_undo_one(&quarantine, err);
    if (!names_something && !options->yes)
        return print_list(&quarantine, err);
    if (!quarantine_look(&quarantine, err) || (options->yes && !quarantine_do(&quarantine, err)))
        return false;
    return options->json ? quarantine_print_json(&quarantine, err)
                         : quarantine_print_all(&quarantine, err);
}
