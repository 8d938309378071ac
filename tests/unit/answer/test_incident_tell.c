#include "answer/incident_tell.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static LedgerEntry entry(const char *operation, TimeUs started, unsigned status,
                         RecordField *fields, size_t count)
{
    LedgerEntry it = {.status = status, .started = started, .finished = started + 5, .host = ""};

    (void)snprintf(it.operation, sizeof it.operation, "%s", operation);
    it.record.fields = fields;
    it.record.count = count;
    return it;
}

static void the_last_verified_restore_until_the_end_tells_what_was_kept(void **state)
{
    static RecordField verified[] = {{"verified", "yes"},
                                     {"last_commit", "1970-01-01T00:00:01.000000Z"},
                                     {"first_left_out", "1970-01-01T00:00:02.000000Z"},
                                     {"commits_on_other_branches", "3"},
                                     {"commits_only_in_old_directory", "4"}};
    static RecordField first[] = {{"verified", "yes"}};
    static RecordField unverified[] = {{"verified", "no"}};
    LedgerEntry entries[] = {
        entry("restore", 900, ERR_NONE, first, 1), /* after it was closed */
        entry("restore", 400, ERR_RECOVERY, unverified, 1),
        entry("drill", 350, ERR_NONE, first, 1),
        entry("restore", 300, ERR_NONE, verified, 5),
        entry("restore", 200, ERR_NONE, first, 1),
        entry("restore", 100, ERR_NONE, NULL, 0), /* not started */
    };
    const Ledger ledger = {.items = entries, .count = ARRAY_SIZE(entries)};
    const Incident incident = {.began = 50, .closed_at = 500};
    const IncidentStory story = {.incident = &incident, .ledger = &ledger, .now = 1000};
    IncidentSummary summary;

    (void)state;
    incident_summarize(&story, &summary);

    assert_int_equal(summary.restores, 4);
    assert_int_equal(summary.failures, 1);
    assert_ptr_equal(summary.restored, &entries[3]);
    assert_int_equal(summary.last_commit, 1000000);
    assert_int_equal(summary.first_left_out, 2000000);
    assert_int_equal(summary.left_elsewhere, 7);
    assert_int_equal(summary.ended_at, 305);
}

/* What was promoted before the restore belongs to another one; a copy brings nothing back. */
static void a_promotion_after_the_restore_ends_it_and_copies_do_not_count(void **state)
{
    static RecordField verified[] = {{"verified", "yes"}};
    static RecordField copy[] = {{"verified", "yes"}, {"as_copy", "yes"}};
    static RecordField opened[] = {{"state", "open"}};
    static RecordField paused[] = {{"state", "paused"}};
    static RecordField counted[] = {{"after", "promote"}, {"commits_lost", "3"}};
    static RecordField before[] = {{"after", "promote"}, {"commits_lost", "5"}};
    static RecordField of_copy[] = {{"as_copy", "yes"}, {"commits_lost", "9"}};
    LedgerEntry entries[] = {
        entry("restore", 800, ERR_NONE, copy, 2),
        entry("aftermath", 750, ERR_NONE, of_copy, 2),
        entry("aftermath", 720, ERR_NONE, counted, 2),
        entry("promote", 700, ERR_NONE, opened, 1),
        entry("watch", 600, ERR_NONE, paused, 1),
        entry("restore", 500, ERR_NONE, verified, 1),
        entry("aftermath", 420, ERR_NONE, before, 2),
        entry("promote", 400, ERR_NONE, opened, 1),
        entry("restore", 300, ERR_NONE, verified, 1),
    };
    Ledger ledger = {.items = entries, .count = ARRAY_SIZE(entries)};
    const Incident incident = {.began = 50, .closed_at = TIME_US_NONE};
    const IncidentStory story = {.incident = &incident, .ledger = &ledger, .now = 1000};
    IncidentSummary summary;

    (void)state;
    incident_summarize(&story, &summary);
    assert_int_equal(summary.restores, 2);
    assert_ptr_equal(summary.restored, &entries[5]);
    assert_true(summary.is_counted);
    assert_int_equal(summary.lost, 3);
    assert_int_equal(summary.opened_at, 705);
    assert_int_equal(summary.ended_at, 705);

    entries[3].status = ERR_RECOVERY; /* it did not open */
    incident_summarize(&story, &summary);
    assert_int_equal(summary.opened_at, TIME_US_NONE);
    assert_int_equal(summary.ended_at, 505);
}

static void without_a_restore_nothing_is_known(void **state)
{
    const Ledger ledger = {.count = 0};
    const Incident incident = {.closed_at = TIME_US_NONE};
    const IncidentStory story = {.incident = &incident, .ledger = &ledger};
    IncidentSummary summary;

    (void)state;
    incident_summarize(&story, &summary);
    assert_null(summary.restored);
    assert_int_equal(summary.last_commit, TIME_US_NONE);
    assert_int_equal(summary.ended_at, TIME_US_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_verified_restore_until_the_end_tells_what_was_kept),
        cmocka_unit_test(a_promotion_after_the_restore_ends_it_and_copies_do_not_count),
        cmocka_unit_test(without_a_restore_nothing_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
