#include "health/outlook.h"

static const TimeUs MINUTE = 60 * 1000000LL;

/*
 * Of this class of host before all; then a whole restore before one in place (--delta), for which
 * something must be left that it can go over; then the kind that was measured last.
 */
static unsigned outlook_fitness(const RestoreOutlook *outlook, const RestoreRates *rates)
{
    const bool is_of_this_class = strcmp(rates->kind.host_class, outlook->host_class) == 0;

    return (is_of_this_class ? 2U : 0U) + (rates->kind.is_delta ? 0U : 1U);
}

static void outlook_choose_rates(RestoreOutlook *outlook)
{
    outlook->rates = NULL;
    for (size_t i = 0; i < outlook->count; i++) {
        const RestoreRates *rates = &outlook->all[i];
        if (outlook->rates == NULL ||
            outlook_fitness(outlook, rates) > outlook_fitness(outlook, outlook->rates))
            outlook->rates = rates;
    }
    outlook->is_of_this_class =
        outlook->rates != NULL && strcmp(outlook->rates->kind.host_class, outlook->host_class) == 0;
}

static double outlook_wal_rate(const OutlookWindow *window)
{
    TimeUs time = window->until_at - window->oldest_at;
    Lsn from = window->backups[0].start;

    if (window->oldest_at == TIME_US_NONE || window->until_at == TIME_US_NONE || time < MINUTE ||
        window->until <= from)
        return 0;
    return (double)(window->until - from) / ((double)time / 1e6);
}

static void outlook_forecast_latest(RestoreOutlook *outlook, const OutlookWindow *window)
{
    const ForecastBackup *newest = &window->backups[window->count - 1];
    const RestoreLoad load = {
        .bytes = newest->bytes,
        .files = newest->files,
        .wal_bytes = window->until > newest->start ? window->until - newest->start : 0};

    forecast_make(outlook->rates, &load, &outlook->latest);
}

/* An instant of the window is a target, which is started twice; where only restores to the end of
 * the archive were measured, that part is not known, and all else is. */
static void outlook_forecast_worst(RestoreOutlook *outlook, const OutlookWindow *window)
{
    size_t index;

    if (!forecast_worst(outlook->rates, window->backups, window->count, window->until,
                        &outlook->worst_load, &index))
        return;
    outlook->worst_backup = window->backups[index].id;
    outlook->worst_load.has_target = outlook->rates->is_known[PHASE_SECOND_START];
    forecast_make(outlook->rates, &outlook->worst_load, &outlook->worst);
}

static void outlook_find_remedy(RestoreOutlook *outlook, const OutlookWindow *window,
                                TimeUs objective)
{
    const ForecastBackup *newest = &window->backups[window->count - 1];
    const RemedySearch search = {
        .rates = outlook->rates,
        .all = outlook->all,
        .count = outlook->count,
        .worst = outlook->worst_load,
        .objective = objective,
        .wal_bytes_per_s = outlook->wal_bytes_per_s,
        .backup_wal_bytes = newest->stop > newest->start ? newest->stop - newest->start : 0,
    };

    if (objective > 0)
        forecast_remedy(&search, &outlook->remedy);
}

void outlook_make(RestoreOutlook *outlook, const RestoreMeasure *measures, size_t count,
                  const OutlookWindow *window, TimeUs objective)
{
    outlook->count = rates_of_all_kinds(measures, count, outlook->all);
    outlook_choose_rates(outlook);
    outlook->has_window = outlook->rates != NULL && window->count > 0;
    if (!outlook->has_window)
        return;
    outlook->wal_bytes_per_s = outlook_wal_rate(window);
    outlook_forecast_latest(outlook, window);
    outlook_forecast_worst(outlook, window);
    outlook_find_remedy(outlook, window, objective);
}
