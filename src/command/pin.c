#include "repo/mark.h"

#include "base/process.h"
#include "catalog/backups.h"
#include "cli/output.h"
#include "command/commands.h"
#include "repo/reserve.h"
#include "setup/repository.h"

/* Its manifest has to be there: a pin of a name that is mistyped would keep nothing. */
static bool check_backup(const Cluster *cluster, const char *id, Error *err)
{
    CLEANUP(text_freep) char *manifest = NULL;

    if (!backup_id_is_valid(id, strlen(id))) {
        error_set(err, ERR_USAGE, "\"%s\" is not the id of a backup", id);
        return error_hint(err, "`pgcairn list` shows them");
    }
    manifest = layout_manifest(cluster->name, id);
    if (storage_stat(cluster->repo->storage, manifest, NULL, NULL, err))
        return true;
    if (err->code != ERR_NOT_FOUND)
        return error_context(err, "look for backup %s", id);
    error_clear(err);
    error_set(err, ERR_NOT_FOUND, "there is no backup %s in cluster \"%s\"", id, cluster->name);
    return error_hint(err, "`pgcairn list` shows those that there are");
}

static bool parse_until(const Options *options, TimeUs *until, Error *err)
{
    *until = TIME_US_NONE;
    if (options->until == NULL)
        return true;
    if (!time_parse(options->until, until, err))
        return error_context(err, "--until");
    return *until > time_now() ||
           error_set(err, ERR_USAGE, "--until=%s is in the past", options->until);
}

static bool tell_pin(const Options *options, bool is_pinned, TimeUs until, Error *err)
{
    CLEANUP(json_done) Json json = {0};
    char time[TIME_TEXT_SIZE];

    if (options->json) {
        json_begin_object(&json, NULL);
        json_text(&json, "backup", options->backup);
        json_bool(&json, "pinned", is_pinned);
        json_time(&json, "until", until);
        json_end_object(&json);
        return json_print(&json, err);
    }
    if (!is_pinned) {
        out_print("backup %s is not pinned any more\n", options->backup);
    } else if (until == TIME_US_NONE) {
        out_print("backup %s is kept until `pgcairn unpin` lets it go\n", options->backup);
    } else {
        out_print("backup %s is kept until %s\n", options->backup, time_text(until, time));
    }
    return out_flush(err);
}

static bool store_pin(const Options *options, const Cluster *cluster, bool is_pinned, TimeUs until,
                      Error *err)
{
    reserve_use(cluster); /* a full disk is when somebody is about to remove things */
    return mark_store(cluster,
                      &(Mark){.kind = MARK_PIN,
                              .what = MARK_OF_BACKUP,
                              .subject = options->backup,
                              .is_void = !is_pinned,
                              .at = time_now(),
                              .until = until,
                              .by = is_pinned ? "pin" : "unpin",
                              .host = process_host_name(),
                              .reason = options->reason != NULL ? options->reason : "",
                              .evidence = ""},
                      err);
}

/* A backup that is condemned may be gone between the look and the pin: looked for again. */
static bool pin_change(const Options *options, bool is_pinned, Error *err)
{
    CLEANUP(repo_done) Repo repo = {0};
    Cluster cluster;
    TimeUs until;

    return parse_until(options, &until, err) &&
           repository_open(options, REPOSITORY_FOR_WRITING, &repo, &cluster, err) &&
           check_backup(&cluster, options->backup, err) &&
           store_pin(options, &cluster, is_pinned, until, err) &&
           (!is_pinned || check_backup(&cluster, options->backup, err)) &&
           tell_pin(options, is_pinned, until, err);
}

bool command_pin(const Options *options, Error *err)
{
    return pin_change(options, true, err);
}

bool command_unpin(const Options *options, Error *err)
{
    return pin_change(options, false, err);
}
