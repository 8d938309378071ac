#include "cli/options.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

static bool nothing(const Options *options, Error *err)
{
    (void)options;
    (void)err;
    return true;
}

static const Command commands[] = {
    {"init", FOR_INIT, "create", "ARGUMENTS", "", nothing},
    {"backup", FOR_BACKUP, "back up", "ARGUMENTS", "", nothing},
    {"archive-push", FOR_PUSH, "push", "ARGUMENTS", "", nothing},
    {"archive-get", FOR_GET, "get", "ARGUMENTS", "", nothing},
    {"restore", FOR_RESTORE, "restore", "ARGUMENTS", "", nothing},
    {"watch", FOR_WATCH, "watch", "ARGUMENTS", "", nothing},
    {"promote", FOR_PROMOTE, "promote", "ARGUMENTS", "", nothing},
    {"list", FOR_LIST, "list", "ARGUMENTS", "", nothing},
    {"verify", FOR_VERIFY, "verify", "ARGUMENTS", "", nothing},
    {"log", FOR_LOG, "log", "ARGUMENTS", "", nothing},
    {.name = NULL},
};

static bool parse(char **argv, const Command **command, Options *options, Error *err)
{
    int argc = 0;

    while (argv[argc] != NULL)
        argc++;
    *command = NULL;
    *options = (Options){.repo = NULL};
    return options_parse(argc, argv, commands, command, options, err);
}

/* /etc/pgcairn.conf of this machine is nobody's business here. */
#define ARGV(...) ((char *[]){"pgcairn", __VA_ARGS__, "--config=/dev/null", NULL})

static void parse_fine(char **argv, Options *options)
{
    const Command *command;
    Error err = {0};

    if (!parse(argv, &command, options, &err))
        fail_msg("%s %s: %s: %s", argv[1], argv[2], err.context, err.message);
    assert_non_null(command);
}

static void value_follows_equals_sign_or_space(void **state)
{
    CLEANUP(options_done) Options options;

    (void)state;
    parse_fine(ARGV("backup", "--repo", "r", "--data=d=e", "--json", "--jobs", "4"), &options);
    assert_string_equal(options.repo, "r");
    assert_string_equal(options.data, "d=e");
    assert_true(options.json);
    assert_int_equal(options.jobs, 4);
}

static void every_option_of_every_kind_arrives(void **state)
{
    CLEANUP(options_done) Options backup, get, push, restore, watch;

    (void)state;
    parse_fine(ARGV("backup", "--repo=r", "--cluster=c", "--data=d", "--conninfo=host=h",
                    "--jobs=3", "--rate-limit=20MiB", "--json", "--log-level=debug",
                    "--log-format=json", "--no-progress", "--compress=lz4", "--label=l",
                    "--checkpoint=spread", "--bad-pages=fail", "--pack-size=1GiB",
                    "--wal-wait=5min"),
               &backup);
    assert_string_equal(backup.cluster, "c");
    assert_string_equal(backup.conninfo, "host=h");
    assert_int_equal(backup.rate_limit, 20 << 20);
    assert_true(backup.json && backup.no_progress);
    assert_string_equal(backup.log_level, "debug");
    assert_string_equal(backup.log_format, "json");
    assert_string_equal(backup.compress, "lz4");
    assert_string_equal(backup.label, "l");
    assert_string_equal(backup.checkpoint, "spread");
    assert_string_equal(backup.bad_pages, "fail");
    assert_int_equal(backup.pack_size, 1 << 30);
    assert_int_equal(backup.wal_wait_ms, 300000);

    parse_fine(ARGV("archive-get", "--repo=r", "N", "--recovery-timeline=7", "P",
                    "--hole-wait=250ms", "--retries=0"),
               &get);
    assert_string_equal(get.wal_name, "N");
    assert_string_equal(get.wal_path, "P");
    assert_int_equal(get.recovery_timeline, 7);
    assert_int_equal(get.hole_wait_ms, 250);
    assert_int_equal(get.retries, 0);

    parse_fine(ARGV("archive-push", "--repo=r", "P"), &push);
    assert_string_equal(push.wal_path, "P");
    assert_null(push.wal_name);

    parse_fine(ARGV("restore", "--repo=r", "--data=d", "--target-xid=42", "--target-exclusive",
                    "--target-timeline=3", "--target-action=promote", "--backup=B",
                    "--tablespace=16384=/a", "--tablespace", "/x=y=/b", "--move-aside",
                    "--discard-wal", "--start", "--stall=2min", "--timeout=1h", "--server-log=L"),
               &restore);
    assert_string_equal(restore.target_xid, "42");
    assert_true(restore.target_exclusive && restore.move_aside && restore.discard_wal);
    assert_true(restore.start && !restore.force && !restore.dry_run);
    assert_string_equal(restore.target_timeline, "3");
    assert_string_equal(restore.target_action, "promote");
    assert_string_equal(restore.backup, "B");
    assert_int_equal(restore.tablespace_count, 2);
    assert_string_equal(restore.tablespaces[0], "16384=/a");
    assert_string_equal(restore.tablespaces[1], "/x=y=/b");
    assert_int_equal(restore.stall_ms, 120000);
    assert_int_equal(restore.timeout_ms, 3600000);
    assert_string_equal(restore.server_log, "L");

    parse_fine(ARGV("watch", "--data=d", "--interval=2s"), &watch);
    assert_int_equal(watch.interval_ms, 2000);
}

static void fallbacks_are_those_of_the_manual(void **state)
{
    CLEANUP(options_done) Options backup, get, restore, promote;

    (void)state;
    parse_fine(ARGV("backup", "--repo=r", "--data=d"), &backup);
    assert_string_equal(backup.cluster, "main");
    assert_int_equal(backup.jobs, 2);
    assert_int_equal(backup.rate_limit, 0);
    assert_string_equal(backup.log_level, "info");
    assert_string_equal(backup.log_format, "text");
    assert_string_equal(backup.compress, "zstd");
    assert_string_equal(backup.checkpoint, "fast");
    assert_string_equal(backup.bad_pages, "warn");
    assert_int_equal(backup.pack_size, 128 << 20);
    assert_int_equal(backup.wal_wait_ms, 60000);
    assert_null(backup.label);
    assert_false(backup.json || backup.no_progress || backup.help);

    parse_fine(ARGV("archive-get", "--repo=r", "N", "P"), &get);
    assert_int_equal(get.recovery_timeline, 0);
    assert_int_equal(get.hole_wait_ms, 5000);
    assert_int_equal(get.retries, 3);

    parse_fine(ARGV("restore", "--repo=r", "--data=d"), &restore);
    assert_null(restore.target);
    assert_string_equal(restore.target_action, "pause");
    assert_int_equal(restore.stall_ms, 60000);
    assert_int_equal(restore.timeout_ms, 0);

    parse_fine(ARGV("promote", "--data=d"), &promote);
    assert_int_equal(promote.timeout_ms, 60000);
}

static void options_may_stand_before_the_command(void **state)
{
    CLEANUP(options_done) Options options;

    (void)state;
    parse_fine(ARGV("--repo", "list", "--json", "list", "--cluster=c"), &options);
    assert_string_equal(options.repo, "list");
    assert_true(options.json);
    assert_string_equal(options.cluster, "c");
}

static void after_two_dashes_all_is_an_argument(void **state)
{
    CLEANUP(options_done) Options options;
    const Command *command;
    Error err = {0};
    char *argv[] = {"pgcairn", "archive-push", "--repo=r", "--config=/dev/null", "--", "--b", NULL};

    (void)state;
    assert_true(parse(argv, &command, &options, &err));
    assert_string_equal(options.wal_path, "--b");
}

static void help_needs_nothing_else(void **state)
{
    static char *const calls[][6] = {
        {"pgcairn", "--help"},
        {"pgcairn", "-h"},
        {"pgcairn", "help"},
        {"pgcairn", "restore", "--help"},
        {"pgcairn", "restore", "--bogus", "-h"},
        {"pgcairn", "restore", "--data", "--help"},
        {"pgcairn", "help", "restore"},
        {"pgcairn", "--help", "restore"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
        CLEANUP(options_done) Options options;
        const Command *command;
        Error err = {0};
        char *argv[6];

        memcpy(argv, calls[i], sizeof argv);
        assert_true(parse(argv, &command, &options, &err));
        assert_true(options.help);
        if (i < 3) {
            assert_null(command);
        } else {
            assert_string_equal(command->name, "restore");
        }
    }
}

typedef struct Mistake {
    char **argv;
    const char *message;
    const char *hint; /* begins so; NULL: whatever */
} Mistake;

static void assert_mistakes(const Mistake *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CLEANUP(options_done) Options options;
        const Command *command;
        Error err = {0};

        if (parse(cases[i].argv, &command, &options, &err))
            fail_msg("accepted where \"%s\" was expected", cases[i].message);
        assert_int_equal(err.code, ERR_USAGE);
        assert_string_equal(err.message, cases[i].message);
        assert_true(err.hint[0] != '\0');
        if (cases[i].hint != NULL && strncmp(err.hint, cases[i].hint, strlen(cases[i].hint)) != 0)
            fail_msg("\"%s\" with hint \"%s\"", err.message, err.hint);
    }
}

#define ASSERT_MISTAKES(...)                                                                       \
    assert_mistakes((const Mistake[]){__VA_ARGS__},                                                \
                    sizeof((const Mistake[]){__VA_ARGS__}) / sizeof(Mistake))

static void misspelled_names_are_refused_with_the_nearest(void **state)
{
    (void)state;
    ASSERT_MISTAKES(
        {ARGV("bakup"), "unknown command \"bakup\"", "did you mean backup?"},
        {ARGV("bacukp"), "unknown command \"bacukp\"", "did you mean backup?"},
        {ARGV("archive_get"), "unknown command \"archive_get\"", "did you mean archive-get?"},
        {ARGV("lists"), "unknown command \"lists\"", "did you mean list?"},
        {ARGV("info"), "unknown command \"info\"", "here that is `pgcairn list`"},
        {ARGV("recover"), "unknown command \"recover\"", "here that is `pgcairn restore`"},
        {ARGV("expire"), "unknown command \"expire\"", "there is no such command yet"},
        {ARGV("frobnicate"), "unknown command \"frobnicate\"",
         "`pgcairn --help` lists the commands"},
        {ARGV("--json"), "no command", "`pgcairn --help` lists the commands"},
        {ARGV("backup", "--jbos=3"), "backup has no option --jbos", "did you mean --jobs?"},
        {ARGV("restore", "--target-tme=x"), "restore has no option --target-tme",
         "did you mean --target-time?"},
        {ARGV("backup", "--bogus"), "backup has no option --bogus", "see `pgcairn backup --help`"},
        {ARGV("backup", "--type=incr"), "backup has no option --type", "leave it out"},
        {ARGV("backup", "--target-time=x"), "backup has no option --target-time", "restore has it"},
        {ARGV("backup", "--retries=1"), "backup has no option --retries", NULL},
        {ARGV("restore", "--retries=1"), "restore has no option --retries", NULL},
        {ARGV("list", "--jobs=1"), "list has no option --jobs", NULL},
        {ARGV("log", "--rate-limit=1MiB"), "log has no option --rate-limit", NULL},
        {ARGV("archive-push", "--rate-limit=1MiB"), "archive-push has no option --rate-limit",
         "backup, restore and verify have it"},
        {ARGV("list", "--pg-bin=x"), "list has no option --pg-bin",
         "restore, watch and promote have it"},
        {ARGV("archive-get", "--json"), "archive-get has no option --json", NULL},
        {ARGV("restore", "--full"), "restore has no option --full", NULL},
        {ARGV("archive-push", "--PATH=a"), "archive-push has no option --PATH", NULL},
        {ARGV("backup", "-j", "3"), "unknown option -j", "options are written out"});
}

static void what_is_missing_is_said(void **state)
{
    (void)state;
    ASSERT_MISTAKES(
        {ARGV("init", "--data=d"), "init needs --repo", "give --repo=ADDRESS"},
        {ARGV("backup", "--data=d"), "backup needs --repo", "give --repo=ADDRESS"},
        {ARGV("archive-push", "p"), "archive-push needs --repo", "give --repo=ADDRESS"},
        {ARGV("archive-get", "n", "p"), "archive-get needs --repo", "give --repo=ADDRESS"},
        {ARGV("restore", "--data=d"), "restore needs --repo", "give --repo=ADDRESS"},
        {ARGV("list"), "list needs --repo", "give --repo=ADDRESS"},
        {ARGV("watch"), "watch needs --data", NULL},
        {ARGV("promote"), "promote needs --data", NULL},
        {ARGV("restore", "--repo=r"), "restore needs --data", NULL},
        {ARGV("init", "--repo=r"), "init needs --data or --conninfo", NULL},
        {ARGV("backup", "--repo=r"), "backup needs --data or --conninfo", NULL},
        {ARGV("archive-push", "--repo=r"), "archive-push needs the argument PATH", NULL},
        {ARGV("archive-get", "--repo=r"), "archive-get needs the argument NAME", NULL},
        {ARGV("archive-get", "--repo=r", "n"), "archive-get needs the argument PATH", NULL},
        {ARGV("archive-push", "--repo=r", "a", "b"), "unexpected argument \"b\"", NULL},
        {ARGV("list", "--repo=r", "x"), "unexpected argument \"x\"", NULL},
        {ARGV("backup", "--repo", "--json"), "--repo needs a value", NULL},
        {ARGV("backup", "--repo="), "--repo is empty", NULL},
        {ARGV("backup", "--json=x"), "--json does not take a value", NULL});
}

static void options_that_contradict_are_refused(void **state)
{
    (void)state;
    ASSERT_MISTAKES(
        {ARGV("restore", "--repo=r", "--data=d", "--target-xid=1", "--target-lsn=0/1"),
         "--target-lsn and --target-xid exclude each other", "a recovery has one target"},
        {ARGV("restore", "--repo=r", "--data=d", "--target=latest", "--target-name=n"),
         "--target and --target-name exclude each other", "a recovery has one target"},
        {ARGV("restore", "--repo=r", "--data=d", "--target-exclusive"),
         "--target-exclusive needs a target to stop before", NULL},
        {ARGV("restore", "--repo=r", "--data=d", "--target-exclusive", "--target-name=n"),
         "--target-exclusive needs a target to stop before", NULL},
        {ARGV("restore", "--repo=r", "--data=d", "--target-exclusive", "--target=immediate"),
         "--target-exclusive needs a target to stop before", NULL},
        {ARGV("restore", "--repo=r", "--data=d", "--move-aside", "--force"),
         "--move-aside, --force and --delta exclude one another", NULL});
}

static void values_are_checked_before_any_work(void **state)
{
    (void)state;
    ASSERT_MISTAKES({ARGV("restore", "--repo=r", "--data=d", "--target-time=2026-11-22 14:30"),
                     "time \"2026-11-22 14:30\" has no time zone", "add an offset"},
                    {ARGV("restore", "--repo=r", "--data=d", "--target-xid=12a"),
                     "\"12a\" is not a transaction id", NULL},
                    {ARGV("restore", "--repo=r", "--data=d", "--target=now"),
                     "--target cannot be \"now\"", "it can be latest, immediate"},
                    {ARGV("restore", "--repo=r", "--data=d", "--tablespace=16384"),
                     "--tablespace: \"16384\" is not NAME=PATH", NULL},
                    {ARGV("restore", "--repo=r", "--data=d", "--tablespace=16384=relative"),
                     "--tablespace: \"16384=relative\" is not NAME=PATH", NULL},
                    {ARGV("backup", "--checkpoint=soon"), "--checkpoint cannot be \"soon\"",
                     "it can be fast, spread"});

    CLEANUP(options_done) Options options;
    const Command *command;
    Error err = {0};
    assert_false(parse(ARGV("backup", "--repo=r", "--data=d", "--compress=zstd:99"), &command,
                       &options, &err));
    assert_int_equal(err.code, ERR_USAGE);
    assert_string_equal(err.context, "--compress");
    options_done(&options);
    error_clear(&err);
    assert_false(parse(ARGV("restore", "--repo=r", "--data=d", "--target-lsn=12"), &command,
                       &options, &err));
    assert_string_equal(err.context, "--target-lsn");
}

static void numbers_have_units_and_limits(void **state)
{
    static const struct {
        const char *text;
        uint64_t size;
    } sizes[] = {
        {"0", 0},           {"1", 1},
        {"512KiB", 524288}, {"20MiB", 20 << 20},
        {"1GiB", 1 << 30},  {"3TiB", UINT64_C(3) << 40},
        {"0KiB", 0},        {"18446744073709551615", UINT64_MAX},
    };
    static const struct {
        const char *text;
        uint64_t ms;
    } durations[] = {
        {"0", 0},         {"0s", 0},       {"1ms", 1},        {"60s", 60000},
        {"5min", 300000}, {"2h", 7200000}, {"7d", 604800000},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        CLEANUP(options_done) Options options;
        parse_fine(ARGV("verify", "--repo=r", "--rate-limit", (char *)sizes[i].text), &options);
        assert_true(options.rate_limit == sizes[i].size);
    }
    for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
        CLEANUP(options_done) Options options;
        parse_fine(ARGV("backup", "--repo=r", "--data=d", "--wal-wait", (char *)durations[i].text),
                   &options);
        assert_int_equal(options.wal_wait_ms, durations[i].ms);
    }
    ASSERT_MISTAKES(
        {ARGV("backup", "--jobs", "-1"), "--jobs: \"-1\" is not a number", NULL},
        {ARGV("backup", "--jobs=+1"), "--jobs: \"+1\" is not a number", NULL},
        {ARGV("backup", "--jobs= 1"), "--jobs: \" 1\" is not a number", NULL},
        {ARGV("backup", "--jobs="), "--jobs: \"\" is not a number", NULL},
        {ARGV("backup", "--jobs=2x"), "--jobs: \"2x\" is not a number", NULL},
        {ARGV("backup", "--jobs=0"), "--jobs must be 1 to 64, not \"0\"", NULL},
        {ARGV("backup", "--jobs=65"), "--jobs must be 1 to 64, not \"65\"", NULL},
        {ARGV("backup", "--jobs=99999999999999999999"),
         "--jobs must be 1 to 64, not \"99999999999999999999\"", NULL},
        {ARGV("backup", "--rate-limit=20MB"),
         "--rate-limit: \"20MB\" is not a size such as 512KiB, 20MiB or 1GiB", NULL},
        {ARGV("backup", "--rate-limit=20 MiB"),
         "--rate-limit: \"20 MiB\" is not a size such as 512KiB, 20MiB or 1GiB", NULL},
        {ARGV("backup", "--rate-limit=18446744073709551616"),
         "--rate-limit: \"18446744073709551616\" is too large", NULL},
        {ARGV("backup", "--rate-limit=16777216TiB"), "--rate-limit: \"16777216TiB\" is too large",
         NULL},
        {ARGV("backup", "--pack-size=1023KiB"),
         "--pack-size must be 1MiB to 16GiB, not \"1023KiB\"", NULL},
        {ARGV("backup", "--wal-wait=60"),
         "--wal-wait: \"60\" is not a duration such as 30s, 5min or 2h", NULL},
        {ARGV("backup", "--wal-wait=1.5h"),
         "--wal-wait: \"1.5h\" is not a duration such as 30s, 5min or 2h", NULL},
        {ARGV("backup", "--wal-wait=8d"), "--wal-wait must be 0 to 7d, not \"8d\"", NULL},
        {ARGV("watch", "--stall=999ms"), "--stall must be 1s to 7d, not \"999ms\"", NULL});
}

/* Writes a configuration file; the caller removes it. */
static char *config(const char *text)
{
    static char path[64];
    Error err = {0};

    (void)snprintf(path, sizeof path, "--config=/tmp/test-options-XXXXXX");
    int fd = mkstemp(path + strlen("--config="));
    assert_true(file_write_all(fd, text, strlen(text), path, &err));
    fd_done(&fd);
    return path;
}

static void config_removed(const char *option)
{
    assert_int_equal(unlink(option + strlen("--config=")), 0);
}

static void flags_win_over_environment_over_section_over_file(void **state)
{
    char *file =
        config("repo = file-repo   # nfs\njobs = 3\ncompress = lz4\nlabel=file#label\t; x\n"
               "wal-wait = 7s\n# a comment\n; another\n"
               "[other]\njobs = 5\ndata = /other\n"
               "[mine]\n  jobs = 6\n  data = /mine\nlabel = mine # not ; this\njson = yes\n");
    char *plain[] = {"pgcairn", "backup", "--cluster=mine", file, NULL};
    char *flags[] = {"pgcairn", "backup", "--cluster=mine", file, "--jobs=8", NULL};
    char *other[] = {"pgcairn", "backup", "--cluster=other", file, NULL};
    CLEANUP(options_done) Options one, two, three;

    (void)state;
    parse_fine(plain, &one);
    assert_string_equal(one.repo, "file-repo");
    assert_int_equal(one.jobs, 6);
    assert_string_equal(one.data, "/mine");
    assert_string_equal(one.compress, "lz4");
    assert_string_equal(one.label, "mine");
    assert_int_equal(one.wal_wait_ms, 7000);
    assert_true(one.json);

    assert_int_equal(setenv("PGCAIRN_JOBS", "7", 1), 0);
    assert_int_equal(setenv("PGCAIRN_WAL_WAIT", "8s", 1), 0);
    assert_int_equal(setenv("PGCAIRN_LABEL", "", 1), 0);
    parse_fine(other, &two);
    assert_int_equal(two.jobs, 7);
    assert_string_equal(two.data, "/other");
    assert_string_equal(two.label, "file#label");
    assert_int_equal(two.wal_wait_ms, 8000);
    assert_false(two.json);

    parse_fine(flags, &three);
    assert_int_equal(three.jobs, 8);
    assert_int_equal(three.wal_wait_ms, 8000);
    assert_int_equal(unsetenv("PGCAIRN_JOBS"), 0);
    assert_int_equal(unsetenv("PGCAIRN_WAL_WAIT"), 0);
    assert_int_equal(unsetenv("PGCAIRN_LABEL"), 0);
    config_removed(file);
}

/* A script gives all commands the same words; the cluster picks the section of the file. */
static void words_for_all_commands_serve_those_without_a_repository(void **state)
{
    char *file = config("repo = r\n[mine]\ndata = /mine\n[other]\ndata = /other\n");
    char *argv[] = {"pgcairn", "watch", "--repo=r", "--cluster=mine", file, NULL};
    CLEANUP(options_done) Options options;

    (void)state;
    parse_fine(argv, &options);
    assert_string_equal(options.data, "/mine");
    config_removed(file);
}

static void the_file_may_name_the_cluster_and_the_environment_the_file(void **state)
{
    char *file = config("cluster = mine\nrepo = r\n[mine]\njson = true\n[main]\njobs = 9\n");
    char *argv[] = {"pgcairn", "verify", NULL};
    CLEANUP(options_done) Options options;

    (void)state;
    assert_int_equal(setenv("PGCAIRN_CONFIG", file + strlen("--config="), 1), 0);
    parse_fine(argv, &options);
    assert_string_equal(options.cluster, "mine");
    assert_true(options.json);
    assert_int_equal(options.jobs, 2);
    assert_int_equal(unsetenv("PGCAIRN_CONFIG"), 0);
    config_removed(file);
}

static void a_target_of_the_command_line_replaces_that_of_the_environment(void **state)
{
    CLEANUP(options_done) Options options;

    (void)state;
    assert_int_equal(setenv("PGCAIRN_TARGET_TIME", "2026-11-22 14:30 UTC", 1), 0);
    parse_fine(ARGV("restore", "--repo=r", "--data=d", "--target-xid=42"), &options);
    assert_null(options.target_time);
    assert_string_equal(options.target_xid, "42");
    options_done(&options);
    parse_fine(ARGV("restore", "--repo=r", "--data=d", "--target=immediate"), &options);
    assert_null(options.target_time);
    assert_string_equal(options.target, "immediate");
    options_done(&options);
    parse_fine(ARGV("restore", "--repo=r", "--data=d"), &options);
    assert_string_equal(options.target_time, "2026-11-22 14:30 UTC");
    assert_int_equal(unsetenv("PGCAIRN_TARGET_TIME"), 0);
}

static void what_destroys_is_said_each_time(void **state)
{
    static const char *const names[] = {"PGCAIRN_FORCE", "PGCAIRN_MOVE_ASIDE",
                                        "PGCAIRN_DISCARD_WAL"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CLEANUP(options_done) Options options;
        const Command *command;
        Error err = {0};

        assert_int_equal(setenv(names[i], "yes", 1), 0);
        assert_false(parse(ARGV("restore", "--repo=r", "--data=d"), &command, &options, &err));
        assert_non_null(strstr(err.message, "may be given on the command line only"));
        assert_int_equal(unsetenv(names[i]), 0);
    }
}

static void mistakes_in_the_file_are_shown_with_their_line(void **state)
{
    char long_line[256];
    const struct {
        const char *text;
        const char *message; /* beyond the file's name */
        const char *hint;
    } cases[] = {
        {"repo = r\njbos = 3\n", ":2: unknown key \"jbos\"", "did you mean \"jobs\"?"},
        {"type = full\n", ":1: unknown key \"type\"", "leave it out"},
        {"[other]\nfoo = 3\n", ":2: unknown key \"foo\"", ""},
        {"repo=r\n\n\njobs = 65\n", ":4: jobs must be 1 to 64, not \"65\"", ""},
        {"json = maybe\n", ":1: json: \"maybe\" is neither yes nor no", ""},
        {"repo = r\nrubbish\n", ":2: not understood", "a line is"},
        {"[main\nrepo = r\n", ":1: not understood", "a line is"},
        {"[global]\nrepo = r\n", ":2: a section is named as the cluster it is for",
         "keys for every"},
        {"[main]\ncluster = x\n", ":2: \"cluster\" inside a section", ""},
        {"config = x\n", ":1: unknown key \"config\"", ""},
        {"PATH = x\n", ":1: unknown key \"PATH\"", ""},
        {long_line, ":1: line longer than 198 bytes", ""},
        {"[12345678901234567890123456789012345678901234567890]\n",
         ":1: section longer than 49 bytes", ""},
    };

    (void)state;
    memset(long_line, 'x', sizeof long_line - 1);
    long_line[sizeof long_line - 1] = '\0';
    memcpy(long_line, "label = ", 8);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *file = config(cases[i].text);
        char *argv[] = {"pgcairn", "verify", "--repo=r", file, NULL};
        CLEANUP(options_done) Options options;
        const Command *command;
        Error err = {0};

        if (parse(argv, &command, &options, &err))
            fail_msg("accepted: %s", cases[i].text);
        assert_int_equal(err.code, ERR_USAGE);
        assert_memory_equal(err.message, file + strlen("--config="), strlen(file) - 9);
        assert_string_equal(err.message + strlen(file) - 9, cases[i].message);
        if (strncmp(err.hint, cases[i].hint, strlen(cases[i].hint)) != 0)
            fail_msg("%s with hint %s", err.message, err.hint);
        config_removed(file);
    }
}

static void a_file_that_was_named_must_be_there(void **state)
{
    char *argv[] = {"pgcairn", "list", "--repo=r", "--config=/no/such/file", NULL};
    char *directory[] = {"pgcairn", "list", "--repo=r", "--config=/tmp", NULL};
    CLEANUP(options_done) Options options, more;
    const Command *command;
    Error err = {0};

    (void)state;
    assert_false(parse(argv, &command, &options, &err));
    assert_int_equal(err.code, ERR_USAGE);
    assert_string_equal(err.message,
                        "configuration: open /no/such/file: No such file or directory");
    error_clear(&err);
    assert_false(parse(directory, &command, &more, &err));
    assert_int_equal(err.code, ERR_USAGE);
}

/* Every length up to the limit of a line, and a last line without its end. */
static void lines_of_every_length_arrive_whole(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 198 - 8; size++) {
        char text[256] = "label = ", *file;
        CLEANUP(options_done) Options options;

        memset(text + 8, 'x', size);
        text[8 + size] = '\0';
        if (size % 2 == 0)
            memcpy(text + 8 + size, "\r\n", 3);
        file = config(text);
        char *argv[] = {"pgcairn", "backup", "--repo=r", "--data=d", file, NULL};
        if (size % 2 == 0 && size + 9 > 198) { /* the carriage return counts */
            config_removed(file);
            continue;
        }
        parse_fine(argv, &options);
        assert_int_equal(strlen(options.label), size);
        config_removed(file);
    }
}

static void the_command_line_is_kept_without_passwords(void **state)
{
    CLEANUP(options_done) Options options, more;

    (void)state;
    parse_fine(ARGV("log", "--repo=a b", "--conninfo=host=h password=secret"), &options);
    assert_string_equal(options.command_line,
                        "pgcairn log '--repo=a b' --conninfo=... --config=/dev/null");
    parse_fine(ARGV("log", "--conninfo", "postgres://u:secret@h/", "--repo=r"), &more);
    assert_string_equal(more.command_line,
                        "pgcairn log --conninfo ... --repo=r --config=/dev/null");
}

/* Each command's help on a pipe: no line beyond 80 columns but examples, each option in it. */
static void help_fits_the_page_and_names_every_option(void **state)
{
    static const char *const wanted[] = {"  --repo=ADDRESS ", "  --checkpoint=fast|spread",
                                         "(default 128MiB)", "  --help ", "(required)"};
    char path[] = "/tmp/test-help-XXXXXX";
    CLEANUP(buffer_done) Buffer text = {0};
    Error err = {0};
    int fd = mkstemp(path), kept = dup(STDOUT_FILENO);

    (void)state;
    (void)fflush(stdout);
    assert_int_equal(dup2(fd, STDOUT_FILENO), STDOUT_FILENO);
    for (const Command *command = commands; command->name != NULL; command++)
        options_help(commands, command);
    options_help(commands, NULL);
    (void)fflush(stdout);
    assert_int_equal(dup2(kept, STDOUT_FILENO), STDOUT_FILENO);
    fd_done(&kept);
    fd_done(&fd);
    assert_true(file_read_whole(path, 1 << 20, &text, &err));
    assert_int_equal(unlink(path), 0);

    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        if (strstr((const char *)text.data, wanted[i]) == NULL)
            fail_msg("%s is not there", wanted[i]);
    }
    for (const char *line = (const char *)text.data; *line != '\0';) {
        size_t size = strcspn(line, "\n");
        if (size > 85)
            fail_msg("too long: %.*s", (int)size, line);
        assert_true(size == 0 || line[size - 1] != ' ');
        line += size + 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(value_follows_equals_sign_or_space),
        cmocka_unit_test(every_option_of_every_kind_arrives),
        cmocka_unit_test(fallbacks_are_those_of_the_manual),
        cmocka_unit_test(options_may_stand_before_the_command),
        cmocka_unit_test(after_two_dashes_all_is_an_argument),
        cmocka_unit_test(help_needs_nothing_else),
        cmocka_unit_test(misspelled_names_are_refused_with_the_nearest),
        cmocka_unit_test(what_is_missing_is_said),
        cmocka_unit_test(options_that_contradict_are_refused),
        cmocka_unit_test(values_are_checked_before_any_work),
        cmocka_unit_test(numbers_have_units_and_limits),
        cmocka_unit_test(flags_win_over_environment_over_section_over_file),
        cmocka_unit_test(words_for_all_commands_serve_those_without_a_repository),
        cmocka_unit_test(the_file_may_name_the_cluster_and_the_environment_the_file),
        cmocka_unit_test(a_target_of_the_command_line_replaces_that_of_the_environment),
        cmocka_unit_test(what_destroys_is_said_each_time),
        cmocka_unit_test(mistakes_in_the_file_are_shown_with_their_line),
        cmocka_unit_test(a_file_that_was_named_must_be_there),
        cmocka_unit_test(lines_of_every_length_arrive_whole),
        cmocka_unit_test(the_command_line_is_kept_without_passwords),
        cmocka_unit_test(help_fits_the_page_and_names_every_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
