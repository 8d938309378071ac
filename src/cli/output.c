#include "cli/output.h"

#include "base/memory.h"
#include "base/plain.h"
#include "base/random.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const TimeUs SECOND = 1000000;

enum { MARK_SIZE = 16 };

size_t out_terminal_width(int fd)
{
    struct winsize window;

    return ioctl(fd, TIOCGWINSZ, &window) == 0 && window.ws_col > 1 ? window.ws_col : 80;
}

/*
 * Stands for the line ends of our own formats while the values of others are put in: nobody can
 * guess it, so a line end in a value is told from ours.
 */
static const char *line_mark(void)
{
    static char mark[MARK_SIZE + 1];
    uint64_t number = 0;
    Error ignored = {
        0}; /* without random numbers the mark could be guessed; nothing else is lost */

    if (mark[0] == '\0' && (random_u64(&number, &ignored) || number == 0))
        (void)snprintf(mark, sizeof mark, "%016" PRIx64, number);
    return mark;
}

static char *mark_lines(const char *format)
{
    CLEANUP(buffer_done) Buffer marked = {0};

    for (; *format != '\0'; format++) {
        if (*format == '\n') {
            buffer_append(&marked, line_mark(), MARK_SIZE);
        } else {
            buffer_append(&marked, format, 1);
        }
    }
    return text_format("%.*s", (int)marked.size, marked.size > 0 ? (char *)marked.data : "");
}

/* The format is the caller's, checked there, but for its line ends. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static char *fill_in(const char *marked, va_list args)
{
    return text_format_list(marked, args);
}
#pragma GCC diagnostic pop

void out_print(const char *format, ...)
{
    CLEANUP(text_freep) char *marked = mark_lines(format);
    CLEANUP(text_freep) char *text = NULL;
    CLEANUP(buffer_done) Buffer line = {0};
    va_list args;

    va_start(args, format);
    text = fill_in(marked, args);
    va_end(args);
    char *from = text;
    for (char *end = strstr(from, line_mark()); end != NULL; end = strstr(from, line_mark())) {
        *end = '\0';
        plain_append(&line, from);
        buffer_append(&line, "\n", 1);
        from = end + MARK_SIZE;
    }
    plain_append(&line, from);
    /* A failure is remembered by the stream; out_flush() looks. */
    (void)fwrite(line.data, 1, line.size, stdout);
}

/*
 * The stream remembers that something failed, not what: the failure in the middle of a long answer
 * was met before the flush at its end. So the pipe is asked whether somebody could still read.
 */
bool out_is_closed(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};

    return ferror(stdout) != 0 && poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0 &&
           (out.revents & POLLNVAL) == 0;
}

bool out_flush(Error *err)
{
    errno = 0;
    int status = fflush(stdout);
    int os_errno = errno != 0 ? errno : EIO;

    if ((status == 0 && ferror(stdout) == 0) || os_errno == EPIPE || out_is_closed())
        return true;
    return error_set_errno(err, ERR_IO, os_errno, "write the answer to standard output");
}

/* Words, each line from column `indent` on; the cursor is at column `at`. */
static void print_words(const char *text, size_t at, size_t indent, size_t columns)
{
    while (*text != '\0') {
        size_t size = strcspn(text, " ");

        if (at > indent && at + 1 + size > columns) {
            out_print("\n%*s", (int)indent, "");
            at = indent;
        } else if (at > indent) {
            out_print(" ");
            at++;
        }
        out_print("%.*s", (int)size, text);
        at += size;
        text += size + strspn(text + size, " ");
    }
    out_print("\n");
}

void out_folded(const FoldedLine *line)
{
    const size_t columns = out_terminal_width(STDOUT_FILENO);
    const char *blank = *line->tail != '\0' ? "  " : "";
    size_t size = strlen(line->head);

    if (isatty(STDOUT_FILENO) != 1 ||
        size + 4 + strlen(line->text) + strlen(line->tail) <= columns) {
        out_print("%s  %s%s%s\n", line->head, line->text, blank, line->tail);
        return;
    }
    while (size > 0 && line->head[size - 1] == ' ')
        size--;
    out_print("%.*s\n    ", (int)size, line->head);
    print_words(line->text, 4, 4, columns);
    if (*line->tail != '\0')
        out_print("    %s\n", line->tail);
}

/* Three digits, as people compare them: 1.23 GiB, 12.3 GiB, 123 GiB. */
const char *out_bytes(uint64_t bytes, char text[OUT_TEXT_SIZE])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;

    /* 1023.6 would be printed as 1024. */
    while (value >= 1023.5 && unit + 1 < ARRAY_SIZE(units)) {
        value /= 1024;
        unit++;
    }
    if (unit == 0) {
        (void)snprintf(text, OUT_TEXT_SIZE, "%" PRIu64 " B", bytes);
    } else {
        int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
        (void)snprintf(text, OUT_TEXT_SIZE, "%.*f %s", decimals, value, units[unit]);
    }
    return text;
}

const char *out_rate(uint64_t bytes, TimeUs elapsed, char text[OUT_TEXT_SIZE])
{
    if (elapsed <= 0) {
        (void)snprintf(text, OUT_TEXT_SIZE, "-");
        return text;
    }
    double rate = (double)bytes * (double)SECOND / (double)elapsed;
    (void)out_bytes(rate < (double)UINT64_MAX ? (uint64_t)rate : UINT64_MAX, text);
    size_t size = strlen(text);
    (void)snprintf(text + size, OUT_TEXT_SIZE - size, "/s");
    return text;
}

const char *out_duration(TimeUs elapsed, char text[OUT_TEXT_SIZE])
{
    static const struct {
        int64_t seconds;
        const char *name;
        int64_t smaller;
        const char *smaller_name;
    } units[] = {{86400, "d", 3600, "h"}, {3600, "h", 60, "min"}, {60, "min", 1, "s"}};
    int64_t seconds = (elapsed + SECOND / 2) / SECOND;

    if (elapsed < 0)
        elapsed = 0;
    if (elapsed < SECOND - SECOND / 2000) {
        (void)snprintf(text, OUT_TEXT_SIZE, "%" PRId64 " ms", (elapsed + 500) / 1000);
        return text;
    }
    if (elapsed < 60 * SECOND - SECOND / 20) {
        (void)snprintf(text, OUT_TEXT_SIZE, "%.1f s", (double)elapsed / (double)SECOND);
        return text;
    }
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (seconds < units[i].seconds)
            continue;
        int64_t rest = seconds % units[i].seconds / units[i].smaller;
        int size = snprintf(text, OUT_TEXT_SIZE, "%" PRId64 " %s", seconds / units[i].seconds,
                            units[i].name);
        if (rest > 0 && size > 0) {
            (void)snprintf(text + size, OUT_TEXT_SIZE - (size_t)size, " %" PRId64 " %s", rest,
                           units[i].smaller_name);
        }
        break;
    }
    return text;
}
