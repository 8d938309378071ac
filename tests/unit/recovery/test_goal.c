#include "recovery/recovery.h"

#include "../folder.h"
#include "base/file.h"
#include "repo/recovery_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const char data[] = "."; /* see folder.h */

static void put_settings(const char *text)
{
    CLEANUP(text_freep) char *path = text_format("%s/postgresql.auto.conf", data);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void where_replay_must_get_to_is_known_only_as_far_as_it_is_written(void **state)
{
    static const struct {
        const char *settings; /* on disk */
        const char *planned;  /* those the plan was made for; NULL: no plan */
        const char *bound;
        Lsn target_end;
        RecoveryGoal expected;
    } cases[] = {
        {"", NULL, "", 0, {0}},
        {"recovery_target_name = 'x'\n", NULL, "", 0, {0}},
        {"recovery_target_lsn = '0/5000100'\n", NULL, "", 0, {.lsn = 0x5000100}},
        {"recovery_target_lsn = 'nonsense'\n", NULL, "", 0, {0}},
        /* A plan is worth something for the settings that it was made for, and for no others. */
        {"recovery_target_name = 'x'\n",
         "recovery_target_name=x",
         "000000010000000000000005",
         0x5000100,
         {.lsn = 0x5000100}},
        {"recovery_target_name = 'x'\n",
         "recovery_target_name=x",
         "000000010000000000000005",
         0,
         {.lsn = 0x6000000, .is_bound = true}},
        {"recovery_target_name = 'y'\n",
         "recovery_target_name=x",
         "000000010000000000000005",
         0x5000100,
         {0}},
        {"recovery_target_lsn = '0/7000100'\n",
         "recovery_target_lsn=0/5000100",
         "",
         0x5000100,
         {.lsn = 0x7000100}},
        {"", "", "", 0, {.has_no_target = true}},
        {"recovery_target_name = 'x'\n", "", "", 0, {0}},
        {"recovery_target_name = 'x'\n", "recovery_target_name=x", "", 0, {0}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(held_done) HeldDirectory held = HELD_NONE;
        Error err = {0};
        assert_true(held_open(&held, data, &err));
        put_settings(cases[i].settings);
        assert_true(recovery_plan_remove(&held, &err));
        if (cases[i].planned != NULL) {
            RecoveryPlan plan = {
                .timeline = 1, .target_end = cases[i].target_end, .settings = cases[i].planned};
            memcpy(plan.bound, cases[i].bound, strlen(cases[i].bound) + 1);
            assert_true(recovery_plan_save(&held, &plan, &err));
        }
        RecoveryGoal goal = recovery_goal(data, 16 << 20);
        if (goal.lsn != cases[i].expected.lsn)
            print_error("case %zu\n", i);
        assert_int_equal(goal.lsn, cases[i].expected.lsn);
        assert_int_equal(goal.is_bound, cases[i].expected.is_bound);
        assert_int_equal(goal.has_no_target, cases[i].expected.has_no_target);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_replay_must_get_to_is_known_only_as_far_as_it_is_written),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
