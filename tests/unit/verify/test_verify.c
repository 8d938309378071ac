#include "verify/verify.h"

#include "repo/layout.h"
#include "repo/record.h"
#include "storage/wrap.h"
#include "stores.h"
#include "told.h"
#include "vault.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_good_repository_has_no_findings(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(verify_report_done) VerifyReport report = {0};

    (void)state;
    vault_init(&vault, LIE_NONE);
    vault_verify(&vault, &report);

    print_findings(&report);
    assert_int_equal(report.count, 0);
    assert_int_equal(verify_worst(&report), FINDING_NOTE);
    assert_int_equal(report.backups, 2);
    assert_int_equal(report.packs, 2); /* the shared one once */
    assert_int_equal(report.segments, 6);
    assert_int_equal(report.histories, 1);
    assert_int_equal(report.records, 3);
    assert_int_equal(report.objects, 14);
    assert_int_equal(report.frames, 8);
}

/* What packs of page tables need: their pages are read again, when the manifest is checked. */
static void a_page_table_may_stand_in_another_pack(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(verify_report_done) VerifyReport report = {0};

    (void)state;
    vault_init(&vault, NO_LIE_LONE_TABLE);
    vault_verify(&vault, &report);

    print_findings(&report);
    assert_int_equal(report.count, 0);
    assert_int_equal(report.packs, 3);
}

static void any_number_of_threads_finds_the_same(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(text_freep) char *segment = vault_segment(1, 4);

    (void)state;
    vault_init(&vault, LIE_RANGE_HASH);
    vault_remove(&vault, segment);
    for (unsigned jobs = 0; jobs < 200; jobs = jobs * 3 + 1) {
        CLEANUP(verify_report_done) VerifyReport report = {0};
        Error err = {0};

        assert_true(
            verify_run(&vault.archive.cluster, &(VerifyRequest){.jobs = jobs}, &report, &err));
        assert_int_equal(report.count, 2);
        assert_int_equal(report.segments, 5);
    }
}

static void what_is_not_ours_is_only_noted(void **state)
{
    static const char *const names[] = {
        "main/README",
        "main/backup/README",
        "main/backup/20000101T000010Z-aaaaaa/notes",
        "main/pack/00/short",
        "main/pack/00/00000000000000000000000000000000",
        "main/pack/11/00000000000000000000000000000000",
        "main/wal/000000010000000000000003",
        "main/wal/0000000100000000/000000010000000000000003.wal.damaged-01234567",
        "main/wal/0000000200000000/000000010000000000000003.wal",
        "main/journal/README",
        "main/lease/README",
        "main/condemned/something",
        "main/open/000000010000000000000003.0-1",
        "main/registration/1",
        "mainly/pack/00/short",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CLEANUP(vault_done) Vault vault;
        CLEANUP(verify_report_done) VerifyReport report = {0};

        vault_init(&vault, LIE_NONE);
        vault_put(&vault, names[i], "x", 1);
        vault_verify(&vault, &report);

        print_findings(&report);
        assert_int_equal(verify_worst(&report), FINDING_NOTE);
        if (strncmp(names[i], "main/", 5) != 0) {
            assert_int_equal(report.count, 0); /* another cluster's */
            continue;
        }
        assert_int_equal(report.count, 1);
        assert_string_equal(report.findings[0].object, names[i]);
        assert_true(*report.findings[0].meaning != '\0');
        if (strstr(names[i], ".damaged-") != NULL)
            expect_words(&report.findings[0], report.findings[0].what, "set aside");
        if (strstr(names[i], "/00000000000000000000000000000000") != NULL)
            expect_words(&report.findings[0], report.findings[0].what,
                         names[i][11] == '0' ? "unreferenced" : "unknown kind");
    }
}

static void what_is_whole_but_does_not_fit_is_found(void **state)
{
    static const struct {
        Lie lie;
        const char *backup; /* whose manifest is named; NULL: see pack and segment */
        int pack;           /* -1: none */
        uint32_t timeline;
        uint64_t segment;
        const char *words; /* of what is wrong */
    } cases[] = {
        {LIE_PACK_DIGEST, NULL, 0, 0, 0, "SHA-256 of the whole pack"},
        {LIE_SMALL_HASH, BACKUP_A, -1, 0, 0, "content of PG_VERSION"},
        {LIE_SMALL_CRC, BACKUP_A, -1, 0, 0, "content of PG_VERSION"},
        {LIE_RANGE_HASH, BACKUP_A, -1, 0, 0, "content of base/1/16384"},
        {LIE_OVERLAY_HASH, BACKUP_B, -1, 0, 0, "content of base/1/16384"},
        {LIE_FILE_CRC, BACKUP_A, -1, 0, 0, "content of base/1/16384"},
        {LIE_LONE_TABLE, BACKUP_B, -1, 0, 0, "content of base/1/16384"},
        {LIE_LIVE, BACKUP_B, -1, 0, 0, "content of base/1/16384"},
        {LIE_FRAME, BACKUP_A, -1, 0, 0, "content of /etc/pg_hba.conf"},
        {LIE_TOTALS, BACKUP_A, -1, 0, 0, "totals"},
        {LIE_SYSTEM, BACKUP_A, -1, 0, 0, "another cluster"},
        {LIE_LABEL, BACKUP_A, -1, 0, 0, "backup_label"},
        {LIE_HISTORY, BACKUP_B, -1, 0, 0, "history"},
        {LIE_PAGE_HASH, NULL, 0, 0, 0, "page table of base/1/16384"},
        {LIE_PAGE_CRC, NULL, 0, 0, 0, "page table of base/1/16384"},
        {LIE_PAGE_LEFT_OUT, BACKUP_A, -1, 0, 0, "content of base/1/16384"},
        {LIE_SUMMARY, NULL, -1, 1, 4, "trailer"},
        {LIE_FORK_PLACE, NULL, -1, 2, 5, "elsewhere than the history says"},
        {LIE_OTHER_WAL, NULL, -1, 1, 4, "does not go on"},
        {LIE_PAGE_TIMELINE, NULL, -1, 2, 6, "timeline of the first page"},
        {LIE_PARENT, NULL, -1, 2, 5, "not a copy of its parent's"},
    };

    (void)state;
    assert_int_equal(ARRAY_SIZE(cases), LIE_COUNT - 1);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(vault_done) Vault vault;
        CLEANUP(verify_report_done) VerifyReport report = {0};

        vault_init(&vault, cases[i].lie);
        CLEANUP(text_freep)
        char *object = cases[i].backup != NULL ? layout_manifest("main", cases[i].backup)
                       : cases[i].pack >= 0    ? vault_pack(&vault, (size_t)cases[i].pack)
                                               : vault_segment(cases[i].timeline, cases[i].segment);
        const Finding *finding = expect_trouble(&vault, &report, object, cases[i].words);

        expect_words(finding, finding->what, cases[i].words);
    }
}

/* Only the wrong pages of a pack lie in A: B has its own of them. */
static void damage_in_a_pack_hurts_the_backups_that_need_it(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(buffer_done) Buffer content = {0};
    CLEANUP(verify_report_done) VerifyReport shared = {0};
    CLEANUP(verify_report_done) VerifyReport own = {0};

    (void)state;
    vault_init(&vault, LIE_NONE);
    CLEANUP(text_freep) char *first = vault_pack(&vault, 0);
    CLEANUP(text_freep) char *second = vault_pack(&vault, 1);
    vault_get(&vault, first, &content);
    content.data[2000] ^= 1;
    vault_put(&vault, first, content.data, content.size);
    const Finding *finding = expect_trouble(&vault, &shared, first, "a flipped bit");

    assert_int_equal(finding->severity, FINDING_DAMAGE);
    expect_words(finding, finding->what, "extent of base/1/16384 (range 0)");
    expect_words(finding, finding->meaning, BACKUP_A " can't be restored");
    expect_words(finding, finding->meaning, BACKUP_B " can't be restored");

    content.data[2000] ^= 1;
    vault_put(&vault, first, content.data, content.size);
    vault_remove(&vault, second);
    finding = expect_trouble(&vault, &own, second, "removed");
    assert_int_equal(own.count, 1);
    expect_words(finding, finding->meaning, BACKUP_B " can't be restored");
    expect_words(finding, finding->meaning, "need backup " BACKUP_A);
    assert_null(strstr(finding->meaning, BACKUP_A " can't be restored"));
}

static void a_hole_names_backups_and_instants(void **state)
{
    static const struct {
        uint32_t timeline;
        uint64_t segment;
        const char *words[3];
    } cases[] = {
        {1, 3, {"Backup " BACKUP_A " can't be restored", "No commit is known before it"}},
        {1, 4, {"Backup " BACKUP_A " can't be restored", "2000-01-01T00:00:10.000Z"}},
        {2,
         5,
         {"Recovery from backup " BACKUP_A " can't go past 0/500000 on timeline 2",
          "instants after that and before 2000-01-01T00:00:51.000Z, when backup " BACKUP_B,
          "2000-01-01T00:00:20.000Z"}},
        {2,
         6,
         {"Recovery from backup " BACKUP_A " can't go past 0/600000",
          "Backup " BACKUP_B " can't be restored", "2000-01-01T00:00:40.000Z"}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(vault_done) Vault vault;
        CLEANUP(verify_report_done) VerifyReport report = {0};
        CLEANUP(text_freep) char *object = vault_segment(cases[i].timeline, cases[i].segment);

        vault_init(&vault, LIE_NONE);
        vault_remove(&vault, object);
        const Finding *finding = expect_trouble(&vault, &report, object, "removed");
        assert_int_equal(report.count, 1);
        assert_int_equal(finding->severity, FINDING_MISSING);
        for (size_t w = 0; w < 3 && cases[i].words[w] != NULL; w++)
            expect_words(finding, finding->meaning, cases[i].words[w]);
        if (cases[i].timeline == 2 && cases[i].segment == 5)
            expect_words(finding, finding->found, "first of its timeline");
    }
}

static void neighbouring_holes_are_one_finding(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(verify_report_done) VerifyReport report = {0};
    CLEANUP(text_freep) char *first = vault_segment(2, 5);
    CLEANUP(text_freep) char *second = vault_segment(2, 6);

    (void)state;
    vault_init(&vault, LIE_NONE);
    vault_remove(&vault, first);
    vault_remove(&vault, second);
    const Finding *finding = expect_trouble(&vault, &report, first, "removed");

    assert_int_equal(report.count, 1);
    expect_words(finding, finding->what, "2 WAL segments are missing");
}

/* Nothing was ever restorable across it. */
static void a_hole_before_all_backups_is_only_noted(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(verify_report_done) VerifyReport report = {0};
    CLEANUP(text_freep) char *segment = vault_segment(1, 4);
    CLEANUP(text_freep) char *manifest = layout_manifest("main", BACKUP_A);

    (void)state;
    vault_init(&vault, LIE_NONE);
    vault_remove(&vault, segment);
    vault_remove(&vault, manifest);
    vault_verify(&vault, &report);

    assert_int_equal(verify_worst(&report), FINDING_NOTE);
    assert_non_null(about(&report, segment));
}

/* Also where a backup ends in the segment of the fork, as after a restore to that end. */
static void a_history_alone_is_a_timeline_that_just_began(void **state)
{
    (void)state;
    for (int at_backup = 0; at_backup < 2; at_backup++) {
        CLEANUP(vault_done) Vault vault;
        CLEANUP(verify_report_done) VerifyReport report = {0};
        char lsn[LSN_TEXT_SIZE];

        vault_init(&vault, LIE_NONE);
        const Lsn fork = at_backup ? vault.a_stop : vault.fork + 8;
        CLEANUP(text_freep) char *history = text_format("1\t%s\tno\n", lsn_text(fork, lsn));
        archive_put_history(&vault.archive, 3, history);
        vault_verify(&vault, &report);

        assert_int_equal(report.count, 1);
        assert_int_equal(report.findings[0].severity, FINDING_NOTE);
        expect_words(&report.findings[0], report.findings[0].what, "first segment of timeline 3");
    }
}

static void histories_that_contradict_each_other_are_found(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(verify_report_done) VerifyReport report = {0};

    (void)state;
    vault_init(&vault, LIE_NONE);
    archive_put_history(&vault.archive, 3, "1\t0/500100\tno\n2\t0/700100\tno\n");
    const Finding *finding =
        expect_trouble(&vault, &report, "main/wal/00000003.history.wal", "another fork");

    expect_words(finding, finding->what, "where timeline 2 begins");
}

/* Each whole and signed, and none of them what its name says. */
static void files_of_the_archive_that_make_no_sense_are_found(void **state)
{
    static const char with_end[] = "1\t0/500100\tno\n\0more";
    static const struct {
        const char *name, *text;
        size_t size;
    } cases[] = {
        {"00000003.history", "# nothing\n", 10},
        {"00000003.history", with_end, sizeof with_end - 1},
        {"00000003.history", "rubbish\n", 8},
        {"000000010000000000000004.00000028.backup",
         "START WAL LOCATION: 0/400030 (file 000000010000000000000004)\n", 61},
        {"000000010000000000000004.00000028.backup", "LABEL: x\n", 9},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(vault_done) Vault vault;
        CLEANUP(verify_report_done) VerifyReport report = {0};

        vault_init(&vault, LIE_NONE);
        archive_put(&vault.archive, cases[i].name, cases[i].text, cases[i].size, NULL);
        CLEANUP(text_freep) char *object = layout_wal("main", cases[i].name);
        (void)expect_trouble(&vault, &report, object, cases[i].text);
    }
}

static void a_registration_that_makes_no_sense_is_found(void **state)
{
    static const struct {
        const char *cluster;
        uint64_t system_identifier, major, segment_size;
    } cases[] = {
        {"other", BUILDER_SYSTEM, 15, MIB},
        {"main", BUILDER_SYSTEM, 15, 3 * MIB},
        {"main", BUILDER_SYSTEM, UINT64_C(1) << 32 | 15, MIB},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(vault_done) Vault vault;
        CLEANUP(verify_report_done) VerifyReport report = {0};
        CLEANUP(record_writer_done) RecordWriter record = {0};

        vault_init(&vault, LIE_NONE);
        record_begin(&record, "registration", 1);
        record_text(&record, "cluster", cases[i].cluster);
        record_u64(&record, "system_identifier", cases[i].system_identifier);
        record_u64(&record, "major", cases[i].major);
        record_u64(&record, "wal_segment_size", cases[i].segment_size);
        record_time(&record, "registered", 0);
        record_finish(&record);
        vault_put(&vault, "main/registration/0001", record.text.data, record.text.size);
        (void)expect_trouble(&vault, &report, "main/registration/0001", cases[i].cluster);
    }
}

/* Archived as the server wrote it: every byte is the one that was stored, and no server reads it.
 */
static void wal_that_was_invalid_when_it_was_archived_is_found(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(verify_report_done) VerifyReport report = {0};
    CLEANUP(text_freep) char *object = vault_segment(1, 4);

    (void)state;
    vault_init(&vault, LIE_NONE);
    size_t start = wal_segment_start(4, MIB) - vault.parent.start;
    vault.parent.bytes.data[start + 3 * WAL_BLOCK_SIZE + 100] ^= 1;
    archive_remove(&vault.archive, 1, 4);
    archive_put_segment(&vault.archive, &vault.parent, 1, 4);
    const Finding *finding = expect_trouble(&vault, &report, object, "invalid");

    expect_words(finding, finding->what, "as the server wrote it");
}

static void one_backup_can_be_verified_alone(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(text_freep) char *needed = vault_segment(1, 4);
    CLEANUP(text_freep) char *later = vault_segment(2, 5);
    static const char *const backups[] = {BACKUP_A, BACKUP_B};
    Error err = {0};

    (void)state;
    vault_init(&vault, LIE_NONE);
    vault_remove(&vault, needed);
    vault_put(&vault, later, "x", 1);
    for (size_t i = 0; i < 2; i++) {
        CLEANUP(verify_report_done) VerifyReport report = {0};

        assert_true(verify_run(&vault.archive.cluster,
                               &(VerifyRequest){.backup = backups[i], .jobs = 2}, &report, &err));
        assert_int_equal(report.backups, 1);
        assert_int_equal(report.packs, i + 1);
        assert_int_equal(report.segments, 1);
        assert_int_equal(report.count, i == 0 ? 1 : 0);
        if (i == 0)
            assert_string_equal(report.findings[0].object, needed);
    }
    CLEANUP(verify_report_done) VerifyReport report = {0};
    assert_false(verify_run(&vault.archive.cluster,
                            &(VerifyRequest){.backup = "20000101T000010Z-cccccc", .jobs = 2},
                            &report, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

/* Whatever can't be reached: an error, and no word about what was not seen. */
static void what_cant_be_reached_is_an_error_and_no_finding(void **state)
{
    CLEANUP(vault_done) Vault vault;
    StorageFault fault = {.code = ERR_UNREACHABLE};
    uint64_t calls = UINT64_MAX;

    (void)state;
    vault_init(&vault, LIE_NONE);
    Storage *faulty = storage_fault_new(vault.archive.repo.storage, &fault);
    vault.archive.repo.storage = faulty; /* which owns the other one now */
    for (uint64_t n = 0; n <= calls; n++) {
        CLEANUP(verify_report_done) VerifyReport report = {0};
        Error err = {0};
        uint64_t before = storage_fault_calls(faulty);

        fault.fail_at = n == 0 ? 0 : before + n;
        bool ok = verify_run(&vault.archive.cluster, &(VerifyRequest){.jobs = 2}, &report, &err);
        print_findings(&report);
        assert_int_equal(report.count, 0);
        assert_int_equal(ok, report.is_complete);
        assert_int_equal(n == 0 && ok, report.unremembered[0] == '\0' && ok);
        if (n == 0) {
            assert_true(ok);
            calls = storage_fault_calls(faulty) - before;
            assert_true(calls > 30);
        } else if (report.unremembered[0] != '\0') {
            assert_true(ok); /* only what would have been remembered is lost */
        } else {
            assert_false(ok);
            assert_int_equal(err.code, ERR_UNREACHABLE);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_repository_has_no_findings),
        cmocka_unit_test(a_page_table_may_stand_in_another_pack),
        cmocka_unit_test(any_number_of_threads_finds_the_same),
        cmocka_unit_test(what_is_not_ours_is_only_noted),
        cmocka_unit_test(what_is_whole_but_does_not_fit_is_found),
        cmocka_unit_test(damage_in_a_pack_hurts_the_backups_that_need_it),
        cmocka_unit_test(a_hole_names_backups_and_instants),
        cmocka_unit_test(neighbouring_holes_are_one_finding),
        cmocka_unit_test(a_hole_before_all_backups_is_only_noted),
        cmocka_unit_test(a_history_alone_is_a_timeline_that_just_began),
        cmocka_unit_test(histories_that_contradict_each_other_are_found),
        cmocka_unit_test(one_backup_can_be_verified_alone),
        cmocka_unit_test(what_cant_be_reached_is_an_error_and_no_finding),
        cmocka_unit_test(files_of_the_archive_that_make_no_sense_are_found),
        cmocka_unit_test(a_registration_that_makes_no_sense_is_found),
        cmocka_unit_test(wal_that_was_invalid_when_it_was_archived_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
