#include "base/time.h"

#include "base/file.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <strings.h>
#include <time.h>

enum {
    US_PER_S = 1000000,
    S_PER_DAY = 86400,
    ZONE_NAME_MAX = 64,
    AGO_SIZE_MAX = 12,
    OFFSET_TEXT_SIZE = 16
};

/* From 1970-01-01 to 2000-01-01, in seconds. */
static const int64_t POSTGRES_EPOCH = 946684800;

typedef struct LocalTime {
    int64_t seconds; /* They count from 1970-01-01 00:00 of that clock, whatever its zone. */
    int64_t us;
} LocalTime;

TimeUs time_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (TimeUs)now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}

TimeUs time_monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (TimeUs)now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}

void time_sleep_ms(uint64_t ms)
{
    struct timespec wanted = {.tv_sec = (time_t)(ms / 1000),
                              .tv_nsec = (long)(ms % 1000) * 1000000};

    /* A signal ends it early: the loop around it wants to know. */
    (void)nanosleep(&wanted, NULL);
}

double time_seconds(TimeUs duration)
{
    return (double)duration / 1e6;
}

TimeUs time_from_postgres(int64_t timestamp)
{
    TimeUs instant;

    if (timestamp == INT64_MIN) /* -infinity */
        return TIME_US_NONE;
    if (__builtin_add_overflow(timestamp, POSTGRES_EPOCH * US_PER_S, &instant))
        return TIME_US_MAX;
    return instant;
}

/* Days since 1970-01-01 in the Gregorian calendar; the year begins in March, so 29 Feb is last. */
static int64_t day_number(int64_t year, int month, int day)
{
    int64_t y = year - (month <= 2);
    int64_t era = y / 400, year_of_era = y % 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && is_leap ? 1 : 0);
}

/* Exactly `digits` digits, least..most. */
static bool take_number(const char **text, int digits, int least, int most, int *number)
{
    int value = 0;

    for (int i = 0; i < digits; i++) {
        if (!isdigit((unsigned char)(*text)[i]))
            return false;
        value = value * 10 + ((*text)[i] - '0');
    }
    if (value < least || value > most)
        return false;
    *text += digits;
    *number = value;
    return true;
}

static bool take_char(const char **text, char c)
{
    if (**text != c)
        return false;
    *text += 1;
    return true;
}

static void time_skip_blanks(const char **text)
{
    while (**text == ' ')
        *text += 1;
}

static bool take_date(const char **text, int64_t *days)
{
    int year, month, day;

    if (!take_number(text, 4, 1, 9999, &year) || !take_char(text, '-') ||
        !take_number(text, 2, 1, 12, &month) || !take_char(text, '-') ||
        !take_number(text, 2, 1, days_in_month(year, month), &day)) {
        return false;
    }
    *days = day_number(year, month, day);
    return true;
}

/* Of a second; one to six digits: PostgreSQL knows no finer time. */
static bool take_fraction(const char **text, int64_t *us)
{
    int64_t value = 0, unit = US_PER_S;

    while (isdigit((unsigned char)**text) && unit > 1) {
        unit /= 10;
        value += (**text - '0') * unit;
        *text += 1;
    }
    *us = value;
    return unit < US_PER_S && !isdigit((unsigned char)**text);
}

/* "14:30", "14:30:00.123456" */
static bool take_clock(const char **text, LocalTime *local)
{
    int hour, minute, second = 0;
    int64_t us = 0;

    if (!take_number(text, 2, 0, 23, &hour) || !take_char(text, ':') ||
        !take_number(text, 2, 0, 59, &minute)) {
        return false;
    }
    if (take_char(text, ':')) {
        if (!take_number(text, 2, 0, 59, &second))
            return false;
        if (take_char(text, '.') && !take_fraction(text, &us))
            return false;
    }
    local->seconds += INT64_C(3600) * hour + INT64_C(60) * minute + second;
    local->us = us;
    return true;
}

static bool take_local_time(const char **text, LocalTime *local)
{
    int64_t days;

    if (!take_date(text, &days))
        return false;
    if (!take_char(text, 'T') && !take_char(text, ' '))
        return false;
    time_skip_blanks(text);
    local->seconds = days * S_PER_DAY;
    return take_clock(text, local);
}

/* +01, +0100, +01:00; PostgreSQL takes hours up to 15. East of Greenwich is positive. */
static bool take_offset(const char **text, int64_t *seconds)
{
    int hours, minutes = 0;
    bool is_west = **text == '-';

    if (!is_west && **text != '+')
        return false;
    *text += 1;
    if (!take_number(text, 2, 0, 15, &hours))
        return false;
    if (take_char(text, ':') || **text != '\0') {
        if (!take_number(text, 2, 0, 59, &minutes))
            return false;
    }
    *seconds = (is_west ? -1 : 1) * (INT64_C(3600) * hours + INT64_C(60) * minutes);
    return **text == '\0';
}

/*
 * A name of the zone database as people write it: Europe/Vienna. Those without a slash (CET, EST)
 * look like abbreviations, which mean different things to different people; right/... counts leap
 * seconds, which PostgreSQL does not.
 */
static bool is_zone_name(const char *name)
{
    if (strlen(name) >= ZONE_NAME_MAX || strchr(name, '/') == NULL ||
        !isalpha((unsigned char)*name))
        return false;
    for (const char *c = name; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && strchr("/_+-", *c) == NULL)
            return false;
    }
    return strncmp(name, "right/", strlen("right/")) != 0;
}

static bool zone_exists(const char *name)
{
    const char *directory = getenv("TZDIR");
    CLEANUP(buffer_done) Buffer path = {0};
    CLEANUP(buffer_done) Buffer content = {0};
    Error ignored = {0}; /* a file that cannot be read is a zone that cannot be used */

    buffer_print(&path, "%s/%s", directory != NULL ? directory : "/usr/share/zoneinfo", name);
    return file_read_whole((const char *)path.data, 1 << 20, &content, &ignored) &&
           content.size > 4 && memcmp(content.data, "TZif", 4) == 0;
}

typedef struct Candidates {
    int64_t instants[4];
    size_t count;
} Candidates;

/* Every instant at which a clock in the zone of TZ shows the local time. */
static void time_find_candidates(int64_t local, Candidates *found)
{
    int64_t tried[4];
    size_t tried_count = 0;

    /* Each offset in force within a day around it; a zone changes at most once or twice a day. */
    for (int hour = -26; hour <= 26; hour++) {
        time_t near = (time_t)(local + INT64_C(3600) * hour);
        struct tm parts;
        bool is_new = localtime_r(&near, &parts) != NULL;

        for (size_t i = 0; is_new && i < tried_count; i++)
            is_new = tried[i] != parts.tm_gmtoff;
        if (!is_new || tried_count == ARRAY_SIZE(tried))
            continue;
        tried[tried_count++] = parts.tm_gmtoff;

        time_t instant = (time_t)(local - tried[tried_count - 1]);
        if (localtime_r(&instant, &parts) != NULL && parts.tm_gmtoff == tried[tried_count - 1])
            found->instants[found->count++] = instant;
    }
}

typedef void ZoneFunction(void *context, int64_t seconds);

/*
 * The C library converts for one zone only, that of TZ. The lock guards TZ against other calls of
 * this function. Nobody else here changes the environment; instants of operators are parsed before
 * the first thread starts, so nobody reads it, or asks for local times, meanwhile either.
 */
static void call_in_zone(const char *name, ZoneFunction *call, void *context, int64_t seconds)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    char zone[ZONE_NAME_MAX + 1];

    pthread_mutex_lock(&lock);
    const char *before = getenv("TZ");
    char *kept = before != NULL ? strdup(before) : NULL;
    (void)snprintf(zone, sizeof zone, ":%s", name);
    if (setenv("TZ", zone, 1) == 0) {
        tzset();
        call(context, seconds);
    }
    if (kept != NULL) {
        (void)setenv("TZ", kept, 1);
    } else {
        (void)unsetenv("TZ");
    }
    tzset();
    free(kept);
    pthread_mutex_unlock(&lock);
}

static void find_candidates_there(void *context, int64_t local)
{
    time_find_candidates(local, context);
}

/* Of a local clock against UTC, at this instant. 0 for what struct tm can't hold. */
static int64_t local_offset(int64_t seconds)
{
    time_t clock = (time_t)seconds;
    struct tm parts;

    return localtime_r(&clock, &parts) != NULL ? parts.tm_gmtoff : 0;
}

static void find_offset_there(void *context, int64_t seconds)
{
    *(int64_t *)context = local_offset(seconds);
}

bool time_zone_is_known(const char *zone)
{
    return strcasecmp(zone, "UTC") == 0 || (is_zone_name(zone) && zone_exists(zone));
}

int64_t time_zone_offset(const char *zone, int64_t seconds)
{
    int64_t offset = 0;

    if (strcasecmp(zone, "UTC") != 0 && is_zone_name(zone) && zone_exists(zone))
        call_in_zone(zone, find_offset_there, &offset, seconds);
    return offset;
}

static bool resolve_zone_name(const char *name, const char *text, int64_t local, int64_t *instant,
                              Error *err)
{
    Candidates found = {.count = 0};

    if (!is_zone_name(name)) {
        error_set(err, ERR_USAGE, "time \"%s\" has a time zone that is not clear: \"%s\"", text,
                  name);
        return error_hint(err, "write an offset (+01), UTC, or a full name such as Europe/Vienna");
    }
    if (!zone_exists(name)) {
        error_set(err, ERR_USAGE, "time \"%s\" names an unknown time zone: \"%s\"", text, name);
        return error_hint(err, "write an offset instead, as in +01");
    }
    call_in_zone(name, find_candidates_there, &found, local);
    if (found.count == 1) {
        *instant = found.instants[0];
        return true;
    }
    error_set(err, ERR_USAGE,
              found.count == 0 ? "time \"%s\" does not exist in %s: clocks were set forward"
                               : "time \"%s\" exists twice in %s: clocks were set back",
              text, name);
    return error_hint(err, "write the offset instead of the name, as in +01");
}

static bool resolve_zone(const char *zone, const char *text, int64_t local, int64_t *instant,
                         Error *err)
{
    const char *rest = zone;
    int64_t offset;

    if (*zone == '\0') {
        error_set(err, ERR_USAGE, "time \"%s\" has no time zone", text);
        return error_hint(err, "add an offset (+01), UTC, or a name such as Europe/Vienna");
    }
    if (strcasecmp(zone, "Z") == 0 || strcasecmp(zone, "UTC") == 0) {
        *instant = local;
        return true;
    }
    if (*zone != '+' && *zone != '-')
        return resolve_zone_name(zone, text, local, instant, err);
    if (!take_offset(&rest, &offset)) {
        error_set(err, ERR_USAGE, "time \"%s\" has a bad offset: \"%s\"", text, zone);
        return error_hint(err, "write it as +01, +0130 or +01:30");
    }
    *instant = local - offset;
    return true;
}

/* What is left after the clock, without blanks around it. */
static bool take_zone(const char *rest, char zone[ZONE_NAME_MAX + 1])
{
    size_t size;

    time_skip_blanks(&rest);
    size = strlen(rest);
    while (size > 0 && rest[size - 1] == ' ')
        size--;
    if (size > ZONE_NAME_MAX)
        return false;
    memcpy(zone, rest, size);
    zone[size] = '\0';
    return true;
}

static bool not_a_time(const char *text, Error *err)
{
    error_set(err, ERR_USAGE, "\"%.100s%s\" is not a time", text, strlen(text) > 100 ? "..." : "");
    return error_hint(err, "write it as \"2026-11-22 14:30:00+01\", \"yesterday 14:30 "
                           "Europe/Vienna\", or -2h");
}

/* "-90min" means that long ago. */
static bool take_ago(const char *text, TimeUs *instant)
{
    static const struct {
        const char *name;
        int64_t us;
    } units[] = {{"s", US_PER_S},
                 {"min", INT64_C(60) * US_PER_S},
                 {"h", INT64_C(3600) * US_PER_S},
                 {"d", INT64_C(86400) * US_PER_S}};
    char *rest;

    if (text[0] != '-' || !isdigit((unsigned char)text[1]) || strlen(text) > AGO_SIZE_MAX)
        return false;
    int64_t count = strtoll(text + 1, &rest, 10);
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (strcmp(rest, units[i].name) == 0) {
            *instant = time_now() - count * units[i].us;
            return true;
        }
    }
    return false;
}

/* "yesterday" and "today": a day of the zone that is named, by its clock. */
static bool take_day(const char **text, int *days_ago)
{
    static const char *const words[] = {"today ", "yesterday "};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strncasecmp(*text, words[i], strlen(words[i])) != 0)
            continue;
        *text += strlen(words[i]);
        time_skip_blanks(text);
        *days_ago = (int)i;
        return true;
    }
    return false;
}

/* The beginning of that day, by the clock of the zone. */
static int64_t begin_of_day(const char *zone, int days_ago)
{
    const int64_t now = time_now() / US_PER_S;
    int64_t offset = 0;
    const char *rest = zone;

    /* What is not a zone, or none that is clear, is refused where the instant is made of it. */
    if (!take_offset(&rest, &offset) && is_zone_name(zone) && zone_exists(zone))
        call_in_zone(zone, find_offset_there, &offset, now);
    return ((now + offset) / S_PER_DAY - days_ago) * S_PER_DAY;
}

bool time_parse(const char *text, TimeUs *instant, Error *err)
{
    const char *rest = text;
    char zone[ZONE_NAME_MAX + 1];
    LocalTime local = {0};
    int64_t seconds = 0;
    int days_ago = 0;

    time_skip_blanks(&rest);
    if (take_ago(rest, instant))
        return true;
    bool is_relative = take_day(&rest, &days_ago);
    if (!(is_relative ? take_clock(&rest, &local) : take_local_time(&rest, &local)) ||
        !take_zone(rest, zone))
        return not_a_time(text, err);
    if (is_relative)
        local.seconds += begin_of_day(zone, days_ago);
    if (!resolve_zone(zone, text, local.seconds, &seconds, err))
        return false;
    *instant = seconds * US_PER_S + local.us;
    return true;
}

/* The inverse of day_number(): years from March to February, in eras of 400 years. */
static void split_days(int64_t days, int64_t *year, int *month, int *day)
{
    int64_t from_era = days + 719468;
    int64_t era = (from_era >= 0 ? from_era : from_era - 146096) / 146097;
    int64_t day_of_era = from_era - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;

    *day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    *month = (int)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    *year = year_of_era + era * 400 + (*month <= 2);
}

bool time_split_utc(int64_t seconds, struct tm *utc)
{
    int64_t of_day = seconds % S_PER_DAY, year;
    struct tm parts = {.tm_isdst = 0};

    if (of_day < 0)
        of_day += S_PER_DAY;
    const int64_t days = (seconds - of_day) / S_PER_DAY;
    split_days(days, &year, &parts.tm_mon, &parts.tm_mday);
    if (year - 1900 > INT32_MAX || year - 1900 < INT32_MIN)
        return false;
    parts.tm_mon--;
    parts.tm_year = (int)(year - 1900);
    parts.tm_hour = (int)(of_day / 3600);
    parts.tm_min = (int)(of_day / 60 % 60);
    parts.tm_sec = (int)(of_day % 60);
    parts.tm_wday = (int)(((days + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
    parts.tm_yday = (int)(days - day_number(year, 1, 1));
    *utc = parts;
    return true;
}

static bool time_split(TimeUs instant, struct tm *utc, int *us)
{
    int64_t seconds = instant / US_PER_S, rest = instant % US_PER_S;

    if (rest < 0) {
        seconds--;
        rest += US_PER_S;
    }
    *us = (int)rest;
    return time_split_utc(seconds, utc);
}

/* False, with a word instead, when it is not an instant. */
static bool split_or_name(TimeUs instant, struct tm *utc, int *us, char text[TIME_TEXT_SIZE])
{
    if (instant != TIME_US_NONE && instant != TIME_US_MAX && time_split(instant, utc, us))
        return true;
    (void)snprintf(text, TIME_TEXT_SIZE, "%s", instant == TIME_US_MAX ? "infinity" : "unknown");
    return false;
}

const char *time_text(TimeUs instant, char text[TIME_TEXT_SIZE])
{
    struct tm utc;
    int us;

    if (split_or_name(instant, &utc, &us, text)) {
        size_t size = strftime(text, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
        (void)snprintf(text + size, TIME_TEXT_SIZE - size, ".%03dZ", us / 1000);
    }
    return text;
}

const char *time_text_postgres(TimeUs instant, char text[TIME_TEXT_SIZE])
{
    struct tm utc;
    int us;

    if (split_or_name(instant, &utc, &us, text)) {
        size_t size = strftime(text, TIME_TEXT_SIZE, "%Y-%m-%d %H:%M:%S", &utc);
        (void)snprintf(text + size, TIME_TEXT_SIZE - size, ".%06d+00", us);
    }
    return text;
}

/* "+01", "+05:30", "-03" */
static void offset_text(int64_t offset, char text[OFFSET_TEXT_SIZE])
{
    const int64_t minutes = (offset < 0 ? -offset : offset) / 60;
    int size = snprintf(text, OFFSET_TEXT_SIZE, "%c%02d", offset < 0 ? '-' : '+',
                        (int)(minutes / 60 % 100));

    if (minutes % 60 != 0 && size > 0)
        (void)snprintf(text + size, OFFSET_TEXT_SIZE - (size_t)size, ":%02d", (int)(minutes % 60));
}

/* Offsets of seconds, as before 1900, can't be written: UTC then, which is as true. */
const char *time_text_local(TimeUs instant, char text[TIME_TEXT_SIZE])
{
    char zone[OFFSET_TEXT_SIZE];
    struct tm parts;
    int us;

    if (instant == TIME_US_NONE || instant == TIME_US_MAX)
        return time_text_postgres(instant, text);
    int64_t offset = local_offset(instant / US_PER_S);
    if (offset % 60 != 0 || !time_split(instant + offset * US_PER_S, &parts, &us))
        return time_text_postgres(instant, text);
    size_t size = strftime(text, TIME_TEXT_SIZE, "%Y-%m-%d %H:%M:%S", &parts);
    offset_text(offset, zone);
    (void)snprintf(text + size, TIME_TEXT_SIZE - size, ".%06d%s", us, zone);
    return text;
}
