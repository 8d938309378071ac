#include "cli/hint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const Command commands[] = {
    {.name = "init", .bit = FOR_INIT},
    {.name = "backup", .bit = FOR_BACKUP},
    {.name = "archive-push", .bit = FOR_PUSH},
    {.name = "restore", .bit = FOR_RESTORE},
    {.name = "list", .bit = FOR_LIST},
    {.name = "watch", .bit = FOR_WATCH},
    {NULL},
};

/* What was said, the hint, and what the operator reads. */
typedef struct Case {
    Options options;
    const char *hint, *shown;
} Case;

static const char nowhere[] = "/nonexistent/pgcairn.conf";

static void expect(const Case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CLEANUP(arena_done) Arena arena = {0};

        Options options = cases[i].options;
        options.commands = commands;
        assert_string_equal(
            hint_complete_as(&options, cases[i].hint, "/usr/local/bin/pgcairn", &arena),
            cases[i].shown);
    }
}

static void a_command_says_again_what_was_typed(void **state)
{
    const Options typed = {.repo = "/srv/backup",
                           .cluster = "shop",
                           .data = "/d/15/main",
                           .repo_is_typed = true,
                           .cluster_is_typed = true,
                           .data_is_typed = true};
    const Options plain = {
        .repo = "/srv/my backup", .cluster = "main", .repo_is_typed = true, .config_file = nowhere};
    const Options said = {
        .repo = "/r", .cluster = "main", .repo_is_typed = true, .config_file = "/dev/null"};
    const Case cases[] = {
        {typed, "`pgcairn list` shows it",
         "`pgcairn list --repo=/srv/backup --cluster=shop` shows it"},
        {typed, "`pgcairn backup`",
         "`pgcairn backup --repo=/srv/backup --cluster=shop --data=/d/15/main`"},
        {typed, "`pgcairn watch --start`", "`pgcairn watch --data=/d/15/main --start`"},
        {typed, "`pgcairn watch --data=/x`", "`pgcairn watch --data=/x`"},
        {typed, "`pgcairn init --cluster=NAME`",
         "`pgcairn init --repo=/srv/backup --data=/d/15/main --cluster=NAME`"},
        {typed, "see `pgcairn list --help`", "see `pgcairn list --help`"},
        {plain, "`pgcairn list` or `pgcairn backup`",
         "`pgcairn list --repo='/srv/my backup'` or `pgcairn backup --repo='/srv/my backup' "
         "--data=DIR`"},
        /* What a configuration file may say is not asked for. */
        {said, "`pgcairn backup`", "`pgcairn backup --repo=/r`"},
    };

    (void)state;
    expect(cases, ARRAY_SIZE(cases));
}

static void what_the_configuration_says_is_not_repeated(void **state)
{
    const Options usual = {.repo = "/srv/backup", .cluster = "main", .data = "/d"};
    const Options named = {
        .repo = "/srv/backup", .cluster = "main", .data = "/d", .config = "/home/me/a b.conf"};
    const Case cases[] = {
        {usual, "`pgcairn backup`", "`pgcairn backup`"},
        {named, "`pgcairn backup`", "`pgcairn backup --config='/home/me/a b.conf'`"},
    };

    (void)state;
    expect(cases, ARRAY_SIZE(cases));
}

static void a_setting_of_the_server_names_the_program_by_its_path(void **state)
{
    const Options typed = {.repo = "/srv/backup",
                           .cluster = "main",
                           .data = "/d",
                           .repo_is_typed = true,
                           .data_is_typed = true};
    const Options quoted = {.repo = "/srv/my backup", .repo_is_typed = true};
    const Options percent = {.repo = "/srv/100%p", .repo_is_typed = true};
    const Case cases[] = {
        {typed, "set archive_command = 'pgcairn archive-push %p' (and",
         "set archive_command = '/usr/local/bin/pgcairn archive-push --repo=/srv/backup %p' (and"},
        /* As the server reads a value: '' is one quote. */
        {quoted, "'pgcairn archive-push %p'",
         "'/usr/local/bin/pgcairn archive-push --repo=''/srv/my backup'' %p'"},
        {percent, "'pgcairn archive-push %p'",
         "'/usr/local/bin/pgcairn archive-push --repo=''/srv/100%%p'' %p'"},
    };

    (void)state;
    expect(cases, ARRAY_SIZE(cases));

    CLEANUP(arena_done) Arena arena = {0};
    Options installed_elsewhere = typed;
    installed_elsewhere.commands = commands;
    assert_string_equal(hint_complete_as(&installed_elsewhere, "'pgcairn archive-push %p'",
                                         "/opt/our tools/pgcairn", &arena),
                        "'''/opt/our tools/pgcairn'' archive-push --repo=/srv/backup %p'");
}

static void root_becomes_the_server_s_user_for_its_programs(void **state)
{
    const Options root = {.acting_as = "postgres"};
    const Options other = {.repo = NULL};
    const Case cases[] = {
        {root, "stop it: `/usr/lib/postgresql/15/bin/pg_ctl stop -D /d`",
         "stop it: `runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_ctl stop -D /d`"},
        {other, "stop it: `/usr/lib/postgresql/15/bin/pg_ctl stop -D /d`",
         "stop it: `/usr/lib/postgresql/15/bin/pg_ctl stop -D /d`"},
        {root, "`kill -INT 5`", "`kill -INT 5`"},
    };

    (void)state;
    expect(cases, ARRAY_SIZE(cases));
}

static void other_words_stay_as_they_are(void **state)
{
    const Options typed = {.repo = "/r", .repo_is_typed = true, .acting_as = "postgres"};
    const Case cases[] = {
        {typed, "", ""},
        {typed, "a ` alone", "a ` alone"},
        {typed, "`pgcairn frobnicate`", "`pgcairn frobnicate`"},
        {typed, "`pgcairn`", "`pgcairn`"},
        {typed, "run pgcairn as the server's user", "run pgcairn as the server's user"},
    };

    (void)state;
    expect(cases, ARRAY_SIZE(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_says_again_what_was_typed),
        cmocka_unit_test(what_the_configuration_says_is_not_repeated),
        cmocka_unit_test(a_setting_of_the_server_names_the_program_by_its_path),
        cmocka_unit_test(root_becomes_the_server_s_user_for_its_programs),
        cmocka_unit_test(other_words_stay_as_they_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
