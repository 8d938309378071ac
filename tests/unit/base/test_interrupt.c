#include "base/interrupt.h"

#include "base/progress.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* One process, one flag: the steps follow each other. */
static void the_first_signal_is_kept_and_told(void **state)
{
    Error err = {0};

    (void)state;
    interrupt_setup();
    assert_int_equal(raise(SIGPIPE), 0);
    assert_true(interrupt_check(&err));
    assert_int_equal(interrupt_signal(), 0);

    assert_int_equal(raise(SIGTERM), 0);
    assert_int_equal(raise(SIGINT), 0);
    assert_int_equal(interrupt_signal(), SIGTERM);
    assert_false(interrupt_check(&err));
    assert_int_equal(err.code, ERR_INTERRUPTED);
    assert_string_equal(err.message, "interrupted by SIGTERM");
}

static int drawn;

static void count(Progress *progress)
{
    (void)progress;
    drawn++;
}

/*
 * Each drawing is held against the one before: from before the tick that drew that one to after the
 * tick that drew this one. However long we are kept from the processor, it is never shorter.
 */
static void progress_is_drawn_at_most_a_few_times_a_second(void **state)
{
    Progress progress = {.draw = count};

    (void)state;
    TimeUs before_last = time_monotonic();
    progress_phase(&progress, "copy", 1000);
    assert_int_equal(drawn, 1);
    for (int seen = 1; seen < 4;) {
        TimeUs before = time_monotonic();
        progress_add(&progress, 1, 0);
        progress_tick(&progress);
        if (drawn == seen)
            continue;
        assert_int_equal(drawn, ++seen);
        assert_true(time_monotonic() - before_last >= 200000);
        before_last = before;
    }
    progress_phase(&progress, "next", 0);
    assert_int_equal(atomic_load(&progress.bytes_done), 0);
    assert_int_equal(atomic_load(&progress.bytes_total), 0);

    progress_phase(NULL, "nobody looks", 1);
    progress_tick(NULL);
    progress_add(NULL, 1, 1);
}

/* A limit on file sizes would end the process without a word: the write is to fail instead. */
static void a_file_that_gets_too_large_is_an_error_of_the_write(void **state)
{
    static const int ignored[] = {SIGPIPE, SIGXFSZ};
    struct sigaction now;

    (void)state;
    interrupt_setup();
    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++) {
        assert_int_equal(sigaction(ignored[i], NULL, &now), 0);
        assert_true(now.sa_handler == SIG_IGN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_signal_is_kept_and_told),
        cmocka_unit_test(a_file_that_gets_too_large_is_an_error_of_the_write),
        cmocka_unit_test(progress_is_drawn_at_most_a_few_times_a_second),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
