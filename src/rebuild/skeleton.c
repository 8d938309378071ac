#include "rebuild/skeleton.h"

#include "rebuild/held_places.h"
#include "rebuild/restored_file.h"

#include "postgres/data_directory.h"

static bool make_directory(HeldPath at, uint32_t mode, Error *err)
{
    FileAttributes attributes = {.mode = mode, .mtime = TIME_US_NONE};

    return held_make_directory(at, err) && file_attributes_set(at, &attributes, false, err);
}

static const PlannedTablespace *tablespace_of(const RestorePlan *plan, const char *path)
{
    static const char prefix[] = "pg_tblspc/";

    if (strncmp(path, prefix, sizeof prefix - 1) != 0)
        return NULL;
    char *end;
    unsigned long oid = strtoul(path + sizeof prefix - 1, &end, 10);
    for (size_t i = 0; i < plan->tablespace_count; i++) {
        if (plan->tablespaces[i].oid == oid && *end == '\0')
            return &plan->tablespaces[i];
    }
    return NULL;
}

static bool make_link(const RestorePlan *plan, const ManifestEntry *entry, Error *err)
{
    const PlannedTablespace *tablespace = tablespace_of(plan, entry->path);

    if (tablespace == NULL) {
        return error_set(err, ERR_CORRUPT, "link %s is not a tablespace of this backup",
                         entry->path);
    }
    return held_make_link(held_places_of(plan, entry), tablespace->path, err);
}

/* pg_wal and what is below it: backups leave it out, the server wants it. */
static bool make_wal_directories(const RestorePlan *plan, Error *err)
{
    const char *const *names = data_wal_directories(plan->manifest.header.major);
    const HeldDirectory *data = &plan->held->data;

    if (!make_directory(held_at(data, "pg_wal"), plan->data_mode, err))
        return false;
    for (size_t i = 0; names[i] != NULL; i++) {
        if (!make_directory(held_at(data, names[i]), plan->data_mode, err))
            return false;
    }
    return true;
}

bool skeleton_make(const RestorePlan *plan, Error *err)
{
    const Manifest *manifest = &plan->manifest;

    for (size_t i = 0; i < manifest->entry_count; i++) {
        const ManifestEntry *entry = &manifest->entries[i];
        if (entry->kind == ENTRY_LINK && !make_link(plan, entry, err))
            return false;
        if (entry->kind != ENTRY_DIRECTORY)
            continue;
        if (!make_directory(held_places_of(plan, entry), entry->mode, err))
            return false;
    }
    return make_wal_directories(plan, err);
}

/* Every backup lists pg_wal as a directory (backup/scan.c), so it is among them. */
bool skeleton_sync(const RestorePlan *plan, Error *err)
{
    const Manifest *manifest = &plan->manifest;

    for (size_t i = 0; i < manifest->entry_count; i++) {
        const ManifestEntry *entry = &manifest->entries[i];
        if (entry->kind != ENTRY_DIRECTORY)
            continue;
        if (!held_sync(held_places_of(plan, entry), err))
            return false;
    }
    for (size_t i = 0; i < plan->tablespace_count; i++) {
        if (!file_sync_directory(plan->tablespaces[i].path, err) ||
            !file_sync_parent(plan->tablespaces[i].path, err))
            return false;
    }
    return true;
}
