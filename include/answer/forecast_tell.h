/*
 * forecast_tell.h - how long a restore will take, as `restore` and `status` tell it.
 */
#pragma once

#include "cli/output.h"
#include "health/outlook.h"

/* A forecast, what it rests on, and the objective. */
typedef struct ForecastAnswer {
    const RestoreKind *kind;  /* A restore of this kind, on such a host, was looked for. */
    const Forecast *forecast; /* It is NULL when no restore of this kind was measured. */
    TimeUs objective;         /* 0 means that there is none. */
} ForecastAnswer;

/* "3 min 12 s, 9 of 10 take at most 4 min", "at least 3 min", "not known: ..." and why. */
void forecast_in_words(const ForecastAnswer *answer, Buffer *text);
/* "plan 1.2 s, files 2 min, replay 40 s": the phases that there will be and were measured. */
void forecast_phases_in_words(const Forecast *forecast, Buffer *text);
/* "by the last 5 restores with 2 jobs on 2 cores, 8 GiB, file; ..." */
void forecast_basis_in_words(const ForecastAnswer *answer, Buffer *text);

/* An object of this name; null when there is none. */
void forecast_to_json(const ForecastAnswer *answer, const char *key, Json *json);

/* For `status`: lines that begin with "rto"; and "forecast", an object, or null. */
void outlook_print(const RestoreOutlook *outlook, TimeUs objective);
void outlook_to_json(const RestoreOutlook *outlook, TimeUs objective, Json *json);
