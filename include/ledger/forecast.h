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
 * delta or not), the newer ones counting more. How far those restores were from what these rates
 * give for them is the spread, and makes the time that 9 of 10 keep (p90).
 *
 * Pure functions: measures in, numbers out.
 */
#pragma once

#include "ledger/measure.h"
#include "postgres/wal_name.h"

enum { RATES_SAMPLES_MAX = 10, FORECAST_KINDS_MAX = 16 };

/* What there is to do. */
typedef struct RestoreLoad {
    uint64_t bytes, files; /* of the backup, raw */
    uint64_t wal_bytes;    /* to replay, raw */
    bool has_target;       /* it starts twice: see PHASE_SECOND_START */
    bool has_check;        /* a cluster is replaced: see PHASE_CHECK */
} RestoreLoad;

/* What a phase takes, in microseconds. */
typedef struct PhaseTerm {
    bool is_known; /* it was measured */
    double fixed, rate;
} PhaseTerm;

typedef struct RestoreRates {
    RestoreKind kind;
    size_t count;                        /* restores that were measured */
    TimeUs newest;                       /* when the newest of them ended; the caller's */
    bool is_known[PHASE_COUNT];          /* it was measured */
    PhaseTerm terms[PHASE_COUNT];        /* of all but FILES */
    PhaseTerm checkpoint[2];             /* without and with a target */
    double us_per_byte, us_per_file;     /* FILES */
    uint64_t bytes_most, wal_bytes_most; /* the largest that was measured */
    double spread; /* standard deviation of real time / forecast; below 0: fewer than two */
} RestoreRates;

/* Of those of `measures`, the newest first, that are of this kind. False: there is none. */
bool rates_measure(const RestoreMeasure *measures, size_t count, const RestoreKind *kind,
                   RestoreRates *rates);

/* What a phase's rate is of. For a delta what is there is read before, about as much as the backup.
 */
double forecast_work(const RestoreLoad *load, RestorePhase phase, bool is_delta);

typedef struct Forecast {
    bool is_known;              /* each phase that there will be was measured */
    bool has_p90;               /* ... twice at least */
    TimeUs phases[PHASE_COUNT]; /* TIME_US_NONE: there will be none, or it was not measured */
    bool lacks[PHASE_COUNT];    /* not measured */
    TimeUs measured;            /* all phases that were measured together */
    TimeUs p50, p90;            /* in all; 9 of 10 take no longer than p90; TIME_US_NONE */
    size_t count;               /* restores that it rests on */
    bool is_far;                /* much more bytes or WAL than was ever measured */
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
    bool is_needed;             /* the forecast is above the objective */
    TimeUs backup_every;        /* so often; 0: not often enough ever, as files and start alone take
                                   longer; TIME_US_NONE: how much WAL is written in a time is not known */
    const RestoreRates *faster; /* another kind on the same class of host, which was measured and
                                   keeps the objective; NULL: none */
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
