/*
 * time.h - instants. One type: microseconds since 1970-01-01 00:00 UTC.
 *
 * The guard name is not <time.h>: include it as "base/time.h".
 */
#pragma once

#include "base/error.h"

typedef int64_t TimeUs;

#define TIME_US_NONE INT64_MIN
#define TIME_US_MAX  INT64_MAX
#define TIME_US_DAY  (INT64_C(86400) * 1000000)

TimeUs time_now(void);
/* For durations: does not jump with the clock. */
TimeUs time_monotonic(void);
void time_sleep_ms(uint64_t ms);
/* A duration for people: 1.5 for 1,500,000. */
double time_seconds(TimeUs duration);

/* PostgreSQL counts microseconds from 2000-01-01 (TimestampTz, datatype/timestamp.h). */
TimeUs time_from_postgres(int64_t timestamp);

/*
 * A point in time as an operator writes it. "2026-11-22 14:30:00+01",
 * "2026-11-22T13:30:00.123456Z", "2026-11-22 14:30 UTC", "2026-11-22 14:30 Europe/Vienna" (a name
 * in the zone database; a time that the zone has twice or never is refused). Seconds and fraction
 * may be left out. The date may be "today" or "yesterday", of that zone. "-90s", "-15min", "-2h"
 * and "-1d" mean that long ago. ERR_USAGE, with a hint, without a zone, with an abbreviation that
 * is not UTC, or when it is not an instant at all.
 */
bool time_parse(const char *text, TimeUs *instant, Error *err) MUST_CHECK;

/*
 * Calendar and clock of UTC for seconds since 1970, as gmtime_r(3) means it: that one counts leap
 * seconds when TZ is one of the zones that do ("right/UTC"), and is half a minute off then. The
 * fields that strftime(3) needs without a zone are set. False: a year that struct tm can't hold.
 */
struct tm;
bool time_split_utc(int64_t seconds, struct tm *utc);

/*
 * How far the clocks of a zone are ahead of UTC then, in seconds. A name of the zone database, or
 * "UTC"; time_zone_is_known() tells whether it is one: others are taken for UTC.
 */
int64_t time_zone_offset(const char *zone, int64_t seconds);
bool time_zone_is_known(const char *zone);

enum { TIME_TEXT_SIZE = 40 };
/* "2026-11-22T13:30:00.123Z" (ms) and "2026-11-22 13:30:00.123456+00" (exact, as PostgreSQL). */
const char *time_text(TimeUs instant, char text[TIME_TEXT_SIZE]);
const char *time_text_postgres(TimeUs instant, char text[TIME_TEXT_SIZE]);
/* For people: "2026-11-22 14:30:00.123456+01", exact, by the clock of TZ or /etc/localtime. */
const char *time_text_local(TimeUs instant, char text[TIME_TEXT_SIZE]);
