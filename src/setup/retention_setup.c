#include "setup/retention_setup.h"

#include <inttypes.h>

bool retention_request_of(const Options *options, ExpireRequest *request, Error *err)
{
    const char *zone = options->keep_zone != NULL ? options->keep_zone : "UTC";

    *request = (ExpireRequest){
        .policy = {.window = (TimeUs)options->keep_window_ms * 1000,
                   .minimum = options->keep_min,
                   .periods = {options->keep_daily, options->keep_weekly, options->keep_monthly,
                               options->keep_yearly}},
        .zone = zone,
        .grace = (TimeUs)options->grace_ms * 1000,
        .at_once = options->now,
        .journal_keep = (TimeUs)options->keep_journal_ms * 1000,
    };
    if (time_zone_is_known(zone))
        return true;
    error_set(err, ERR_USAGE, "--keep-zone: \"%s\" is not a time zone", zone);
    return error_hint(err, "write it as in --keep-zone=Europe/Vienna, or UTC");
}

static const char *add_number(const char *text, const char *option, uint64_t number, Arena *arena)
{
    return number == 0 ? text
                       : arena_format(arena, "%s%s--keep-%s=%" PRIu64, text,
                                      *text != '\0' ? " " : "", option, number);
}

const char *retention_policy_text(const RetentionPolicy *policy, Arena *arena)
{
    static const char *const periods[RETENTION_PERIODS] = {"daily", "weekly", "monthly", "yearly"};
    const TimeUs hour = INT64_C(3600) * 1000000;
    const char *text = "";

    if (!retention_policy_is_set(policy))
        return "no policy";
    if (policy->window % (24 * hour) == 0 && policy->window != 0) {
        text = arena_format(arena, "--keep-window=%" PRId64 "d", policy->window / (24 * hour));
    } else if (policy->window != 0) {
        text = arena_format(arena, "--keep-window=%" PRId64 "s", policy->window / 1000000);
    }
    text = add_number(text, "min", policy->minimum, arena);
    for (size_t i = 0; i < RETENTION_PERIODS; i++)
        text = add_number(text, periods[i], policy->periods[i], arena);
    return text;
}
