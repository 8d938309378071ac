#include "answer/duties_tell.h"

static const double MICROSECONDS = 1e6;

static const char *duty_last_text(const DutyState *duty, TimeUs now, Arena *arena)
{
    char age[OUT_TEXT_SIZE];

    if (duty->last == TIME_US_NONE)
        return "never done";
    return arena_format(arena, "last %s ago",
                        out_duration(now > duty->last ? now - duty->last : 0, age));
}

static const char *duty_failure_text(const DutyState *duty, TimeUs now, Arena *arena)
{
    char age[OUT_TEXT_SIZE];

    if (duty->failed_at == TIME_US_NONE)
        return "";
    return arena_format(arena, ", failed %s ago with status %u",
                        out_duration(now > duty->failed_at ? now - duty->failed_at : 0, age),
                        duty->failed_status);
}

const char *duty_in_words(const DutyState *duty, TimeUs now, Arena *arena)
{
    const char *last = duty_last_text(duty, now, arena);
    const char *failure = duty_failure_text(duty, now, arena);
    char rest[OUT_TEXT_SIZE];

    if (duty->is_due) {
        return arena_format(arena, "%s: %s%s", duty->is_overdue ? "overdue" : "due", last, failure);
    }
    return arena_format(arena, "%s, due in %s%s", last, out_duration(duty->due_at - now, rest),
                        failure);
}

void duties_to_json(const DutyState duties[DUTY_COUNT], Json *json)
{
    json_begin_array(json, "duties");
    for (int i = 0; i < DUTY_COUNT; i++) {
        const DutyState *duty = &duties[i];

        if (duty->period == 0)
            continue;
        json_begin_object(json, NULL);
        json_text(json, "duty", duty_name((Duty)i));
        json_double(json, "period_s", (double)duty->period / MICROSECONDS);
        json_time(json, "last_time", duty->last);
        json_time(json, "due_time", duty->due_at);
        json_bool(json, "is_due", duty->is_due);
        json_bool(json, "is_overdue", duty->is_overdue);
        json_time(json, "failed_time", duty->failed_at);
        if (duty->failed_at != TIME_US_NONE) {
            json_u64(json, "failed_status", duty->failed_status);
        } else {
            json_text(json, "failed_status", NULL);
        }
        json_end_object(json);
    }
    json_end_array(json);
}
