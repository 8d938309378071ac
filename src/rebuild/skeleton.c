#include "rebuild/skeleton.h"

#include "rebuild/held_places.h"
#include "rebuild/restored_file.h"

#include "postgres/data_directory.h"
#include "postgres/left_empty.h"

static bool skeleton_make_directory(HeldPath at, uint32_t mode, Error *err)
{
    FileAttributes attributes = {.mode = mode, .mtime = TIME_US_NONE};

    return held_make_directory(at, err) && file_attributes_set(at, &attributes, false, err);
}

static const PlannedTablespace *tablespace_of(const Placement *placement, const char *path)
{
    static const char prefix[] = "pg_tblspc/";

    if (strncmp(path, prefix, sizeof prefix - 1) != 0)
        return NULL;
    char *end;
    unsigned long oid = strtoul(path + sizeof prefix - 1, &end, 10);
    for (size_t i = 0; i < placement->tablespace_count; i++) {
        if (placement->tablespaces[i].oid == oid && *end == '\0')
            return &placement->tablespaces[i];
    }
    return NULL;
}

static bool make_link(const Placement *placement, const ManifestEntry *entry, Error *err)
{
    const PlannedTablespace *tablespace = tablespace_of(placement, entry->path);

    if (tablespace == NULL) {
        return error_set(err, ERR_CORRUPT, "link %s is not a tablespace of this backup",
                         entry->path);
    }
    const HeldPath at = held_places_of(placement, entry);
    return held_is_link_to(at, tablespace->path) || held_make_link(at, tablespace->path, err);
}

/* pg_wal and what is below it: backups leave it out, the server wants it. */
static bool make_wal_directories(const Placement *placement, unsigned major, Error *err)
{
    const char *const *names = data_wal_directories(major);
    const HeldDirectory *data = &placement->held->data;

    if (!skeleton_make_directory(held_at(data, "pg_wal"), placement->data_mode, err))
        return false;
    for (size_t i = 0; names[i] != NULL; i++) {
        if (!skeleton_make_directory(held_at(data, names[i]), placement->data_mode, err))
            return false;
    }
    return true;
}

bool skeleton_make(const Placement *placement, const Manifest *manifest, Error *err)
{
    for (size_t i = 0; i < manifest->entry_count; i++) {
        const ManifestEntry *entry = &manifest->entries[i];
        if (entry->kind == ENTRY_LINK && !make_link(placement, entry, err))
            return false;
        if (entry->kind != ENTRY_DIRECTORY)
            continue;
        if (!skeleton_make_directory(held_places_of(placement, entry), entry->mode, err))
            return false;
    }
    return make_wal_directories(placement, manifest->header.major, err);
}

static bool skeleton_make_hollow_file(HeldPath at, const ManifestEntry *entry, bool is_synced,
                                      Error *err)
{
    const FileAttributes attributes = {.mode = entry->mode, .mtime = entry->mtime};
    const char *name = strrchr(entry->path, '/');

    if (name != NULL && strcmp(name, "/PG_VERSION") == 0) {
        return restored_file_put(at, LEFT_EMPTY_VERSION, sizeof LEFT_EMPTY_VERSION - 1, &attributes,
                                 is_synced, err);
    }
    return restored_file_put_hollow(at, entry->size, &attributes, is_synced, err);
}

bool skeleton_make_hollow(const Placement *placement, const Manifest *manifest, bool is_synced,
                          Error *err)
{
    for (size_t i = 0; i < manifest->entry_count; i++) {
        const ManifestEntry *entry = &manifest->entries[i];
        if (entry->kind == ENTRY_HOLLOW &&
            !skeleton_make_hollow_file(held_places_of(placement, entry), entry, is_synced, err))
            return false;
    }
    return true;
}

/* Every backup lists pg_wal as a directory (backup/scan.c), so it is among them. */
bool skeleton_sync(const Placement *placement, const Manifest *manifest, Error *err)
{
    for (size_t i = 0; i < manifest->entry_count; i++) {
        const ManifestEntry *entry = &manifest->entries[i];
        if (entry->kind != ENTRY_DIRECTORY)
            continue;
        if (!held_sync(held_places_of(placement, entry), err))
            return false;
    }
    for (size_t i = 0; i < placement->tablespace_count; i++) {
        if (!file_sync_directory(placement->tablespaces[i].path, err) ||
            !file_sync_parent(placement->tablespaces[i].path, err))
            return false;
    }
    return true;
}
