/*
 * postgresql.conf. Input: two values and a name to remove, each up to a zero, then the file's text.
 * What is rewritten reads as what was there, without what was removed, and then what was added.
 */
#include "fuzz.h"
#include "postgres/settings.h"

#include <strings.h>

static bool is_removed(const char *name, const char *const *remove)
{
    for (; *remove != NULL; remove++) {
        size_t length = strlen(*remove);

        if (length > 0 && (*remove)[length - 1] == '*' ? strncasecmp(name, *remove, length - 1) == 0
                                                       : strcasecmp(name, *remove) == 0)
            return true;
    }
    return false;
}

static void check_rewritten(const SettingList *before, const SettingList *after,
                            const char *const *remove, const Setting *additions, size_t count)
{
    size_t at = 0;

    for (size_t i = 0; i < before->count; i++) {
        if (is_removed(before->items[i].name, remove))
            continue;
        assert(at < after->count);
        assert(strcmp(after->items[at].name, before->items[i].name) == 0);
        assert(strcmp(after->items[at].value, before->items[i].value) == 0);
        at++;
    }
    assert(after->count == at + count);
    for (size_t i = 0; i < count; i++) {
        assert(strcmp(after->items[at + i].name, additions[i].name) == 0);
        assert(strcmp(after->items[at + i].value, additions[i].value) == 0);
        assert(settings_value(after, additions[i].name) != NULL);
    }
}

/* Whatever was there: what is removed is gone, also from lines that the server would refuse. */
static void check_removed(const char *text, const char *const *remove)
{
    CLEANUP(buffer_done) Buffer once = {0};
    CLEANUP(buffer_done) Buffer twice = {0};

    settings_rewrite(text, remove, NULL, 0, &once);
    settings_rewrite((char *)once.data, remove, NULL, 0, &twice);
    assert(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};
    CLEANUP(text_freep) char *first = fuzz_text(&input);
    CLEANUP(text_freep) char *second = fuzz_text(&input);
    CLEANUP(text_freep) char *name = fuzz_text(&input);
    CLEANUP(text_freep) char *text = fuzz_rest_text(&input);
    CLEANUP(settings_done) SettingList before = {0};
    CLEANUP(settings_done) SettingList after = {0};
    CLEANUP(buffer_done) Buffer rewritten = {0};
    const char *const remove[] = {"restore_command", "recovery_target*", name, NULL};
    const Setting additions[] = {
        {.name = "restore_command", .value = first},
        {.name = "recovery_target_time", .value = second},
    };
    Error err = {0};

    /* No files of this machine. */
    if (strcasestr(text, "include") != NULL)
        return 0;
    check_removed(text, remove);
    if (!settings_parse(text, "postgresql.conf", &before, &err)) {
        assert(err.code == ERR_USAGE);
        return 0;
    }
    settings_rewrite(text, remove, additions, ARRAY_SIZE(additions), &rewritten);
    bool is_read = settings_parse((char *)rewritten.data, NULL, &after, &err);
    assert(is_read);
    check_rewritten(&before, &after, remove, additions, ARRAY_SIZE(additions));
    if (before.count > 0)
        fuzz_accepted();
    return 0;
}

static void seed(const char *name, const char *first, const char *removed, const char *text)
{
    CLEANUP(buffer_done) Buffer bytes = {0};

    buffer_append(&bytes, first, strlen(first) + 1);
    buffer_append(&bytes, "2026-11-22 14:30:00+01", sizeof "2026-11-22 14:30:00+01");
    buffer_append(&bytes, removed, strlen(removed) + 1);
    buffer_append(&bytes, text, strlen(text));
    fuzz_seed(name, bytes.data, bytes.size);
}

void fuzz_seeds(void)
{
    seed(
        "plain", "pgcairn archive-get 'a b' %f %p\\", "port",
        "# a comment\nport = 5432\nshared_buffers = 128MB # x\nlog_line_prefix = '%m [%p] ''q\\n'\n"
        "recovery_target_xid 12\nRecovery_Target = 'immediate'\n\nhba_file=/etc/pg/hba.conf\n");
    seed("odd", "a\nb\r\t", "my.*",
         "my.setting = 'x\\101y'\nwork_mem=0x10kB\n\trandom_page_cost -.5e+3\nx = = y\n");
    seed("no-newline", "", "", "port=1\nfsync on");
}
