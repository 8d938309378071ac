#include "receive_marker.h"

#include "base/fault.h"
#include "receive/receive.h"
#include "repo/record.h"

#include <inttypes.h>

#define MARKER "receive-spool"

enum { MARKER_VERSION = 1 };

/* What the marker says, without which nothing can be received while the repository is away. */
typedef struct Marker {
    /* When its major is 0, the marker does not tell it, nor the repository's seed. */
    Cluster cluster;
    Repo repo;
} Marker;

static bool read_marker(const Record *record, Marker *marker, Error *err)
{
    Cluster *cluster = &marker->cluster;
    const char *id;
    const char *name;
    uint64_t segment_size;
    uint64_t major;

    *marker = (Marker){0};
    if (!record_get_text(record, "repository", &id, err) ||
        !record_get_text(record, "cluster", &name, err) ||
        !record_get_u64(record, "system_identifier", &cluster->system_identifier, err) ||
        !record_get_u64(record, "wal_segment_size", &segment_size, err))
        return false;
    if (strlen(id) >= sizeof marker->repo.id || strlen(name) >= sizeof cluster->name ||
        !wal_segment_size_is_valid(segment_size))
        return error_set(err, ERR_CORRUPT, "what it says of its cluster is impossible");
    memcpy(marker->repo.id, id, strlen(id) + 1);
    memcpy(cluster->name, name, strlen(name) + 1);
    cluster->wal_segment_size = (uint32_t)segment_size;
    if (record_find(record, "major") == NULL)
        return true; /* as it was made at first */
    if (!record_get_u64(record, "major", &major, err) ||
        !record_get_u64(record, "hash_seed", &marker->repo.hash_seed, err))
        return false;
    cluster->major = (unsigned)major;
    return (major > 0 && major <= 999) ||
           error_set(err, ERR_CORRUPT, "it names the impossible server version %" PRIu64, major);
}

bool receive_marker_is_same(const Cluster *a, const Cluster *b)
{
    return strcmp(a->name, b->name) == 0 && a->system_identifier == b->system_identifier &&
           a->wal_segment_size == b->wal_segment_size && a->major == b->major;
}

static bool check_marker(const Marker *marker, const Cluster *target, Error *err)
{
    const Cluster *cluster = &marker->cluster;
    Cluster said = *cluster;

    if (cluster->major == 0)
        said.major = target->major;
    if (strcmp(marker->repo.id, target->repo->id) == 0 && receive_marker_is_same(&said, target) &&
        (cluster->major == 0 || marker->repo.hash_seed == target->repo->hash_seed))
        return true;
    error_set(err, ERR_REFUSED,
              "it is the spool of cluster \"%s\" with system identifier %" PRIu64
              " for repository %s, and this is \"%s\" with %" PRIu64 " for %s",
              cluster->name, cluster->system_identifier, marker->repo.id, target->name,
              target->system_identifier, target->repo->id);
    return error_hint(err, "what it holds can go nowhere else; choose another --wal-spool");
}

static bool store_marker(Storage *storage, const Cluster *target, WriteMode mode, Error *err)
{
    CLEANUP(record_writer_done) RecordWriter record = {0};

    record_begin(&record, "spool", MARKER_VERSION);
    record_text(&record, "repository", target->repo->id);
    record_u64(&record, "hash_seed", target->repo->hash_seed);
    record_text(&record, "cluster", target->name);
    record_u64(&record, "system_identifier", target->system_identifier);
    record_u64(&record, "major", target->major);
    record_u64(&record, "wal_segment_size", target->wal_segment_size);
    record_finish(&record);
    return FAULT_POINT("spool.before-mark", err) &&
           storage_put(storage, MARKER, mode, record.text.data, record.text.size, err) &&
           FAULT_POINT("spool.after-mark", err);
}

/* A directory with anything else in it is not ours: it may be the repository itself. */
static bool spool_mark(Storage *storage, const Cluster *target, Error *err)
{
    CLEANUP(object_list_done) ObjectList list = {0};

    if (!storage_list_part(storage, &(ListRequest){.prefix = "", .limit = 1}, &list, err))
        return false;
    if (list.count > 0) {
        error_set(err, ERR_REFUSED, "it is not a spool, and holds \"%s\"", list.objects[0].name);
        return error_hint(err, "choose a directory that is empty, or does not exist");
    }
    return store_marker(storage, target, WRITE_NEW, err);
}

bool receive_marker_claim(Storage *storage, const Cluster *target, Error *err)
{
    CLEANUP(record_done) Record record = {0};
    Error attempt = {0};
    Marker marker;

    if (!record_load(storage, MARKER, "spool", MARKER_VERSION, &record, &attempt)) {
        if (attempt.code == ERR_NOT_FOUND)
            return spool_mark(storage, target, err);
        return error_pass(err, &attempt);
    }
    if (!read_marker(&record, &marker, err) || !check_marker(&marker, target, err))
        return false;
    return marker.cluster.major == 0 ? store_marker(storage, target, WRITE_REPLACE, err)
                                     : storage_sync(storage, MARKER, err);
}

bool archive_receive_recall(const char *directory, const char *name, Repo *repo, Cluster *cluster,
                            Error *err)
{
    CLEANUP(storage_freep)
    Storage *storage = storage_open(&(StorageSetup){.address = directory}, err);
    CLEANUP(record_done) Record record = {0};
    Marker marker;

    if (storage == NULL || !record_load(storage, MARKER, "spool", MARKER_VERSION, &record, err) ||
        !read_marker(&record, &marker, err))
        return error_context(err, "find out whose spool %s is", directory);
    if (strcmp(marker.cluster.name, name) != 0) {
        error_set(err, ERR_REFUSED, "%s is the spool of cluster \"%s\", and this is \"%s\"",
                  directory, marker.cluster.name, name);
        return error_hint(err, "what it holds can go nowhere else; choose another --wal-spool");
    }
    if (marker.cluster.major == 0) {
        return error_set(err, ERR_NOT_FOUND,
                         "the spool %s was last used by an older pgcairn, which did not note that",
                         directory);
    }
    memcpy(repo->id, marker.repo.id, sizeof repo->id);
    repo->hash_seed = marker.repo.hash_seed;
    *cluster = marker.cluster;
    cluster->repo = repo;
    return true;
}
