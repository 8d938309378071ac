#include "plan_entry.h"

#include <grp.h>
#include <pwd.h>

/* What a restore writes itself, or what must not come back from a backup (pg-facts 7.1). */
static const char *const own_files[] = {
    "backup_label",    "tablespace_map",    "recovery.signal",  "standby.signal",
    "backup_manifest", RESTORE_MARKER_FILE, "pgcairn.recovery", "postmaster.pid",
};

bool plan_entry_is_written(const ManifestEntry *entry)
{
    if (entry->kind != ENTRY_FILE)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(own_files); i++) {
        if (strcmp(entry->path, own_files[i]) == 0)
            return false;
    }
    return true;
}

char *plan_entry_path(const RestorePlan *plan, const ManifestEntry *entry)
{
    const char *root = entry->kind == ENTRY_EXTRA ? plan->extra_directory : plan->data;
    const char *path = entry->path;

    while (*path == '/')
        path++;
    if (*path == '\0' || strcmp(path, ".") == 0)
        return text_format("%s", root);
    return text_format("%s/%s", root, path);
}

/* getpwnam(3) for one name after another is slow with a directory service behind it: all files of a
 * cluster have the same owner but for a few, so the plan's own is compared first. */
void plan_entry_owner(const RestorePlan *plan, const ManifestEntry *entry, uid_t *uid, gid_t *gid)
{
    *uid = plan->uid;
    *gid = plan->gid;
    if (plan->uid == (uid_t)-1 || entry->owner == NULL || entry->group == NULL ||
        (strcmp(entry->owner, plan->owner) == 0 && strcmp(entry->group, plan->group) == 0))
        return;
    struct passwd record, *found = NULL;
    struct group group_record, *group = NULL;
    CLEANUP(buffer_done) Buffer space = {0};
    buffer_reserve(&space, 64 << 10);
    if (getpwnam_r(entry->owner, &record, (char *)space.data, space.capacity, &found) == 0 &&
        found != NULL)
        *uid = found->pw_uid;
    if (getgrnam_r(entry->group, &group_record, (char *)space.data, space.capacity, &group) == 0 &&
        group != NULL)
        *gid = group->gr_gid;
}
