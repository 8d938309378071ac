#include "verify/verify.h"

#include "repo/layout.h"
#include "storage/storage.h"
#include "told.h"
#include "vault.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The vault was made a moment ago: hours later it is settled, and has been verified before. */
static TimeUs later(unsigned hours)
{
    return time_now() + (TimeUs)hours * 3600 * 1000000;
}

static void verify_at(Vault *vault, TimeUs now, TimeUs believe_since, VerifyReport *report)
{
    VerifyRequest request = {.jobs = 2, .now = now, .believe_since = believe_since};
    Error err = {0};

    verify_report_done(report);
    assert_true(verify_run(&vault->archive.cluster, &request, report, &err));
    assert_true(report->is_complete);
    assert_string_equal(report->unremembered, "");
}

/* Believing all that was found from hour 1 on, however long the test has taken since. */
static void verify_again(Vault *vault, unsigned hour, VerifyReport *report)
{
    verify_at(vault, later(hour), later(0), report);
}

/* Segment 5 of timeline 2 begins the timeline: it is read whenever something is. */
enum { SEGMENTS = 6, BELIEVED_SEGMENTS = 5 };

static void what_was_found_good_is_not_read_again(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(verify_report_done) VerifyReport report = {0};
    const TimeUs first = later(1);

    (void)state;
    vault_init(&vault, LIE_NONE);
    verify_at(&vault, first, 0, &report);
    assert_int_equal(report.segments, SEGMENTS);
    const uint64_t bytes = report.bytes;

    verify_at(&vault, later(2), first, &report);
    print_findings(&report);
    assert_int_equal(report.count, 0);
    assert_int_equal(report.segments, SEGMENTS - BELIEVED_SEGMENTS);
    assert_int_equal(report.packs, 0);
    assert_int_equal(report.backups, 2); /* their manifests are read */
    assert_int_equal(report.believed.segments, BELIEVED_SEGMENTS);
    assert_int_equal(report.believed.backups, 2);
    assert_true(report.believed.oldest_at == first);
    assert_true(report.believed.bytes > 0 && report.believed.bytes < bytes);

    /* What was believed keeps its age: one microsecond on, all is read. */
    verify_at(&vault, later(3), first + 1, &report);
    assert_int_equal(report.segments, SEGMENTS - 0);
    assert_int_equal(report.packs, 2);
    assert_int_equal(report.believed.segments, 0);
    assert_true(report.believed.oldest_at == TIME_US_NONE);
}

static void without_the_request_everything_is_read(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(verify_report_done) VerifyReport report = {0};

    (void)state;
    vault_init(&vault, LIE_NONE);
    for (unsigned i = 1; i <= 3; i++) {
        verify_at(&vault, later(i), 0, &report);
        assert_int_equal(report.segments, SEGMENTS);
        assert_int_equal(report.packs, 2);
        assert_true(report.believed.oldest_at == TIME_US_NONE);
    }
}

/* By a clock that was ahead then. */
static void a_reading_that_is_yet_to_come_is_not_believed(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(verify_report_done) VerifyReport report = {0};

    (void)state;
    vault_init(&vault, LIE_NONE);
    verify_at(&vault, later(5), 0, &report);
    verify_at(&vault, later(2), later(1), &report);
    assert_int_equal(report.segments, SEGMENTS);
    assert_int_equal(report.packs, 2);
}

static void what_was_stored_just_before_is_read_again(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(verify_report_done) VerifyReport report = {0};
    const TimeUs before = time_now();

    (void)state;
    vault_init(&vault, LIE_NONE);
    verify_at(&vault, before + 5000000, 0, &report);
    verify_at(&vault, later(2), 1, &report);
    assert_int_equal(report.segments, SEGMENTS);
    assert_int_equal(report.packs, 2);
}

/*
 * Any object that another one took the place of is read. One that is written anew has another time,
 * whatever it holds.
 */
static void what_changed_is_read_and_nothing_else(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(object_list_done) ObjectList list = {0};
    CLEANUP(buffer_done) Buffer content = {0};
    unsigned hour = 2;

    (void)state;
    vault_init(&vault, LIE_NONE);
    vault_list(&vault, &list);
    for (size_t i = 0; i < list.count; i++) {
        CLEANUP(verify_report_done) VerifyReport report = {0};
        const char *name = list.objects[i].name;
        const bool is_segment = strstr(name, "/wal/0000000") != NULL && strlen(name) > 40;
        const bool is_pack = strstr(name, "/pack/") != NULL;
        const bool is_manifest = strstr(name, "/manifest") != NULL;

        verify_at(&vault, later(hour++), 0, &report);
        vault_get(&vault, name, &content);
        vault_put(&vault, name, content.data, content.size);
        verify_again(&vault, hour++, &report);
        assert_int_equal(report.count, 0);
        if (is_segment) {
            CLEANUP(text_freep) char *beginning = vault_segment(2, 5);
            assert_int_equal(report.segments,
                             SEGMENTS - BELIEVED_SEGMENTS + (strcmp(name, beginning) != 0));
        } else {
            assert_int_equal(report.segments, SEGMENTS - BELIEVED_SEGMENTS);
        }
        assert_int_equal(report.packs > 0, is_pack || is_manifest);

        /* Damaged, too: found at once. */
        verify_at(&vault, later(hour++), 0, &report);
        content.data[content.size / 2] ^= 1;
        vault_put(&vault, name, content.data, content.size);
        verify_again(&vault, hour++, &report);
        assert_non_null(about(&report, name));
        assert_true(verify_worst(&report) > FINDING_NOTE);
        content.data[content.size / 2] ^= 1;
        vault_put(&vault, name, content.data, content.size);
    }
}

/* What was found bad is never believed, however often it is asked. */
static void what_was_found_bad_is_told_every_time(void **state)
{
    static const Lie lies[] = {LIE_SUMMARY,     LIE_OTHER_WAL, LIE_PAGE_TIMELINE,
                               LIE_PACK_DIGEST, LIE_FRAME,     LIE_SMALL_HASH,
                               LIE_RANGE_HASH,  LIE_TOTALS,    LIE_FORK_PLACE};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
        CLEANUP(vault_done) Vault vault;
        CLEANUP(verify_report_done) VerifyReport report = {0};
        size_t count;

        vault_init(&vault, lies[i]);
        verify_at(&vault, later(1), 0, &report);
        assert_true(verify_worst(&report) > FINDING_NOTE);
        count = report.count;
        for (unsigned hour = 2; hour < 4; hour++) {
            verify_again(&vault, hour, &report);
            if (report.count != count)
                print_findings(&report);
            assert_int_equal(report.count, count);
        }
    }
}

/* The stored bytes rot, the listing says what it said: only reading shows it, and then it sticks.
 */
static void what_rots_is_found_when_it_is_read_and_believed_no_more(void **state)
{
    CLEANUP(text_freep) char *segment = vault_segment(1, 4);

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        CLEANUP(vault_done) Vault vault;
        CLEANUP(verify_report_done) VerifyReport report = {0};
        CLEANUP(text_freep) char *pack = NULL;
        CLEANUP(buffer_done) Buffer content = {0};

        vault_init(&vault, LIE_NONE);
        pack = vault_pack(&vault, 1);
        const char *name = i == 0 ? segment : pack;
        verify_at(&vault, later(1), 0, &report);
        vault_get(&vault, name, &content);
        vault_rot(&vault, name, content.size / 2);
        verify_again(&vault, 2, &report);
        assert_int_equal(report.count, 0); /* believed: this is what it costs */
        verify_at(&vault, later(3), 0, &report);
        assert_non_null(about(&report, name));
        verify_again(&vault, 4, &report);
        assert_non_null(about(&report, name));
    }
}

/* B's own pack is new: A, which shares the other one, is checked along with it. */
static void backups_that_share_a_pack_are_believed_or_read_together(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(verify_report_done) VerifyReport report = {0};
    CLEANUP(text_freep) char *own = NULL;
    CLEANUP(buffer_done) Buffer content = {0};

    (void)state;
    vault_init(&vault, LIE_NONE);
    own = vault_pack(&vault, 1);
    verify_at(&vault, later(1), 0, &report);
    vault_get(&vault, own, &content);
    vault_put(&vault, own, content.data, content.size);
    CLEANUP(text_freep) char *shared = vault_pack(&vault, 0);
    vault_rot(&vault, shared, 200);
    verify_again(&vault, 2, &report);
    assert_int_equal(report.believed.backups, 0);
    assert_int_equal(report.packs, 2);
    const Finding *finding = about(&report, shared);
    assert_non_null(finding);
    expect_words(finding, finding->meaning, BACKUP_A);
    expect_words(finding, finding->meaning, BACKUP_B);
}

/* The names of what is remembered, sorted. */
static size_t list_known(const Vault *vault, ObjectList *list)
{
    Error err = {0};

    assert_true(storage_list(vault->archive.repo.storage, "main/known/", list, &err));
    return list->count;
}

/* Damaged or taken away: what it was about is read, and it is made anew. */
static void what_is_remembered_may_be_lost_at_any_time(void **state)
{
    enum { KNOWN = 4 }; /* two stretches, two backups */
    CLEANUP(vault_done) Vault vault;
    unsigned hour = 1;

    (void)state;
    vault_init(&vault, LIE_NONE);
    for (size_t i = 0; i < 2 * KNOWN; i++) {
        CLEANUP(verify_report_done) VerifyReport report = {0};
        CLEANUP(object_list_done) ObjectList list = {0};
        CLEANUP(buffer_done) Buffer content = {0};

        verify_at(&vault, later(hour++), 0, &report);
        assert_int_equal(list_known(&vault, &list), KNOWN);
        const char *name = list.objects[i / 2].name;
        if (i % 2 == 0) {
            vault_get(&vault, name, &content);
            content.data[content.size / 2] ^= 1;
            vault_put(&vault, name, content.data, content.size);
        } else {
            vault_remove(&vault, name);
        }
        verify_again(&vault, hour++, &report);
        assert_int_equal(report.count, 0);
        assert_true(report.segments + report.packs > SEGMENTS - BELIEVED_SEGMENTS);
        assert_true(report.believed.oldest_at != TIME_US_NONE);
        verify_again(&vault, hour++, &report);
        assert_int_equal(report.segments + report.packs, SEGMENTS - BELIEVED_SEGMENTS);
    }
}

/* After a backup or a timeline has gone nothing is remembered of it. */
static void what_is_gone_is_forgotten(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(verify_report_done) VerifyReport report = {0};
    CLEANUP(text_freep) char *manifest = layout_manifest("main", BACKUP_B);
    CLEANUP(object_list_done) ObjectList list = {0};
    size_t known = 0;

    (void)state;
    vault_init(&vault, LIE_NONE);
    verify_at(&vault, later(1), 0, &report);
    vault_remove(&vault, manifest);
    for (uint64_t segment = 5; segment <= 7; segment++) {
        CLEANUP(text_freep) char *name = vault_segment(2, segment);
        vault_remove(&vault, name);
    }
    verify_at(&vault, later(2), 0, &report);
    vault_list(&vault, &list);
    for (size_t i = 0; i < list.count; i++) {
        if (strstr(list.objects[i].name, "/known/") == NULL)
            continue;
        known++;
        assert_true(strstr(list.objects[i].name, "known/00000001-") != NULL ||
                    strstr(list.objects[i].name, BACKUP_A) != NULL);
    }
    assert_int_equal(known, 2);
}

/* One backup alone: what is remembered of all others stays. */
static void verifying_one_backup_forgets_nothing_else(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(verify_report_done) VerifyReport report = {0};
    CLEANUP(verify_report_done) VerifyReport alone = {0};
    VerifyRequest request = {.jobs = 2, .backup = BACKUP_B, .now = later(2)};
    Error err = {0};

    (void)state;
    vault_init(&vault, LIE_NONE);
    verify_at(&vault, later(1), 0, &report);
    assert_true(verify_run(&vault.archive.cluster, &request, &alone, &err));
    verify_again(&vault, 3, &report);
    assert_int_equal(report.believed.segments, BELIEVED_SEGMENTS);
    assert_int_equal(report.believed.backups, 2);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_found_good_is_not_read_again),
        cmocka_unit_test(without_the_request_everything_is_read),
        cmocka_unit_test(a_reading_that_is_yet_to_come_is_not_believed),
        cmocka_unit_test(what_was_stored_just_before_is_read_again),
        cmocka_unit_test(what_changed_is_read_and_nothing_else),
        cmocka_unit_test(what_was_found_bad_is_told_every_time),
        cmocka_unit_test(what_rots_is_found_when_it_is_read_and_believed_no_more),
        cmocka_unit_test(backups_that_share_a_pack_are_believed_or_read_together),
        cmocka_unit_test(what_is_remembered_may_be_lost_at_any_time),
        cmocka_unit_test(what_is_gone_is_forgotten),
        cmocka_unit_test(verifying_one_backup_forgets_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
