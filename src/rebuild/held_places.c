#include "rebuild/held_places.h"

#include "base/fault.h"
#include "base/memory.h"
#include "rebuild/empty_directory.h"
#include "rebuild/extra_place.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

/* Beside what is held: the repository, the files that are written, the standard ones. */
enum { OTHER_DESCRIPTORS = 256 };

static bool set_mode(const HeldDirectory *held, mode_t mode, Error *err)
{
    return fchmod(held->fd, mode) == 0 ||
           error_set_errno(err, ERR_IO, errno, "set the mode of %s", held->path);
}

bool held_places_make_data(HeldPlaces *held, const Placement *placement, Error *err)
{
    bool is_new;

    /* Synced at the end, as all is. */
    return held_make(&held->data, placement->data, &is_new, err) &&
           (!is_new || FAULT_POINT("restore.after-make-place", err)) &&
           set_mode(&held->data, placement->data_mode, err);
}

/* Few hosts have so many, but none of theirs may be left without one. */
static bool make_room(size_t count, Error *err)
{
    struct rlimit limit;
    rlim_t needed = count + OTHER_DESCRIPTORS;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        limit.rlim_cur >= needed)
        return true;
    limit.rlim_cur = needed < limit.rlim_max ? needed : limit.rlim_max;
    if (limit.rlim_cur >= needed && setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return true;
    error_set(err, ERR_REFUSED, "%zu tablespaces: a process may have %llu files open here", count,
              (unsigned long long)limit.rlim_max);
    return error_hint(err, "raise the limit: ulimit -n %llu", (unsigned long long)needed);
}

/*
 * Between the plan and now somebody may have put another directory there. Its place may belong to
 * somebody else, as the root of a mount does; it itself is ours.
 */
static bool check_version(const PlannedTablespace *tablespace, const HeldDirectory *version,
                          Error *err)
{
    struct stat status;
    bool is_empty;

    if (fstat(version->fd, &status) != 0)
        return error_set_errno(err, ERR_IO, errno, "look at %s", version->path);
    if (status.st_uid != geteuid())
        return error_set(err, ERR_REFUSED, "%s belongs to another user", version->path);
    if (tablespace->is_gone_over)
        return true;
    if (!directory_is_empty_fd(version->fd, version->path, &is_empty, err))
        return false;
    return is_empty || error_set(err, ERR_REFUSED, "%s is not empty any more", version->path);
}

/* What was there before keeps its mode: it may hold other servers' directories. */
static bool make_version(const PlannedTablespace *tablespace, HeldDirectory *version, Error *err)
{
    CLEANUP(held_done) HeldDirectory location = HELD_NONE;
    HeldPath at = held_at(&location, strrchr(tablespace->version, '/') + 1);
    bool is_new;

    return held_make(&location, tablespace->path, &is_new, err) &&
           (!is_new || FAULT_POINT("restore.after-make-place", err)) &&
           held_make_directory(at, err) && held_open_below(version, at, err) &&
           check_version(tablespace, version, err);
}

static bool begin_versions(HeldPlaces *held, const Placement *placement, Error *err)
{
    held->versions = mem_alloc((placement->tablespace_count + 1) * sizeof *held->versions);
    return make_room(placement->tablespace_count, err);
}

static bool make_versions(HeldPlaces *held, const Placement *placement, Error *err)
{
    if (!begin_versions(held, placement, err))
        return false;
    for (size_t i = 0; i < placement->tablespace_count; i++) {
        held->versions[i] = HELD_NONE;
        held->version_count++;
        if (!make_version(&placement->tablespaces[i], &held->versions[i], err))
            return false;
    }
    return true;
}

bool held_places_make_others(HeldPlaces *held, const Placement *placement, Error *err)
{
    return make_versions(held, placement, err) &&
           (placement->extra_directory == NULL || extra_place_make(placement, &held->extra, err));
}

static bool open_if_there(HeldDirectory *held, const char *path, Error *err)
{
    if (held_open(held, path, err))
        return true;
    if (err->code != ERR_NOT_FOUND)
        return false;
    error_clear(err);
    return true;
}

bool held_places_open(HeldPlaces *held, const Placement *placement, Error *err)
{
    if (!begin_versions(held, placement, err) || !open_if_there(&held->data, placement->data, err))
        return false;
    for (size_t i = 0; i < placement->tablespace_count; i++) {
        held->versions[i] = HELD_NONE;
        held->version_count++;
        if (!open_if_there(&held->versions[i], placement->tablespaces[i].version, err))
            return false;
    }
    return true;
}

bool held_places_are_in_place(const HeldPlaces *held, Error *err)
{
    for (size_t i = 0; i < held->version_count; i++) {
        if (!held_is_in_place(&held->versions[i], err))
            return false;
    }
    return held_is_in_place(&held->data, err);
}

/* They are in the order of their oids (manifest_check.c). */
static const PlannedTablespace *find_tablespace(const Placement *placement, unsigned long oid)
{
    size_t low = 0, high = placement->tablespace_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (placement->tablespaces[middle].oid == oid)
            return &placement->tablespaces[middle];
        if (placement->tablespaces[middle].oid < oid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

/*
 * "pg_tblspc/16384/PG_15_202209061/5/1259": the version directory, and what follows it. One without
 * a link, in the data directory itself (allow_in_place_tablespaces), is not among those that were
 * planned.
 */
static HeldPath of_cluster(const Placement *placement, const char *path)
{
    static const char prefix[] = "pg_tblspc/";
    const size_t size = sizeof prefix - 1;
    const HeldPath in_data = held_at(&placement->held->data, *path != '\0' ? path : ".");
    char *rest;

    if (strncmp(path, prefix, size) != 0)
        return in_data;
    const PlannedTablespace *tablespace =
        find_tablespace(placement, strtoul(path + size, &rest, 10));
    if (tablespace == NULL || *rest != '/')
        return in_data;
    const char *name = strrchr(tablespace->version, '/') + 1;
    const char *below = rest + 1 + strlen(name);
    if (strncmp(rest + 1, name, strlen(name)) != 0 || (*below != '\0' && *below != '/'))
        return in_data; /* through its link: refused when it is opened */
    return held_at(&placement->held->versions[tablespace - placement->tablespaces],
                   *below == '/' ? below + 1 : ".");
}

/* A file from outside has the path that it had; put back, it goes below what is held of that. */
static HeldPath of_extra(const Placement *placement, const char *path)
{
    if (placement->puts_back)
        path += strlen(placement->debian_directory);
    while (*path == '/')
        path++;
    return held_at(&placement->held->extra, path);
}

HeldPath held_places_of(const Placement *placement, const ManifestEntry *entry)
{
    return entry->kind == ENTRY_EXTRA ? of_extra(placement, entry->path)
                                      : of_cluster(placement, entry->path);
}

void held_places_done(HeldPlaces *held)
{
    held_done(&held->data);
    held_done(&held->extra);
    for (size_t i = 0; i < held->version_count; i++)
        held_done(&held->versions[i]);
    mem_free(held->versions);
    held->versions = NULL;
    held->version_count = 0;
}
