/*
 * outlook.h - how long a restore would take now: to the latest instant, and to the one of the
 * window that takes longest; and what would bring that below the objective.
 *
 * By what restores took on this class of host, or, where none was measured, by the last that was
 * measured elsewhere, which is then said.
 */
#pragma once

#include "catalog/backups.h"
#include "ledger/forecast.h"

typedef struct RestoreOutlook {
    char host_class[HOST_CLASS_SIZE]; /* It is the class of this host. */
    RestoreRates all[FORECAST_KINDS_MAX];
    size_t count;
    const RestoreRates *rates; /* The forecast rests on them. NULL means that there are none. */
    bool is_of_this_class;
    bool has_window; /* There is a backup to begin with: the fields below are valid. */
    Forecast latest, worst;
    RestoreLoad worst_load;
    const char *worst_backup; /* The worst instant begins with this backup. */
    /* WAL is written at this rate, measured over the window. 0 means that it is not known. */
    double wal_bytes_per_s;
    ForecastRemedy remedy;
} RestoreOutlook;

/* Backups that a restore along the path may begin with, ascending by stop. */
typedef struct OutlookWindow {
    const ForecastBackup *backups;
    size_t count;
    Lsn until; /* The archive ends here. */
    /* The oldest backup began at oldest_at. The archive ended at `until` at until_at. */
    TimeUs oldest_at, until_at;
} OutlookWindow;

/* Pure. measures: the newest first. objective: 0, none. */
void outlook_make(RestoreOutlook *outlook, const RestoreMeasure *measures, size_t count,
                  const OutlookWindow *window, TimeUs objective);
