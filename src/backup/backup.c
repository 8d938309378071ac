#include "backup/backup.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "catalog/backups.h"
#include "catalog/listed_pack.h"
#include "copy.h"
#include "pack/database_names.h"
#include "repo/layout.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/ioprio.h */
enum {
    IOPRIO_WHO_PROCESS = 1,
    IOPRIO_CLASS_BE = 2,
    IOPRIO_CLASS_IDLE = 3,
    IOPRIO_CLASS_SHIFT = 13,
    IOPRIO_LOWEST = 7,
};

static const char default_label[] = "pgcairn backup";

static void backup_run_done(BackupRun *run)
{
    condemned_list_done(&run->condemned);
    lease_freep(&run->lease);
    scan_done(&run->scan);
    catalogue_done(&run->origin);
    catalogue_done(&run->catalogue);
    arena_done(&run->arena);
}

/*
 * The database comes first (law 11). Both settings belong to a thread on Linux and are inherited by
 * those it starts; on an idle machine they cost nothing. Not being able to is not a failure.
 */
static void be_modest(const BackupRequest *request)
{
    const int priority = request->disk_priority == DISK_PRIORITY_IDLE
                             ? IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT
                             : IOPRIO_CLASS_BE << IOPRIO_CLASS_SHIFT | IOPRIO_LOWEST;

    if (request->disk_priority != DISK_PRIORITY_KEPT &&
        syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, priority) != 0) {
        log_warn("the priority of reads and writes stays as it is",
                 log_u64("errno", (uint64_t)errno));
    }
    if (getpriority(PRIO_PROCESS, 0) < (int)request->nice &&
        setpriority(PRIO_PROCESS, 0, (int)request->nice) != 0) {
        log_warn("the niceness stays as it is", log_u64("errno", (uint64_t)errno));
    }
}

/* A spread checkpoint may outlast the lease. */
static bool keep_lease(void *context, Error *err)
{
    BackupRun *run = context;

    return lease_renew(run->lease, run->identity.timeline, run->start, err);
}

/* The checkpoint may be a spread one, as long as the server likes. */
static bool start_on_server(BackupRun *run, const char *label, Error *err)
{
    session_while_waiting(run->session, keep_lease, run);
    bool ok =
        session_backup_start(run->session, label, run->request->fast_checkpoint, &run->start, err);
    session_while_waiting(run->session, NULL, NULL);
    return ok;
}

/* Noted, so that the store's clock can be compared with this host's (unread.h). */
static bool renew_lease_at_start(BackupRun *run, Error *err)
{
    run->lease_at = time_now();
    return lease_renew(run->lease, run->timeline, run->start, err);
}

bool run_take_lease(BackupRun *run, Error *err)
{
    if (!lease_take(run->cluster,
                    &(LeaseRequest){.kind = LEASE_BACKUP, .timeline = run->identity.timeline},
                    &run->lease, err))
        return false;
    run->taken_at = lease_stored_at(run->lease);
    return FAULT_POINT("backup.after-lease", err) &&
           condemned_load(&run->condemned, run->cluster, err);
}

/* The lease comes before the start, so that of two runs only one makes the server do a checkpoint.
 */
static bool backup_begin(BackupRun *run, Error *err)
{
    const BackupRequest *request = run->request;
    const char *label = request->label != NULL ? request->label : default_label;
    TimeUs began = time_monotonic();

    progress_phase(request->progress, "start: waiting for the server's checkpoint", 0);
    if (!session_take_bytes(run->session, err) || !run_check_source(run, err))
        return false;
    if (!run_take_lease(run, err))
        return false;

    run->started_at = time_now();
    if (!backup_id_new(run->report->id, err) || !catalogue_ask(run->session, &run->origin, err) ||
        !start_on_server(run, label, err) || !run_check_started(run, err) ||
        !renew_lease_at_start(run, err) || !run_save_history(run, err) ||
        !FAULT_POINT("backup.after-start", err))
        return error_context(err, "start the backup");
    run->report->start = run->start;
    run->report->timeline = run->timeline;
    run->report->elapsed_start = time_monotonic() - began;
    return true;
}

/* What a backup takes over, and how. */
typedef struct BackupSource {
    BaseBackup base;
    UnreadRule unread;
    ChangedBlocks *changed;   /* `unread.changed` borrows it. */
    const char *file_systems; /* It is the manifest's source_fs. */
} BackupSource;

static void backup_source_done(BackupSource *source)
{
    changed_blocks_freep(&source->changed);
    base_backup_done(&source->base);
}

static bool find_source(BackupRun *run, BackupSource *source, Error *err)
{
    BackupReport *report = run->report;

    if (!run_find_base(run, &source->base, err))
        return false;
    source->file_systems = unread_find_roots(run, &source->unread);
    if (source->base.is_there &&
        (!run_judge_unread(run, &source->base, &source->unread, err) ||
         !run_find_changes(run, &source->base, &source->unread, &source->changed, err)))
        return false;
    report->no_base = arena_text(&report->arena, source->base.why_not);
    report->times_why_not = arena_text(&report->arena, source->unread.why_not);
    report->is_base_by_wal =
        source->base.is_there && strcmp(source->base.manifest.header.changes_by, "wal") == 0;
    report->wal_why_not = arena_text(&report->arena, source->unread.wal_why_not);
    if (source->unread.changed != NULL) {
        const ChangedCost cost = changed_blocks_cost(source->unread.changed);

        report->wal_segments = cost.segments;
        report->wal_segments_read = cost.read;
    }
    return true;
}

static bool copy_everything(BackupRun *run, Copy *copy, BackupSource *source, Error *err)
{
    TimeUs began = time_monotonic();
    const char *statistics;

    progress_phase(run->request->progress, "scan", 0);
    be_modest(run->request);
    if (!run_find_statistics(run, &statistics, err) ||
        !catalogue_ask(run->session, &run->catalogue, err) || !run_find_configuration(run, err) ||
        !scan_data_directory(&run->scan, run->data, run->identity.major, statistics, err) ||
        !run_scan_extras(run, err) || !run_check_complete(run, err) ||
        !FAULT_POINT("backup.after-scan", err))
        return error_context(err, "scan");
    if (!find_source(run, source, err) || !FAULT_POINT("backup.after-base", err))
        return false;
    const CopySource shared = {.base = &source->base, .unread = &source->unread};
    if (!copy_files(copy, run, &shared, err) || !copy_control(copy, err))
        return false;
    run->report->elapsed_copy = time_monotonic() - began;
    return FAULT_POINT("backup.before-stop", err);
}

/* What the server says in the label must be what we know: it is what a restore will go by. */
static bool backup_check_label(const BackupRun *run, Error *err)
{
    char label_start[LSN_TEXT_SIZE], backup_begin[LSN_TEXT_SIZE];
    BackupLabel label;

    if (!backup_label_parse(run->stop.label, &label, err))
        return error_context(err, "read the server's backup_label");
    if (label.start != run->start || label.timeline != run->timeline ||
        run->stop.stop <= run->start) {
        return error_set(err, ERR_POSTGRES,
                         "the server's backup_label says timeline %" PRIu32
                         " from %s, the backup began on %" PRIu32 " at %s",
                         label.timeline, lsn_text(label.start, label_start), run->timeline,
                         lsn_text(run->start, backup_begin));
    }
    return true;
}

static bool note_database(void *context, const char *const *values, Error *err)
{
    (void)err;
    database_names_put(context, (uint32_t)strtoul(values[0], NULL, 10), values[1]);
    return true;
}

/* Those that there are when it ends: a restore may be asked for some of them only. */
static bool note_databases(BackupRun *run, Error *err)
{
    CLEANUP(buffer_done) Buffer text = {0};

    if (!session_rows(run->session, "SELECT oid, datname FROM pg_database ORDER BY oid", 2,
                      note_database, &text, err))
        return error_context(err, "ask for the names of the databases");
    run->databases = arena_text_part(&run->arena, (const char *)text.data, text.size);
    return true;
}

static bool backup_end_on_server(BackupRun *run, Error *err)
{
    if (!note_databases(run, err))
        return false;
    if (!session_backup_stop(run->session, &run->arena, &run->stop, err))
        return error_context(err, "stop the backup");
    run->stopped_at = time_now();
    run->report->stop = run->stop.stop;
    return backup_check_label(run, err);
}

/* A line each, for people. */
static const char *followed_text(BackupRun *run)
{
    CLEANUP(buffer_done) Buffer text = {0};

    for (size_t i = 0; i < run->scan.followed_count; i++) {
        const FollowedLink *link = &run->scan.followed[i];
        buffer_print(&text, "%s -> %s\n", link->path, link->target);
    }
    return text.size > 0 ? arena_text(&run->arena, (const char *)text.data) : "";
}

static const char *name_changes_by(const BackupSource *source)
{
    if (!source->base.is_there)
        return "all";
    if (source->unread.changed != NULL)
        return "wal";
    return source->unread.is_on ? "stat+pages" : "pages";
}

/* Where it was taken. */
static void fill_place(const BackupRun *run, ManifestHeader *header)
{
    const char *server_directory = run->identity.data_directory;

    header->host = process_host_name();
    header->boot_id = process_boot_id();
    header->machine_id = process_machine_id();
    header->libc_version = gnu_get_libc_version();
    header->data_directory = run->data;
    header->server_directory = strcmp(server_directory, run->data) != 0 ? server_directory : "";
    header->config_file = run_path_of(run, run->identity.config_file);
    header->hba_file = run_path_of(run, run->identity.hba_file);
    header->ident_file = run_path_of(run, run->identity.ident_file);
}

static void count_content(const BackupRun *run, const Copy *copy, ManifestHeader *header)
{
    for (size_t i = 0; i < run->scan.count; i++) {
        const ManifestEntry *entry = &run->scan.entries[i];
        if (entry->kind == ENTRY_FILE || entry->kind == ENTRY_EXTRA) {
            header->file_count++;
            header->bytes += entry->size;
        }
    }
    /* Files that vanished after they were stored, and pages that fragments were merged with, make
     * it more than there is. */
    header->bytes_new = copy->bytes_new < header->bytes ? copy->bytes_new : header->bytes;
}

static void fill_header(BackupRun *run, const Copy *copy, const BackupSource *source,
                        ManifestHeader *header)
{
    const BaseBackup *base = copy->context.base;

    *header = (ManifestHeader){
        .cluster = run->cluster->name,
        .system_identifier = run->identity.system_identifier,
        .server_version = run->identity.version_number,
        .major = run->identity.major,
        .tool_version = PGCAIRN_VERSION,
        .timeline = run->timeline,
        .history = run->history,
        .start = run->start,
        .stop = run->stop.stop,
        .started_at = run->started_at,
        .stopped_at = run->stopped_at,
        /*
         * Only the WAL knows, and it is on its way to the archive still: whoever restores asks the
         * archive (walk/wal_walk.h), which is right even if it comes much later.
         */
        .commit_time_max = TIME_US_NONE,
        .label = run->stop.label,
        .tablespace_map = run->stop.tablespace_map,
        .options = run->request->options_text != NULL ? run->request->options_text : "",
        .wal_segment_size = run->identity.wal_segment_size,
        .checksums = run->control.checksum_version,
        .from_standby = false,
        .bad_pages = run->report->bad_page_count,
        .followed_links = followed_text(run),
        .databases = run->databases,
        .base = base != NULL ? base->manifest.header.id : "",
        .changes_by = name_changes_by(source),
        .source_fs = source->file_systems,
        .check_round = source->unread.round,
        .bytes_read = copy->bytes_read,
        .block_size = run->control.block_size,
        .catalog_version = run->control.catalog_version,
    };
    memcpy(header->id, run->report->id, sizeof header->id);
    fill_place(run, header);
    count_content(run, copy, header);
}

static void report_content(BackupReport *report, const Copy *copy, const ManifestHeader *header)
{
    report->file_count = header->file_count;
    report->bytes = header->bytes;
    report->bytes_stored = copy->bytes_stored;
    report->bytes_new = header->bytes_new;
    report->bytes_read = copy->bytes_read;
    report->ranges_unread = copy->ranges_unread;
    report->bytes_unnamed = copy->bytes_unnamed;
    (void)snprintf(report->base, sizeof report->base, "%s", header->base);
    report->changes_by = header->changes_by;
}

/*
 * Whether all that the manifest refers to is there and stays: packs of older backups were looked at
 * when this one began, and somebody may have let them go since. Asked before the manifest is stored
 * and after it, since whoever removes asks in between whether a manifest refers to them.
 */
static bool check_own_packs(const BackupRun *run, const Manifest *manifest, Error *err)
{
    CLEANUP(condemned_list_done) CondemnedList condemned = {.count = 0};
    CLEANUP(object_list_done) ObjectList packs = {0};
    CLEANUP(text_freep) char *prefix = layout_pack_prefix(run->cluster->name);

    if (!condemned_load(&condemned, run->cluster, err) ||
        !storage_list(run->cluster->repo->storage, prefix, &packs, err))
        return false;
    for (size_t i = 0; i < manifest->pack_count; i++) {
        const PackInfo *pack = &manifest->packs[i];
        const ObjectInfo *found = pack_find_listed(&packs, pack->id);

        if (found == NULL || found->size != pack->size)
            return error_set(err, ERR_BUSY, "pack %s was removed while the backup ran", pack->id);
        if (condemned_takes_from(&condemned, pack->id,
                                 strcmp(pack->backup, manifest->header.id) == 0))
            return error_set(err, ERR_BUSY, "pack %s is about to be removed by expire", pack->id);
    }
    return true;
}

/* Whether somebody may have let others go because there is this one, and whether it is the last. */
typedef struct OwnWorth {
    bool is_restorable, has_other;
} OwnWorth;

static bool judge_own_worth(const BackupRun *run, OwnWorth *worth, Error *err)
{
    CLEANUP(condemned_list_done) CondemnedList condemned = {.count = 0};
    CLEANUP(wal_inventory_done) WalInventory inventory = {0};
    CLEANUP(backup_list_done) BackupList list = {0};

    *worth = (OwnWorth){.is_restorable = false};
    if (!condemned_load(&condemned, run->cluster, err) ||
        !wal_inventory_load(&inventory, run->cluster, err) ||
        !backup_list_load(&list, run->cluster, &inventory, err))
        return false;
    for (size_t i = 0; i < list.count; i++) {
        const BackupInfo *backup = &list.items[i];
        const bool is_own = strcmp(backup->header.id, run->report->id) == 0;

        if (backup->state != BACKUP_RESTORABLE)
            continue;
        worth->is_restorable = worth->is_restorable || is_own;
        worth->has_other =
            worth->has_other || (!is_own && backup->suspect == NULL &&
                                 !condemned_has_backup(&condemned, backup->header.id));
    }
    return true;
}

/*
 * So long after a backup can be restored nobody has removed another one because of it: shorter than
 * any grace.
 */
static const TimeUs withdrawn_within = INT64_C(1800) * 1000000;
static const TimeUs withdrawal_grace = TIME_US_DAY;

/* A backup that is condemned counts for nobody's plan: not from here on. */
static bool say_withdrawn(const BackupRun *run, char id[BACKUP_ID_SIZE], Error *err)
{
    CondemnedItem own = {.kind = CONDEMNED_BACKUP, .name = run->report->id};
    CondemnedRecord record = {
        .is_by_hand = true, .at = time_now(), .grace = withdrawal_grace, .items = &own, .count = 1};

    if (!condemned_store(&record, run->cluster, err))
        return false;
    memcpy(id, record.id, BACKUP_ID_SIZE);
    return true;
}

/* What was said is taken back last, when the manifest is gone or stays. */
static void unsay_withdrawn(const BackupRun *run, const char *id)
{
    Error unable = {0}; /* expire does it, once its grace is over */

    if (!condemned_remove(id, run->cluster, &unable)) {
        log_warn("what says that the backup is withdrawn could not be removed",
                 log_str("error", unable.message));
    }
}

/* By a clock that was set back meanwhile nobody knows. */
static bool withdrawal_is_late(TimeUs since)
{
    const TimeUs passed = time_now() - since;

    return passed < 0 || passed > withdrawn_within;
}

/*
 * The manifest is removed, unless others may have been because of it: it is the last one; or it is
 * late (since: when it could be restored at the earliest), and nothing of it is about to be removed
 * (manifest NULL: that does not matter). The order makes this hold however long this process is
 * stopped between any two lines: whoever looks after the record was stored does not count on the
 * backup, and what was condemned because of it before is looked at again before it goes.
 */
static bool take_manifest_away(const BackupRun *run, const Manifest *manifest, TimeUs since,
                               bool *stays, Error *err)
{
    CLEANUP(text_freep) char *name = layout_manifest(run->cluster->name, run->report->id);
    char said[BACKUP_ID_SIZE];
    OwnWorth worth;
    Error unsaid = {0}; /* a full store still lets something go */
    Error unsafe = {0};
    const bool is_said = say_withdrawn(run, said, &unsaid);
    const bool is_late = withdrawal_is_late(since);

    *stays = false;
    if (!FAULT_POINT("backup.after-withdrawn", err) || !judge_own_worth(run, &worth, err))
        return false;
    *stays = worth.is_restorable &&
             ((run->had_others && !worth.has_other) ||
              (is_late && (manifest == NULL || check_own_packs(run, manifest, &unsafe))));
    if (!*stays && (!FAULT_POINT("backup.before-withdraw", err) ||
                    !storage_remove(run->cluster->repo->storage, name, err)))
        return false;
    if (is_said)
        unsay_withdrawn(run, said);
    return true;
}

/* *err says why it is withdrawn, and is told what became of it. True: it stays, and is a backup. */
static bool backup_withdraw(const BackupRun *run, const Manifest *manifest, TimeUs since,
                            Error *err)
{
    Error removal = {0};
    bool stays = false;

    if (!take_manifest_away(run, manifest, since, &stays, &removal)) {
        error_hint(err, "do not rely on backup %s, and remove it: it could not be withdrawn (%s)",
                   run->report->id, removal.message);
    } else if (!stays) {
        error_hint(err, "the backup was withdrawn; start it again");
    } else {
        error_hint(err,
                   "do not rely on backup %s; it stays, since others may have been removed because "
                   "of it: take another one, then remove it",
                   run->report->id);
    }
    return stays;
}

/*
 * A manifest can be there although saving it failed: its name was given, and is not known to be
 * durable. Whoever is told that there is no backup must not find one.
 */
static bool take_back_unsaved(const BackupRun *run, const Manifest *manifest, TimeUs since,
                              Error *err)
{
    CLEANUP(text_freep) char *name = layout_manifest(run->cluster->name, run->report->id);
    Error unseen = {0}; /* then nothing more can be done about it */
    uint64_t size;

    if (err->code != ERR_EXISTS &&
        storage_stat(run->cluster->repo->storage, name, &size, NULL, &unseen))
        (void)backup_withdraw(run, manifest, since, err);
    return error_context(err, "commit backup %s", run->report->id);
}

/*
 * Somebody took the lease over while the manifest was on its way, or a pack of it is about to be
 * removed: so the backup never was.
 */
static bool hold_lease_to_end(BackupRun *run, const Manifest *manifest, TimeUs stored, Error *err)
{
    Error unsafe = {0};

    if (FAULT_POINT("backup.after-manifest", err) && lease_check(run->lease, err) &&
        check_own_packs(run, manifest, err))
        return true;
    if (backup_withdraw(run, manifest, stored, err) && check_own_packs(run, manifest, &unsafe)) {
        log_warn("the lease was lost while the backup was committed, which is whole all the same",
                 log_str("id", run->report->id), log_str("error", err->message));
        error_clear(err);
        return true;
    }
    return error_context(err, "hold the lease until backup %s was committed", run->report->id);
}

/* Where there were none nobody has removed one because of this one. */
static bool look_for_others(BackupRun *run, Error *err)
{
    CLEANUP(object_list_done) ObjectList manifests = {0};
    CLEANUP(text_freep) char *prefix = layout_backup_prefix(run->cluster->name);

    if (!storage_list(run->cluster->repo->storage, prefix, &manifests, err))
        return false;
    run->had_others = manifests.count > 0;
    return true;
}

bool run_commit_manifest(BackupRun *run, const Manifest *manifest, Error *err)
{
    TimeUs stored;

    if (!lease_check(run->lease, err) || !look_for_others(run, err) ||
        !check_own_packs(run, manifest, err) || !FAULT_POINT("backup.before-manifest", err))
        return false;
    stored = time_now(); /* at the earliest */
    if (!manifest_save(manifest, run->cluster, err))
        return take_back_unsaved(run, manifest, stored, err);
    return hold_lease_to_end(run, manifest, stored, err);
}

/* The server says of a relative link what is in it; a restore has the link elsewhere. */
static bool resolve_locations(const Scan *scan, TablespaceList *tablespaces, Error *err)
{
    for (size_t i = 0; i < tablespaces->count; i++) {
        Tablespace *tablespace = &tablespaces->items[i];
        CLEANUP(text_freep) char *path = text_format("pg_tblspc/%u", tablespace->oid);
        const ManifestEntry *link = scan_find(scan, path);
        if (tablespace->path[0] == '/')
            continue;
        if (link == NULL || link->kind != ENTRY_LINK) {
            return error_set(err, ERR_REFUSED, "%s was changed while the backup ran: it led to %s",
                             path, tablespace->path);
        }
        tablespace->path = link->target;
    }
    return true;
}

static bool backup_commit(BackupRun *run, Copy *copy, const BackupSource *source, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    TablespaceList tablespaces = {0};
    ManifestFault fault;

    if (!tablespace_map_parse(run->stop.tablespace_map, run->identity.major, &arena, &tablespaces,
                              err))
        return error_context(err, "read the server's tablespace_map");
    if (!resolve_locations(&run->scan, &tablespaces, err))
        return false;
    scan_drop_new_tablespaces(&run->scan, &tablespaces);
    Manifest manifest = {
        .tablespaces = tablespaces.items,
        .tablespace_count = tablespaces.count,
        .packs = copy->packs,
        .pack_count = copy->pack_count,
        .entries = run->scan.entries,
        .entry_count = run->scan.count,
    };
    fill_header(run, copy, source, &manifest.header);
    report_content(run->report, copy, &manifest.header);
    run->report->skipped_count = run->scan.skipped_count;
    for (size_t i = 0; i < copy->own_count; i++)
        memcpy(copy->packs[i].backup, run->report->id, sizeof copy->packs[i].backup);
    if (manifest_find_fault(&manifest, &fault)) {
        return error_set(err, ERR_REFUSED, "nothing could be restored from this backup: %s",
                         manifest_fault_text(&fault, &arena));
    }
    return run_commit_manifest(run, &manifest, err);
}

static bool stop_and_commit(BackupRun *run, Copy *copy, const BackupSource *source, Error *err)
{
    TimeUs began = time_monotonic();

    progress_phase(run->request->progress, "stop", 0);
    if (!backup_end_on_server(run, err) || !copy_finish(copy, err) ||
        !run_check_complete(run, err) || !backup_commit(run, copy, source, err))
        return false;
    run->report->elapsed_stop = time_monotonic() - began;
    return true;
}

/* Nobody counts on it before its WAL is there. */
static bool check_restorable(const BackupRun *run, Error *err)
{
    const TimeUs since = time_now();

    if (run_check_copied(run, err))
        return true;
    (void)backup_withdraw(run, NULL, since, err);
    return false;
}

bool backup_take(const Cluster *cluster, Session *session, const BackupRequest *request,
                 BackupReport *report, Error *err)
{
    CLEANUP(backup_run_done)
    BackupRun run = {.cluster = cluster, .session = session, .request = request, .report = report};
    CLEANUP(backup_source_done)
    BackupSource source = {.unread = {.why_not = "", .wal_why_not = ""}};
    CLEANUP(copy_done) Copy copy = {.worker_count = 0};

    if (!backup_begin(&run, err) || !copy_everything(&run, &copy, &source, err) ||
        !stop_and_commit(&run, &copy, &source, err))
        return false;

    /* The manifest protects from here on what the lease did: others need not wait for the WAL. */
    lease_freep(&run.lease);
    TimeUs began = time_monotonic();
    run_wait_for_wal(&run);
    report->elapsed_wait = time_monotonic() - began;
    return check_restorable(&run, err);
}

void backup_report_done(BackupReport *report)
{
    arena_done(&report->arena);
    *report = (BackupReport){0};
}
