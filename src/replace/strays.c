#include "replace/strays.h"

#include "pack/backed_up_file.h"
#include "rebuild/plan_entry.h"

#include "base/tree.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Strays {
    const RestorePlan *plan;
    /* The paths in the manifest begin with it: "pg_tblspc/16384/PG_15_202209061/". */
    const char *prefix;
    bool is_data;
    uint64_t *count;
} Strays;

/* It is compared, and replaced where it differs; what a restore that did not end had of it may not
 * be on the disk. */
static bool is_stock_manifest(const Strays *strays, const TreeEntry *entry)
{
    return strays->plan->old.state == DATA_CLUSTER && strcmp(entry->name, "backup_manifest") == 0 &&
           S_ISREG(entry->found.st_mode) && entry->found.st_nlink == 1 &&
           entry->found.st_uid == geteuid() && entry->found.st_gid == getegid();
}

/* What belongs to the file system, what says that a restore is at work, and WAL of earlier ones. */
static bool stays_anyway(const Strays *strays, const TreeEntry *entry)
{
    return strays->is_data && strchr(entry->below, '/') == NULL &&
           (strcmp(entry->name, "lost+found") == 0 ||
            strcmp(entry->name, RESTORE_MARKER_FILE) == 0 || is_stock_manifest(strays, entry) ||
            strncmp(entry->name, KEPT_WAL_INSIDE, strlen(KEPT_WAL_INSIDE)) == 0);
}

/* One that leads to where the tablespace will be. */
static bool is_right_link(const Strays *strays, const TreeEntry *entry, const char *path)
{
    const Placement *placement = &strays->plan->placement;
    const unsigned long oid = strtoul(path + strlen("pg_tblspc/"), NULL, 10);
    char target[PATH_MAX];
    const ssize_t size = readlinkat(entry->directory, entry->name, target, sizeof target);

    for (size_t i = 0; size > 0 && i < placement->tablespace_count; i++) {
        const PlannedTablespace *tablespace = &placement->tablespaces[i];
        if (tablespace->oid == oid) {
            return strlen(tablespace->path) == (size_t)size &&
                   memcmp(tablespace->path, target, (size_t)size) == 0;
        }
    }
    return false;
}

static bool stray_belongs(const Strays *strays, const TreeEntry *entry)
{
    CLEANUP(text_freep) char *path = text_format("%s%s", strays->prefix, entry->below);
    const ManifestEntry *wanted = backed_up_entry_find(&strays->plan->decision.manifest, path);
    const mode_t mode = entry->found.st_mode;

    if (wanted == NULL)
        return false;
    switch (wanted->kind) {
    case ENTRY_FILE:
        return S_ISREG(mode) && plan_entry_is_written(wanted);
    case ENTRY_DIRECTORY:
        return S_ISDIR(mode) && entry->found.st_uid == geteuid() &&
               entry->found.st_gid == getegid();
    case ENTRY_LINK:
        return S_ISLNK(mode) && is_right_link(strays, entry, path);
    case ENTRY_EXTRA:
    case ENTRY_HOLLOW: /* what is there makes way for an empty one */
        return false;
    }
    return false;
}

/* Its mode is set later; until then what is in it can be replaced. */
static bool strays_open_up(const TreeEntry *entry, Error *err)
{
    const mode_t mode = entry->found.st_mode & 07777;

    return !S_ISDIR(entry->found.st_mode) || (mode & 0700) == 0700 ||
           fchmodat(entry->directory, entry->name, mode | 0700, 0) == 0 ||
           error_set_errno(err, ERR_IO, errno, "set the mode of %s", entry->path);
}

static bool strays_look_at(void *context, const TreeEntry *entry, bool *descends, Error *err)
{
    Strays *strays = context;

    if (stays_anyway(strays, entry)) {
        *descends = false;
        return true;
    }
    if (stray_belongs(strays, entry))
        return strays_open_up(entry, err);
    *descends = false;
    (*strays->count)++;
    return tree_remove_entry(entry, err);
}

static bool remove_from(const HeldDirectory *directory, Strays strays, Error *err)
{
    const TreeVisitor visitor = {.before = strays_look_at, .context = &strays};

    return tree_walk_in(directory, &visitor, err);
}

static bool remove_from_version(const RestorePlan *plan, const PlannedTablespace *tablespace,
                                uint64_t *count, Error *err)
{
    CLEANUP(held_done) HeldDirectory version = HELD_NONE;
    CLEANUP(text_freep)
    char *prefix =
        text_format("pg_tblspc/%u/%s/", tablespace->oid, strrchr(tablespace->version, '/') + 1);

    return held_open(&version, tablespace->version, err) &&
           remove_from(&version, (Strays){.plan = plan, .prefix = prefix, .count = count}, err);
}

static const PlannedTablespace *gone_over(const Placement *placement, const char *version)
{
    for (size_t i = 0; i < placement->tablespace_count; i++) {
        if (placement->tablespaces[i].is_gone_over &&
            strcmp(placement->tablespaces[i].version, version) == 0)
            return &placement->tablespaces[i];
    }
    return NULL;
}

/* Before the links that lead there. */
static bool remove_from_versions(const RestorePlan *plan, uint64_t *count, Error *err)
{
    for (size_t i = 0; i < plan->old.version_count; i++) {
        const char *version = plan->old.versions[i];
        const PlannedTablespace *tablespace = gone_over(&plan->placement, version);

        if (tablespace != NULL) {
            if (!remove_from_version(plan, tablespace, count, err))
                return false;
            continue;
        }
        (*count)++;
        if (!tree_remove(version, err))
            return false;
    }
    return true;
}

bool strays_remove(const RestorePlan *plan, const HeldDirectory *data, uint64_t *count, Error *err)
{
    const Strays strays = {.plan = plan, .prefix = "", .is_data = true, .count = count};

    return remove_from_versions(plan, count, err) && remove_from(data, strays, err);
}
