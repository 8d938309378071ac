#include "option_rules.h"

#include "base/time.h"
#include "postgres/history.h"
#include "stream/codec.h"

#include <assert.h>
#include <ctype.h>

static bool is_missing(const Option *option, const Options *options)
{
    const char *const *field = (const char *const *)((const char *)options + option->field);

    assert(option->kind == TEXT || option->kind == CHOICE);
    return *field == NULL;
}

static bool check_required(const Filling *filling, Error *err)
{
    for (const Option *option = option_table; option->name != NULL; option++) {
        if ((option->required & filling->command->bit) == 0 ||
            !is_missing(option, filling->options))
            continue;
        error_set(err, ERR_USAGE, "%s needs %s%s", filling->command->name,
                  option->positional ? "the argument " : "--", option->name);
        if (option->field == offsetof(Options, repo)) {
            return error_hint(err, "give --repo=ADDRESS, set PGCAIRN_REPO, or write \"repo = "
                                   "ADDRESS\" into /etc/pgcairn.conf");
        }
        return false;
    }
    return true;
}

/* One file, or as many as standard input names. */
static bool check_push(const Filling *filling, Error *err)
{
    const Options *options = filling->options;

    if (filling->command->bit != FOR_PUSH)
        return true;
    if (!options->requests && options->wal_path == NULL)
        return error_set(err, ERR_USAGE, "archive-push needs the argument PATH");
    if (options->requests && (options->wal_path != NULL || options->json))
        return error_set(err, ERR_USAGE, "--requests goes with neither PATH nor --json");
    return true;
}

/* The cluster's identity comes from pg_control or from the server. */
static bool rules_check_server(const Filling *filling, Error *err)
{
    const unsigned needs_either = FOR_INIT | FOR_BACKUP;
    const Options *options = filling->options;

    if ((filling->command->bit & needs_either) == 0 || options->data != NULL ||
        options->conninfo != NULL) {
        return true;
    }
    error_set(err, ERR_USAGE, "%s needs --data or --conninfo", filling->command->name);
    return error_hint(err, "name the cluster's data directory, or say how to reach its server");
}

/*
 * There is one target. One given on the command line takes the place of one in the environment,
 * as with every option; two given in the same place contradict each other.
 */
static bool settle_target(Filling *filling, Error *err)
{
    const Option *winner = NULL;

    for (const Option *option = option_table; option->name != NULL; option++) {
        Options *options = filling->options;
        bool is_target = option->field == offsetof(Options, target) ||
                         option->field == offsetof(Options, target_time) ||
                         option->field == offsetof(Options, target_lsn) ||
                         option->field == offsetof(Options, target_xid) ||
                         option->field == offsetof(Options, target_name);
        if (!is_target || (option->commands & filling->command->bit) == 0 ||
            is_missing(option, options))
            continue;
        const Option *loser = winner;
        if (winner == NULL || option_source(filling, option) > option_source(filling, winner)) {
            winner = option;
        } else if (option_source(filling, option) == option_source(filling, winner)) {
            error_set(err, ERR_USAGE, "--%s and --%s exclude each other", winner->name,
                      option->name);
            return error_hint(err, "a recovery has one target");
        } else {
            loser = option;
        }
        if (loser != NULL)
            *(const char **)((char *)options + loser->field) = NULL;
    }
    return true;
}

static bool check_xid(const char *text, Error *err)
{
    char *rest = NULL;

    (void)strtoull(text, &rest, 10);
    if (!isdigit((unsigned char)*text) || *rest != '\0')
        return error_set(err, ERR_USAGE, "\"%s\" is not a transaction id", text);
    return true;
}

/* Said here and not after half an hour of work; and times while there is one thread (time.c). */
static bool rules_check_target(const Options *options, Error *err)
{
    TimeUs instant;
    Lsn lsn;
    uint32_t timeline;

    if (options->target_exclusive && options->target_time == NULL && options->target_lsn == NULL &&
        options->target_xid == NULL) {
        error_set(err, ERR_USAGE, "--target-exclusive needs a target to stop before");
        return error_hint(err, "it goes with --target-time, --target-lsn or --target-xid");
    }
    if (options->target_time != NULL && !time_parse(options->target_time, &instant, err))
        return error_context(err, "--target-time");
    if (options->target_lsn != NULL && !lsn_parse(options->target_lsn, &lsn, err))
        return error_context(err, "--target-lsn");
    if (options->target_timeline != NULL && strcmp(options->target_timeline, "latest") != 0 &&
        !timeline_parse(options->target_timeline, &timeline, err))
        return error_context(err, "--target-timeline");
    if (options->timeline != NULL && !timeline_parse(options->timeline, &timeline, err))
        return error_context(err, "--timeline");
    if (options->target_xid != NULL && !check_xid(options->target_xid, err))
        return error_context(err, "--target-xid");
    return true;
}

static bool check_restore(const Options *options, Error *err)
{
    if (options->move_aside + options->force + options->delta > 1) {
        error_set(err, ERR_USAGE, "--move-aside, --force and --delta exclude one another");
        return error_hint(err, "--move-aside keeps what is there, --force replaces it, --delta "
                               "overwrites it where it differs from the backup");
    }
    if (options->only_database_count > 0 && (options->force || options->delta)) {
        error_set(err, ERR_USAGE,
                  "--only-database does not go with --%s: the other databases of "
                  "that directory would be gone",
                  options->force ? "force" : "delta");
        return error_hint(err, "restore into an empty directory, or keep the old one with "
                               "--move-aside");
    }
    return true;
}

/* Cleaning up needs no repository, and looking at what was kept no place to work in. */
static bool check_drill(const Filling *filling, Error *err)
{
    const Options *options = filling->options;
    const bool only_looks = options->list || options->show != NULL;

    if (filling->command->bit != FOR_DRILL)
        return true;
    if (options->list + (options->show != NULL) + options->clean > 1)
        return error_set(err, ERR_USAGE, "--list, --show and --clean exclude each other");
    if (options->repo == NULL && !options->clean) {
        error_set(err, ERR_USAGE, "drill needs --repo");
        return error_hint(err, "give --repo=ADDRESS, set PGCAIRN_REPO, or write \"repo = "
                               "ADDRESS\" into /etc/pgcairn.conf");
    }
    if (options->scratch == NULL && !only_looks) {
        error_set(err, ERR_USAGE, "drill needs --scratch");
        return error_hint(err, "name a directory with the room that a restore needs");
    }
    if (options->seed != NULL &&
        (options->target_time != NULL || options->target_lsn != NULL ||
         options->target_xid != NULL || options->target_name != NULL ||
         (options->target != NULL && strcmp(options->target, "random") != 0)))
        return error_set(err, ERR_USAGE, "--seed chooses the target: give one or the other");
    return true;
}

static bool check_compression(const Options *options, Error *err)
{
    Compression compression;

    if (options->compress != NULL && !compression_parse(options->compress, &compression, err))
        return error_context(err, "--compress");
    return true;
}

bool option_rules_check(Filling *filling, Error *err)
{
    return check_required(filling, err) && check_push(filling, err) &&
           rules_check_server(filling, err) && settle_target(filling, err) &&
           rules_check_target(filling->options, err) && check_restore(filling->options, err) &&
           check_drill(filling, err) && check_compression(filling->options, err);
}
