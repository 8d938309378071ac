#include "preflight.h"

#include "base/text.h"
#include "configuration.h"
#include "listen_check.h"
#include "minima.h"
#include "rebuild/plan_entry.h"
#include "replace/old_wal.h"
#include "replace/ownership.h"
#include "replace/replacement.h"
#include "replace/survey.h"

#include "base/file.h"
#include "base/shell_word.h"
#include "pack/backed_up_file.h"
#include "postgres/data_directory.h"
#include "rebuild/empty_directory.h"
#include "repo/recovery_plan.h"
#include "server/server.h"

#include <dirent.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <sys/stat.h>
#include <unistd.h>

/* Restored, and not opened since: opening takes the signal file away. */
static bool is_unopened(const char *data, const DataLook *look)
{
    return look->same_cluster && file_exists_in(data, RECOVERY_PLAN_FILE) &&
           file_exists_in(data, "recovery.signal");
}

static bool refuse_occupied(const RestorePlan *plan, const DataLook *look, Error *err)
{
    error_set(err, ERR_REFUSED, "%s holds a data directory%s", plan->placement.data,
              look->same_cluster ? " of this cluster" : "");
    if (is_unopened(plan->placement.data, look)) {
        CLEANUP(text_freep) char *data = shell_word(plan->placement.data);
        return error_hint(
            err,
            "an earlier restore has brought it there: `pgcairn watch --start "
            "--data=%s` takes that up; or --move-aside keeps it under another name, --force "
            "replaces it, --delta overwrites it where it differs",
            data);
    }
    return error_hint(err, "--move-aside keeps it under another name, --force replaces it, --delta "
                           "overwrites it where it differs (its WAL is saved first)");
}

static bool refuse_foreign(const RestorePlan *plan, const DataLook *look, Error *err)
{
    error_set(err, ERR_REFUSED,
              "%s holds another cluster (system identifier %llu, not %llu): it is not overwritten",
              plan->placement.data, (unsigned long long)look->system_identifier,
              (unsigned long long)plan->decision.manifest.header.system_identifier);
    return error_hint(err, "choose another directory, or keep this one with --move-aside");
}

/* Where earlier attempts have put the old pg_wal, and whether it is what this one would keep. */
static void plan_wal_sources(const DataLook *look, RestorePlan *plan)
{
    size_t kept = look->marker.wal_kept_count;

    plan->old.has_new_wal = look->state == DATA_HALF_RESTORED && look->marker.has_new_wal;
    if (kept == 0)
        return;
    const char **sources = arena_alloc(&plan->arena, (kept + 1) * sizeof *sources);
    memcpy(sources, look->marker.wal_kept, kept * sizeof *sources);
    plan->old.wal_sources = (const char *const *)sources;
}

/*
 * A plan that is only shown says that a server runs there, which is stopped later; whoever changes
 * something is refused.
 */
static bool preflight_look_at_data(const Cluster *cluster, const RestoreRequest *request,
                                   RestorePlan *plan, DataLook *look, Error *err)
{
    if (!request->only_looks)
        return data_look(plan->placement.data, cluster, &plan->arena, look, err);
    Error running = {0};
    const PresenceFacts *facts = &look->presence;

    if (!data_look_while_running(plan->placement.data, cluster, &plan->arena, look, &running, err))
        return false;
    bool is_plain = facts->has_lock && facts->process == facts->lock_pid;
    *(is_plain ? &plan->running : &plan->undecided) = running;
    return true;
}

/* A server that can't be seen may be there. */
static bool check_free(const RestoreRequest *request, const DataLook *look, RestorePlan *plan,
                       Error *err)
{
    Error doubt = {0};

    if (!request->only_looks)
        return data_is_free(plan->placement.data, look, err);
    if (plan->running.code != ERR_NONE || plan->undecided.code != ERR_NONE ||
        data_is_free(plan->placement.data, look, &doubt))
        return true;
    *(doubt.code == ERR_REFUSED ? &plan->undecided : err) = doubt;
    return doubt.code == ERR_REFUSED;
}

static bool plan_occupied(const Cluster *cluster, const RestoreRequest *request, RestorePlan *plan,
                          Error *err)
{
    DataLook look;

    if (!preflight_look_at_data(cluster, request, plan, &look, err))
        return false;
    plan->old.state = look.state;
    plan->old.is_occupied = look.state == DATA_CLUSTER || look.state == DATA_HALF_RESTORED;
    plan->old.is_same_cluster = look.same_cluster;
    if (!plan->old.is_occupied)
        return true;
    plan->old.choice = request->occupied;
    /* Nothing of value is left in a restore that did not end: the same command goes on. */
    if (look.state == DATA_HALF_RESTORED && look.same_cluster &&
        plan->old.choice == OCCUPIED_REFUSE)
        plan->old.choice = OCCUPIED_FORCE;
    plan->old.server_is_stopped = request->server_is_stopped;
    bool is_touched = plan->old.choice != OCCUPIED_REFUSE && look.state == DATA_CLUSTER;
    if (is_touched && !request->server_is_stopped && !check_free(request, &look, plan, err))
        return false;
    if (plan->old.choice == OCCUPIED_REFUSE) {
        if (!request->only_looks)
            return refuse_occupied(plan, &look, err);
        return plan->undecided.code != ERR_NONE || !refuse_occupied(plan, &look, &plan->undecided);
    }
    if (plan->old.choice != OCCUPIED_MOVE_ASIDE && look.is_identified && !look.same_cluster)
        return refuse_foreign(plan, &look, err);
    plan_wal_sources(&look, plan);
    plan->old.marked_versions = look.marker.versions;
    plan->old.marked_version_count = look.marker.version_count;
    return true;
}

/* What stays is told; when it is in the way of a tablespace, that is refused where it shows. */
static bool is_its_own(RestorePlan *plan, const char *location, const char *version)
{
    const char *whose;

    switch (ownership_of(plan, location, version, &whose)) {
    case OWNED:
        return true;
    case NOT_PROVEN:
        plan_warn(plan,
                  "tablespace location %s stays as it is: nothing proves that it belongs to %s; "
                  "remove %s if it does",
                  location, plan->placement.data, version);
        break;
    case OF_ANOTHER:
        plan_warn(plan, "tablespace location %s stays as it is: it belongs to %s", location, whose);
        break;
    }
    return false;
}

static bool is_old_version(const RestorePlan *plan, const char *path)
{
    for (size_t i = 0; i < plan->old.version_count; i++) {
        if (strcmp(plan->old.versions[i], path) == 0)
            return true;
    }
    return false;
}

static void add_old_version(RestorePlan *plan, const char *location, const char *path)
{
    if (file_exists(path) && !is_old_version(plan, path) && is_its_own(plan, location, path))
        plan->old.versions[plan->old.version_count++] = path;
}

/* A restore that did not end may have taken a link away, and not put the new one there. */
static void add_marked_versions(RestorePlan *plan, const char *version)
{
    for (size_t i = 0; i < plan->old.marked_version_count; i++) {
        const char *path = plan->old.marked_versions[i];
        const char *slash = strrchr(path, '/');

        if (path[0] != '/' || slash == path || strcmp(slash + 1, version) != 0)
            continue;
        const char *location = arena_text_part(&plan->arena, path, (size_t)(slash - path));
        add_old_version(plan, location, arena_text(&plan->arena, path));
    }
}

/*
 * The version directories that belong to the old data directory: its links lead there, or the
 * marker of a restore that did not end says so.
 */
static bool find_old_versions(RestorePlan *plan, Error *err)
{
    char version[TABLESPACE_DIRECTORY_SIZE];
    const char **targets;
    size_t count;

    if (!plan->old.is_occupied)
        return true;
    if (!tablespace_links(plan->placement.data, &plan->arena, &targets, &count, err))
        return false;
    tablespace_directory_text(plan->decision.manifest.header.major, version);
    plan->old.versions = arena_alloc(&plan->arena, (count + plan->old.marked_version_count + 1) *
                                                       sizeof *plan->old.versions);
    for (size_t i = 0; i < count; i++) {
        add_old_version(plan, targets[i], arena_format(&plan->arena, "%s/%s", targets[i], version));
    }
    if (plan->old.state == DATA_HALF_RESTORED)
        add_marked_versions(plan, version);
    return true;
}

static const char *moved_path(const RestoreRequest *request, const Tablespace *tablespace,
                              bool *used, Arena *arena)
{
    char oid[16];

    (void)snprintf(oid, sizeof oid, "%u", tablespace->oid);
    for (size_t i = 0; i < request->move_count; i++) {
        if (strcmp(request->moves[i].name, oid) == 0 ||
            strcmp(request->moves[i].name, tablespace->path) == 0) {
            used[i] = true;
            return request->moves[i].path;
        }
    }
    if (request->tablespaces != NULL)
        return arena_format(arena, "%s/%s", request->tablespaces, oid);
    return NULL;
}

/* Nobody else may be there: what a server of this major version has is in PG_<major>_<catalog>. */
static bool check_location(RestorePlan *plan, const PlannedTablespace *tablespace, Error *err)
{
    bool is_empty;
    const char *user = tablespace_user(tablespace->path, plan->placement.data, &plan->arena);

    if (user != NULL) {
        error_set(err, ERR_REFUSED, "tablespace location %s is used by the server on %s",
                  tablespace->path, user);
        return error_hint(err, "choose another place: --tablespace=%u=PATH", tablespace->oid);
    }
    if (!directory_is_empty(tablespace->version, &is_empty, err))
        return false;
    if (is_empty || is_old_version(plan, tablespace->version))
        return true;
    error_set(err, ERR_REFUSED, "tablespace location %s is in use: %s is not empty",
              tablespace->path, tablespace->version);
    CLEANUP(text_freep) char *aside = text_format("%s.old", tablespace->version);
    CLEANUP(text_freep) char *from = shell_word(tablespace->version);
    CLEANUP(text_freep) char *to = shell_word(aside);
    return error_hint(
        err,
        "choose another place: --tablespace=%u=PATH; or, if no other cluster uses it, `mv %s %s`",
        tablespace->oid, from, to);
}

/* Neither inside the data directory nor inside one another: one would be copied or removed twice.
 */
static bool check_overlap(const RestorePlan *plan, const PlannedTablespace *tablespace, Error *err)
{
    const char *other = NULL;

    if (path_is_inside(tablespace->path, plan->placement.data) ||
        path_is_inside(plan->placement.data, tablespace->path))
        other = plan->placement.data;
    for (size_t i = 0; &plan->placement.tablespaces[i] < tablespace; i++) {
        const char *path = plan->placement.tablespaces[i].path;
        if (path_is_inside(tablespace->path, path) || path_is_inside(path, tablespace->path))
            other = path;
    }
    if (other == NULL)
        return true;
    error_set(err, ERR_REFUSED, "tablespace %u at %s and %s lie inside one another",
              tablespace->oid, tablespace->path, other);
    return error_hint(err, "choose another place: --tablespace=%u=PATH", tablespace->oid);
}

static bool plan_tablespaces(const RestoreRequest *request, RestorePlan *plan, Error *err)
{
    const Manifest *manifest = &plan->decision.manifest;
    char version[TABLESPACE_DIRECTORY_SIZE];
    bool *used = arena_alloc(&plan->arena, request->move_count + 1);

    tablespace_directory_text(manifest->header.major, version);
    plan->placement.tablespaces = arena_alloc(
        &plan->arena, (manifest->tablespace_count + 1) * sizeof *plan->placement.tablespaces);
    for (size_t i = 0; i < manifest->tablespace_count; i++) {
        PlannedTablespace *planned = &plan->placement.tablespaces[i];
        const char *moved = moved_path(request, &manifest->tablespaces[i], used, &plan->arena);
        planned->oid = manifest->tablespaces[i].oid;
        planned->was = manifest->tablespaces[i].path;
        if (!path_resolve(moved != NULL ? moved : planned->was, &plan->arena, &planned->path, err))
            return error_context(err, "tablespace %u", planned->oid);
        planned->version = arena_format(&plan->arena, "%s/%s", planned->path, version);
        plan->placement.tablespace_count++;
        if (!check_overlap(plan, planned, err) || !check_location(plan, planned, err))
            return false;
    }
    for (size_t i = 0; i < request->move_count; i++) {
        if (used[i])
            continue;
        error_set(err, ERR_USAGE, "--tablespace=%s: the backup has no such tablespace",
                  request->moves[i].name);
        return error_hint(err,
                          "name it by its oid or by the path that it had; --dry-run lists them");
    }
    return true;
}

static bool check_control(const RestorePlan *plan, Error *err)
{
    return backed_up_entry_find(&plan->decision.manifest, "global/pg_control") != NULL ||
           error_set(err, ERR_CORRUPT, "backup %s has no global/pg_control",
                     plan->decision.manifest.header.id);
}

/* Everything becomes ours; the directory and its parents must let us write. */
static bool check_writable(const RestorePlan *plan, Error *err)
{
    CLEANUP(text_freep) char *place = text_format("%s", plan->placement.data);
    struct stat status;

    if (stat(place, &status) == 0 && status.st_uid != geteuid()) {
        error_set(err, ERR_REFUSED,
                  "%s belongs to another user: PostgreSQL demands that the data "
                  "directory belongs to the user that it runs as",
                  place);
        return error_hint(err, "run the restore as that user, or as root");
    }
    while (access(place, F_OK) != 0 && strrchr(place, '/') != place)
        *strrchr(place, '/') = '\0';
    if (access(place, F_OK) != 0 || access(place, W_OK | X_OK) == 0)
        return true;
    error_set_errno(err, ERR_REFUSED, errno, "write to %s", place);
    return error_hint(err,
                      "let root make the data directory: install -d -o USER -g GROUP -m 0700 %s, "
                      "with user and group of the server",
                      plan->placement.data);
}

static bool plan_programs(const RestoreRequest *request, RestorePlan *plan, Error *err)
{
    if (server_find_programs(request->pg_bin, plan->decision.manifest.header.major, &plan->arena,
                             &plan->programs, err))
        return true;
    if (request->will_start || request->pg_bin != NULL)
        return false;
    plan_warn(plan, "%s: the restored cluster can't be started here", err->message);
    error_clear(err);
    plan->programs = NULL;
    return true;
}

static void warn_collation(RestorePlan *plan)
{
    const char *was = plan->decision.manifest.header.libc_version;
    const char *is = gnu_get_libc_version();

    if (was == NULL || *was == '\0' || strcmp(was, is) == 0 || text_ends_with(was, is))
        return;
    plan_warn(plan,
              "the backup was taken with C library %s, this host has %s: if collations differ, "
              "indexes on text must be rebuilt (REINDEX)",
              was, is);
}

/* What was a link becomes what it led to: on a smaller disk than before, perhaps. */
static void warn_followed(RestorePlan *plan)
{
    enum { TOLD_MAX = 8 };
    const char *line = plan->decision.manifest.header.followed_links;
    size_t count = 0;

    for (; line != NULL && *line != '\0'; count++) {
        size_t length = strcspn(line, "\n");
        if (count < TOLD_MAX) {
            plan_warn(plan, "was a symbolic link, will be a plain file or directory: %.*s",
                      (int)length, line);
        }
        line += length + (line[length] == '\n');
    }
    if (count > TOLD_MAX)
        plan_warn(plan, "... and %zu links more", count - TOLD_MAX);
}

static uint32_t data_mode_of(const Manifest *manifest)
{
    const ManifestEntry *base = backed_up_entry_find(manifest, "base");

    /* The server gives all its directories the mode of the data directory (file_perm.c). */
    return base != NULL && (base->mode & 0050) == 0050 ? 0750 : 0700;
}

bool preflight(const Cluster *cluster, const RestoreRequest *request, RestorePlan *plan, Error *err)
{
    plan->placement.data_mode = data_mode_of(&plan->decision.manifest);
    if (!plan_occupied(cluster, request, plan, err) || !find_old_versions(plan, err) ||
        !survey_old(request, plan, err) || !plan_tablespaces(request, plan, err) ||
        !survey_new(request, plan, err) || !check_control(plan, err) ||
        !check_writable(plan, err) || !plan_programs(request, plan, err) ||
        !configuration_plan(cluster, request, plan, err) ||
        !listen_check(cluster, request, plan, err))
        return false;
    warn_collation(plan);
    minima_warn(cluster, plan);
    warn_followed(plan);
    if (plan->decision.manifest.header.bad_pages > 0) {
        plan_warn(plan, "the backup holds %llu pages whose checksum was wrong when it was taken",
                  (unsigned long long)plan->decision.manifest.header.bad_pages);
    }
    return replacement_plan(cluster, request, plan, err);
}
