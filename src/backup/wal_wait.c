#include "backup_run.h"
#include "copied.h"

#include "base/interrupt.h"
#include "base/log.h"
#include "catalog/backups.h"
#include "walk/walk.h"

enum { LOOK_FIRST_MS = 50, LOOK_MAX_MS = 1000 };

/*
 * Whether a segment is in the archive, with a trailer that says that it is this cluster's. problem
 * says why not.
 */
static bool has_segment(const BackupRun *run, uint64_t segment, Error *problem)
{
    uint32_t segment_size = run->cluster->wal_segment_size;
    char name[WAL_NAME_SIZE];
    WalTrailer trailer;

    error_clear(problem);
    (void)wal_name_text(
        &(WalName){.kind = WAL_SEGMENT, .timeline = run->timeline, .segment = segment},
        segment_size, name);
    if (!wal_object_trailer(run->cluster, name, &trailer, problem))
        return false;
    if (trailer.kind != WAL_SEGMENT || trailer.raw_size != segment_size ||
        trailer.system_identifier != run->cluster->system_identifier)
        return error_set(problem, ERR_CORRUPT, "archived %s is not of this cluster", name);
    return segment != wal_segment_before(run->stop.stop, segment_size) ||
           !backup_wal_is_foreign(run->start, run->stop.stop, &trailer) ||
           error_set(problem, ERR_CORRUPT,
                     "archived %s is another server's: this backup does not end in it", name);
}

/*
 * The backup is committed: from here on nothing is a failure of it any more, only "not yet". So
 * a signal ends the waiting, and the answer is what is known then.
 */
static bool may_wait(const BackupRun *run, TimeUs since)
{
    Error interrupted = {0};

    return interrupt_check(&interrupted) &&
           (uint64_t)(time_monotonic() - since) / 1000 < run->request->wal_wait_ms;
}

void run_wait_for_wal(BackupRun *run)
{
    uint32_t segment_size = run->cluster->wal_segment_size;
    uint64_t segment = wal_segment_of(run->start, segment_size);
    uint64_t last = wal_segment_before(run->stop.stop, segment_size);
    TimeUs since = time_monotonic();
    uint64_t pause_ms = LOOK_FIRST_MS;
    Error problem = {0};

    progress_phase(run->request->progress, "wait for WAL", 0);
    while (segment <= last) {
        if (has_segment(run, segment, &problem)) {
            segment++;
            continue;
        }
        if (!may_wait(run, since))
            break;
        time_sleep_ms(pause_ms);
        pause_ms = pause_ms * 2 < LOOK_MAX_MS ? pause_ms * 2 : LOOK_MAX_MS;
        progress_tick(run->request->progress);
    }
    run->report->is_waiting_for_wal = segment <= last;
    if (segment <= last && problem.code != ERR_NOT_FOUND)
        log_warn("archived WAL can't be relied on", log_str("error", problem.message));
}

static WalkStep wait_take_record(void *context, const WalRecord *record, Error *err)
{
    (void)err;
    copied_take(context, record);
    return WALK_ON;
}

static bool look_at_copies(const BackupRun *run, CopiedDatabases *copied, Error *err)
{
    CLEANUP(wal_inventory_done) WalInventory inventory = {0};
    CLEANUP(arena_done) Arena arena = {0};
    TimelinePath path;
    WalWalkEnd end;

    if (!wal_inventory_load(&inventory, run->cluster, err) ||
        !timeline_path_parse(run->timeline, run->history, &arena, &path, err))
        return false;
    const WalWalk walk = {.cluster = run->cluster,
                          .inventory = &inventory,
                          .path = &path,
                          .from = run->start,
                          .to = run->stop.stop,
                          .threads = 1,
                          .keep_all = true};
    return walk_records(&walk, wait_take_record, copied, &end, err);
}

bool run_check_copied(const BackupRun *run, Error *err)
{
    CLEANUP(copied_done)
    CopiedDatabases copied = {.version = pg_version_of_major(run->identity.major)};
    Error unread = {0};

    if (!run->has_new_database)
        return true;
    if (!run->report->is_waiting_for_wal && look_at_copies(run, &copied, &unread))
        return copied_check(&copied, err);
    log_warn("a database was created while the backup ran, and the WAL that tells how can't be "
             "read yet: if its template was dropped or changed since, take the backup again",
             log_str("error", unread.message));
    return true;
}
