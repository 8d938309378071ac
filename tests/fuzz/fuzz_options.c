/*
 * Command line and configuration file. Input: arguments, each up to a zero, an empty one ends them;
 * then the file. It is given with --config, so no file of this machine is read.
 */
#include "base/memory.h"
#include "command/commands.h"
#include "fuzz.h"

enum { ARGUMENTS_MAX = 24 };

static char secret[] = "--conninfo=password=s3cret";

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* What the commands rely on. */
static void check_options(const Options *options, const Command *command)
{
    assert(command != NULL && options->command_line != NULL);
    if (options->help)
        return;
    assert(options->cluster != NULL && options->jobs >= 1 && options->jobs <= 64);
    assert(options->repo != NULL || (command->bit & (FOR_WATCH | FOR_PROMOTE)) != 0);
    assert(options->tablespace_count <= TABLESPACE_OPTIONS_MAX);
    for (size_t i = 0; i < options->tablespace_count; i++)
        assert(strchr(options->tablespaces[i], '=') != NULL);
    int targets = (options->target != NULL) + (options->target_time != NULL) +
                  (options->target_lsn != NULL) + (options->target_xid != NULL) +
                  (options->target_name != NULL);
    assert(targets <= 1);
    assert(options->move_aside + options->force + options->delta <= 1);
}

static void check_same(const Options *a, const Options *b)
{
    assert(is_same_text(a->repo, b->repo) && is_same_text(a->cluster, b->cluster));
    assert(is_same_text(a->data, b->data) && is_same_text(a->target_time, b->target_time));
    assert(a->jobs == b->jobs && a->rate_limit == b->rate_limit && a->json == b->json);
    assert(a->tablespace_count == b->tablespace_count && a->help == b->help);
    assert(strcmp(a->command_line, b->command_line) == 0);
}

/* A password must not get into manifests and journals. */
static void check_secret(char **argv, const Options *options)
{
    for (; *argv != secret; argv++) {
        if (strstr(*argv, "s3cret") != NULL)
            return;
    }
    assert(strstr(options->command_line, "s3cret") == NULL);
}

/* The server opens a database upon 1 to 125: not because a command line was wrong. */
static void check_status(int argc, char **argv, const Options *options, const Error *err)
{
    int status = command_exit_status(argc, argv, options, false, err);

    assert(status != 0 && status != ERR_ABSENT);
    if (argc > 1 && strcmp(argv[1], "archive-get") == 0)
        assert(status > 125 && status != 143);
    if (argc > 1 && strcmp(argv[1], "archive-push") == 0)
        assert(status <= 125);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char program[] = "pgcairn";
    CLEANUP(text_freep) char *config = text_format("--config=%s/pgcairn.conf", fuzz_directory());
    char *argv[ARGUMENTS_MAX + 4] = {program};
    FuzzInput input = {data, size};
    CLEANUP(options_done) Options options = {0};
    CLEANUP(options_done) Options again = {0};
    const Command *command = NULL;
    const Command *same_command = NULL;
    Error err = {0};
    int argc = 1;

    (void)clearenv();
    while (argc <= ARGUMENTS_MAX && input.left > 0) {
        argv[argc] = fuzz_text(&input);
        if (argv[argc][0] == '\0') {
            mem_free(TAKE(argv[argc]));
            break;
        }
        argc++;
    }
    int own = argc;
    argv[argc++] = config;
    argv[argc++] = secret;
    fuzz_write_file("pgcairn.conf", input.at, input.left);
    if (options_parse(argc, argv, command_table, &command, &options, &err)) {
        if (command != NULL)
            check_options(&options, command);
        check_secret(argv, &options);
        bool is_same = options_parse(argc, argv, command_table, &same_command, &again, &err);
        assert(is_same && same_command == command);
        check_same(&options, &again);
        if (!options.help)
            fuzz_accepted();
    } else {
        assert(err.code == ERR_USAGE);
        check_status(argc, argv, &options, &err);
    }
    for (int i = 1; i < own; i++)
        mem_free(argv[i]);
    return 0;
}

static void seed(const char *name, const char *arguments, size_t size, const char *config)
{
    CLEANUP(buffer_done) Buffer bytes = {0};

    /* The last zero ends the last argument, one more ends them all. */
    buffer_append(&bytes, arguments, size);
    buffer_append(&bytes, "", 1);
    buffer_append(&bytes, config, strlen(config));
    fuzz_seed(name, bytes.data, bytes.size);
}

void fuzz_seeds(void)
{
    static const char restore[] = "restore\0--repo=/r\0--data\0/d\0--target-time\0"
                                  "2026-11-22 14:30 Europe/Vienna\0--tablespace=1=/t\0--force";
    static const char get[] = "archive-get\0--repo\0/r\000000000010000000000000001\0-p";
    static const char backup[] = "backup\0--data=/d\0--jobs=4\0--compress=zstd:3";
    static const char help[] = "help\0backup";

    seed("restore", restore, sizeof restore, "jobs = 3\n# x\n[main]\nrate-limit = 20MiB\n");
    seed("get", get, sizeof get, "");
    seed("backup", backup, sizeof backup,
         "repo=/r\nwal-wait = 5min ; x\n  cluster = db1\n[db1]\nlabel = a b\n[main]\nlabel=c\n");
    seed("help", help, sizeof help, "");
}
