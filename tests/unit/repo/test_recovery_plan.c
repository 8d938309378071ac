#include "repo/recovery_plan.h"

#include "repo/record.h"

#include "../folder.h"
#include "base/file.h"
#include "stream/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const char data[] = "."; /* see folder.h */

/* text NULL: no such file. */
static void put(const char *name, const char *text)
{
    CLEANUP(text_freep) char *path = text_format("%s/%s", data, name);

    (void)unlink(path);
    if (text == NULL)
        return;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static const struct {
    const char *conf, *auto_conf, *settings;
    bool has_target;
} cases[] = {
    {NULL, NULL, "", false},
    {"port = 5432\n", "work_mem = 1MB\n", "", false},
    {NULL, "recovery_target_lsn = '0/5000000'\n", "recovery_target_lsn=0/5000000", true},
    {"recovery_target_lsn = '0/5000000'\n", NULL, "recovery_target_lsn=0/5000000", true},
    {"recovery_target_lsn = '0/1'\n", "recovery_target_lsn = '0/2'\n", "recovery_target_lsn=0/2",
     true},
    {"recovery_target_lsn = '0/1'\n", "recovery_target_lsn = ''\n", "", false},
    {NULL, "Recovery_Target_XID = 700\nrecovery_target_inclusive = off\n",
     "recovery_target_inclusive=off\nrecovery_target_xid=700", true},
    {NULL, "recovery_target_timeline = 2\nrecovery_target_action = promote\n",
     "recovery_target_timeline=2", false},
    {NULL, "recovery_target = immediate\n", "recovery_target=immediate", true},
    {NULL, "recovery_target_name = 'it''s 100% so'\n", "recovery_target_name=it's 100%25 so", true},
    {NULL, "recovery_target_time = '2026-11-22 14:30:00.000000+00'\nrestore_command = 'x'\n",
     "recovery_target_time=2026-11-22 14:30:00.000000+00", true},
};

static void settings_on_disk_have_one_spelling(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(arena_done) Arena arena = {0};
        const char *settings;
        Error err = {0};

        put("postgresql.conf", cases[i].conf);
        put("postgresql.auto.conf", cases[i].auto_conf);
        assert_true(recovery_settings_on_disk(data, &arena, &settings, &err));
        assert_string_equal(settings, cases[i].settings);
        assert_int_equal(recovery_settings_have_target(settings), cases[i].has_target);
    }
}

static void a_value_is_found_by_its_whole_name(void **state)
{
    static const char settings[] =
        "recovery_target_inclusive=off\nrecovery_target_name=a%0Ab %25\nrecovery_target_xid=7";
    CLEANUP(arena_done) Arena arena = {0};

    (void)state;
    assert_string_equal(recovery_settings_value(settings, "recovery_target_xid", &arena), "7");
    assert_string_equal(recovery_settings_value(settings, "recovery_target_name", &arena),
                        "a\nb %");
    assert_null(recovery_settings_value(settings, "recovery_target", &arena));
    assert_null(recovery_settings_value(settings, "recovery_target_x", &arena));
    assert_null(recovery_settings_value(settings, "xid", &arena));
    assert_null(recovery_settings_value("", "recovery_target", &arena));
}

static void a_saved_plan_comes_back(void **state)
{
    CLEANUP(arena_done) Arena arena = {0};
    RecoveryPlan plan = {.timeline = 7,
                         .bound = "00000007000000010000002A",
                         .target_end = 0x12A000128,
                         .archive_end = "00000007000000010000002B",
                         .data = "/srv/da ta",
                         .settings = "recovery_target_name=a%25b\nrecovery_target_timeline=7"};
    RecoveryPlan loaded;
    CLEANUP(held_done) HeldDirectory held = HELD_NONE;
    Error err = {0};

    (void)state;
    assert_true(held_open(&held, data, &err));
    assert_false(recovery_plan_load(data, &arena, &loaded, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    error_clear(&err);
    for (int round = 0; round < 2; round++) {
        assert_true(recovery_plan_save(&held, &plan, &err));
        assert_true(recovery_plan_load(data, &arena, &loaded, &err));
        assert_int_equal(loaded.timeline, plan.timeline);
        assert_string_equal(loaded.bound, plan.bound);
        assert_int_equal(loaded.target_end, plan.target_end);
        assert_string_equal(loaded.archive_end, plan.archive_end);
        assert_string_equal(loaded.settings, plan.settings);
        assert_string_equal(loaded.data != NULL ? loaded.data : "",
                            plan.data != NULL ? plan.data : "");
        plan.timeline = 8;
        plan.target_end = 0;
        plan.bound[0] = '\0';
        plan.archive_end[0] = '\0';
        plan.data = NULL;
        plan.settings = "";
    }
    assert_true(recovery_plan_remove(&held, &err));
    assert_true(recovery_plan_remove(&held, &err));
    assert_false(recovery_plan_load(data, &arena, &loaded, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void any_changed_byte_of_a_plan_is_noticed(void **state)
{
    CLEANUP(text_freep) char *path = text_format("%s/%s", data, RECOVERY_PLAN_FILE);
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(arena_done) Arena arena = {0};
    const RecoveryPlan plan = {.timeline = 1,
                               .bound = "000000010000000000000004",
                               .settings = "recovery_target_lsn=0/5000000"};
    RecoveryPlan loaded;
    CLEANUP(held_done) HeldDirectory held = HELD_NONE;
    Error err = {0};

    (void)state;
    assert_true(held_open(&held, data, &err));
    assert_true(recovery_plan_save(&held, &plan, &err));
    assert_true(file_read_whole(path, 1 << 16, &text, &err));
    for (size_t i = 0; i < text.size; i++) {
        text.data[i] ^= 1;
        put(RECOVERY_PLAN_FILE, (const char *)text.data);
        assert_false(recovery_plan_load(data, &arena, &loaded, &err));
        assert_true(err.code == ERR_CORRUPT || err.code == ERR_VERSION);
        error_clear(&err);
        text.data[i] ^= 1;
    }
}

static void a_newer_plan_is_read_or_told_apart_from_damage(void **state)
{
    static const struct {
        const char *text;
        ErrorCode code;
    } plans[] = {
        {"pgcairn recovery 1\ntimeline=7\nbound=\nsettings=\n", ERR_NONE}, /* the oldest form */
        {"pgcairn recovery 1\ntimeline=7\nbound=\nsettings=\nnewer=x\n", ERR_NONE},
        {"pgcairn recovery 1\ntimeline=7\nbound=\nsettings=\n!newer=x\n", ERR_VERSION},
        {"pgcairn recovery 2\ntimeline=7\nbound=\nsettings=\n", ERR_VERSION},
        {"pgcairn recovery 1\ntimeline=7\nbound=\n", ERR_CORRUPT},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(plans); i++) {
        CLEANUP(buffer_done) Buffer text = {0};
        CLEANUP(arena_done) Arena arena = {0};
        RecoveryPlan loaded = {.timeline = 0};
        uint8_t digest[SHA256_SIZE];
        char hex[SHA256_TEXT_SIZE];
        Error err = {0};

        sha256_of(plans[i].text, strlen(plans[i].text), digest);
        buffer_print(&text, "%ssha256=%s\n", plans[i].text, sha256_text(digest, hex));
        buffer_append(&text, "", 1);
        put(RECOVERY_PLAN_FILE, (const char *)text.data);
        assert_int_equal(recovery_plan_load(data, &arena, &loaded, &err),
                         plans[i].code == ERR_NONE);
        assert_int_equal(err.code, plans[i].code);
        if (err.code == ERR_NONE) {
            assert_int_equal(loaded.timeline, 7);
            assert_int_equal(loaded.target_end, 0);
            assert_string_equal(loaded.archive_end, "");
            assert_null(loaded.data);
        }
    }
}

/* Signed, and yet no plan. */
static void a_plan_that_makes_no_sense_is_damage(void **state)
{
    static const struct {
        uint64_t timeline;
        const char *bound;
        const char *target_end;  /* NULL: none */
        const char *archive_end; /* NULL: none */
    } plans[] = {
        {0, "", NULL, NULL},
        {UINT64_C(1) << 32 | 1, "", NULL, NULL},
        {1, "0000000100000000000000040000000100000000000000040000000100000000000000040000000100000",
         NULL, NULL},
        {1, "", NULL,
         "0000000100000000000000040000000100000000000000040000000100000000000000040000000100000"},
        {1, "", "5000128", NULL},
        {1, "", "", NULL},
    };
    CLEANUP(arena_done) Arena arena = {0};
    RecoveryPlan loaded;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(plans); i++) {
        CLEANUP(record_writer_done) RecordWriter record = {0};
        Error err = {0};

        record_begin(&record, "recovery", 1);
        record_u64(&record, "timeline", plans[i].timeline);
        record_text(&record, "bound", plans[i].bound);
        record_text(&record, "settings", "");
        if (plans[i].target_end != NULL)
            record_text(&record, "target_end", plans[i].target_end);
        if (plans[i].archive_end != NULL)
            record_text(&record, "archive_end", plans[i].archive_end);
        record_finish(&record);
        buffer_append(&record.text, "", 1);
        put(RECOVERY_PLAN_FILE, (const char *)record.text.data);
        assert_false(recovery_plan_load(data, &arena, &loaded, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_on_disk_have_one_spelling),
        cmocka_unit_test(a_value_is_found_by_its_whole_name),
        cmocka_unit_test(a_saved_plan_comes_back),
        cmocka_unit_test(any_changed_byte_of_a_plan_is_noticed),
        cmocka_unit_test(a_newer_plan_is_read_or_told_apart_from_damage),
        cmocka_unit_test(a_plan_that_makes_no_sense_is_damage),
    };

    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
