#include "configuration.h"
#include "pack/backed_up_file.h"
#include "pack/small_file.h"
#include "rebuild/durability.h"
#include "rebuild/fork_wal.h"
#include "rebuild/held_places.h"
#include "rebuild/marker.h"
#include "rebuild/rebuild.h"
#include "rebuild/skeleton.h"
#include "rebuild/stored_wal.h"
#include "replace/data_state.h"
#include "replace/occupied.h"
#include "replace/save_wal.h"
#include "restore/restore.h"
#include "stock_manifest.h"

#include "base/fault.h"
#include "base/file.h"
#include "postgres/control.h"

#include <errno.h>
#include <sys/file.h>
#include <sys/stat.h>

/* bytes: PG_CONTROL_FILE_SIZE of them. */
static bool restore_read_control(const Cluster *cluster, const RestorePlan *plan, uint8_t *bytes,
                                 Error *err)
{
    const ManifestEntry *entry =
        backed_up_entry_find(&plan->decision.manifest, "global/pg_control");
    PgControl control;

    if (entry == NULL || entry->size != PG_CONTROL_FILE_SIZE) {
        return error_set(err, ERR_CORRUPT, "backup %s has no whole global/pg_control",
                         plan->decision.manifest.header.id);
    }
    if (!small_file_read(cluster, &plan->decision.manifest, entry, bytes, err) ||
        !pg_control_decode(bytes, PG_CONTROL_FILE_SIZE, &control, err))
        return false;
    if (control.system_identifier != plan->decision.manifest.header.system_identifier) {
        return error_set(err, ERR_CORRUPT, "global/pg_control of backup %s is of another cluster",
                         plan->decision.manifest.header.id);
    }
    return true;
}

static bool write_control(const Cluster *cluster, const RestorePlan *plan, Error *err)
{
    uint8_t bytes[PG_CONTROL_FILE_SIZE];

    return restore_read_control(cluster, plan, bytes, err) &&
           data_file_put(&plan->placement, "global/pg_control", bytes, sizeof bytes, err);
}

/*
 * One restore at a time and directory. The lock is on the directory itself, so it goes when we do,
 * however that comes.
 */
static bool lock_directory(const HeldDirectory *data, Error *err)
{
    if (flock(data->fd, LOCK_EX | LOCK_NB) == 0)
        return held_is_in_place(data, err);
    if (errno == EWOULDBLOCK)
        return error_set(err, ERR_BUSY, "another restore into %s is under way", data->path);
    return error_set_errno(err, ERR_IO, errno, "lock %s", data->path);
}

static bool lock_old(const RestorePlan *plan, HeldDirectory *old, Error *err)
{
    if (held_open(old, plan->placement.data, err))
        return lock_directory(old, err);
    if (err->code != ERR_NOT_FOUND)
        return false;
    error_clear(err);
    return error_set(err, ERR_BUSY, "%s has changed since the restore was planned",
                     plan->placement.data);
}

/*
 * In the place of one that was moved aside. Another restore may look at it for a moment, finds that
 * it is not what it planned for, and goes.
 */
static bool make_in_its_place(const RestorePlan *plan, HeldPlaces *held, Error *err)
{
    enum { TRIES = 100, PAUSE_MS = 20 };

    if (!held_places_make_data(held, &plan->placement, err))
        return false;
    for (int i = 0; !lock_directory(&held->data, err); i++) {
        if (err->code != ERR_BUSY || i == TRIES)
            return false;
        error_clear(err);
        time_sleep_ms(PAUSE_MS);
    }
    return true;
}

/* Between plan and now a server, or another restore, may have come. */
static bool check_unchanged(const Cluster *cluster, const RestorePlan *plan, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    DataLook look;
    bool was_free = plan->old.state == DATA_ABSENT || plan->old.state == DATA_EMPTY;

    if (!data_look(plan->placement.data, cluster, &arena, &look, err) ||
        (look.state == DATA_CLUSTER && !plan->old.server_is_stopped &&
         !data_is_free(plan->placement.data, &look, err)))
        return false;
    bool is_free = look.state == DATA_ABSENT || look.state == DATA_EMPTY;
    if (was_free ? is_free : look.state == plan->old.state)
        return true;
    return error_set(err, ERR_BUSY, "%s has changed since the restore was planned",
                     plan->placement.data);
}

static bool take_free_place(const Cluster *cluster, const RestorePlan *plan, HeldPlaces *held,
                            Error *err)
{
    return held_places_make_data(held, &plan->placement, err) && lock_directory(&held->data, err) &&
           check_unchanged(cluster, plan, err);
}

static bool take_occupied_place(const Cluster *cluster, const RestorePlan *plan, HeldPlaces *held,
                                RestoreReport *report, Error *err)
{
    CLEANUP(held_done) HeldDirectory old = HELD_NONE;

    if (!lock_old(plan, &old, err) || !check_unchanged(cluster, plan, err) ||
        !occupied_clear(plan, &old, &report->strays, err))
        return false;
    if (plan->old.replacement != OVERWRITES_OLD)
        return make_in_its_place(plan, held, err);
    /* It is the same directory: a second descriptor of it would wait for the first. */
    held->data = held_take(&old);
    return fchmod(held->data.fd, plan->placement.data_mode) == 0 ||
           error_set_errno(err, ERR_IO, errno, "set the mode of %s", plan->placement.data);
}

/* From here on the place is ours: marked, locked, and empty but for that and for what the backup
 * has, too. */
static bool take_place(const Cluster *cluster, const RestorePlan *plan, RestoreReport *report,
                       Error *err)
{
    HeldPlaces *held = plan->placement.held;

    if (!(plan->old.is_occupied ? take_occupied_place(cluster, plan, held, report, err)
                                : take_free_place(cluster, plan, held, err)))
        return false;
    return held_places_make_others(held, &plan->placement, err) &&
           marker_save(plan, &held->data, true, err);
}

static bool watch_file_systems(const HeldPlaces *held, Durability *durability, Error *err)
{
    if (!durability_add(durability, &held->data, err))
        return false;
    for (size_t i = 0; i < held->version_count; i++) {
        if (!durability_add(durability, &held->versions[i], err))
            return false;
    }
    return held->extra.fd < 0 || durability_add(durability, &held->extra, err);
}

static RebuildRequest rebuild_request(const Cluster *cluster, const RestoreRequest *request,
                                      const RestorePlan *plan)
{
    return (RebuildRequest){.cluster = cluster,
                            .placement = &plan->placement,
                            .manifest = &plan->decision.manifest,
                            .jobs = request->jobs,
                            .progress = request->progress};
}

static bool restore_rebuild(const Cluster *cluster, const RestoreRequest *request,
                            const RestorePlan *plan, const Durability *durability, WalCheck *check,
                            Delta *delta, RestoreReport *report, Error *err)
{
    RebuildRequest files = rebuild_request(cluster, request, plan);

    files.delta = delta;
    files.is_synced = durability->by_file;
    files.check = check;
    progress_phase(request->progress, "rebuild", plan->decision.bytes);
    return skeleton_make(&plan->placement, files.manifest, err) &&
           skeleton_make_hollow(&plan->placement, files.manifest, files.is_synced, err) &&
           rebuild_files(&files, &report->rebuilt, err) && wal_check_finish(check, err);
}

/* What makes files a cluster that knows where to go. tablespace_map is left out: it would make the
 * server set the links anew, to where they led at the backup (docs/postgres-facts.md 1.6). */
static bool restore_configure(const Cluster *cluster, const RestoreRequest *request,
                              RestorePlan *plan, RestoreReport *report, Error *err)
{
    const char *label = plan->decision.manifest.header.label;

    return configuration_settle(plan, err) &&
           data_file_put(&plan->placement, "backup_label", label, strlen(label), err) &&
           recovery_settings_write(request, plan, err) && stock_manifest_put(plan, err) &&
           fork_wal_put(cluster, request, plan, err) &&
           save_wal_put(cluster, plan, &report->wal_saved, err);
}

static bool make_durable(const RestoreRequest *request, const RestorePlan *plan,
                         Durability *durability, Error *err)
{
    progress_phase(request->progress, "sync", 0);
    return durability_sync(durability, err) &&
           (!durability->by_file ||
            skeleton_sync(&plan->placement, &plan->decision.manifest, err)) &&
           file_sync_parent(plan->placement.data, err);
}

static bool restore_finish(const Cluster *cluster, const RestorePlan *plan, Error *err)
{
    return held_places_are_in_place(plan->placement.held, err) &&
           FAULT_POINT("restore.before-control", err) && write_control(cluster, plan, err) &&
           FAULT_POINT("restore.after-control", err) &&
           marker_remove(&plan->placement.held->data, err);
}

/* It was renamed, and is as good as it was; or it is gone. */
static bool explain_old(const RestorePlan *plan, Error *err)
{
    if (plan->old.replacement == OVERWRITES_OLD) {
        return error_hint(err,
                          "what was in %s is overwritten in part, and nothing there can be "
                          "started; restore again with --delta: it goes on where this one ended",
                          plan->placement.data);
    }
    if (plan->old.replacement != REMOVES_OLD_LAST || err->code == ERR_INTERRUPTED)
        return error_hint(err, "nothing here can be started; run the restore again");
    return error_hint(err,
                      "nothing here can be started; run the restore again, or bring the old "
                      "directory back: it is whole, as %s%s%s",
                      plan->old.moved_to,
                      plan->old.version_count > 0 ? ", and in its tablespaces as PG_*.pgcairn-"
                                                  : "",
                      plan->old.version_count > 0 ? plan->old.stamp : "");
}

/* pg_control is the last file: it tells how far we came. */
static bool explain_state(const RestorePlan *plan, Error *err)
{
    if (!held_has(held_at(&plan->placement.held->data, "global/pg_control")))
        return explain_old(plan, err);
    return error_hint(err, "all files are there, but they may not be durable; restore again with "
                           "--force");
}

/*
 * Law 8: a cluster that is about to be replaced may be all there is, so the WAL that is to take its
 * place is looked at first. Where nothing is lost the time to open the database counts.
 */
static bool begin_wal_check(const Cluster *cluster, const RestoreRequest *request,
                            const RestorePlan *plan, WalCheck **check, Error *err)
{
    if (request->no_wal_check)
        return true;
    bool is_first = plan->old.state == DATA_CLUSTER;
    if (is_first)
        progress_phase(request->progress, "check WAL", 0);
    *check = wal_check_new(cluster, plan, is_first ? request->jobs : 1, err);
    return *check != NULL && (!is_first || wal_check_finish(*check, err));
}

static bool restore_compare_held(const RebuildRequest *files, const Cluster *cluster,
                                 RestorePlan *plan, HeldPlaces *held, RestoreReport *report,
                                 Error *err)
{
    uint8_t control[PG_CONTROL_FILE_SIZE];

    return held_places_open(held, &plan->placement, err) &&
           rebuild_compare(files, &report->rebuilt, err) &&
           restore_read_control(cluster, plan, control, err);
}

/*
 * Law 8: where the old directory is overwritten, all that is needed of the backup is read before.
 * Of one that is half restored nothing is left to lose.
 */
static bool restore_compare(const Cluster *cluster, const RestoreRequest *request,
                            RestorePlan *plan, Delta *delta, RestoreReport *report, Error *err)
{
    CLEANUP(held_places_done) HeldPlaces seen = {.data = HELD_NONE, .extra = HELD_NONE};
    HeldPlaces *held = plan->placement.held;

    if (plan->old.replacement != OVERWRITES_OLD || plan->old.state != DATA_CLUSTER)
        return true;
    RebuildRequest files = rebuild_request(cluster, request, plan);
    files.delta = delta;
    progress_phase(request->progress, "compare", plan->decision.bytes);
    plan->placement.held = &seen;
    bool is_good = restore_compare_held(&files, cluster, plan, &seen, report, err);
    plan->placement.held = held;
    return is_good ||
           error_context(err,
                         "compare the old directory with the backup, before it is overwritten");
}

/* What a restore left that did not end may differ from what the disk has: see delta.h. */
static Delta *new_delta(const RestorePlan *plan)
{
    return plan->old.replacement == OVERWRITES_OLD
               ? delta_new(&plan->decision.manifest, plan->old.state == DATA_HALF_RESTORED,
                           delta_keep_max())
               : NULL;
}

static bool restore_do(const Cluster *cluster, const RestoreRequest *request, RestorePlan *plan,
                       RestoreReport *report, Error *err)
{
    CLEANUP(durability_done) Durability durability = {0};
    CLEANUP(wal_check_freep) WalCheck *check = NULL;
    CLEANUP(delta_freep) Delta *delta = new_delta(plan);
    TimeUs begin = time_monotonic();

    if (!begin_wal_check(cluster, request, plan, &check, err) ||
        !restore_compare(cluster, request, plan, delta, report, err))
        return false;
    report->elapsed_check = time_monotonic() - begin;
    if (!FAULT_POINT("restore.before-take", err) || !take_place(cluster, plan, report, err) ||
        !FAULT_POINT("restore.before-rebuild", err) ||
        !watch_file_systems(plan->placement.held, &durability, err))
        return false;
    if (!restore_rebuild(cluster, request, plan, &durability, check, delta, report, err) ||
        !FAULT_POINT("restore.after-rebuild", err) ||
        !restore_configure(cluster, request, plan, report, err))
        return explain_old(plan, err);
    report->elapsed_rebuild = time_monotonic() - begin;
    if (!make_durable(request, plan, &durability, err) || !restore_finish(cluster, plan, err))
        return explain_state(plan, err);
    report->elapsed = time_monotonic() - begin;
    report->elapsed_sync = report->elapsed - report->elapsed_rebuild;
    return true;
}

bool restore_run(const Cluster *cluster, const RestoreRequest *request, RestorePlan *plan,
                 RestoreReport *report, Error *err)
{
    CLEANUP(held_places_done) HeldPlaces held = {.data = HELD_NONE, .extra = HELD_NONE};

    *report = (RestoreReport){0};
    plan->placement.held = &held;
    bool is_done = restore_do(cluster, request, plan, report, err);
    plan->placement.held = NULL;
    return is_done;
}
