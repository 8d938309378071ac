#include "base_choice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { SYSTEM = 4711, BACKUPS = 3 };

/* A backup by what counts of it; the server is on timeline 2, which left 1 at 0/5000. */
typedef struct Given {
    uint32_t timeline;
    Lsn stop;
    BackupState state;
    bool is_suspect, is_condemned;
    unsigned major;
    uint64_t system;
    const char *history;
} Given;

static const char history[] = "1\t0/5000\tno recovery target specified\n";

#define ON_1(at)                                                                                   \
    {                                                                                              \
        1, at, BACKUP_RESTORABLE, false, false, 15, SYSTEM, ""                                     \
    }
#define ON_2(at)                                                                                   \
    {                                                                                              \
        2, at, BACKUP_RESTORABLE, false, false, 15, SYSTEM, history                                \
    }
#define IN_STATE(s)                                                                                \
    {                                                                                              \
        2, 0x7000, s, false, false, 15, SYSTEM, history                                            \
    }

static BaseAnswer ask(const Given *given, size_t count, BackupInfo items[BACKUPS])
{
    static PathStep steps[] = {{1, 0, 0x5000}, {2, 0x5000, 0}};
    static const TimelinePath path = {steps, 2};
    static BackupList list;
    static bool is_condemned[BACKUPS];

    for (size_t i = 0; i < count; i++) {
        items[i] = (BackupInfo){.header = {.system_identifier = given[i].system,
                                           .major = given[i].major,
                                           .timeline = given[i].timeline,
                                           .history = given[i].history,
                                           .start = given[i].stop - 0x100,
                                           .stop = given[i].stop},
                                .has_header = given[i].state != BACKUP_NEWER,
                                .state = given[i].state,
                                .reason = "",
                                .suspect = given[i].is_suspect ? "it failed" : NULL};
        is_condemned[i] = given[i].is_condemned;
    }
    list = (BackupList){.items = items, .count = count};
    return base_choose(&(BaseQuestion){.list = &list,
                                       .is_condemned = is_condemned,
                                       .path = &path,
                                       .start = 0x9000,
                                       .system_identifier = SYSTEM,
                                       .major = 15});
}

static void the_newest_that_fits_is_chosen(void **state)
{
    static const struct {
        const char *what;
        Given given[BACKUPS];
        size_t count;
        int base; /* -1: none */
        bool is_set_back;
        BaseVerdict verdict; /* of the newest, where there is none */
    } cases[] = {
        {"none at all", {ON_1(0)}, 0, -1, false, BASE_FITS},
        {"one", {ON_2(0x7000)}, 1, 0, false, BASE_FITS},
        {"the newest", {ON_2(0x7000), ON_2(0x8000), ON_1(0x4000)}, 3, 1, false, BASE_FITS},
        {"in whatever order", {ON_2(0x8000), ON_1(0x4000), ON_2(0x7000)}, 3, 0, false, BASE_FITS},
        {"it ends where this one begins", {ON_2(0x9000)}, 1, 0, false, BASE_FITS},
        {"of the parent, up to the fork", {ON_1(0x5000)}, 1, 0, false, BASE_FITS},
        {"of the parent, after the fork", {ON_1(0x5001)}, 1, -1, false, BASE_ON_OTHER_HISTORY},
        {"the parent's older one", {ON_1(0x4000), ON_1(0x6000)}, 2, 0, false, BASE_FITS},
        {"a timeline that leads elsewhere",
         {{3, 0x7000, BACKUP_RESTORABLE, false, false, 15, SYSTEM, "2\t0/6000\tx\n"}},
         1,
         -1,
         false,
         BASE_ON_OTHER_HISTORY},
        {"another server's timeline of that number",
         {{2, 0x7000, BACKUP_RESTORABLE, false, false, 15, SYSTEM, "1\t0/4000\tx\n"}},
         1,
         -1,
         false,
         BASE_ON_OTHER_HISTORY},
        {"the server was set back", {ON_2(0x9001)}, 1, 0, true, BASE_FITS},
        {"the server was set back, and an older one fits",
         {ON_2(0x7000), ON_2(0x9001)},
         2,
         1,
         true,
         BASE_FITS},
        {"a damaged one shows as well that it was",
         {ON_2(0x7000), {2, 0x9001, BACKUP_DAMAGED, false, false, 15, SYSTEM, history}},
         2,
         0,
         true,
         BASE_FITS},
        {"damaged", {IN_STATE(BACKUP_DAMAGED)}, 1, -1, false, BASE_IS_OUT},
        {"of a newer version", {IN_STATE(BACKUP_NEWER)}, 1, -1, false, BASE_IS_OUT},
        {"waiting", {IN_STATE(BACKUP_WAITING)}, 1, -1, false, BASE_IS_WAITING},
        {"waiting, and an older one",
         {IN_STATE(BACKUP_WAITING), ON_2(0x6000)},
         2,
         1,
         false,
         BASE_FITS},
        {"suspect",
         {{2, 0x7000, BACKUP_RESTORABLE, true, false, 15, SYSTEM, history}},
         1,
         -1,
         false,
         BASE_IS_SUSPECT},
        {"condemned",
         {{2, 0x7000, BACKUP_RESTORABLE, false, true, 15, SYSTEM, history}},
         1,
         -1,
         false,
         BASE_IS_CONDEMNED},
        {"another major version",
         {{2, 0x7000, BACKUP_RESTORABLE, false, false, 14, SYSTEM, history}},
         1,
         -1,
         false,
         BASE_IS_FOREIGN},
        {"another server",
         {{2, 0x7000, BACKUP_RESTORABLE, false, false, 15, 1, history}},
         1,
         -1,
         false,
         BASE_IS_FOREIGN},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        BackupInfo items[BACKUPS];
        const BaseAnswer answer = ask(cases[i].given, cases[i].count, items);
        const BackupInfo *wanted = cases[i].base < 0 ? NULL : &items[cases[i].base];

        if (answer.base != wanted || answer.is_set_back != cases[i].is_set_back)
            fail_msg("%s: %td, set back %d", cases[i].what,
                     answer.base == NULL ? -1 : answer.base - items, answer.is_set_back);
        if (wanted == NULL && cases[i].count > 0 && answer.verdict != cases[i].verdict)
            fail_msg("%s: %s", cases[i].what, base_verdict_text(answer.verdict));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_that_fits_is_chosen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
