#include "answer/forecast_tell.h"

#include <inttypes.h>

static const double MICROSECONDS = 1e6;

/* A buffer's text ends with a NUL that is not of its size. */
void forecast_in_words(const ForecastAnswer *answer, Buffer *text)
{
    const Forecast *forecast = answer->forecast;
    char likely[OUT_TEXT_SIZE], most[OUT_TEXT_SIZE], objective[OUT_TEXT_SIZE];

    if (forecast == NULL) {
        buffer_print(text, "not known: no restore with %u job%s was measured on %s",
                     answer->kind->jobs, answer->kind->jobs == 1 ? "" : "s",
                     answer->kind->host_class);
        return;
    }
    if (!forecast->is_known) {
        buffer_print(text, "at least %s", out_duration(forecast->measured, likely));
    } else if (!forecast->has_p90) {
        buffer_print(text, "%s", out_duration(forecast->p50, likely));
    } else {
        buffer_print(text, "%s, 9 of 10 take at most %s", out_duration(forecast->p50, likely),
                     out_duration(forecast->p90, most));
    }
    if (answer->objective > 0 && forecast->is_known &&
        forecast_time(forecast) > answer->objective) {
        buffer_print(text, ", above the objective of %s",
                     out_duration(answer->objective, objective));
    }
}

void forecast_phases_in_words(const Forecast *forecast, Buffer *text)
{
    char time[OUT_TEXT_SIZE];
    const char *comma = "";

    for (int phase = 0; phase < PHASE_COUNT; phase++) {
        if (forecast->phases[phase] == TIME_US_NONE)
            continue;
        buffer_print(text, "%s%s %s", comma, restore_phase_name((RestorePhase)phase),
                     out_duration(forecast->phases[phase], time));
        comma = ", ";
    }
    comma = "; not measured: ";
    for (int phase = 0; phase < PHASE_COUNT; phase++) {
        if (!forecast->lacks[phase])
            continue;
        buffer_print(text, "%s%s", comma, restore_phase_name((RestorePhase)phase));
        comma = ", ";
    }
}

void forecast_basis_in_words(const ForecastAnswer *answer, Buffer *text)
{
    const Forecast *forecast = answer->forecast;

    if (forecast->count == 1) {
        buffer_print(text, "measured by one restore");
    } else {
        buffer_print(text, "measured by the last %zu restores", forecast->count);
    }
    buffer_print(text, " with %u job%s on %s", answer->kind->jobs,
                 answer->kind->jobs == 1 ? "" : "s", answer->kind->host_class);
    if (forecast->is_far)
        buffer_print(text, "; this is much more than any of them had to do");
}

static void forecast_seconds(Json *json, const char *key, TimeUs time)
{
    if (time == TIME_US_NONE) {
        json_text(json, key, NULL);
    } else {
        json_double(json, key, (double)time / MICROSECONDS);
    }
}

void forecast_to_json(const ForecastAnswer *answer, const char *key, Json *json)
{
    const Forecast *forecast = answer->forecast;

    if (forecast == NULL) {
        json_text(json, key, NULL);
        return;
    }
    json_begin_object(json, key);
    forecast_seconds(json, "p50_s", forecast->p50);
    forecast_seconds(json, "p90_s", forecast->p90);
    json_begin_object(json, "phases");
    for (int phase = 0; phase < PHASE_COUNT; phase++) {
        CLEANUP(text_freep)
        char *name = text_format("%s_s", restore_phase_key((RestorePhase)phase));

        if (forecast->phases[phase] != TIME_US_NONE || forecast->lacks[phase])
            forecast_seconds(json, name, forecast->phases[phase]);
    }
    json_end_object(json);
    json_u64(json, "restores", forecast->count);
    json_text(json, "host_class", answer->kind->host_class);
    json_text(json, "codec", answer->kind->codec);
    json_u64(json, "jobs", answer->kind->jobs);
    json_bool(json, "is_delta", answer->kind->is_delta);
    json_bool(json, "is_beyond_measured", forecast->is_far);
    json_end_object(json);
}

static ForecastAnswer outlook_answer(const RestoreOutlook *outlook, const Forecast *forecast,
                                     TimeUs objective)
{
    return (ForecastAnswer){
        .kind = &outlook->rates->kind, .forecast = forecast, .objective = objective};
}

void outlook_print(const RestoreOutlook *outlook, TimeUs objective)
{
    CLEANUP(buffer_done) Buffer latest = {0};
    CLEANUP(buffer_done) Buffer worst = {0};
    CLEANUP(buffer_done) Buffer basis = {0};

    if (outlook->rates == NULL) {
        out_print("rto        not known: no restore with --start was measured yet\n");
        return;
    }
    if (!outlook->has_window)
        return;
    const ForecastAnswer to_latest = outlook_answer(outlook, &outlook->latest, objective);
    const ForecastAnswer to_worst = outlook_answer(outlook, &outlook->worst, objective);
    forecast_in_words(&to_latest, &latest);
    forecast_in_words(&to_worst, &worst);
    forecast_basis_in_words(&to_latest, &basis);
    out_print(
        "rto        to the latest: %s\n           to the worst instant: %s\n           %s%s\n",
        (const char *)latest.data, (const char *)worst.data, (const char *)basis.data,
        outlook->is_of_this_class ? "" : ", which is another host than this");
}

static void remedy_to_json(const ForecastRemedy *remedy, Json *json)
{
    if (!remedy->is_needed) {
        json_text(json, "remedy", NULL);
        return;
    }
    json_begin_object(json, "remedy");
    forecast_seconds(json, "backup_every_s", remedy->backup_every);
    json_bool(json, "is_backup_enough", remedy->backup_every != 0);
    if (remedy->faster == NULL) {
        json_text(json, "faster_jobs", NULL);
    } else {
        json_u64(json, "faster_jobs", remedy->faster->kind.jobs);
    }
    json_bool(json, "is_faster_delta", remedy->faster != NULL && remedy->faster->kind.is_delta);
    forecast_seconds(json, "faster_s", remedy->faster_time);
    json_end_object(json);
}

void outlook_to_json(const RestoreOutlook *outlook, TimeUs objective, Json *json)
{
    if (!outlook->has_window) {
        json_text(json, "forecast", NULL);
        return;
    }
    const ForecastAnswer latest = outlook_answer(outlook, &outlook->latest, objective);
    const ForecastAnswer worst = outlook_answer(outlook, &outlook->worst, objective);
    json_begin_object(json, "forecast");
    json_text(json, "host_class", outlook->rates->kind.host_class);
    json_bool(json, "is_this_host_class", outlook->is_of_this_class);
    forecast_to_json(&latest, "latest", json);
    forecast_to_json(&worst, "worst", json);
    json_text(json, "worst_backup", outlook->worst_backup);
    json_u64(json, "worst_wal_bytes", outlook->worst_load.wal_bytes);
    if (outlook->wal_bytes_per_s > 0) {
        json_double(json, "wal_bytes_per_s", outlook->wal_bytes_per_s);
    } else {
        json_text(json, "wal_bytes_per_s", NULL);
    }
    remedy_to_json(&outlook->remedy, json);
    json_end_object(json);
}
