#include "cli/output.h"

#include "base/log.h"

#include <unistd.h>

enum { SAMPLES = 16, LINE_SIZE = 256 };

static const TimeUs SECOND = 1000000;
static const TimeUs LOG_INTERVAL = 30000000;

/*
 * What the rate is measured by: a look at each of the last seconds. One process draws one line,
 * from its main thread, so there is one of these.
 */
static struct {
    const char *phase;
    struct {
        TimeUs at;
        uint64_t done;
    } samples[SAMPLES];
    size_t count; /* This many samples were ever taken. */
    TimeUs logged_at;
    bool is_drawn;
} line;

static void begin_phase(const Progress *progress)
{
    line.phase = progress->phase;
    line.count = 0;
    line.logged_at = time_monotonic();
}

static void progress_take_sample(uint64_t done, TimeUs now)
{
    size_t newest = (line.count + SAMPLES - 1) % SAMPLES;

    if (line.count > 0 && now - line.samples[newest].at < SECOND)
        return;
    line.samples[line.count % SAMPLES].at = now;
    line.samples[line.count % SAMPLES].done = done;
    line.count++;
}

/* Bytes and time since the oldest look that is kept. False while there is nothing to measure. */
static bool progress_measure(uint64_t done, TimeUs now, uint64_t *bytes, TimeUs *elapsed)
{
    size_t oldest = line.count > SAMPLES ? line.count % SAMPLES : 0;

    if (line.count == 0 || now - line.samples[oldest].at < SECOND / 2 ||
        done < line.samples[oldest].done) {
        return false;
    }
    *bytes = done - line.samples[oldest].done;
    *elapsed = now - line.samples[oldest].at;
    return true;
}

/* The time left, from what was measured; nothing when it is not known. */
static void format_left(uint64_t bytes, TimeUs elapsed, uint64_t left, char text[OUT_TEXT_SIZE])
{
    text[0] = '\0';
    if (bytes == 0 || left == 0)
        return;
    double wanted = (double)left * (double)elapsed / (double)bytes;
    if (wanted < 100.0 * 86400 * (double)SECOND)
        (void)out_duration((TimeUs)wanted, text);
}

typedef struct Sight {
    uint64_t done, total;
    char done_text[OUT_TEXT_SIZE], total_text[OUT_TEXT_SIZE];
    char rate[OUT_TEXT_SIZE], left[OUT_TEXT_SIZE]; /* They are "" when they are not known. */
    int percent;                                   /* -1 means that it is not known. */
} Sight;

static Sight progress_look(Progress *progress)
{
    TimeUs now = time_monotonic(), elapsed;
    uint64_t bytes;
    Sight sight = {.percent = -1};

    if (line.phase != progress->phase)
        begin_phase(progress);
    sight.done = atomic_load(&progress->bytes_done);
    sight.total = atomic_load(&progress->bytes_total);
    (void)out_bytes(sight.done, sight.done_text);
    if (sight.total > 0) {
        double share = (double)sight.done / (double)sight.total;
        (void)out_bytes(sight.total, sight.total_text);
        sight.percent = share < 1 ? (int)(share * 100) : 100;
    }
    progress_take_sample(sight.done, now);
    if (progress_measure(sight.done, now, &bytes, &elapsed)) {
        (void)out_rate(bytes, elapsed, sight.rate);
        if (sight.total > sight.done)
            format_left(bytes, elapsed, sight.total - sight.done, sight.left);
    }
    return sight;
}

static void put_line(const char *text)
{
    (void)!write(STDERR_FILENO, text, strlen(text));
}

/* "copy  1.20 GiB of 4.00 GiB  30%  310 MiB/s  9.2 s left" */
static void draw_terminal(Progress *progress)
{
    char text[LINE_SIZE];
    size_t room = out_terminal_width(STDERR_FILENO);
    Sight sight = progress_look(progress);

    if (room > sizeof text - 8)
        room = sizeof text - 8;
    /* Of a phase that only waits there is no number to tell. */
    bool only_waits = sight.total == 0 && sight.done == 0;
    int size = only_waits ? snprintf(text, room, "%s", progress->phase)
                          : snprintf(text, room, "%s  %s", progress->phase, sight.done_text);
    const struct {
        const char *before, *text, *after;
    } parts[] = {
        {" of ", sight.total_text, ""},
        {"  ", sight.rate, ""},
        {"  ", sight.left, " left"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        if (parts[i].text[0] != '\0' && size > 0 && (size_t)size < room) {
            size += snprintf(text + size, room - (size_t)size, "%s%s%s", parts[i].before,
                             parts[i].text, parts[i].after);
        }
        if (i == 0 && sight.percent >= 0 && size > 0 && (size_t)size < room)
            size += snprintf(text + size, room - (size_t)size, "  %d%%", sight.percent);
    }

    /* One write: the line is cleared and drawn, and log lines of others do not fall in between. */
    char whole[LINE_SIZE + 16];
    (void)snprintf(whole, sizeof whole, "\r\033[K%s", text);
    put_line(whole);
    line.is_drawn = true;
    log_over_progress(true);
}

static void draw_log(Progress *progress)
{
    TimeUs now = time_monotonic();

    if (line.phase != progress->phase)
        begin_phase(progress);
    Sight sight = progress_look(progress);
    if (now - line.logged_at < LOG_INTERVAL)
        return;
    line.logged_at = now;
    log_info("progress", log_str("phase", progress->phase), log_u64("bytes", sight.done),
             log_u64("bytes_total", sight.total),
             log_u64("bytes_stored", atomic_load(&progress->bytes_stored)),
             log_str("rate", sight.rate), log_str("left", sight.left));
}

void progress_to_terminal(Progress *progress, bool wanted)
{
    if (!wanted) {
        progress->draw = NULL;
    } else {
        progress->draw = isatty(STDERR_FILENO) == 1 ? draw_terminal : draw_log;
    }
}

void progress_end(Progress *progress)
{
    if (progress == NULL || !line.is_drawn)
        return;
    put_line("\r\033[K");
    line.is_drawn = false;
    log_over_progress(false);
    line.phase = NULL;
}
