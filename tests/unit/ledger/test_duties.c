#include "ledger/duties.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const TimeUs day = 86400LL * 1000000;

enum { NOW_DAYS = 1000, REGISTERED_DAYS = 900 };

/* An entry that ended so many days ago; further keys as "key", "value". */
static LedgerEntry entry(const char *operation, double days_ago, unsigned status)
{
    LedgerEntry it = {.status = status,
                      .finished = NOW_DAYS * day - (TimeUs)(days_ago * (double)day),
                      .host = ""};

    it.started = it.finished - 60 * 1000000;
    (void)snprintf(it.operation, sizeof it.operation, "%s", operation);
    return it;
}

static LedgerEntry with(LedgerEntry it, RecordField *field)
{
    it.record.fields = field;
    it.record.count = 1;
    return it;
}

static DutyState judged(Duty duty, LedgerEntry *entries, size_t count)
{
    const Ledger ledger = {.items = entries, .count = count};
    const DutyRequest request = {.periods = {day, 7 * day, 7 * day, 30 * day},
                                 .since = REGISTERED_DAYS * day,
                                 .now = NOW_DAYS * day};
    DutyState states[DUTY_COUNT];

    duties_judge(&ledger, &request, states);
    return states[duty];
}

static void a_duty_is_due_after_its_period_and_overdue_after_half_of_it_more(void **state)
{
    static const struct {
        double days_ago;
        bool is_due, is_overdue;
    } cases[] = {
        {0, false, false},   {6.9, false, false}, {7, true, false},
        {10.4, true, false}, {10.5, true, true},  {-1, false, false}, /* the clock was set back */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        LedgerEntry entries[] = {entry("verify", cases[i].days_ago, ERR_NONE)};
        const DutyState is = judged(DUTY_VERIFY, entries, 1);

        assert_int_equal(is.is_due, cases[i].is_due);
        assert_int_equal(is.is_overdue, cases[i].is_overdue);
        assert_int_equal(is.last, entries[0].finished);
        assert_int_equal(is.takes, 60 * 1000000);
    }
}

static void what_counts_as_done(void **state)
{
    RecordField one_backup = {"backup", "20261122T031500Z-k3v7qa"};
    RecordField stored_only = {"stored_only", "yes"};
    RecordField verified = {"verified", "yes"};
    RecordField unverified = {"verified", "no"};
    RecordField full = {"kind", "full"};
    const struct {
        Duty duty;
        LedgerEntry entry;
        bool is_done, has_failed;
    } cases[] = {
        {DUTY_BACKUP, entry("backup", 0.5, ERR_NONE), true, false},
        {DUTY_BACKUP, entry("backup", 0.5, ERR_DEGRADED), true, false},
        {DUTY_BACKUP, entry("backup", 0.5, ERR_UNREACHABLE), false, true},
        {DUTY_BACKUP, entry("verify", 0.5, ERR_NONE), false, false},
        {DUTY_VERIFY, entry("verify", 0.5, ERR_NONE), true, false},
        {DUTY_VERIFY, entry("verify", 0.5, ERR_CORRUPT), true, false},
        {DUTY_VERIFY, entry("verify", 0.5, ERR_UNREACHABLE), false, true},
        {DUTY_VERIFY, with(entry("verify", 0.5, ERR_NONE), &one_backup), false, false},
        {DUTY_VERIFY, with(entry("verify", 0.5, ERR_NONE), &stored_only), false, false},
        {DUTY_RESTORE, with(entry("restore", 0.5, ERR_NONE), &verified), true, false},
        {DUTY_RESTORE, with(entry("restore", 0.5, ERR_DEGRADED), &verified), true, false},
        {DUTY_RESTORE, with(entry("restore", 0.5, ERR_RECOVERY), &unverified), false, true},
        {DUTY_RESTORE, entry("restore", 0.5, ERR_NONE), false, false}, /* not started */
        {DUTY_RESTORE, entry("drill", 0.5, ERR_NONE), true, false},
        {DUTY_RESTORE, entry("drill", 0.5, ERR_RECOVERY), false, true},
        {DUTY_DRILL, entry("drill", 0.5, ERR_NONE), false, false}, /* not a full one */
        {DUTY_DRILL, with(entry("drill", 0.5, ERR_NONE), &full), true, false},
        {DUTY_DRILL, with(entry("drill", 0.5, ERR_RECOVERY), &full), false, true},
        {DUTY_DRILL, with(entry("restore", 0.5, ERR_NONE), &verified), false, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        LedgerEntry entries[] = {cases[i].entry};
        const DutyState is = judged(cases[i].duty, entries, 1);

        if ((is.last != TIME_US_NONE) != cases[i].is_done ||
            (is.failed_at != TIME_US_NONE) != cases[i].has_failed)
            fail_msg("case %zu", i);
        assert_int_equal(is.is_due, !cases[i].is_done);
    }
}

static void what_failed_before_it_was_done_is_past(void **state)
{
    LedgerEntry entries[] = {entry("verify", 1, ERR_UNREACHABLE), entry("verify", 3, ERR_NONE),
                             entry("verify", 5, ERR_IO)};

    (void)state;
    DutyState is = judged(DUTY_VERIFY, entries, 3);
    assert_int_equal(is.last, entries[1].finished);
    assert_int_equal(is.failed_at, entries[0].finished);
    assert_int_equal(is.failed_status, ERR_UNREACHABLE);
    is = judged(DUTY_VERIFY, entries + 1, 2);
    assert_int_equal(is.failed_at, TIME_US_NONE);
}

static void what_was_never_done_counts_from_the_registration(void **state)
{
    static const struct {
        Duty duty;
        double days; /* since the registration */
        bool is_due, is_overdue;
    } cases[] = {
        {DUTY_BACKUP, 0, true, false}, /* at once */
        {DUTY_BACKUP, 1.5, true, true}, {DUTY_VERIFY, 6, false, false},
        {DUTY_VERIFY, 7, true, false},  {DUTY_DRILL, 29, false, false},
        {DUTY_DRILL, 45, true, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const Ledger none = {.count = 0};
        const DutyRequest request = {.periods = {day, 7 * day, 7 * day, 30 * day},
                                     .since =
                                         NOW_DAYS * day - (TimeUs)(cases[i].days * (double)day),
                                     .now = NOW_DAYS * day};
        DutyState states[DUTY_COUNT];

        duties_judge(&none, &request, states);
        assert_int_equal(states[cases[i].duty].is_due, cases[i].is_due);
        assert_int_equal(states[cases[i].duty].is_overdue, cases[i].is_overdue);
    }
}

static void a_period_of_0_is_no_duty(void **state)
{
    const Ledger none = {.count = 0};
    const DutyRequest request = {.since = 0, .now = NOW_DAYS * day};
    DutyState states[DUTY_COUNT];

    (void)state;
    duties_judge(&none, &request, states);
    for (int i = 0; i < DUTY_COUNT; i++)
        assert_false(states[i].is_due || states[i].is_overdue);
}

static void a_timer_does_what_will_be_due_before_it_comes_again(void **state)
{
    static const struct {
        TimeUs period, due_in;
        bool should_run;
    } cases[] = {
        {86400, 0, true},         {86400, -5, true},
        {86400, 3 * 3600, true},  {86400, 3 * 3600 + 1, false},
        {8 * 86400, 86400, true}, {8 * 86400, 86401, false},
        {0, -5, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const DutyState it = {.period = cases[i].period * 1000000,
                              .due_at = 50 * day + cases[i].due_in * 1000000};

        assert_int_equal(duty_should_run(&it, 50 * day), cases[i].should_run);
    }
}

static void the_budget_bounds_what_is_begun(void **state)
{
    static const struct {
        TimeUs takes, elapsed, budget;
        bool fits;
    } cases[] = {
        {10, 0, 0, true},
        {10, 0, 10, true},
        {11, 0, 10, false},
        {5, 6, 10, false},
        {5, 5, 10, true},
        {TIME_US_NONE, 9, 10, true},
        {TIME_US_NONE, 10, 10, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const DutyState it = {.takes = cases[i].takes};

        assert_int_equal(duty_fits(&it, cases[i].elapsed, cases[i].budget), cases[i].fits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_duty_is_due_after_its_period_and_overdue_after_half_of_it_more),
        cmocka_unit_test(what_counts_as_done),
        cmocka_unit_test(what_failed_before_it_was_done_is_past),
        cmocka_unit_test(what_was_never_done_counts_from_the_registration),
        cmocka_unit_test(a_period_of_0_is_no_duty),
        cmocka_unit_test(a_timer_does_what_will_be_due_before_it_comes_again),
        cmocka_unit_test(the_budget_bounds_what_is_begun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
