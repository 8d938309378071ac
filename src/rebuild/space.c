#include "rebuild/space.h"

#include <errno.h>
#include <libgen.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum {
    BLOCK = 4096,
    WAL_SEGMENTS_HELD = 64, /* Replayed WAL is removed at restartpoints: max_wal_size is 1 GB. */
};

typedef struct Need {
    dev_t device;
    SpaceNeed told;
} Need;

typedef struct Needs {
    Need *items;
    size_t count;
    Arena *arena;
} Needs;

/* The file system that a path is on, or will be: that of its nearest parent. */
static bool need_of(Needs *needs, const char *path, Need **need, Error *err)
{
    char *place = arena_text(needs->arena, path);
    struct stat status;
    struct statvfs system;

    while (stat(place, &status) != 0) {
        if (errno != ENOENT || strcmp(place, "/") == 0)
            return error_set_errno(err, ERR_IO, errno, "look at %s", place);
        place = dirname(place);
    }
    for (size_t i = 0; i < needs->count; i++) {
        if (needs->items[i].device == status.st_dev) {
            *need = &needs->items[i];
            return true;
        }
    }
    if (statvfs(place, &system) != 0)
        return error_set_errno(err, ERR_IO, errno, "ask for free space at %s", place);
    *need = &needs->items[needs->count++];
    **need = (Need){.device = status.st_dev,
                    .told = {.place = place, .free = (uint64_t)system.f_bavail * system.f_frsize}};
    return true;
}

static const char *place_of(const Placement *placement, const ManifestEntry *entry)
{
    static const char prefix[] = "pg_tblspc/";

    if (entry->kind == ENTRY_EXTRA)
        return placement->extra_directory;
    if (strncmp(entry->path, prefix, sizeof prefix - 1) == 0) {
        unsigned long oid = strtoul(entry->path + sizeof prefix - 1, NULL, 10);
        for (size_t i = 0; i < placement->tablespace_count; i++) {
            if (placement->tablespaces[i].oid == oid)
                return placement->tablespaces[i].path;
        }
    }
    return placement->data;
}

static bool count_files(const RestorePlan *plan, Needs *needs, Error *err)
{
    const char *last_place = NULL;
    Need *need = NULL;

    for (size_t i = 0; i < plan->decision.manifest.entry_count; i++) {
        const ManifestEntry *entry = &plan->decision.manifest.entries[i];
        const char *place = place_of(&plan->placement, entry);
        if (place == NULL || entry->kind == ENTRY_LINK)
            continue;
        if (place != last_place && !need_of(needs, place, &need, err))
            return false;
        last_place = place;
        if (entry->kind == ENTRY_HOLLOW)
            continue;
        need->told.bytes +=
            entry->kind == ENTRY_DIRECTORY ? BLOCK : (entry->size + BLOCK - 1) / BLOCK * BLOCK;
    }
    return true;
}

static bool count_wal(const RestorePlan *plan, Needs *needs, Error *err)
{
    uint64_t segments = plan->decision.wal_segments < WAL_SEGMENTS_HELD
                            ? plan->decision.wal_segments
                            : WAL_SEGMENTS_HELD;
    Need *need;

    if (!need_of(needs, plan->placement.data, &need, err))
        return false;
    need->told.bytes += (segments + plan->old.local_wal_count + 2) *
                        plan->decision.manifest.header.wal_segment_size;
    return true;
}

static bool count_freed(const RestorePlan *plan, Needs *needs, Error *err)
{
    Need *need;

    if (!need_of(needs, plan->placement.data, &need, err))
        return false;
    need->told.freed += plan->old.bytes - (plan->old.wal_kept != NULL ? plan->old.wal_bytes : 0);
    for (size_t i = 0; i < plan->old.version_count; i++) {
        if (!need_of(needs, plan->old.versions[i], &need, err))
            return false;
        need->told.freed += plan->old.version_bytes[i];
    }
    return true;
}

/* Of each file system once. */
static bool space_count(const RestorePlan *plan, Needs *needs, Error *err)
{
    size_t most = plan->placement.tablespace_count + plan->old.version_count + 4;

    needs->items = arena_alloc(needs->arena, most * sizeof *needs->items);
    if (!count_files(plan, needs, err) || !count_wal(plan, needs, err))
        return false;
    return plan->old.replacement != OVERWRITES_OLD || count_freed(plan, needs, err);
}

bool space_list(const RestorePlan *plan, Arena *arena, SpaceNeed **needed, size_t *count,
                Error *err)
{
    Needs needs = {.arena = arena};

    if (!space_count(plan, &needs, err))
        return false;
    *needed = arena_alloc(arena, (needs.count + 1) * sizeof **needed);
    for (size_t i = 0; i < needs.count; i++)
        (*needed)[i] = needs.items[i].told;
    *count = needs.count;
    return true;
}

bool space_check(const RestorePlan *plan, Error *err)
{
    CLEANUP(arena_done) Arena arena = {0};
    SpaceNeed *needed;
    size_t count;

    if (!space_list(plan, &arena, &needed, &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        const uint64_t room = needed[i].free + needed[i].freed;
        if (needed[i].bytes <= room)
            continue;
        error_set(err, ERR_REFUSED, "the file system of %s has %llu MiB free, %llu MiB are needed",
                  needed[i].place, (unsigned long long)(room >> 20),
                  (unsigned long long)(needed[i].bytes >> 20));
        return error_hint(err, "make room, or put tablespaces elsewhere with --tablespace");
    }
    return true;
}
