#include "verify/verify.h"

#include "catalog/backups.h"
#include "repo/layout.h"
#include "repo/mark.h"
#include "told.h"
#include "vault.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static TimeUs hours_later(unsigned hours)
{
    return time_now() + (TimeUs)hours * 3600 * 1000000;
}

/* Only stored bytes. */
static void look_at_stored(Vault *vault, VerifyReport *report)
{
    VerifyRequest request = {.jobs = 2, .now = hours_later(1), .is_stored_only = true};
    Error err = {0};

    verify_report_done(report);
    assert_true(verify_run(&vault->archive.cluster, &request, report, &err));
    assert_true(report->is_complete);
    assert_string_equal(report->unmarked, "");
}

/* As `restore` and `list` know it. */
static bool is_marked(Vault *vault, MarkSubject what, const char *subject)
{
    CLEANUP(mark_list_done) MarkList marks = {0};
    Error err = {0};

    assert_true(mark_list_load(&marks, &vault->archive.cluster, &err));
    return mark_find(&marks, MARK_DAMAGE, what, subject) != NULL;
}

static void good_bytes_are_read_and_nothing_is_believed_for_it(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(verify_report_done) VerifyReport report = {0};
    Error err = {0};

    (void)state;
    vault_init(&vault, LIE_NONE);
    look_at_stored(&vault, &report);
    print_findings(&report);
    assert_int_equal(report.count, 0);
    assert_int_equal(report.packs, 2);
    assert_int_equal(report.segments, 6);
    assert_true(report.bytes_raw < 100); /* a history */

    VerifyRequest request = {.jobs = 2, .now = hours_later(2), .believe_since = time_now()};
    verify_report_done(&report);
    assert_true(verify_run(&vault.archive.cluster, &request, &report, &err));
    assert_int_equal(report.believed.backups, 0);
    assert_int_equal(report.believed.segments, 0);
}

static void what_was_read_whole_before_stays_remembered(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(verify_report_done) VerifyReport report = {0};
    const TimeUs begun = time_now();
    Error err = {0};

    (void)state;
    vault_init(&vault, LIE_NONE);
    VerifyRequest request = {.jobs = 2, .now = hours_later(1)};
    assert_true(verify_run(&vault.archive.cluster, &request, &report, &err));
    look_at_stored(&vault, &report);
    request = (VerifyRequest){.jobs = 2, .now = hours_later(2), .believe_since = begun};
    verify_report_done(&report);
    assert_true(verify_run(&vault.archive.cluster, &request, &report, &err));
    assert_int_equal(report.believed.backups, 2);
    assert_int_equal(report.believed.segments, 5);
}

static void a_changed_bit_is_found_marked_and_not_taken_back(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(verify_report_done) VerifyReport report = {0};
    CLEANUP(text_freep) char *segment = vault_segment(1, 4);

    (void)state;
    vault_init(&vault, LIE_NONE);
    CLEANUP(text_freep) char *pack = vault_pack(&vault, 1); /* of B alone */
    vault_rot(&vault, pack, 200);
    vault_rot(&vault, segment, 100);
    for (int i = 0; i < 2; i++) {
        look_at_stored(&vault, &report);
        assert_int_equal(about(&report, pack)->severity, FINDING_DAMAGE);
        assert_non_null(strstr(about(&report, pack)->meaning, BACKUP_B));
        assert_int_equal(about(&report, segment)->severity, FINDING_DAMAGE);
        assert_true(is_marked(&vault, MARK_OF_BACKUP, BACKUP_B));
        assert_false(is_marked(&vault, MARK_OF_BACKUP, BACKUP_A));
    }
    vault_rot(&vault, pack, 200); /* the bits are as they were */
    vault_rot(&vault, segment, 100);
    look_at_stored(&vault, &report);
    assert_int_equal(report.count, 0);
    assert_true(is_marked(&vault, MARK_OF_BACKUP, BACKUP_B));
    assert_true(is_marked(&vault, MARK_OF_WAL, "000000010000000000000004"));
    verify_report_done(&report);
    vault_verify(&vault, &report);
    assert_false(is_marked(&vault, MARK_OF_BACKUP, BACKUP_B));
    assert_false(is_marked(&vault, MARK_OF_WAL, "000000010000000000000004"));
}

static void a_pack_that_is_gone_or_another_is_found(void **state)
{
    CLEANUP(verify_report_done) VerifyReport report = {0};

    (void)state;
    for (int i = 0; i < 2; i++) {
        CLEANUP(vault_done) Vault vault;

        vault_init(&vault, i == 0 ? LIE_NONE : LIE_PACK_DIGEST);
        CLEANUP(text_freep) char *pack = vault_pack(&vault, i == 0 ? 0 : 1);
        if (i == 0)
            vault_remove(&vault, pack);
        look_at_stored(&vault, &report);
        print_findings(&report);
        assert_true(report.count > 0);
        assert_true(verify_worst(&report) >= FINDING_MISSING);
    }
}

/* What only decompression tells is not looked at: a whole verification finds it. */
static void what_the_bytes_hold_is_not_looked_at(void **state)
{
    static const Lie lies[] = {LIE_PAGE_HASH, LIE_SMALL_CRC, LIE_RANGE_HASH, LIE_SUMMARY};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
        CLEANUP(vault_done) Vault vault;
        CLEANUP(verify_report_done) VerifyReport report = {0};

        vault_init(&vault, lies[i]);
        look_at_stored(&vault, &report);
        print_findings(&report);
        assert_int_equal(report.count, 0);
        verify_report_done(&report);
        vault_verify(&vault, &report);
        assert_true(report.count > 0);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_bytes_are_read_and_nothing_is_believed_for_it),
        cmocka_unit_test(what_was_read_whole_before_stays_remembered),
        cmocka_unit_test(a_changed_bit_is_found_marked_and_not_taken_back),
        cmocka_unit_test(a_pack_that_is_gone_or_another_is_found),
        cmocka_unit_test(what_the_bytes_hold_is_not_looked_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
