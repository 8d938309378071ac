/*
 * forecast.h - how long will a restore take? From what restores and drills took before, on hosts of
 * the same class; no number where nothing was measured.
 *
 *     time = plan + check + bytes * a + files * b + sync + start + replay + checkpoint + second
 * start
 *
 * Each phase but that of the files is fixed + work * rate, where its work is the WAL (plan, replay,
 * the checkpoint at the end, which writes what replay has changed), bytes (check, sync) or files
 * (start: the server syncs them). Both are told apart where restores differed in work; where they
 * were alike, what does little by little (check, sync, replay) is taken as work * rate, all else as
 * fixed. All of it is of the last RATES_SAMPLES_MAX restores of one kind (host class, jobs, codec,
 * delta or not), the newer ones counting more, and medians throughout: one restore that a busy disk
 * held up must not move what the next one is told. How far those restores were from what these
 * rates give for them is the spread, and makes the time that 9 of 10 keep (p90).
 *
 * Pure functions: measures in, numbers out.
 */
#pragma once

#include "ledger/measure.h"
#include "postgres/wal_name.h"

enum { RATES_SAMPLES_MAX = 10, FORECAST_KINDS_MAX = 16 };

/* What there is to do. */
typedef struct RestoreLoad {
    uint64_t bytes, files; /* They are those of the backup, raw. */
    uint64_t wal_bytes;    /* This many bytes of raw WAL are to be replayed. */
    bool has_target;       /* The server starts twice: see PHASE_SECOND_START. */
    bool has_check;        /* A cluster is replaced: see PHASE_CHECK. */
} RestoreLoad;

/* What a phase takes, in microseconds. */
typedef struct PhaseTerm {
    bool is_known; /* The phase was measured. */
    double fixed, rate;
} PhaseTerm;

typedef struct RestoreRates {
    RestoreKind kind;
    size_t count;                        /* This many restores were measured. */
    TimeUs newest;                       /* The newest of them ended then. The caller sets it. */
    bool is_known[PHASE_COUNT];          /* The phase was measured. */
    PhaseTerm terms[PHASE_COUNT];        /* They are of all phases but FILES. */
    PhaseTerm checkpoint[2];             /* The first is without a target, the second with one. */
    double us_per_byte, us_per_file;     /* They are for FILES. */
    uint64_t bytes_most, wal_bytes_most; /* They are the largest that were measured. */
    /*
     * It is the standard deviation of real time / forecast. Below 0, fewer than two were measured.
     */
    double spread;
} RestoreRates;

/* Of those of `measures`, the newest first, that are of this kind. False: there is none. */
bool rates_measure(const RestoreMeasure *measures, size_t count, const RestoreKind *kind,
                   RestoreRates *rates);

/* What a phase's rate is of. For a delta what is there is read before, about as much as the backup.
 */
double forecast_work(const RestoreLoad *load, RestorePhase phase, bool is_delta);

typedef struct Forecast {
    bool is_known; /* Each phase that there will be was measured. */
    bool has_p90;  /* Each phase was measured at least twice. */
    /* TIME_US_NONE means that there will be no such phase, or that it was not measured. */
    TimeUs phases[PHASE_COUNT];
    bool lacks[PHASE_COUNT]; /* The phase was not measured. */
    TimeUs measured;         /* It is the sum of all phases that were measured. */
    /* They are of the whole restore: 9 of 10 take no longer than p90. They may be TIME_US_NONE. */
    TimeUs p50, p90;
    size_t count; /* The forecast rests on this many restores. */
    bool is_far;  /* There are many more bytes, or much more WAL, than was ever measured. */
} Forecast;

void forecast_make(const RestoreRates *rates, const RestoreLoad *load, Forecast *forecast);
/* p90, or p50 where there is none. */
TimeUs forecast_time(const Forecast *forecast);

/* A backup that a restore may begin with, along one path of timelines, ascending by start. */
typedef struct ForecastBackup {
    const char *id;
    uint64_t bytes, files;
    Lsn start, stop;
} ForecastBackup;

/*
 * The instant of the window whose restore takes longest: the last one before a later backup takes
 * over, or the end of the archive (until). *load: what there is to do then. False: no backup.
 */
bool forecast_worst(const RestoreRates *rates, const ForecastBackup *backups, size_t count,
                    Lsn until, RestoreLoad *load, size_t *index);

/* What would bring the time below the objective, computed from what was measured. */
typedef struct ForecastRemedy {
    bool is_needed; /* The forecast is above the objective. */
    /*
     * Backups this often would do. 0 means that no number of backups is enough, since files and
     * start alone take longer. TIME_US_NONE means that it is not known how fast WAL is written.
     */
    TimeUs backup_every;
    /*
     * It is another kind of restore on the same class of host, which was measured and meets the
     * objective, or NULL.
     */
    const RestoreRates *faster;
    TimeUs faster_time;
} ForecastRemedy;

/*
 * rates: the one that the forecast is of; all: of every kind. wal_bytes_per_s: 0, not known.
 * backup_wal_bytes: what is written while a backup is taken.
 */
typedef struct RemedySearch {
    const RestoreRates *rates, *all;
    size_t count;
    RestoreLoad worst;
    TimeUs objective;
    double wal_bytes_per_s;
    uint64_t backup_wal_bytes;
} RemedySearch;
void forecast_remedy(const RemedySearch *search, ForecastRemedy *remedy);

/* Rates of every kind among measures (the newest first), at most FORECAST_KINDS_MAX, the kind that
 * was measured last first. Returns how many. */
size_t rates_of_all_kinds(const RestoreMeasure *measures, size_t count,
                          RestoreRates rates[FORECAST_KINDS_MAX]);
