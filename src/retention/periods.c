#include "retention/periods.h"

#include <inttypes.h>
#include <time.h>

enum { SECONDS_A_DAY = 86400, DAYS_A_WEEK = 7, MONTHS = 12 };

static int64_t floor_divide(int64_t number, int64_t by)
{
    return number / by - (number % by < 0);
}

void retention_periods(TimeUs instant, const char *zone, int64_t periods[RETENTION_PERIODS])
{
    const int64_t seconds = floor_divide(instant, 1000000);
    const int64_t local = seconds + time_zone_offset(zone, seconds);
    struct tm parts;

    periods[0] = floor_divide(local, SECONDS_A_DAY);
    /* 1 January 1970 was a Thursday. */
    periods[1] = floor_divide(periods[0] + 3, DAYS_A_WEEK);
    if (!time_split_utc(local, &parts))
        parts = (struct tm){.tm_year = 0};
    periods[2] = (int64_t)parts.tm_year * MONTHS + parts.tm_mon;
    periods[3] = parts.tm_year;
}

static const char *print_day(int64_t day, char text[PERIOD_TEXT_SIZE])
{
    struct tm parts;

    if (!time_split_utc(day * SECONDS_A_DAY, &parts) ||
        strftime(text, PERIOD_TEXT_SIZE, "%Y-%m-%d", &parts) == 0)
        (void)snprintf(text, PERIOD_TEXT_SIZE, "?");
    return text;
}

/* The year of its Thursday is the week's (ISO 8601). */
static const char *print_week(int64_t week, char text[PERIOD_TEXT_SIZE])
{
    struct tm parts;

    if (!time_split_utc(week * DAYS_A_WEEK * SECONDS_A_DAY, &parts)) {
        (void)snprintf(text, PERIOD_TEXT_SIZE, "?");
        return text;
    }
    (void)snprintf(text, PERIOD_TEXT_SIZE, "%04d-W%02d", parts.tm_year + 1900,
                   parts.tm_yday / DAYS_A_WEEK + 1);
    return text;
}

const char *retention_period_text(size_t kind, int64_t period, char text[PERIOD_TEXT_SIZE])
{
    switch (kind) {
    case 0:
        return print_day(period, text);
    case 1:
        return print_week(period, text);
    case 2:
        (void)snprintf(text, PERIOD_TEXT_SIZE, "%04" PRId64 "-%02" PRId64, period / MONTHS + 1900,
                       period % MONTHS + 1);
        return text;
    default:
        (void)snprintf(text, PERIOD_TEXT_SIZE, "%04" PRId64, period + 1900);
        return text;
    }
}
