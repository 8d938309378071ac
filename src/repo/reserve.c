#include "repo/reserve.h"

#include "base/log.h"
#include "base/random.h"
#include "repo/layout.h"

/* With less room than this a part would only take it from WAL that waits for it. */
static const uint64_t ROOM_LEAST = (uint64_t)16 << 20;

static bool reserve_list(const Cluster *cluster, ObjectList *parts, Error *err)
{
    CLEANUP(text_freep) char *prefix = layout_reserve_prefix(cluster->name);

    return storage_list(cluster->repo->storage, prefix, parts, err);
}

static char *reserve_part(const Cluster *cluster, unsigned number)
{
    CLEANUP(text_freep) char *prefix = layout_reserve_prefix(cluster->name);

    return text_format("%s%02u", prefix, number);
}

/* Random bytes: a file system that compresses would keep no room for zeros. */
static bool reserve_store_part(const Cluster *cluster, const char *name, Error *err)
{
    uint8_t bytes[RESERVE_PART_SIZE];

    if (!random_bytes(bytes, sizeof bytes, err))
        return false;
    if (storage_put(cluster->repo->storage, name, WRITE_NEW, bytes, sizeof bytes, err))
        return true;
    if (err->code != ERR_EXISTS)
        return false;
    error_clear(err);
    return true;
}

static bool reserve_complete(const Cluster *cluster, Error *err)
{
    CLEANUP(object_list_done) ObjectList parts = {0};
    StorageRoom room;

    if (!storage_room(cluster->repo->storage, &room, err))
        return false;
    if (room.free_bytes < ROOM_LEAST)
        return true;
    if (!reserve_list(cluster, &parts, err))
        return false;
    for (unsigned number = 0, at = 0; number < RESERVE_PARTS; number++) {
        CLEANUP(text_freep) char *name = reserve_part(cluster, number);

        if (at < parts.count && strcmp(parts.objects[at].name, name) == 0) {
            at++;
        } else if (!reserve_store_part(cluster, name, err)) {
            return false;
        }
    }
    return true;
}

void reserve_fill(const Cluster *cluster)
{
    Error problem = {0};

    if (!reserve_complete(cluster, &problem))
        log_debug("the reserve was not filled", log_str("error", problem.message));
}

static bool reserve_give_up_part(void *context)
{
    const Cluster *cluster = context;
    CLEANUP(object_list_done) ObjectList parts = {0};
    Error problem = {0};

    if (!reserve_list(cluster, &parts, &problem) || parts.count == 0)
        return false;
    const char *last = parts.objects[parts.count - 1].name;
    if (!storage_remove(cluster->repo->storage, last, &problem))
        return false;
    log_debug("a part of the reserve was given up", log_str("name", last));
    return true;
}

void reserve_use(const Cluster *cluster)
{
    storage_when_full(cluster->repo->storage, reserve_give_up_part, (void *)cluster);
}
