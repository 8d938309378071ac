#include "base/fault.h"
#include "base/process.h"
#include "repo/layout.h"
#include "repo/record.h"
#include "repo/repo.h"

#include <inttypes.h>

enum { REGISTRATION_VERSION = 1, REGISTRATIONS_MAX = 9999, CLUSTERS_SHOWN = 3 };

/* "main/registration/0002" is number 2; 0 for anything that is not ours. */
static unsigned registration_number(const char *object, const char *prefix)
{
    const char *digits = object + strlen(prefix);
    unsigned number = 0;

    if (strlen(digits) != 4 || strspn(digits, "0123456789") != 4)
        return 0;
    for (; *digits != '\0'; digits++)
        number = number * 10 + (unsigned)(*digits - '0');
    return number;
}

/* The highest number; 0 when there is none. */
static bool find_newest(Repo *repo, const char *name, unsigned *number, Error *err)
{
    CLEANUP(text_freep) char *prefix = layout_registration_prefix(name);
    CLEANUP(object_list_done) ObjectList list = {0};
    unsigned newest = 0;

    if (!storage_list(repo->storage, prefix, &list, err))
        return false;
    for (size_t i = 0; i < list.count; i++) {
        unsigned found = registration_number(list.objects[i].name, prefix);

        if (found > newest)
            newest = found;
    }
    *number = newest;
    return true;
}

/* A link is a hint for people: one that can't be a name is passed over. */
static void decode_link(const Record *record, const char *key, char link[64])
{
    const char *name = record_find(record, key);
    Error ignored = {0};

    if (name != NULL && name[0] != '\0' && cluster_name_check(name, &ignored))
        snprintf(link, 64, "%s", name);
}

static void decode_links(const Record *record, Cluster *cluster)
{
    Error ignored = {0};

    decode_link(record, "predecessor", cluster->predecessor);
    decode_link(record, "successor", cluster->successor);
    if (cluster->successor[0] != '\0' &&
        !record_get_u64(record, "successor_identifier", &cluster->successor_identifier, &ignored))
        cluster->successor_identifier = 0;
}

static bool decode_registration(const Record *record, Cluster *cluster, Error *err)
{
    const char *name;
    uint64_t major;
    uint64_t segment_size;

    if (!record_get_text(record, "cluster", &name, err) ||
        !record_get_u64(record, "system_identifier", &cluster->system_identifier, err) ||
        !record_get_u64(record, "major", &major, err) ||
        !record_get_u64(record, "wal_segment_size", &segment_size, err) ||
        !record_get_time(record, "registered", &cluster->registered_at, err))
        return false;
    if (strcmp(name, cluster->name) != 0) {
        error_set(err, ERR_CORRUPT, "registration belongs to cluster \"%s\", not \"%s\"", name,
                  cluster->name);
        return error_hint(err,
                          "was the folder \"%s\" of the repository renamed or copied? each "
                          "object in it says whose it is: give it its name \"%s\" back",
                          cluster->name, name);
    }
    if (cluster->system_identifier == 0 || major == 0 || major > 999 ||
        !wal_segment_size_is_valid(segment_size)) {
        return error_set(err, ERR_CORRUPT,
                         "registration with system identifier %" PRIu64 ", server version %" PRIu64
                         ", WAL segments of %" PRIu64 " bytes",
                         cluster->system_identifier, major, segment_size);
    }
    cluster->major = (unsigned)major;
    cluster->wal_segment_size = (uint32_t)segment_size;
    decode_links(record, cluster);
    return true;
}

static bool load_registration(Repo *repo, const char *name, unsigned number, Cluster *cluster,
                              Error *err)
{
    CLEANUP(text_freep) char *object = layout_registration(name, number);
    CLEANUP(record_done) Record record = {0};
    Cluster loaded = {.repo = repo, .registration = number};

    snprintf(loaded.name, sizeof loaded.name, "%s", name);
    if (!record_load(repo->storage, object, "registration", REGISTRATION_VERSION, &record, err) ||
        !decode_registration(&record, &loaded, err))
        return error_context(err, "read registration %u of cluster \"%s\"", number, name);
    *cluster = loaded;
    return true;
}

static bool store_registration(const Cluster *cluster, Error *err)
{
    CLEANUP(text_freep)
    char *object = layout_registration(cluster->name, cluster->registration);
    CLEANUP(record_writer_done) RecordWriter record = {0};

    record_begin(&record, "registration", REGISTRATION_VERSION);
    record_text(&record, "cluster", cluster->name);
    record_u64(&record, "system_identifier", cluster->system_identifier);
    record_u64(&record, "major", cluster->major);
    record_u64(&record, "wal_segment_size", cluster->wal_segment_size);
    record_time(&record, "registered", cluster->registered_at);
    if (cluster->predecessor[0] != '\0')
        record_text(&record, "predecessor", cluster->predecessor);
    if (cluster->successor[0] != '\0') {
        record_text(&record, "successor", cluster->successor);
        record_u64(&record, "successor_identifier", cluster->successor_identifier);
    }
    record_text(&record, "host", process_host_name());
    record_text(&record, "tool", PGCAIRN_VERSION);
    return FAULT_POINT("registration.before-commit", err) &&
           record_store(&record, cluster->repo->storage, object, err) &&
           FAULT_POINT("registration.after-commit", err);
}

/* There is a registration already: the same is fine, another one is not. */
static bool compare_registration(Repo *repo, const Cluster *wanted, unsigned number,
                                 Cluster *cluster, Error *err)
{
    if (!load_registration(repo, wanted->name, number, cluster, err))
        return false;
    if (cluster->system_identifier == wanted->system_identifier &&
        cluster->major == wanted->major && cluster->wal_segment_size == wanted->wal_segment_size)
        return true;
    error_set(err, ERR_EXISTS,
              "cluster \"%s\" is registered as PostgreSQL %u with system identifier %" PRIu64
              ", this one is PostgreSQL %u with %" PRIu64,
              wanted->name, cluster->major, cluster->system_identifier, wanted->major,
              wanted->system_identifier);
    return error_hint(err, "choose another name for this cluster");
}

bool cluster_register(Repo *repo, const char *name, uint64_t system_identifier, unsigned major,
                      uint32_t wal_segment_size, Cluster *cluster, bool *created, Error *err)
{
    Cluster wanted = {
        .repo = repo,
        .system_identifier = system_identifier,
        .major = major,
        .wal_segment_size = wal_segment_size,
        .registration = 1,
        .registered_at = time_now(),
    };
    unsigned newest;

    if (!cluster_name_check(name, err))
        return false;
    snprintf(wanted.name, sizeof wanted.name, "%s", name);
    if (!find_newest(repo, name, &newest, err))
        return error_context(err, "register cluster \"%s\"", name);
    if (newest == 0) {
        if (store_registration(&wanted, err)) {
            *cluster = wanted;
            *created = true;
            return true;
        }
        if (err->code != ERR_EXISTS)
            return error_context(err, "register cluster \"%s\"", name);
        error_clear(err); /* somebody else was registering it at the same time */
        newest = 1;
    }
    CLEANUP(text_freep) char *object = layout_registration(name, newest);
    /* Who stored it may have died before it was durable. */
    if (!compare_registration(repo, &wanted, newest, cluster, err) ||
        !storage_sync(repo->storage, object, err))
        return error_context(err, "register cluster \"%s\"", name);
    *created = false;
    return true;
}

bool cluster_check_successor(const Cluster *old, const char *name, uint64_t system_identifier,
                             unsigned major, Error *err)
{
    if (system_identifier == old->system_identifier) {
        error_set(err, ERR_REFUSED,
                  "this server is cluster \"%s\" itself, with system identifier %" PRIu64
                  ": pg_upgrade makes a new one",
                  old->name, system_identifier);
        return error_hint(err, "name the directory of the upgraded server by --data");
    }
    if (major < old->major) {
        return error_set(err, ERR_REFUSED,
                         "this server is PostgreSQL %u, and \"%s\" is %u: no upgrade leads there",
                         major, old->name, old->major);
    }
    if (strcmp(name, old->name) == 0) {
        error_set(err, ERR_REFUSED, "an upgraded cluster needs another name than \"%s\"",
                  old->name);
        return error_hint(err, "its timelines begin at 1 again: --cluster=%.48s-%u --upgrade=%s",
                          old->name, major, old->name);
    }
    return strcmp(name, old->predecessor) != 0 ||
           error_set(err, ERR_REFUSED, "\"%s\" is what \"%s\" was before an upgrade", name,
                     old->name);
}

/* The same cluster with other links: what was registered stays, the highest number counts. */
static bool register_links(Cluster *cluster, const Cluster *linked, Error *err)
{
    Cluster next = *linked;

    if (next.registration >= REGISTRATIONS_MAX)
        return error_set(err, ERR_REFUSED, "cluster \"%s\" has no number left", next.name);
    next.registration++;
    next.registered_at = time_now();
    if (!store_registration(&next, err)) {
        return err->code == ERR_EXISTS
                   ? error_hint(err, "another program registers it as well: try again")
                   : false;
    }
    *cluster = next;
    return true;
}

static bool sync_registration(const Cluster *cluster, Error *err)
{
    CLEANUP(text_freep)
    char *object = layout_registration(cluster->name, cluster->registration);

    return storage_sync(cluster->repo->storage, object, err);
}

static bool link_predecessor(Cluster *successor, const Cluster *old, Error *err)
{
    Cluster linked = *successor;

    if (strcmp(successor->predecessor, old->name) == 0)
        return sync_registration(successor, err);
    if (successor->predecessor[0] != '\0') {
        return error_set(err, ERR_REFUSED, "\"%s\" was \"%s\" before its upgrade, not \"%s\"",
                         successor->name, successor->predecessor, old->name);
    }
    memcpy(linked.predecessor, old->name, sizeof linked.predecessor);
    return register_links(successor, &linked, err);
}

static bool link_successor(Cluster *old, const Cluster *successor, Error *err)
{
    Cluster linked = *old;

    if (strcmp(old->successor, successor->name) == 0 &&
        old->successor_identifier == successor->system_identifier)
        return sync_registration(old, err);
    memcpy(linked.successor, successor->name, sizeof linked.successor);
    linked.successor_identifier = successor->system_identifier;
    return register_links(old, &linked, err);
}

bool cluster_succeed(Cluster *old, Cluster *successor, Error *err)
{
    return (link_predecessor(successor, old, err) && link_successor(old, successor, err)) ||
           error_context(err, "note that \"%s\" became \"%s\"", old->name, successor->name);
}

bool cluster_hint_upgrade(const Cluster *cluster, uint64_t system_identifier, unsigned major,
                          Error *err)
{
    const bool is_successor =
        cluster->successor[0] != '\0' && system_identifier == cluster->successor_identifier;

    if (is_successor) {
        (void)error_hint(err,
                         "this is \"%s\" after pg_upgrade, which is called \"%s\" in the "
                         "repository: --cluster=%s",
                         cluster->name, cluster->successor, cluster->successor);
    } else if (major > cluster->major) {
        (void)error_hint(err,
                         "was \"%s\" upgraded? a new system identifier gets a name of its own: "
                         "`pgcairn init --cluster=%.48s-%u --upgrade=%s`, "
                         "and then that --cluster in its archive_command",
                         cluster->name, cluster->name, major, cluster->name);
    }
    return is_successor || major > cluster->major;
}

/* On the host that lost everything the name is what nobody knows. */
static bool hint_clusters(Repo *repo, Error *err)
{
    CLEANUP(object_list_done) ObjectList list = {0};
    CLEANUP(buffer_done) Buffer names = {0};
    Error unknown = {0}; /* then there is less to say */

    if (!repo_clusters(repo, &list, &unknown) || list.count == 0)
        return error_hint(err, "no cluster is registered in it: `pgcairn init` does that");
    for (size_t i = 0; i < list.count && i < CLUSTERS_SHOWN; i++)
        buffer_print(&names, "%s%s", i > 0 ? ", " : "", list.objects[i].name);
    return error_hint(err, "it holds %s%s: --cluster=%s", (const char *)names.data,
                      list.count > CLUSTERS_SHOWN ? " and more" : "", list.objects[0].name);
}

bool cluster_open(Repo *repo, const char *name, Cluster *cluster, Error *err)
{
    unsigned newest;

    if (!cluster_name_check(name, err))
        return false;
    if (!find_newest(repo, name, &newest, err))
        return error_context(err, "open cluster \"%s\"", name);
    if (newest == 0) {
        error_set(err, ERR_NOT_FOUND, "the repository at \"%s\" has no cluster \"%s\"",
                  storage_address(repo->storage), name);
        return hint_clusters(repo, err);
    }
    return load_registration(repo, name, newest, cluster, err);
}

bool cluster_check(const Cluster *cluster, uint64_t system_identifier, unsigned major,
                   const char *what, Error *err)
{
    if (cluster->system_identifier != system_identifier) {
        error_set(err, ERR_REFUSED,
                  "%s has system identifier %" PRIu64 ", but cluster \"%s\" in the repository has "
                  "%" PRIu64,
                  what, system_identifier, cluster->name, cluster->system_identifier);
    } else if (cluster->major != major) {
        error_set(err, ERR_REFUSED,
                  "%s is of PostgreSQL %u, but cluster \"%s\" in the repository is of %u", what,
                  major, cluster->name, cluster->major);
    } else {
        return true;
    }
    if (cluster_hint_upgrade(cluster, system_identifier, major, err))
        return false;
    return error_hint(err,
                      "this is another cluster than \"%s\": check --cluster and --data, or "
                      "register it under a name of its own with `pgcairn init --cluster=NAME`",
                      cluster->name);
}
