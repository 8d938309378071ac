#include "verify/verify.h"

#include "catalog/windows.h"
#include "repo/journal.h"
#include "repo/layout.h"
#include "storage/storage.h"
#include "told.h"
#include "vault.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What list and status see of a vault. */
typedef struct View {
    WalInventory wal;
    BackupList backups;
    WindowList windows;
} View;

static void view_done(View *view)
{
    window_list_done(&view->windows);
    backup_list_done(&view->backups);
    wal_inventory_done(&view->wal);
}

static void look(Vault *vault, View *view)
{
    const Cluster *cluster = &vault->archive.cluster;
    Error err = {0};

    if (!wal_inventory_load(&view->wal, cluster, &err) ||
        !backup_list_load(&view->backups, cluster, &view->wal, &err) ||
        !window_list_load(&view->windows, cluster, &view->wal, &view->backups, &err))
        fail_msg("%s", err.message);
}

static BackupState state_of(Vault *vault, const char *id)
{
    CLEANUP(view_done) View view = {.backups = {0}};

    look(vault, &view);
    const BackupInfo *backup = backup_list_find(&view.backups, id);
    assert_non_null(backup);
    assert_int_equal(backup->state != BACKUP_RESTORABLE, backup->reason[0] != '\0');
    return backup->state;
}

static void verify_anew(Vault *vault)
{
    CLEANUP(verify_report_done) VerifyReport report = {0};

    vault_verify(vault, &report);
    assert_string_equal(report.unmarked, "");
}

static void rot_in_a_pack_is_known_until_it_is_read_good_again(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(text_freep) char *own = NULL;

    (void)state;
    vault_init(&vault, LIE_NONE);
    own = vault_pack(&vault, 1); /* of B alone */
    verify_anew(&vault);
    assert_int_equal(state_of(&vault, BACKUP_B), BACKUP_RESTORABLE);
    vault_rot(&vault, own, 200);
    assert_int_equal(state_of(&vault, BACKUP_B), BACKUP_RESTORABLE); /* nobody has read it */
    for (int i = 0; i < 2; i++) {
        verify_anew(&vault);
        assert_int_equal(state_of(&vault, BACKUP_B), BACKUP_DAMAGED);
        assert_int_equal(state_of(&vault, BACKUP_A), BACKUP_RESTORABLE);
    }
    vault_rot(&vault, own, 200); /* the bit is as it was */
    assert_int_equal(state_of(&vault, BACKUP_B), BACKUP_DAMAGED);
    verify_anew(&vault);
    assert_int_equal(state_of(&vault, BACKUP_B), BACKUP_RESTORABLE);
}

/* list reads heads: it tells of the lines of files what verify found when it read them. */
static void rot_in_the_files_of_a_manifest_is_known_once_it_was_read(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(text_freep) char *manifest = layout_manifest("main", BACKUP_B);
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(verify_report_done) VerifyReport report = {0};

    (void)state;
    vault_init(&vault, LIE_NONE);
    vault_get(&vault, manifest, &object);
    const size_t in_a_file = object.size - 64 - 20; /* before the trailer */
    vault_rot(&vault, manifest, in_a_file);
    assert_int_equal(state_of(&vault, BACKUP_B), BACKUP_RESTORABLE);
    vault_verify(&vault, &report);
    assert_int_equal(report.count, 1);
    assert_string_equal(report.findings[0].object, manifest);
    assert_non_null(strstr(report.findings[0].meaning, "can't be restored"));
    assert_int_equal(state_of(&vault, BACKUP_B), BACKUP_DAMAGED);
    vault_rot(&vault, manifest, in_a_file);
    verify_anew(&vault);
    assert_int_equal(state_of(&vault, BACKUP_B), BACKUP_RESTORABLE);
    /* Of its head every byte is told at once, and where it ends. */
    vault_rot(&vault, manifest, 100);
    assert_int_equal(state_of(&vault, BACKUP_B), BACKUP_DAMAGED);
    vault_rot(&vault, manifest, 100);
    vault_put(&vault, manifest, object.data, in_a_file);
    assert_int_equal(state_of(&vault, BACKUP_B), BACKUP_DAMAGED);
}

static void rot_in_a_shared_pack_is_both_backups_trouble(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(text_freep) char *shared = NULL;

    (void)state;
    vault_init(&vault, LIE_NONE);
    shared = vault_pack(&vault, 0);
    vault_rot(&vault, shared, 200);
    verify_anew(&vault);
    assert_int_equal(state_of(&vault, BACKUP_A), BACKUP_DAMAGED);
    assert_int_equal(state_of(&vault, BACKUP_B), BACKUP_DAMAGED);
}

/* A newer pgcairn would believe the mark of an older one, which could not read what it marked. */
static void a_backup_that_may_be_of_a_newer_version_is_found_but_not_marked(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(verify_report_done) VerifyReport report = {0};
    CLEANUP(text_freep) char *manifest = layout_manifest("main", BACKUP_B);
    CLEANUP(buffer_done) Buffer object = {0};
    CLEANUP(object_list_done) ObjectList list = {0};

    (void)state;
    vault_init(&vault, LIE_NONE);
    vault_get(&vault, manifest, &object);
    object.data[object.size - 48] = 2; /* the version in the manifest's trailer */
    vault_put(&vault, manifest, object.data, object.size);
    vault_verify(&vault, &report);
    assert_true(report.count >= 1);
    assert_int_equal(report.findings[0].severity, FINDING_DAMAGE);
    assert_string_equal(report.findings[0].what, "the object is of a newer version, or damaged");
    assert_int_equal(state_of(&vault, BACKUP_B), BACKUP_NEWER);
    assert_int_equal(state_of(&vault, BACKUP_A), BACKUP_RESTORABLE);
    vault_list(&vault, &list);
    for (size_t i = 0; i < list.count; i++)
        assert_null(strstr(list.objects[i].name, "/mark/"));
}

/* What is believed has been good, what is marked has not: it is read whatever is believed. */
static void what_is_marked_is_never_believed(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(verify_report_done) VerifyReport report = {0};
    CLEANUP(text_freep) char *own = NULL;
    CLEANUP(text_freep) char *segment = vault_segment(2, 7);
    VerifyRequest request = {.jobs = 2, .now = time_now() + INT64_C(3600000000)};
    Error err = {0};

    (void)state;
    vault_init(&vault, LIE_NONE);
    own = vault_pack(&vault, 1);
    vault_rot(&vault, own, 200);
    vault_rot(&vault, segment, 200);
    verify_anew(&vault);
    vault_rot(&vault, own, 200);
    vault_rot(&vault, segment, 200);
    request.believe_since = 1;
    assert_true(verify_run(&vault.archive.cluster, &request, &report, &err));
    assert_int_equal(state_of(&vault, BACKUP_B), BACKUP_RESTORABLE);
    CLEANUP(view_done) View view = {.backups = {0}};
    look(&vault, &view);
    assert_null(wal_inventory_damage(&view.wal, 2, 7, view.wal.runs == NULL ? 0 : 1 << 20));
}

/* Its trailer is whole, so a look at that shows nothing: windows end before it all the same. */
static void rot_in_wal_ends_windows_and_spoils_backups(void **state)
{
    static const struct {
        uint64_t segment;
        bool spoils_b; /* which needs segment 6 */
    } cases[] = {{7, false}, {6, true}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(vault_done) Vault vault;
        CLEANUP(text_freep) char *segment = vault_segment(2, cases[i].segment);
        CLEANUP(view_done) View before = {.backups = {0}};
        CLEANUP(view_done) View after = {.backups = {0}};
        CLEANUP(view_done) View forced = {.backups = {0}};

        vault_init(&vault, LIE_NONE);
        look(&vault, &before);
        vault_rot(&vault, segment, 200);
        verify_anew(&vault);
        look(&vault, &after);
        const uint32_t size = vault.archive.cluster.wal_segment_size;
        const Mark *damage = wal_inventory_damage(&after.wal, 2, cases[i].segment, size);
        assert_non_null(damage);
        assert_string_equal(damage->by, "verify");
        assert_int_equal(state_of(&vault, BACKUP_B),
                         cases[i].spoils_b ? BACKUP_DAMAGED : BACKUP_RESTORABLE);
        assert_int_equal(state_of(&vault, BACKUP_A), BACKUP_RESTORABLE);
        for (size_t w = 0; w < after.windows.count; w++) {
            const RecoveryWindow *window = &after.windows.items[w];

            assert_true(window->timeline != 2 ||
                        window->until < wal_segment_start(cases[i].segment, size) + size);
            assert_true(window->timeline != 2 || window->ends_damaged);
        }
        /* Who is told to try all the same does. */
        look(&vault, &forced);
        wal_inventory_forget_damage(&forced.wal);
        assert_null(wal_inventory_damage(&forced.wal, 2, cases[i].segment, size));

        vault_rot(&vault, segment, 200);
        verify_anew(&vault);
        assert_int_equal(state_of(&vault, BACKUP_B), BACKUP_RESTORABLE);
    }
}

static void write_past(const Vault *vault, const char *id, uint64_t status)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};
    Error err = {0};

    record_begin(&record, "journal", 1);
    record_text(&record, "operation", "backup");
    record_u64(&record, "status", status);
    record_time(&record, "finished", 1795354200000000);
    record_text(&record, "backup", id);
    record_text(&record, "bad_page", "5 base/5/16384");
    assert_true(journal_store(&vault->archive.cluster, "backup", &record, &err));
}

static void a_manifest_that_is_gone_is_missed_as_long_as_the_journal_knows_it(void **state)
{
    CLEANUP(vault_done) Vault vault;
    CLEANUP(verify_report_done) VerifyReport report = {0};
    CLEANUP(text_freep) char *manifest = layout_manifest("main", BACKUP_B);
    CLEANUP(object_list_done) ObjectList list = {0};
    Error err = {0};

    (void)state;
    vault_init(&vault, LIE_NONE);
    write_past(&vault, BACKUP_B, 3);
    write_past(&vault, "20000101T000099Z-cccccc", 14); /* one that failed never was */
    verify_anew(&vault);
    vault_remove(&vault, manifest);
    vault_verify(&vault, &report);
    const Finding *finding = about(&report, manifest);
    assert_non_null(finding);
    assert_int_equal(finding->severity, FINDING_MISSING);
    expect_words(finding, finding->meaning, "If it was removed on purpose");
    assert_int_equal(state_of(&vault, BACKUP_B), BACKUP_DAMAGED);

    /* The way out that it tells. */
    assert_true(storage_list(vault.archive.repo.storage, "main/journal/", &list, &err));
    for (size_t i = 0; i < list.count; i++) {
        if (strstr(finding->meaning, list.objects[i].name) != NULL)
            vault_remove(&vault, list.objects[i].name);
    }
    verify_anew(&vault);
    CLEANUP(view_done) View view = {.backups = {0}};
    look(&vault, &view);
    assert_null(backup_list_find(&view.backups, BACKUP_B));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(rot_in_a_pack_is_known_until_it_is_read_good_again),
        cmocka_unit_test(rot_in_a_shared_pack_is_both_backups_trouble),
        cmocka_unit_test(a_backup_that_may_be_of_a_newer_version_is_found_but_not_marked),
        cmocka_unit_test(what_is_marked_is_never_believed),
        cmocka_unit_test(rot_in_wal_ends_windows_and_spoils_backups),
        cmocka_unit_test(rot_in_the_files_of_a_manifest_is_known_once_it_was_read),
        cmocka_unit_test(a_manifest_that_is_gone_is_missed_as_long_as_the_journal_knows_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
