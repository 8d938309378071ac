#include "base/log.h"
#include "cli/output.h"
#include "command/commands.h"
#include "postgres/control.h"
#include "repo/layout.h"
#include "repo/reserve.h"
#include "server/session.h"
#include "setup/command_place.h"
#include "setup/repository.h"

#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct InitIdentity {
    uint64_t system_identifier;
    unsigned major;
    uint32_t wal_segment_size;
} InitIdentity;

static bool identity_of_data(const char *data, InitIdentity *identity, Error *err)
{
    PgControl control;

    if (!pg_control_read(data, &control, NULL, err))
        return error_context(err, "find out which cluster %s is", data);
    *identity = (InitIdentity){
        .system_identifier = control.system_identifier,
        .major = control.version->major,
        .wal_segment_size = control.wal_segment_size,
    };
    return true;
}

static bool identity_of_server(const char *conninfo, InitIdentity *identity, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(session_freep) Session *session = session_open(conninfo, err);
    ServerIdentity server;

    if (session == NULL || !session_identify(session, &arena, &server, err))
        return error_context(err, "ask the server which cluster it is");
    *identity = (InitIdentity){
        .system_identifier = server.system_identifier,
        .major = server.major,
        .wal_segment_size = server.wal_segment_size,
    };
    return true;
}

static bool find_identity(const Options *options, InitIdentity *identity, Error *err)
{
    if (options->data != NULL)
        return identity_of_data(options->data, identity, err);
    if (options->conninfo != NULL)
        return identity_of_server(options->conninfo, identity, err);
    error_set(err, ERR_USAGE, "which cluster is it?");
    return error_hint(err, "give --data with its data directory, or --conninfo with a way to reach "
                           "its server");
}

static bool init_tell(const Options *options, const Repo *repo, const Cluster *cluster,
                      bool repo_is_new, bool cluster_is_new, Error *err)
{
    CLEANUP(json_done) Json json = {0};

    if (!options->json) {
        out_print("repository %s at %s\n", repo_is_new ? "created" : "found", options->repo);
        out_print("cluster \"%s\" %s: PostgreSQL %u, system identifier %" PRIu64 "\n",
                  cluster->name, cluster_is_new ? "registered" : "is already registered",
                  cluster->major, cluster->system_identifier);
        if (cluster->predecessor[0] != '\0') {
            out_print("before its upgrade it was \"%s\", which keeps its backups and its WAL\n",
                      cluster->predecessor);
        }
        return out_flush(err);
    }
    json_begin_object(&json, NULL);
    json_text(&json, "repository", options->repo);
    json_text(&json, "repository_id", repo->id);
    json_bool(&json, "repository_created", repo_is_new);
    json_text(&json, "cluster", cluster->name);
    json_bool(&json, "cluster_registered", cluster_is_new);
    /* As text: it has more digits than a number of JSON is sure to keep. */
    char identifier[24];
    snprintf(identifier, sizeof identifier, "%" PRIu64, cluster->system_identifier);
    json_text(&json, "system_identifier", identifier);
    json_u64(&json, "major", cluster->major);
    json_u64(&json, "wal_segment_bytes", cluster->wal_segment_size);
    json_text(&json, "predecessor", cluster->predecessor[0] != '\0' ? cluster->predecessor : NULL);
    json_end_object(&json);
    return json_print(&json, err);
}

/* Another cluster has the name: nothing was changed, and it will not work later. */
static bool refuse_other_cluster(const char *name, Error *err)
{
    err->code = ERR_REFUSED;
    err->hint[0] = '\0'; /* ours knows the option */
    return error_hint(err,
                      "register this cluster under a name of its own: --cluster=NAME (\"%s\" "
                      "belongs to another one)",
                      name);
}

static bool init_check_place(const Options *options, Error *err)
{
    const char *path = place_of_address(options->repo);

    return place_check_outside("the repository", path, options->data, err) &&
           place_check_repository(path, err);
}

/* What is to be upgraded is there already, and so is its repository: none is made by a mistyped
 * address. */
static bool open_place(const Options *options, Repo *repo, Storage *storage, bool *is_new,
                       Error *err)
{
    *is_new = false;
    return options->upgrade != NULL ? repo_open(repo, storage, err)
                                    : repo_create(repo, storage, is_new, err);
}

/* Before anything is stored: the cluster of --upgrade is there, and this may be its successor. */
static bool open_upgraded(const Options *options, Repo *repo, const InitIdentity *identity,
                          Cluster *old, Error *err)
{
    return options->upgrade == NULL ||
           (cluster_open(repo, options->upgrade, old, err) &&
            cluster_check_successor(old, options->cluster, identity->system_identifier,
                                    identity->major, err));
}

bool command_init(const Options *options, Error *err)
{
    CLEANUP(repo_done) Repo repo = {0};
    InitIdentity identity;
    Cluster old = {0};
    Cluster cluster;
    bool repo_is_new;
    bool cluster_is_new;

    /* First: a repository is not created for a cluster that is not there. */
    if (!cluster_name_check(options->cluster, err) || !find_identity(options, &identity, err))
        return false;
    Storage *storage = repository_place(options, REPOSITORY_FOR_ANSWER, err);
    if (storage == NULL)
        return false;
    repo.storage = storage; /* freed with it, whatever happens */
    if (!init_check_place(options, err) ||
        !open_place(options, &repo, storage, &repo_is_new, err) ||
        !open_upgraded(options, &repo, &identity, &old, err))
        return false;
    if (!cluster_register(&repo, options->cluster, identity.system_identifier, identity.major,
                          identity.wal_segment_size, &cluster, &cluster_is_new, err)) {
        return err->code == ERR_EXISTS ? refuse_other_cluster(options->cluster, err) : false;
    }
    if (options->upgrade != NULL && !cluster_succeed(&old, &cluster, err))
        return false;
    reserve_fill(&cluster);
    return init_tell(options, &repo, &cluster, repo_is_new, cluster_is_new, err);
}
