#include "replace/loss.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static PathStep ones[] = {{.timeline = 1}};
static PathStep twos[] = {{.timeline = 1, .end = 500}, {.timeline = 2, .begin = 500}};
static const TimelinePath one = {.steps = ones, .count = 1}, two = {.steps = twos, .count = 2};

/* The directory has come to 900; where it parts it is at 700. */
static void what_may_be_replaced(void **state)
{
    static const struct {
        const char *what;
        OldVerdict verdict;
        uint32_t timeline;
        uint64_t commits;
        bool is_least, is_history_archived;
        const TimelinePath *path;
        bool goes_to_end;
        Lsn until;
        bool removes, is_saved;
        LossKind expected;
    } cases[] = {
        {"all is archived", OLD_ARCHIVED, 1, 0, false, true, &one, true, 900, true, false,
         LOSS_NONE},
        {"its tail is replayed", OLD_TAIL, 1, 3, false, true, &one, true, 900, true, false,
         LOSS_NONE},
        {"a target in its tail", OLD_TAIL, 1, 3, false, true, &one, false, 800, true, false,
         LOSS_KEPT},
        {"a known timeline, another one asked for", OLD_TAIL, 1, 3, false, true, &two, true, 900,
         true, false, LOSS_KEPT},
        {"unknown, followed", OLD_TAIL, 2, 3, false, false, &two, true, 900, true, false,
         LOSS_NONE},
        {"unknown, a target on it", OLD_TAIL, 2, 3, false, false, &two, false, 800, true, false,
         LOSS_KEPT},
        {"unknown, its parent asked for", OLD_TAIL, 2, 3, false, false, &one, true, 900, false,
         false, LOSS_UNKNOWN_TIMELINE},
        {"unknown, a target before the fork", OLD_TAIL, 2, 3, false, false, &one, false, 400, false,
         false, LOSS_UNKNOWN_TIMELINE},
        {"unknown, but saved", OLD_TAIL, 2, 3, false, false, &one, true, 900, true, true,
         LOSS_KEPT},
        {"unknown, without a commit", OLD_TAIL, 2, 0, false, false, &one, true, 900, true, false,
         LOSS_NONE},
        {"another history", OLD_APART, 1, 3, false, true, &one, true, 900, false, false,
         LOSS_APART},
        {"another history, without a commit", OLD_APART, 1, 0, false, true, &one, true, 900, true,
         false, LOSS_NONE},
        {"another history, that can't be counted", OLD_APART, 1, 0, true, true, &one, true, 900,
         true, false, LOSS_APART},
        {"a target before they part", OLD_APART, 1, 3, false, true, &one, false, 700, true, false,
         LOSS_KEPT},
        {"a target after they part", OLD_APART, 1, 3, false, true, &one, false, 701, false, false,
         LOSS_APART},
        {"beyond the archive", OLD_BEYOND, 1, 0, true, true, &one, true, 600, false, false,
         LOSS_BEYOND},
        {"beyond, an earlier target, removed", OLD_BEYOND, 1, 2, true, true, &one, false, 600, true,
         false, LOSS_BEYOND},
        {"beyond, an earlier target, moved aside", OLD_BEYOND, 1, 2, true, true, &one, false, 600,
         false, false, LOSS_KEPT},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const OldBranch own = {
            .place = "/data",
            .verdict = cases[i].verdict,
            .timeline = cases[i].timeline,
            .path = cases[i].timeline == 1 ? one : two,
            .is_history_archived = cases[i].is_history_archived,
            .reached = 900,
            .apart = 700,
            .reason = "it is",
            .own = {.count = cases[i].commits, .last = 1000, .is_least = cases[i].is_least},
            .archived.last = TIME_US_NONE};
        const LossQuestion question = {.own = &own,
                                       .path = cases[i].path,
                                       .goes_to_end = cases[i].goes_to_end,
                                       .until = cases[i].until,
                                       .removes = cases[i].removes,
                                       .is_saved = cases[i].is_saved};
        CLEANUP(arena_done) Arena arena = {0};
        Error err = {0};

        LossKind kind = loss_of(&question);
        if (kind != cases[i].expected)
            fail_msg("%s: %d", cases[i].what, (int)kind);
        const bool is_fine = kind == LOSS_NONE || kind == LOSS_KEPT;
        assert_int_equal(loss_refuse(&question, kind, &arena, &err), is_fine);
        assert_int_equal(err.code, is_fine ? ERR_NONE : ERR_REFUSED);
        assert_int_equal(strstr(err.hint, "--discard-wal") != NULL, !is_fine);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_may_be_replaced)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
