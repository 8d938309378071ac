/*
 * The recovery plan and the recovery settings on disk. Input: the plan's lines up to a zero (first
 * and checksum line are put around them), then postgresql.auto.conf.
 */
#include "fuzz.h"
#include "postgres/settings.h"
#include "repo/record.h"
#include "repo/recovery_plan.h"
#include "stream/digest.h"

static void write_plan(const char *lines)
{
    CLEANUP(buffer_done) Buffer text = {0};
    uint8_t digest[SHA256_SIZE];
    char hex[SHA256_TEXT_SIZE];

    buffer_print(&text, "pgcairn recovery 1\n%s", lines);
    if (text.data[text.size - 1] != '\n')
        buffer_append(&text, "\n", 1);
    sha256_of(text.data, text.size, digest);
    buffer_print(&text, "sha256=%s\n", sha256_text(digest, hex));
    fuzz_write_file(RECOVERY_PLAN_FILE, text.data, text.size);
}

static void try_plan(const char *lines)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(held_done) HeldDirectory held = HELD_NONE;
    RecoveryPlan plan;
    RecoveryPlan again;
    Error err = {0};

    write_plan(lines);
    if (!recovery_plan_load(fuzz_directory(), &arena, &plan, &err)) {
        assert(err.code == ERR_CORRUPT || err.code == ERR_REFUSED);
        return;
    }
    assert(plan.timeline > 0 && strlen(plan.bound) < sizeof plan.bound);
    bool is_saved = held_open(&held, fuzz_directory(), &err) &&
                    recovery_plan_save(&held, &plan, &err) &&
                    recovery_plan_load(fuzz_directory(), &arena, &again, &err);
    assert(is_saved && again.timeline == plan.timeline && again.target_end == plan.target_end);
    assert(strcmp(again.bound, plan.bound) == 0 && strcmp(again.settings, plan.settings) == 0);
    (void)recovery_settings_have_target(plan.settings);
    fuzz_accepted();
}

/* What the text says of a parameter is what the server would take. */
static void check_value(const char *settings, const SettingList *list, const char *name)
{
    CLEANUP(arena_done) Arena arena = {0};
    const char *found = recovery_settings_value(settings, name, &arena);
    const char *counts = settings_value(list, name);

    if (counts != NULL && counts[0] == '\0')
        counts = NULL;
    assert((found == NULL) == (counts == NULL));
    assert(found == NULL || strcmp(found, counts) == 0);
}

static void try_settings(const char *text)
{
    CLEANUP(settings_done) SettingList list = {0};
    CLEANUP(arena_done) Arena arena = {0};
    const char *settings;
    Error err = {0};
    Error parse_err = {0};

    /* No files of this machine. */
    if (strcasestr(text, "include") != NULL)
        return;
    fuzz_write_file("postgresql.auto.conf", text, strlen(text));
    bool is_read = recovery_settings_on_disk(fuzz_directory(), &arena, &settings, &err);
    assert(is_read == settings_parse(text, NULL, &list, &parse_err));
    if (!is_read) {
        assert(err.code == ERR_USAGE);
        return;
    }
    check_value(settings, &list, "recovery_target");
    check_value(settings, &list, "recovery_target_time");
    check_value(settings, &list, "recovery_target_timeline");
    check_value(settings, &list, "recovery_target_xid");
    assert(strstr(settings, "recovery_target_action") == NULL ||
           strstr(text, "recovery_target_action") != NULL);
    if (settings[0] != '\0')
        fuzz_accepted();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};
    CLEANUP(text_freep) char *lines = fuzz_text(&input);
    CLEANUP(text_freep) char *text = fuzz_rest_text(&input);

    try_plan(lines);
    try_settings(text);
    return 0;
}

static void seed(const char *name, const char *lines, const char *settings)
{
    CLEANUP(buffer_done) Buffer bytes = {0};

    buffer_append(&bytes, lines, strlen(lines) + 1);
    buffer_append(&bytes, settings, strlen(settings));
    fuzz_seed(name, bytes.data, bytes.size);
}

void fuzz_seeds(void)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};

    record_begin(&record, "recovery", 1);
    record_u64(&record, "timeline", 3);
    record_text(&record, "bound", "000000030000000100000042");
    record_text(&record, "target_end", "1/42000128");
    record_text(&record, "settings",
                "recovery_target_time=2026-11-22 14:30:00+01\nrecovery_target_timeline=3");
    seed("time", strchr((char *)record.text.data, '\n') + 1,
         "# x\nrecovery_target_time = '2026-11-22 14:30:00+01'\nrecovery_target_timeline = '3'\n"
         "recovery_target_action=promote\nrecovery_target_xid = ''\nrestore_command = 'x %f'\n");
    seed("immediate", "timeline=1\nbound=\nsettings=recovery_target=immediate\n",
         "recovery_target = immediate\nRecovery_Target_Xid = 5\nrecovery_target_xid = 'a%\\nb'");
}
