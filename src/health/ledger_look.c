/*
 * ledger_look.c - what was done before: how long a restore would take, which duties are due.
 */
#include "look.h"

static bool outlook_has_backup(const Health *health, const RecoveryWindow *window,
                               const BackupInfo *backup)
{
    bool is_on_path = health->has_end && health_is_own_window(health, window)
                          ? backup_is_on_path(backup, &health->path)
                          : backup->header.timeline == window->timeline;

    return backup->state == BACKUP_RESTORABLE && is_on_path &&
           backup->header.stop >= window->from && backup->header.stop <= window->until;
}

static int outlook_by_stop(const void *one, const void *other)
{
    const ForecastBackup *a = one, *b = other;

    return (a->stop > b->stop) - (a->stop < b->stop);
}

/* The backups of the window that counts, and how far it reaches. */
static void outlook_find_window(Health *health, Arena *arena, OutlookWindow *found)
{
    const RecoveryWindow *window = health_window(health);
    ForecastBackup *backups = arena_alloc(arena, (health->backups.count + 1) * sizeof *backups);

    *found =
        (OutlookWindow){.backups = backups, .until_at = health->now, .oldest_at = TIME_US_NONE};
    if (window == NULL)
        return;
    found->until = window->until;
    for (size_t i = 0; i < health->backups.count; i++) {
        const ManifestHeader *header = &health->backups.items[i].header;

        if (!outlook_has_backup(health, window, &health->backups.items[i]))
            continue;
        backups[found->count++] = (ForecastBackup){.id = header->id,
                                                   .bytes = header->bytes,
                                                   .files = header->file_count,
                                                   .start = header->start,
                                                   .stop = header->stop};
        if (found->oldest_at == TIME_US_NONE || header->started_at < found->oldest_at)
            found->oldest_at = header->started_at;
    }
    qsort(backups, found->count, sizeof *backups, outlook_by_stop);
}

bool ledger_look(Health *health, const HealthRequest *request, Arena *arena, Error *err)
{
    CLEANUP(ledger_done) Ledger ledger = {0};
    DutyRequest duties = {.since = health->cluster.registered_at, .now = time_now()};
    OutlookWindow window;
    size_t count;

    if (!duties_load(&ledger, &health->cluster, err))
        return false;
    memcpy(duties.periods, request->duties, sizeof duties.periods);
    duties_judge(&ledger, &duties, health->duties);
    const RestoreMeasure *measures = ledger_measures(&ledger, arena, &count);
    outlook_find_window(health, arena, &window);
    host_class(storage_address(health->cluster.repo->storage), health->outlook.host_class);
    outlook_make(&health->outlook, measures, count, &window, request->rto);
    return true;
}
