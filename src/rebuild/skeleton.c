#include "rebuild/skeleton.h"

#include "rebuild/extra_place.h"
#include "rebuild/plan_entry.h"
#include "rebuild/restored_file.h"

#include "base/fault.h"
#include "base/file.h"
#include "postgres/data_directory.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIRECTORY_MODE = 0700, PARENT_MODE = 0755 };

static bool make_directory(const char *path, uint32_t mode, Error *err)
{
    if (mkdir(path, DIRECTORY_MODE) != 0 && errno != EEXIST)
        return error_set_errno(err, ERR_IO, errno, "create directory %s", path);
    FileAttributes attributes = {.mode = mode, .mtime = TIME_US_NONE};
    return file_attributes_set(path, &attributes, false, err);
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

/* A place of our own, with the parents that are missing. */
static bool make_place(const char *path, uint32_t mode, Error *err)
{
    CLEANUP(text_freep) char *parent = text_format("%s", path);

    char *slash = strrchr(parent, '/');
    if (slash != NULL && slash != parent) {
        *slash = '\0';
        if (!file_make_directories(parent, PARENT_MODE, err))
            return false;
    }
    if (mkdir(path, DIRECTORY_MODE) != 0) {
        /* What was there before keeps its owner: it may hold other servers' directories. */
        if (errno == EEXIST)
            return true;
        return error_set_errno(err, ERR_IO, errno, "create directory %s", path);
    }
    if (!FAULT_POINT("restore.after-make-place", err))
        return false;
    FileAttributes attributes = {.mode = mode, .mtime = TIME_US_NONE};
    return file_attributes_set(path, &attributes, false, err); /* synced at the end, as all is */
}

bool skeleton_make_places(const RestorePlan *plan, Error *err)
{
    FileAttributes attributes = {.mode = plan->data_mode, .mtime = TIME_US_NONE};

    if (!make_place(plan->data, plan->data_mode, err) ||
        !file_attributes_set(plan->data, &attributes, false, err))
        return false;
    for (size_t i = 0; i < plan->tablespace_count; i++) {
        if (!make_place(plan->tablespaces[i].path, DIRECTORY_MODE, err))
            return false;
    }
    return plan->extra_directory == NULL || extra_place_make(plan, err);
}

static bool make_link(const RestorePlan *plan, const ManifestEntry *entry, Error *err)
{
    const PlannedTablespace *tablespace = tablespace_of(plan, entry->path);
    CLEANUP(text_freep) char *link = plan_entry_path(plan, entry);

    if (tablespace == NULL)
        return error_set(err, ERR_CORRUPT, "link %s is not a tablespace of this backup",
                         entry->path);
    if (symlink(tablespace->path, link) != 0)
        return error_set_errno(err, ERR_IO, errno, "create link %s", link);
    return true;
}

/* pg_wal and what is below it: backups leave it out, the server wants it. */
static bool make_wal_directories(const RestorePlan *plan, Error *err)
{
    const char *const *names = data_wal_directories(plan->manifest.header.major);
    CLEANUP(text_freep) char *wal = text_format("%s/pg_wal", plan->data);

    if (!make_directory(wal, plan->data_mode, err))
        return false;
    for (size_t i = 0; names[i] != NULL; i++) {
        CLEANUP(text_freep) char *path = text_format("%s/%s", plan->data, names[i]);
        if (!make_directory(path, plan->data_mode, err))
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
        CLEANUP(text_freep) char *path = plan_entry_path(plan, entry);
        if (!make_directory(path, entry->mode, err))
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
        CLEANUP(text_freep) char *path = plan_entry_path(plan, entry);
        if (!file_sync_directory(path, err))
            return false;
    }
    for (size_t i = 0; i < plan->tablespace_count; i++) {
        if (!file_sync_directory(plan->tablespaces[i].path, err) ||
            !file_sync_parent(plan->tablespaces[i].path, err))
            return false;
    }
    return true;
}
