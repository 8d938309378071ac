#include "cli/output.h"

#include "base/file.h"
#include "base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

enum { TEXT_SIZE = 4096 };

/* Standard error is a terminal of 80 columns, or a pipe, while it is open. */
typedef struct Screen {
    int reader;
    int kept; /* the real standard error */
} Screen;

static Screen screen_open(bool is_terminal, unsigned short columns)
{
    struct winsize size = {.ws_row = 24, .ws_col = columns};
    Screen screen = {.kept = dup(STDERR_FILENO)};
    int ends[2];

    if (is_terminal) {
        assert_int_equal(openpty(&ends[0], &ends[1], NULL, NULL, &size), 0);
    } else {
        assert_int_equal(pipe(ends), 0);
    }
    screen.reader = ends[0];
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    fd_done(&ends[1]);
    return screen;
}

/*
 * What was written, and the real standard error again. A terminal hands its text on by a thread of
 * the kernel, whenever that gets to it: the text is all there once our mark after it is.
 */
static void screen_close(Screen *screen, char text[TEXT_SIZE])
{
    static const char mark[] = "<the end>";
    struct pollfd wanted = {.fd = screen->reader, .events = POLLIN};
    char *end = NULL;
    size_t size = 0;

    assert_int_equal(write(STDERR_FILENO, mark, strlen(mark)), strlen(mark));
    assert_int_equal(dup2(screen->kept, STDERR_FILENO), STDERR_FILENO);
    while (end == NULL) {
        assert_int_equal(poll(&wanted, 1, 60000), 1);
        ssize_t got = read(screen->reader, text + size, TEXT_SIZE - 1 - size);
        assert_true(got > 0);
        size += (size_t)got;
        text[size] = '\0';
        end = strstr(text, mark);
    }
    *end = '\0';
    fd_done(&screen->kept);
    fd_done(&screen->reader);
}

/* Until it was drawn that long after now. */
static void tick_until_drawn(Progress *progress, TimeUs us)
{
    TimeUs begin = time_monotonic();

    while (progress->drawn_at - begin < us) {
        time_sleep_ms(10);
        progress_tick(progress);
    }
}

static void a_terminal_gets_one_line_that_is_wiped_at_the_end(void **state)
{
    Progress progress = {.phase = NULL};
    char text[TEXT_SIZE];
    Screen screen = screen_open(true, 80);

    (void)state;
    progress_to_terminal(&progress, true);
    progress_phase(&progress, "copy", UINT64_C(4) << 30);
    progress_add(&progress, UINT64_C(1) << 30, 1000);
    tick_until_drawn(&progress, 600000);
    log_info("in between");
    progress_end(&progress);
    log_info("afterwards");
    screen_close(&screen, text);

    assert_non_null(strstr(text, "\r\033[Kcopy  0 B of 4.00 GiB  0%"));
    assert_non_null(strstr(text, "copy  1.00 GiB of 4.00 GiB  25%"));
    assert_non_null(strstr(text, "/s"));
    assert_non_null(strstr(text, " left"));
    char *between = strstr(text, "in between"), *after = strstr(text, "afterwards");
    assert_non_null(between);
    assert_non_null(after);
    assert_null(strstr(after, "\033"));
    /* The log line began by wiping the progress line: nothing of it stands before. */
    while (between > text && *between != '\r')
        between--;
    assert_memory_equal(between, "\r\033[K2", 5);
    assert_memory_equal(strstr(between, "in between") + strlen("in between"), "\r\n\r\033[K2", 7);
}

static void an_unknown_total_is_not_guessed(void **state)
{
    Progress progress = {.phase = NULL};
    char text[TEXT_SIZE];
    Screen screen = screen_open(true, 80);

    (void)state;
    progress_to_terminal(&progress, true);
    progress_phase(&progress, "replay", 0);
    progress_add(&progress, 5000, 0);
    tick_until_drawn(&progress, 600000);
    progress_end(&progress);
    screen_close(&screen, text);

    assert_non_null(strstr(text, "replay  4.88 KiB"));
    assert_null(strstr(text, "%"));
    assert_null(strstr(text, "of"));
    assert_null(strstr(text, "left"));
}

/* A line that wraps could not be wiped. */
static void the_line_fits_every_terminal(void **state)
{
    (void)state;
    for (unsigned short columns = 2; columns < 60; columns += 3) {
        Progress progress = {.phase = NULL};
        char text[TEXT_SIZE];
        Screen screen = screen_open(true, columns);

        progress_to_terminal(&progress, true);
        progress_phase(&progress, "rebuild", UINT64_C(4) << 30);
        progress_end(&progress);
        screen_close(&screen, text);
        char *line = strstr(text, "\033[K");
        assert_non_null(line);
        assert_true(strcspn(line + 3, "\r") < columns);
    }
}

static void without_a_terminal_or_a_request_nothing_is_drawn(void **state)
{
    (void)state;
    for (int wanted = 0; wanted < 2; wanted++) {
        Progress progress = {.phase = NULL};
        char text[TEXT_SIZE];
        Screen screen = screen_open(wanted == 0, 80);

        progress_to_terminal(&progress, wanted != 0);
        progress_phase(&progress, "copy", 1000);
        progress_add(&progress, 500, 1);
        time_sleep_ms(300); /* longer than between two drawings */
        progress_tick(&progress);
        progress_end(&progress);
        screen_close(&screen, text);
        assert_string_equal(text, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_terminal_gets_one_line_that_is_wiped_at_the_end),
        cmocka_unit_test(an_unknown_total_is_not_guessed),
        cmocka_unit_test(the_line_fits_every_terminal),
        cmocka_unit_test(without_a_terminal_or_a_request_nothing_is_drawn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
