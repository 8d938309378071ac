#include "backup_run.h"

#include "base/interrupt.h"
#include "base/log.h"
#include "catalog/backups.h"

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
           (uint64_t)(time_monotonic() - since) / 1000 < run->wish->wal_wait_ms;
}

void run_wait_for_wal(BackupRun *run)
{
    uint32_t segment_size = run->cluster->wal_segment_size;
    uint64_t segment = wal_segment_of(run->start, segment_size);
    uint64_t last = wal_segment_before(run->stop.stop, segment_size);
    TimeUs since = time_monotonic();
    uint64_t pause_ms = LOOK_FIRST_MS;
    Error problem = {0};

    progress_phase(run->wish->progress, "wait for WAL", 0);
    while (segment <= last) {
        if (has_segment(run, segment, &problem)) {
            segment++;
            continue;
        }
        if (!may_wait(run, since))
            break;
        time_sleep_ms(pause_ms);
        pause_ms = pause_ms * 2 < LOOK_MAX_MS ? pause_ms * 2 : LOOK_MAX_MS;
        progress_tick(run->wish->progress);
    }
    run->report->is_waiting_for_wal = segment <= last;
    if (segment <= last && problem.code != ERR_NOT_FOUND)
        log_warn("archived WAL can't be relied on", log_str("error", problem.message));
}
