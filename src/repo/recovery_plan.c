#include "repo/recovery_plan.h"

#include "base/file.h"
#include "postgres/settings.h"
#include "repo/percent.h"
#include "repo/record.h"

#include <sys/stat.h>

/* docs/format.md, chapter 8. */
enum { PLAN_VERSION = 1, PLAN_SIZE_MAX = 64 << 10 };

static const char prefix[] = "recovery_target";
static const char *const target_names[] = {
    "recovery_target",      "recovery_target_lsn", "recovery_target_name",
    "recovery_target_time", "recovery_target_xid", NULL,
};

static bool plan_read_settings(const char *data, const char *name, SettingList *list, Error *err)
{
    CLEANUP(text_freep) char *path = text_format("%s/%s", data, name);
    Error attempt = {0};

    if (settings_read(path, list, &attempt) || attempt.code == ERR_NOT_FOUND)
        return true;
    return error_pass(err, &attempt);
}

static bool setting_counts(const Setting *setting)
{
    return strncmp(setting->name, prefix, strlen(prefix)) == 0 &&
           strcmp(setting->name, "recovery_target_action") != 0;
}

/* Whether a later line of the same name takes the place of this one. */
static bool is_overridden(const SettingList *list, size_t index)
{
    for (size_t i = index + 1; i < list->count; i++) {
        if (strcmp(list->items[i].name, list->items[index].name) == 0)
            return true;
    }
    return false;
}

static int compare_setting_names(const void *left, const void *right)
{
    const Setting *a = left;
    const Setting *b = right;

    return strcmp(a->name, b->name);
}

/* What counts of the list, by name; an empty value is what the server takes for "not set". */
static void print_settings(const SettingList *list, Buffer *out)
{
    Setting *chosen = mem_alloc((list->count + 1) * sizeof *chosen);
    size_t count = 0;

    for (size_t i = 0; i < list->count; i++) {
        if (setting_counts(&list->items[i]) && !is_overridden(list, i) &&
            list->items[i].value[0] != '\0')
            chosen[count++] = list->items[i];
    }
    qsort(chosen, count, sizeof *chosen, compare_setting_names);
    for (size_t i = 0; i < count; i++) {
        buffer_print(out, "%s%s=", i > 0 ? "\n" : "", chosen[i].name);
        percent_encode(out, chosen[i].value, 0x20);
    }
    mem_free(chosen);
}

/*
 * What is in postgresql.conf and counts is in postgresql.auto.conf once more, where it wins. So
 * when the first can't be read whole, as it includes what is on another host, it has nothing to
 * say.
 */
static void read_configured(const char *data, SettingList *list)
{
    Error unreadable = {0};

    if (!plan_read_settings(data, "postgresql.conf", list, &unreadable))
        list->count = 0;
}

bool recovery_settings_on_disk(const char *data, Arena *arena, const char **settings, Error *err)
{
    CLEANUP(settings_done) SettingList list = {0};
    CLEANUP(buffer_done) Buffer text = {0};

    read_configured(data, &list);
    if (!plan_read_settings(data, "postgresql.auto.conf", &list, err)) {
        return error_context(err, "read the recovery settings of %s", data);
    }
    print_settings(&list, &text);
    *settings = arena_text_part(arena, text.size > 0 ? (const char *)text.data : "", text.size);
    return true;
}

const char *recovery_settings_value(const char *settings, const char *name, Arena *arena)
{
    const size_t length = strlen(name);

    for (const char *line = settings; line != NULL && *line != '\0';) {
        const char *end = strchr(line, '\n');
        size_t size = end != NULL ? (size_t)(end - line) : strlen(line);

        if (size > length && strncmp(line, name, length) == 0 && line[length] == '=') {
            char *value = arena_alloc(arena, size);

            size -= length + 1;
            return percent_decode(line + length + 1, size, value) ? value : NULL;
        }
        line = end != NULL ? end + 1 : NULL;
    }
    return NULL;
}

bool recovery_settings_have_target(const char *settings)
{
    CLEANUP(arena_done) Arena arena = {0};

    for (const char *const *name = target_names; *name != NULL; name++) {
        if (recovery_settings_value(settings, *name, &arena) != NULL)
            return true;
    }
    return false;
}

/* As the server's own files: the group reads them where it reads the directory (file_perm.c). */
static mode_t mode_beside(const HeldDirectory *data)
{
    struct stat status;

    return fstat(data->fd, &status) == 0 && (status.st_mode & 0050) == 0050 ? 0640 : 0600;
}

bool recovery_plan_save(const HeldDirectory *data, const RecoveryPlan *plan, Error *err)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};
    CLEANUP(file_writer_done) FileWriter out = FILE_WRITER_CLOSED;
    char lsn[LSN_TEXT_SIZE];

    record_begin(&record, "recovery", PLAN_VERSION);
    record_u64(&record, "timeline", plan->timeline);
    record_text(&record, "bound", plan->bound);
    if (plan->target_end != 0)
        record_text(&record, "target_end", lsn_text(plan->target_end, lsn));
    if (plan->archive_end[0] != '\0')
        record_text(&record, "archive_end", plan->archive_end);
    if (plan->data != NULL)
        record_text(&record, "data", plan->data);
    record_text(&record, "settings", plan->settings);
    record_finish(&record);
    return held_writer_open(&out, held_at(data, RECOVERY_PLAN_FILE), mode_beside(data), err) &&
           file_writer_write(&out, record.text.data, record.text.size, err) &&
           file_writer_replace(&out, err);
}

/* Not in plans of recoveries to the end of the archive. */
static bool take_target_end(const Record *record, RecoveryPlan *plan, Error *err)
{
    const char *text = record_find(record, "target_end");
    Error attempt = {0};

    if (text == NULL || lsn_parse(text, &plan->target_end, &attempt))
        return true;
    return error_set(err, ERR_CORRUPT, "target_end is not a valid LSN");
}

static bool plan_take_record(const Record *record, Arena *arena, RecoveryPlan *plan, Error *err)
{
    const char *archive_end = record_find(record, "archive_end");
    const char *data = record_find(record, "data");
    const char *bound;
    const char *settings;
    uint64_t timeline;

    if (!record_get_u64(record, "timeline", &timeline, err) ||
        !record_get_text(record, "bound", &bound, err) ||
        !record_get_text(record, "settings", &settings, err)) {
        return false;
    }
    if (archive_end == NULL) /* of a recovery to a target, or an older version's */
        archive_end = "";
    if (timeline == 0 || timeline > UINT32_MAX || strlen(bound) >= sizeof plan->bound)
        return error_set(err, ERR_CORRUPT, "timeline or bound is not valid");
    if (strlen(archive_end) >= sizeof plan->archive_end)
        return error_set(err, ERR_CORRUPT, "archive_end is not a valid position");
    *plan = (RecoveryPlan){.timeline = (uint32_t)timeline,
                           .data = data != NULL ? arena_text(arena, data) : NULL,
                           .settings = arena_text(arena, settings)};
    memcpy(plan->bound, bound, strlen(bound) + 1);
    memcpy(plan->archive_end, archive_end, strlen(archive_end) + 1);
    return take_target_end(record, plan, err);
}

bool recovery_plan_load(const char *data, Arena *arena, RecoveryPlan *plan, Error *err)
{
    CLEANUP(text_freep) char *path = text_format("%s/%s", data, RECOVERY_PLAN_FILE);
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(record_done) Record record = {0};

    if (!file_read_whole(path, PLAN_SIZE_MAX, &text, err))
        return false;
    if (!record_parse((const char *)text.data, text.size, "recovery", PLAN_VERSION, &record, err) ||
        !plan_take_record(&record, arena, plan, err)) {
        return error_context(err, "read %s", path);
    }
    return true;
}

bool recovery_plan_remove(const HeldDirectory *data, Error *err)
{
    return held_remove(held_at(data, RECOVERY_PLAN_FILE), err) &&
           held_sync(held_at(data, "."), err);
}
