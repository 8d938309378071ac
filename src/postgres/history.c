#include "postgres/history.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* One line that names a parent. */
typedef struct HistoryLine {
    uint32_t timeline;
    Lsn end;
} HistoryLine;

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static const char *history_skip_blanks(const char *at)
{
    while (is_blank(*at))
        at++;
    return at;
}

/* The number in front, without sign or prefix, as the server writes it. */
static bool history_parse_number(const char **at, unsigned base, uint32_t *number)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    uint64_t value = 0;
    const char *from = *at;

    for (; **at != '\0'; (*at)++) {
        const char *digit = strchr(digits, **at);
        unsigned worth = digit == NULL ? base : (unsigned)(digit - digits) % 16;

        if (worth >= base)
            break;
        value = value * base + worth;
        if (value > UINT32_MAX)
            return false;
    }
    *number = (uint32_t)value;
    return *at > from;
}

static bool history_parse_line(const char *at, HistoryLine *line)
{
    uint32_t high;
    uint32_t low;

    if (!history_parse_number(&at, 10, &line->timeline))
        return false;
    at = history_skip_blanks(at);
    if (!history_parse_number(&at, 16, &high) || *at++ != '/' ||
        !history_parse_number(&at, 16, &low))
        return false;
    line->end = (Lsn)high << 32 | low;
    /* The server would take 0/0 for "open": a parent without an end is not a parent. */
    return line->timeline > 0 && line->end > 0 && (*at == '\0' || *at == '\n' || is_blank(*at));
}

static size_t history_count_lines(const char *text)
{
    size_t count = 1;

    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

static bool add_parent(TimelinePath *path, const char *at, size_t number, uint32_t timeline,
                       Error *err)
{
    HistoryLine line;
    uint32_t last = path->count > 0 ? path->steps[path->count - 1].timeline : 0;

    if (!history_parse_line(at, &line)) {
        return error_set(err, ERR_CORRUPT,
                         "line %zu of the history of timeline %" PRIu32
                         " is not a timeline and a place in the WAL",
                         number, timeline);
    }
    if (line.timeline <= last || line.timeline >= timeline) {
        return error_set(err, ERR_CORRUPT,
                         "line %zu of the history of timeline %" PRIu32 " names timeline %" PRIu32
                         ", out of order",
                         number, timeline, line.timeline);
    }
    path->steps[path->count++] = (PathStep){.timeline = line.timeline, .end = line.end};
    return true;
}

/*
 * A recovery to a point before its target timeline began makes a child that leaves the ancestors
 * earlier than they leave each other (seen in such a history: 1 at 0/F000100, 3 at 0/E05ED20).
 * The server reads the newest timeline that claims a place, so a later switch clips earlier ones;
 * what is left of timeline 3 above is an empty step, which still says where the path leaves it.
 */
static void clip_line(TimelinePath *path)
{
    for (size_t i = path->count - 1; i > 0; i--) {
        PathStep *step = &path->steps[i - 1];

        if (path->steps[i].end != 0 && path->steps[i].end < step->end)
            step->end = path->steps[i].end;
    }
    for (size_t i = 1; i < path->count; i++)
        path->steps[i].begin = path->steps[i - 1].end;
}

/* timeline.c, readTimeLineHistory: blank lines and lines that begin with # say nothing. */
bool timeline_path_parse(uint32_t timeline, const char *history, Arena *arena, TimelinePath *path,
                         Error *err)
{
    const char *line = history != NULL ? history : "";
    TimelinePath parsed = {
        .steps = arena_alloc(arena, (history_count_lines(line) + 1) * sizeof(PathStep))};

    if (timeline == 0)
        return error_set(err, ERR_USAGE, "there is no timeline 0");
    for (size_t number = 1; line != NULL; number++) {
        const char *at = history_skip_blanks(line);

        if (*at != '\0' && *at != '\n' && *at != '#' &&
            !add_parent(&parsed, at, number, timeline, err))
            return false;
        line = strchr(at, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    parsed.steps[parsed.count++] = (PathStep){.timeline = timeline};
    clip_line(&parsed);
    *path = parsed;
    return true;
}

bool timeline_parse(const char *text, uint32_t *timeline, Error *err)
{
    char *rest;
    bool is_number = text[0] >= '0' && text[0] <= '9';

    errno = 0;
    unsigned long long value = is_number ? strtoull(text, &rest, 10) : 0;
    if (!is_number || *rest != '\0' || errno != 0 || value > UINT32_MAX) {
        error_set(err, ERR_USAGE, "\"%s\" is not a timeline", text);
        return error_hint(err, "write its number in decimal: 17 for files named 00000011...");
    }
    if (value == 0)
        return error_set(err, ERR_USAGE, "\"%s\" is not a timeline: they begin at 1", text);
    if (text[0] == '0') {
        uint32_t by_name = (uint32_t)strtoull(text, NULL, 16);
        error_set(err, ERR_USAGE, "timeline \"%s\" is not clear: it has a leading zero", text);
        return error_hint(err, "write it in decimal: %llu, or %u for files named %08X...", value,
                          by_name, by_name);
    }
    *timeline = (uint32_t)value;
    return true;
}

uint32_t path_last_timeline(const TimelinePath *path)
{
    return path->steps[path->count - 1].timeline;
}

TimelinePath path_parent(const TimelinePath *path, Arena *arena)
{
    TimelinePath parent = {.count = path->count - 1};

    while (parent.count > 1 &&
           path->steps[parent.count - 1].end <= path->steps[parent.count - 1].begin)
        parent.count--;
    parent.steps = arena_alloc(arena, parent.count * sizeof *parent.steps);
    memcpy(parent.steps, path->steps, parent.count * sizeof *parent.steps);
    parent.steps[parent.count - 1].end = 0;
    return parent;
}

bool path_step_is_empty(const PathStep *step)
{
    return step->end != 0 && step->begin >= step->end;
}

const PathStep *path_step_of(const TimelinePath *path, uint32_t timeline)
{
    for (size_t i = 0; i < path->count; i++) {
        if (path->steps[i].timeline == timeline)
            return &path->steps[i];
    }
    return NULL;
}

const PathStep *path_step_at(const TimelinePath *path, Lsn lsn)
{
    size_t i = 0;

    while (path->steps[i].end != 0 && lsn >= path->steps[i].end)
        i++;
    return &path->steps[i];
}

uint32_t path_timeline_of_segment(const TimelinePath *path, uint64_t segment, uint32_t segment_size)
{
    size_t i = path->count - 1;

    while (i > 0 && wal_segment_of(path->steps[i].begin, segment_size) > segment)
        i--;
    return path->steps[i].timeline;
}
