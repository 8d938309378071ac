#include "answer/backup_tell.h"
#include "answer/branch_tell.h"
#include "answer/expire_tell.h"
#include "answer/room_tell.h"
#include "catalog/windows.h"
#include "cli/output.h"
#include "command/commands.h"
#include "health/room_find.h"
#include "setup/repository.h"
#include "setup/retention_setup.h"

#include <inttypes.h>
#include <unistd.h>

enum { WIDE_COLUMNS = 132 };

/* What the repository says about one cluster. */
typedef struct Holdings {
    Repo *repo;   /* It is borrowed. */
    size_t limit; /* This many backups are shown at most. 0 means that there is no limit. */
    const ExpireRequest *keeping; /* It says what is to be kept. */
    KeepingOutlook outlook;
    RepositoryRoom room; /* It is looked at where no policy is set. */
    Arena arena;
    Cluster cluster;
    WalInventory wal;
    BackupList backups;
    WindowList windows;
    BranchList branches;
    CondemnedList condemned;
    BranchAnswer answer; /* It is the answer to a restore that is not told which branch is meant. */
} Holdings;

static void holdings_done(Holdings *holdings)
{
    keeping_outlook_done(&holdings->outlook);
    arena_done(&holdings->arena);
    condemned_list_done(&holdings->condemned);
    branch_list_done(&holdings->branches);
    window_list_done(&holdings->windows);
    backup_list_done(&holdings->backups);
    wal_inventory_done(&holdings->wal);
}

/* With one branch there is nothing to compare, and no WAL is read for it. */
static bool load_branches(Holdings *holdings, Error *err)
{
    if (!branch_list_load(&holdings->branches, &holdings->cluster, &holdings->wal,
                          &holdings->backups, err))
        return false;
    return holdings->branches.count < 2 ||
           branch_judge_default(&holdings->branches, &holdings->cluster, &holdings->wal,
                                &holdings->backups, NULL, &holdings->answer, err);
}

static bool list_foresee_keeping(Holdings *holdings, Error *err)
{
    if (!retention_policy_is_set(&holdings->keeping->policy)) {
        return room_find(&holdings->cluster, &holdings->wal, &holdings->backups, &holdings->arena,
                         &holdings->room, err);
    }
    const SurveyRequest request = {
        .policy = holdings->keeping->policy, .zone = holdings->keeping->zone, .now = time_now()};

    return keeping_foresee(&holdings->cluster, &request, 0, &holdings->outlook, err);
}

static bool holdings_load(Holdings *holdings, const char *name, Error *err)
{
    return cluster_open(holdings->repo, name, &holdings->cluster, err) &&
           condemned_load(&holdings->condemned, &holdings->cluster, err) &&
           wal_inventory_load(&holdings->wal, &holdings->cluster, err) &&
           backup_list_load(&holdings->backups, &holdings->cluster, &holdings->wal, err) &&
           window_list_load(&holdings->windows, &holdings->cluster, &holdings->wal,
                            &holdings->backups, err) &&
           load_branches(holdings, err) && list_foresee_keeping(holdings, err);
}

static const char *holdings_segment_name(const Holdings *holdings, uint32_t timeline,
                                         uint64_t segment, char text[WAL_NAME_SIZE])
{
    return wal_name_text(&(WalName){.kind = WAL_SEGMENT, .timeline = timeline, .segment = segment},
                         holdings->cluster.wal_segment_size, text);
}

static const char *instant_text(TimeUs time, char text[TIME_TEXT_SIZE])
{
    return time == TIME_US_NONE ? "-" : time_text_local(time, text);
}

/* To the second: "2026-11-22 14:30:00+01". What can be restored is told to the microsecond. */
static const char *second_text(TimeUs time, char text[TIME_TEXT_SIZE])
{
    char *fraction;

    instant_text(time, text);
    fraction = strchr(text, '.');
    if (fraction != NULL) {
        const char *zone = fraction + strcspn(fraction, "+-");
        memmove(fraction, zone, strlen(zone) + 1);
    }
    return text;
}

static bool is_wide(void)
{
    return out_terminal_width(STDOUT_FILENO) >= WIDE_COLUMNS;
}

/* Columns of a backup; the first five fit 80 columns, the others are for whoever has more. */
enum { BACKUP_COLUMNS = 9, BACKUP_COLUMNS_NARROW = 5 };

static void add_backup(Table *table, const BackupInfo *backup)
{
    const ManifestHeader *header = &backup->header;
    char stopped[TIME_TEXT_SIZE], took[OUT_TEXT_SIZE], size[OUT_TEXT_SIZE], stored[OUT_TEXT_SIZE];
    char timeline[16], start[LSN_TEXT_SIZE], stop[LSN_TEXT_SIZE];

    if (backup_is_out(backup)) {
        table_row(table, (const char *const[BACKUP_COLUMNS]){
                             header->id, backup->state == BACKUP_NEWER ? "newer" : "damaged"});
        return;
    }
    (void)snprintf(timeline, sizeof timeline, "%" PRIu32, header->timeline);
    table_row(table, (const char *const[BACKUP_COLUMNS]){
                         header->id,
                         backup->state == BACKUP_WAITING ? "waiting"
                         : backup->suspect != NULL       ? "suspect"
                         : backup->proven_at != 0        ? "proven"
                                                         : "restorable",
                         second_text(header->stopped_at, stopped), out_bytes(header->bytes, size),
                         timeline, out_bytes(backup->stored_bytes, stored),
                         out_duration(header->stopped_at - header->started_at, took),
                         lsn_text(header->start, start), lsn_text(header->stop, stop)});
}

static void print_backup_notes(const BackupInfo *backup)
{
    char label[BACKUP_LABEL_SIZE];

    if (backup->state != BACKUP_RESTORABLE) {
        out_print("%s is %s: %s\n", backup->header.id, backup_state_text(backup->state),
                  backup->reason);
        if (backup_is_out(backup))
            return;
    } else if (backup->header.bad_pages > 0) {
        out_print("%s holds %" PRIu64 " bad pages\n", backup->header.id, backup->header.bad_pages);
    }
    if (backup->suspect != NULL)
        out_print("%s is suspect: %s\n", backup->header.id, backup->suspect);
    if (backup_label_of(backup, label))
        out_print("%s \"%s\"\n", backup->header.id, label);
}

/* The newest ones, if there is a limit; the newest last, where the cursor is then. */
static void list_print_backups(Holdings *holdings)
{
    const char *policy = keeping_outlook_text(&holdings->outlook, &holdings->arena);
    CLEANUP(table_freep)
    Table *table = table_new(is_wide() ? BACKUP_COLUMNS : BACKUP_COLUMNS_NARROW);
    const BackupList *backups = &holdings->backups;
    const size_t limit = holdings->limit > 0 ? holdings->limit : backups->count;
    const size_t first = backups->count > limit ? backups->count - limit : 0;

    if (backups->count == 0) {
        out_print("\nThere is no backup yet: run pgcairn backup.\n");
        return;
    }
    out_print("\n");
    table_row(table,
              (const char *const[BACKUP_COLUMNS]){"backup", "state", "taken", "size", "timeline",
                                                  "stored", "in", "start", "stop"});
    for (size_t i = first; i < backups->count; i++)
        add_backup(table, &backups->items[i]);
    table_print(table);
    for (size_t i = first; i < backups->count; i++)
        print_backup_notes(&backups->items[i]);
    if (first > 0)
        out_print("... and %zu older ones\n", first);
    keeping_tell(backups, &holdings->wal.marks, &holdings->condemned);
    if (policy != NULL)
        out_print("The policy: %s.\n", policy);
    if (!retention_policy_is_set(&holdings->keeping->policy)) {
        out_print("No policy says what is kept: nothing is removed%s.\n",
                  room_growth_text(&holdings->room, &holdings->arena));
    }
}

static const char *window_fault(const RecoveryWindow *window)
{
    if (window->ends_minimal)
        return "incomplete (wal_level=minimal)";
    return window->ends_in_hole ? "missing" : "damaged";
}

static const char *window_end(const RecoveryWindow *window)
{
    if (window->ends_in_hole)
        return "WAL is missing";
    if (window->ends_removed)
        return "later WAL was removed";
    if (window->ends_minimal)
        return "wal_level=minimal: data is missing in WAL";
    return window->ends_damaged ? "WAL is damaged" : "end of the archive";
}

/*
 * What is missing may hold commits of the same microsecond, or earlier ones: by its time the last
 * commit before a gap can't be told from them.
 */
static void print_gap_note(const WindowList *windows)
{
    bool has_gap = false;

    for (size_t i = 0; i < windows->count; i++) {
        const RecoveryWindow *window = &windows->items[i];
        has_gap = has_gap || window->ends_in_hole || window->ends_removed || window->ends_damaged ||
                  window->ends_minimal;
    }
    if (has_gap) {
        out_print("\nWhere WAL is missing or damaged, \"until\" is the last commit before: times "
                  "earlier\nthan it can be restored, and the commit itself by --target-xid or "
                  "--target-lsn\n(`pgcairn log` has them).\n");
    }
}

static const char *window_until(const RecoveryWindow *window, char text[TIME_TEXT_SIZE])
{
    return window->until_time == TIME_US_NONE ? "no commit yet"
                                              : time_text_local(window->until_time, text);
}

/* To the microsecond: cut off, the one is not reached yet, the other lacks a commit. */
static void print_windows_wide(const WindowList *windows)
{
    CLEANUP(table_freep) Table *table = table_new(6);

    table_row(table, (const char *const[]){"timeline", "from", "until", "last position", "backup",
                                           "ends with"});
    for (size_t i = 0; i < windows->count; i++) {
        const RecoveryWindow *window = &windows->items[i];
        char timeline[16], from[TIME_TEXT_SIZE], until[TIME_TEXT_SIZE], lsn[LSN_TEXT_SIZE];

        (void)snprintf(timeline, sizeof timeline, "%" PRIu32, window->timeline);
        table_row(table,
                  (const char *const[]){timeline, time_text_local(window->from_time, from),
                                        window_until(window, until), lsn_text(window->until, lsn),
                                        window->backup, window_end(window)});
    }
    table_print(table);
}

/* The same in two lines each. */
static void print_windows_narrow(const WindowList *windows)
{
    for (size_t i = 0; i < windows->count; i++) {
        const RecoveryWindow *window = &windows->items[i];
        char from[TIME_TEXT_SIZE], until[TIME_TEXT_SIZE], lsn[LSN_TEXT_SIZE];

        out_print("timeline %-3" PRIu32 " from %s  backup %s\n", window->timeline,
                  time_text_local(window->from_time, from), window->backup);
        out_print("            until %s  %s, %s\n", window_until(window, until),
                  lsn_text(window->until, lsn), window_end(window));
    }
}

static void list_print_windows(const Holdings *holdings)
{
    const WindowList *windows = &holdings->windows;

    if (windows->count == 0) {
        if (holdings->backups.count > 0)
            out_print("\nNothing can be restored yet.\n");
        return;
    }
    out_print("\nEvery instant in these windows can be restored:\n\n");
    if (is_wide()) {
        print_windows_wide(windows);
    } else {
        print_windows_narrow(windows);
    }
    print_gap_note(windows);
}

/* "1 at 0/3000100" */
static const char *branch_beginning_text(const Branch *branch, char *text, size_t size)
{
    char lsn[LSN_TEXT_SIZE];

    if (branch->parent == 0)
        return "";
    (void)snprintf(text, size, "%" PRIu32 " at %s", branch->parent, lsn_text(branch->begin, lsn));
    return text;
}

static void add_branch(Table *table, const Branch *branch, bool is_newest)
{
    const BranchGain *gain = &branch->gain;
    char timeline[16], left[32 + LSN_TEXT_SIZE], last[TIME_TEXT_SIZE], commits[64],
        part[LSN_TEXT_SIZE];

    (void)snprintf(timeline, sizeof timeline, "%" PRIu32, branch->timeline);
    (void)snprintf(commits, sizeof commits, "%" PRIu64, gain->commits);
    if (gain->prepared > 0) {
        (void)snprintf(commits, sizeof commits, "%" PRIu64 " + %" PRIu64 " prepared", gain->commits,
                       gain->prepared);
    }
    table_row(table, (const char *const[]){
                         timeline, branch_beginning_text(branch, left, sizeof left),
                         branch->last_commit.time == TIME_US_NONE
                             ? "no commit yet"
                             : time_text_local(branch->last_commit.time, last),
                         branch->backup != NULL ? branch->backup->header.id : "-",
                         is_newest ? "-" : commits,
                         is_newest || gain->from == LSN_NEVER ? "-" : lsn_text(gain->from, part)});
}

/* Where histories part, a restore has to know which one is meant. */
static void list_print_branches(const Holdings *holdings)
{
    CLEANUP(table_freep) Table *table = table_new(6);
    const BranchList *branches = &holdings->branches;
    const Branch *newest = branch_list_newest(branches);
    char commits[64];

    if (branches->count < 2)
        return;
    (void)snprintf(commits, sizeof commits, "commits that %" PRIu32 " lacks", newest->timeline);
    out_print("\nMore than one history:\n\n");
    table_row(table, (const char *const[]){"timeline", "left", "last commit", "newest backup",
                                           commits, "from"});
    for (size_t i = 0; i < branches->count; i++)
        add_branch(table, &branches->items[i], &branches->items[i] == newest);
    table_print(table);
    if (holdings->answer.reason == BRANCH_FITS) {
        out_print("\nA restore follows timeline %" PRIu32 " unless --target-timeline says "
                  "otherwise.\n",
                  newest->timeline);
    } else {
        out_print("\nA restore asks for --target-timeline: timeline %" PRIu32 " has %s than "
                  "timeline %" PRIu32 ", the newest.\n",
                  holdings->answer.other->timeline, branch_answer_text(&holdings->answer),
                  newest->timeline);
    }
}

static void print_wal(const Holdings *holdings)
{
    const WalInventory *wal = &holdings->wal;
    char first[WAL_NAME_SIZE], last[WAL_NAME_SIZE], size[OUT_TEXT_SIZE];

    if (wal->run_count == 0) {
        out_print("\nThere is no WAL in the archive yet.\n");
        return;
    }
    out_print("\nWAL in the archive:\n\n");
    for (size_t i = 0; i < wal->run_count; i++) {
        const WalRun *run = &wal->runs[i];
        out_print("  %s..%s  %" PRIu64 " segments, %s\n",
                  holdings_segment_name(holdings, run->timeline, run->first, first),
                  holdings_segment_name(holdings, run->timeline, run->last, last),
                  run->last - run->first + 1, out_bytes(run->stored_bytes, size));
    }
}

static bool list_print_all(Holdings *holdings, Error *err)
{
    const Cluster *cluster = &holdings->cluster;

    out_print("cluster \"%s\": PostgreSQL %u, system identifier %" PRIu64 "\n", cluster->name,
              cluster->major, cluster->system_identifier);
    if (cluster->predecessor[0] != '\0') {
        out_print("Before its upgrade it was \"%s\": --cluster=%s\n", cluster->predecessor,
                  cluster->predecessor);
    }
    if (cluster->successor[0] != '\0') {
        out_print("It was upgraded and goes on as \"%s\": --cluster=%s\n", cluster->successor,
                  cluster->successor);
    }
    list_print_windows(holdings);
    list_print_branches(holdings);
    list_print_backups(holdings);
    print_wal(holdings);
    return out_flush(err);
}

static void window_to_json(const Holdings *holdings, const RecoveryWindow *window, Json *json)
{
    char name[WAL_NAME_SIZE];

    json_begin_object(json, NULL);
    json_u64(json, "timeline", window->timeline);
    json_text(json, "backup", window->backup);
    json_lsn(json, "from_lsn", window->from);
    json_time(json, "from_time", window->from_time);
    json_time_exact(json, "from_time_exact", window->from_time);
    json_lsn(json, "until_lsn", window->until);
    json_time(json, "until_time", window->until_time);
    json_time_exact(json, "until_time_exact", window->until_time);
    json_text(json, "last_segment",
              holdings_segment_name(holdings, window->timeline, window->last_segment, name));
    json_bool(json, "ends_in_hole", window->ends_in_hole);
    json_bool(json, "ends_removed", window->ends_removed);
    json_bool(json, "ends_damaged", window->ends_damaged);
    json_bool(json, "ends_minimal", window->ends_minimal);
    json_end_object(json);
}

static void wal_to_json(const Holdings *holdings, const WalRun *run, Json *json)
{
    char name[WAL_NAME_SIZE];

    json_begin_object(json, NULL);
    json_u64(json, "timeline", run->timeline);
    json_text(json, "first_segment",
              holdings_segment_name(holdings, run->timeline, run->first, name));
    json_text(json, "last_segment",
              holdings_segment_name(holdings, run->timeline, run->last, name));
    json_u64(json, "segments", run->last - run->first + 1);
    json_u64(json, "stored_bytes", run->stored_bytes);
    json_end_object(json);
}

static const char *link_or_null(const char *name)
{
    return name[0] != '\0' ? name : NULL;
}

static void holdings_to_json(const Holdings *holdings, Json *json)
{
    char identifier[24];

    /* As text: it has more digits than a number of JSON is sure to keep. */
    (void)snprintf(identifier, sizeof identifier, "%" PRIu64, holdings->cluster.system_identifier);
    json_begin_object(json, NULL);
    json_text(json, "cluster", holdings->cluster.name);
    json_text(json, "predecessor", link_or_null(holdings->cluster.predecessor));
    json_text(json, "successor", link_or_null(holdings->cluster.successor));
    json_text(json, "system_identifier", identifier);
    json_u64(json, "major", holdings->cluster.major);
    json_begin_array(json, "backups");
    for (size_t i = 0; i < holdings->backups.count; i++)
        backup_info_to_json(&holdings->backups.items[i], json);
    json_end_array(json);
    keeping_to_json(&holdings->backups, &holdings->wal.marks, &holdings->condemned, json);
    json_bool(json, "has_policy", retention_policy_is_set(&holdings->keeping->policy));
    keeping_outlook_to_json(&holdings->outlook, json);
    room_growth_to_json(&holdings->room, json);
    json_begin_array(json, "windows");
    for (size_t i = 0; i < holdings->windows.count; i++)
        window_to_json(holdings, &holdings->windows.items[i], json);
    json_end_array(json);
    branches_to_json(&holdings->branches, &holdings->answer, json);
    json_begin_array(json, "wal");
    for (size_t i = 0; i < holdings->wal.run_count; i++)
        wal_to_json(holdings, &holdings->wal.runs[i], json);
    json_end_array(json);
    json_end_object(json);
}

/*
 * Law 13: what is damaged, missing or late is never exit 0. The worst comes first; the answer
 * names the others.
 */
static bool holdings_judge(const Holdings *holdings, Error *err)
{
    const BackupInfo *waiting = NULL;
    const BackupInfo *newer = NULL;

    for (size_t i = 0; i < holdings->backups.count; i++) {
        const BackupInfo *backup = &holdings->backups.items[i];
        if (backup->state == BACKUP_DAMAGED) {
            error_set(err, ERR_CORRUPT, "backup %s is damaged: %s", backup->header.id,
                      backup->reason);
            return error_hint(err, "`pgcairn verify` reads it again, and says what it means; take "
                                   "a backup now if no newer one is restorable");
        }
        if (backup->state == BACKUP_NEWER)
            newer = backup;
        if (backup->state == BACKUP_WAITING)
            waiting = backup;
    }
    if (holdings->windows.unreadable != 0) {
        error_set(err, ERR_CORRUPT,
                  "WAL of timeline %" PRIu32 " is there, and its history is missing or damaged",
                  holdings->windows.unreadable);
        return error_hint(err,
                          "it can't be restored to; look for %08" PRIX32 ".history in pg_wal of a "
                          "server that was on it, and put it in with archive-push",
                          holdings->windows.unreadable);
    }
    for (size_t i = 0; i < holdings->windows.count; i++) {
        const RecoveryWindow *window = &holdings->windows.items[i];
        char lsn[LSN_TEXT_SIZE];
        if (!window->ends_in_hole && !window->ends_damaged && !window->ends_minimal)
            continue;
        error_set(err, ERR_CORRUPT, "WAL of timeline %" PRIu32 " is %s after %s", window->timeline,
                  window_fault(window), lsn_text(window->until, lsn));
        return error_hint(err, "recovery cannot go past it; a new backup opens a new window");
    }
    if (newer != NULL) {
        error_set(err, ERR_VERSION, "backup %s can't be read: %s", newer->header.id, newer->reason);
        return error_hint(err, "use the pgcairn that took it, or a newer one");
    }
    if (waiting == NULL)
        return true;
    error_set(err, ERR_DEGRADED, "backup %s waits for WAL: %s", waiting->header.id,
              waiting->reason);
    return error_hint(err, "see pg_stat_archiver and the server's log for what holds it up");
}

/* What was asked for: one cluster, or all that the repository has. */
typedef struct Listing {
    Repo repo;
    ObjectList names;
    bool is_many;
    size_t limit;
    ExpireRequest keeping; /* It says what is to be kept. */
    const char *backup;    /* Only this one is shown, in full. NULL means all. */
    bool is_found;         /* That backup is there. */
    Json *json;            /* NULL means that the text is for people. */
    Error found; /* It says what is wrong with the first cluster that has something wrong. */
} Listing;

static void listing_done(Listing *listing)
{
    object_list_done(&listing->names);
    repo_done(&listing->repo);
}

static bool list_one_backup(Listing *listing, const char *name, Error *err)
{
    CLEANUP(holdings_done) Holdings holdings = {.repo = &listing->repo};
    const BackupInfo *backup;

    if (!cluster_open(&listing->repo, name, &holdings.cluster, err) ||
        !wal_inventory_load(&holdings.wal, &holdings.cluster, err) ||
        !backup_list_load(&holdings.backups, &holdings.cluster, &holdings.wal, err))
        return false;
    backup = backup_list_find(&holdings.backups, listing->backup);
    if (backup == NULL && listing->is_many)
        return true;
    if (backup == NULL) {
        error_set(err, ERR_NOT_FOUND, "cluster \"%s\" has no backup %s", name, listing->backup);
        return error_hint(err, "`pgcairn list` shows which there are");
    }
    listing->is_found = true;
    if (listing->json != NULL) {
        backup_info_to_json(backup, listing->json);
        return true;
    }
    backup_tell_full(backup, &holdings.cluster);
    return out_flush(err);
}

static bool list_one(Listing *listing, const char *name, Error *err)
{
    CLEANUP(holdings_done)
    Holdings holdings = {.repo = &listing->repo,
                         .limit = listing->limit,
                         .keeping = &listing->keeping,
                         .room = {.reason = "", .full_in = TIME_US_NONE}};

    if (listing->backup != NULL)
        return list_one_backup(listing, name, err);
    if (!holdings_load(&holdings, name, err))
        return false;
    if (listing->json != NULL) {
        holdings_to_json(&holdings, listing->json);
    } else if (!list_print_all(&holdings, err)) {
        return false;
    }
    if (listing->found.code == ERR_NONE && !holdings_judge(&holdings, &listing->found) &&
        listing->is_many)
        error_context(&listing->found, "cluster \"%s\"", name);
    return true;
}

/* The name of a cluster is what nobody knows on the host that lost everything. */
static bool list_all(Listing *listing, Error *err)
{
    if (listing->json != NULL) {
        json_begin_object(listing->json, NULL);
        json_begin_array(listing->json, "clusters");
    }
    for (size_t i = 0; i < listing->names.count; i++) {
        if (listing->json == NULL && i > 0)
            out_print("\n\n");
        if (!list_one(listing, listing->names.objects[i].name, err))
            return false;
    }
    if (listing->json != NULL) {
        json_end_array(listing->json);
        json_end_object(listing->json);
    }
    return true;
}

static bool list_backup_anywhere(Listing *listing, Error *err)
{
    for (size_t i = 0; i < listing->names.count && !listing->is_found; i++) {
        if (!list_one_backup(listing, listing->names.objects[i].name, err))
            return false;
    }
    if (listing->is_found)
        return true;
    error_set(err, ERR_NOT_FOUND, "no cluster of the repository has a backup %s", listing->backup);
    return error_hint(err, "`pgcairn list` shows which there are");
}

static bool list_asked(Listing *listing, const Options *options, Error *err)
{
    if (options->cluster_is_given)
        return list_one(listing, options->cluster, err);
    if (!repo_clusters(&listing->repo, &listing->names, err))
        return false;
    listing->is_many = listing->names.count > 1;
    if (listing->is_many) {
        return listing->backup != NULL ? list_backup_anywhere(listing, err)
                                       : list_all(listing, err);
    }
    return list_one(listing,
                    listing->names.count == 1 ? listing->names.objects[0].name : options->cluster,
                    err);
}

bool command_list(const Options *options, Error *err)
{
    CLEANUP(json_done) Json json = {0};
    CLEANUP(listing_done)
    Listing listing = {
        .json = options->json ? &json : NULL, .limit = options->limit, .backup = options->backup};

    if (!retention_request_of(options, &listing.keeping, err) ||
        !repository_open(options, REPOSITORY_FOR_ANSWER, &listing.repo, NULL, err) ||
        !list_asked(&listing, options, err) || (options->json && !json_print(&json, err)))
        return false;
    if (listing.found.code == ERR_NONE)
        return true;
    return error_pass(err, &listing.found);
}
