#include "after/checks.h"

static const char *const check_names[CHECK_KINDS] = {
    [CHECK_ANSWER] = "answer",   [CHECK_DATABASES] = "databases", [CHECK_PROBES] = "probes",
    [CHECK_CONTENT] = "content", [CHECK_ARCHIVE] = "archive",     [CHECK_STANDBYS] = "standbys",
    [CHECK_BACKUP] = "backup",   [CHECK_STATUS] = "status",
};

const char *after_check_name(CheckKind kind)
{
    return check_names[kind];
}

const char *check_result_name(CheckResult result)
{
    static const char *const names[] = {[CHECK_PASSED] = "passed",
                                        [CHECK_NOTED] = "noted",
                                        [CHECK_TO_DO] = "to do",
                                        [CHECK_UNKNOWN] = "unknown",
                                        [CHECK_FAILED] = "failed"};

    return names[result];
}

void checks_begin(CheckList *list)
{
    list->begin = time_monotonic();
}

void checks_put(CheckList *list, CheckKind kind, CheckResult result, const char *text,
                const char *next)
{
    if (list->count == CHECKS_MAX)
        return;
    list->items[list->count++] =
        (AfterCheck){.kind = kind,
                     .result = result,
                     .text = arena_format(&list->arena, "%.*s", (int)CHECK_TEXT_MAX, text),
                     .next = arena_format(&list->arena, "%.*s", (int)CHECK_TEXT_MAX, next),
                     .elapsed = time_monotonic() - list->begin};
}

size_t checks_count(const CheckList *list, CheckResult result)
{
    size_t count = 0;

    for (size_t i = 0; i < list->count; i++)
        count += list->items[i].result == result;
    return count;
}

const AfterCheck *checks_worst(const CheckList *list)
{
    const AfterCheck *unknown = NULL;

    for (size_t i = 0; i < list->count; i++) {
        const AfterCheck *check = &list->items[i];

        if (check->result == CHECK_FAILED)
            return check;
        if (check->result == CHECK_UNKNOWN && unknown == NULL)
            unknown = check;
    }
    return unknown;
}

void checks_done(CheckList *list)
{
    arena_done(&list->arena);
    *list = (CheckList){.count = 0};
}

static bool check_find(const char *name, size_t length, CheckKind *kind)
{
    for (int i = 0; i < CHECK_KINDS; i++) {
        if (strlen(check_names[i]) == length && strncmp(check_names[i], name, length) == 0) {
            *kind = (CheckKind)i;
            return true;
        }
    }
    return false;
}

/* "all" is not of one. */
static bool check_take(const char *name, size_t length, bool wanted[CHECK_KINDS])
{
    const bool is_all = length == strlen("all") && strncmp(name, "all", length) == 0;
    CheckKind kind;

    for (int i = 0; is_all && i < CHECK_KINDS; i++)
        wanted[i] = wanted[i] || i != CHECK_CONTENT;
    if (is_all)
        return true;
    if (!check_find(name, length, &kind))
        return false;
    wanted[kind] = true;
    return true;
}

bool checks_parse(const char *text, bool wanted[CHECK_KINDS], Error *err)
{
    memset(wanted, 0, CHECK_KINDS * sizeof *wanted);
    if (strcmp(text, "none") == 0)
        return true;
    for (;;) {
        text += strspn(text, " ");
        const size_t length = strcspn(text, ", ");
        if (!check_take(text, length, wanted)) {
            error_set(err, ERR_USAGE, "--checks: there is no check \"%.*s\"", (int)length, text);
            return error_hint(err, "none, or of all, answer, databases, probes, content, archive, "
                                   "standbys, backup, status, with commas between");
        }
        text += length + strspn(text + length, " ");
        if (*text == '\0')
            return true;
        text += *text == ',';
    }
}
