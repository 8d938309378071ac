#include "restore_parts.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "postgres/data_directory.h"
#include "walk/wal_scan.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

static bool has_content(const char *path, bool *has, Error *err)
{
    CLEANUP(directory_done) DIR *list = opendir(path);

    *has = false;
    if (list == NULL && errno == ENOENT)
        return true;
    if (list == NULL)
        return error_set_errno(err, ERR_IO, errno, "list %s", path);
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(list);
        if (entry == NULL)
            break;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            *has = true;
    }
    return errno == 0 || error_set_errno(err, ERR_IO, errno, "list %s", path);
}

/* This restore moves it away or removes it before the server starts. */
static bool is_cleared(const RestorePlan *plan, const char *version)
{
    CLEANUP(text_freep) char *real = realpath(version, NULL);

    for (size_t i = 0; real != NULL && i < plan->old.version_count; i++) {
        if (strcmp(plan->old.versions[i], real) == 0)
            return true;
    }
    return false;
}

static bool check_tablespace(void *context, uint32_t oid, const char *path, Error *err)
{
    const RestorePlan *plan = context;
    char directory[TABLESPACE_DIRECTORY_SIZE];
    bool is_used;

    if (path[0] != '/')
        return true; /* inside the data directory */
    tablespace_directory_text(plan->decision.manifest.header.major, directory);
    CLEANUP(text_freep) char *version = text_format("%s/%s", path, directory);
    if (!has_content(version, &is_used, err))
        return false;
    if (!is_used || is_cleared(plan, version))
        return true;
    error_set(err, ERR_REFUSED,
              "replay would create tablespace %u at %s, which is in use: the restored server would "
              "write into %s",
              oid, path, version);
    return error_hint(err,
                      "restore on another host; or take a new backup, whose tablespaces can be "
                      "put elsewhere, and restore that");
}

/* A container has a host name of its own, and the boot id of the machine. */
static bool is_host_of(const ManifestHeader *header)
{
    return strcmp(header->host, process_host_name()) == 0 ||
           (*header->boot_id != '\0' && strcmp(header->boot_id, process_boot_id()) == 0);
}

/*
 * A tablespace that was created after the backup is created anew by replay, at the very location
 * that the WAL names, and the server takes it as it is, in use or not (tablespace.c,
 * create_tablespace_directories: only outside recovery that is an error). Beside the original that
 * is the original's tablespace, with the same file names in it. So it is looked at where the
 * original is, or was.
 */
bool restore_check_places(const RestoreStory *story, Error *err)
{
    const RestorePlan *plan = &story->plan;
    CLEANUP(wal_inventory_done) WalInventory inventory = {0};
    WalWalk walk = {.cluster = story->cluster,
                    .inventory = &inventory,
                    .path = &plan->decision.path,
                    .from = plan->decision.manifest.header.start,
                    .to = plan->decision.point.replay_end,
                    .threads = story->request->jobs};

    if (!is_host_of(&plan->decision.manifest.header))
        return true;
    return (wal_inventory_load(&inventory, story->cluster, err) &&
            wal_scan_tablespaces(&walk, check_tablespace, (void *)plan, err)) ||
           error_context(err, "look for tablespaces in the WAL to be replayed");
}
