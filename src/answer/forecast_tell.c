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
    if (answer->objective > 0 && forecast->is_known && forecast_time(forecast) > answer->objective)
        buffer_print(text, ", above the objective of %s",
                     out_duration(answer->objective, objective));
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

static void seconds(Json *json, const char *key, TimeUs time)
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
    seconds(json, "p50_s", forecast->p50);
    seconds(json, "p90_s", forecast->p90);
    json_begin_object(json, "phases");
    for (int phase = 0; phase < PHASE_COUNT; phase++) {
        CLEANUP(text_freep)
        char *name = text_format("%s_s", restore_phase_key((RestorePhase)phase));

        if (forecast->phases[phase] != TIME_US_NONE || forecast->lacks[phase])
            seconds(json, name, forecast->phases[phase]);
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
