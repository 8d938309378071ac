#include "replace/occupied.h"

#include "rebuild/marker.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/tree.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONTROL_ASIDE "global/pg_control.pgcairn-old"

static bool rename_durably(const char *from, const char *to, Error *err)
{
    if (!FAULT_POINT("restore.before-rename", err))
        return false;
    if (rename(from, to) != 0)
        return error_set_errno(err, ERR_IO, errno, "rename %s to %s", from, to);
    if (!FAULT_POINT("restore.after-rename", err))
        return false;
    return file_sync_parent(to, err) && file_sync_parent(from, err);
}

static bool take_control_away(const RestorePlan *plan, Error *err)
{
    CLEANUP(text_freep) char *control = text_format("%s/global/pg_control", plan->data);
    CLEANUP(text_freep) char *aside = text_format("%s/" CONTROL_ASIDE, plan->data);

    if (!file_exists(control))
        return true;
    return rename_durably(control, aside, err);
}

/* ---- renamed -----------------------------------------------------------------------------
 */

/* Not in a directory that an earlier restore had begun to empty. */
static bool give_control_back(const char *data, Error *err)
{
    CLEANUP(text_freep) char *control = text_format("%s/global/pg_control", data);
    CLEANUP(text_freep) char *aside = text_format("%s/" CONTROL_ASIDE, data);
    CLEANUP(text_freep) char *marker = text_format("%s/" RESTORE_MARKER_FILE, data);

    if (file_exists(control) || !file_exists(aside) || file_exists(marker))
        return true;
    return rename_durably(aside, control, err);
}

static bool move_versions(const RestorePlan *plan, Error *err)
{
    for (size_t i = 0; i < plan->old_version_count; i++) {
        CLEANUP(text_freep)
        char *kept = text_format("%s.pgcairn-%s", plan->old_versions[i], plan->stamp);
        if (!rename_durably(plan->old_versions[i], kept, err))
            return false;
    }
    return true;
}

/*
 * Without tablespaces it is one rename. With some, their version directories go first, since what
 * is left of them in their places would be in the way of the next run; meanwhile the directory,
 * which could be started without them, has no pg_control.
 */
static bool move_aside(const RestorePlan *plan, Error *err)
{
    if (plan->old_version_count > 0 && !take_control_away(plan, err))
        return false;
    if (!FAULT_POINT("restore.before-move-aside", err))
        return false;
    return move_versions(plan, err) && FAULT_POINT("restore.tablespaces-aside", err) &&
           rename_durably(plan->data, plan->moved_to, err) &&
           FAULT_POINT("restore.after-move-aside", err) && give_control_back(plan->moved_to, err);
}

/* ---- removed ----------------------------------------------------------------------------------
 */

static bool is_link(const char *path)
{
    struct stat status;

    return lstat(path, &status) == 0 && S_ISLNK(status.st_mode);
}

/* What a link leads to stays where it is. */
static bool keep_wal(const char *data, const RestorePlan *plan, Error *err)
{
    CLEANUP(text_freep) char *wal = text_format("%s/pg_wal", data);

    if (plan->wal_kept == NULL || !file_exists(wal) || is_link(wal))
        return true;
    return rename_durably(wal, plan->wal_kept, err);
}

static bool is_kept_wal(const char *name)
{
    return strncmp(name, KEPT_WAL_INSIDE, strlen(KEPT_WAL_INSIDE)) == 0;
}

/* What belongs to the file system, what says that a restore is at work, and WAL of earlier ones. */
static bool stays(const char *name)
{
    return strcmp(name, "lost+found") == 0 || strcmp(name, RESTORE_MARKER_FILE) == 0 ||
           is_kept_wal(name);
}

static bool remove_old(const RestorePlan *plan, Error *err)
{
    for (size_t i = 0; i < plan->old_version_count; i++) {
        if (!tree_remove(plan->old_versions[i], err))
            return false;
    }
    return tree_empty(plan->data, stays, err); /* synced with what comes into it */
}

bool occupied_clear(const RestorePlan *plan, Error *err)
{
    if (!plan->occupied)
        return true;
    if (plan->replacement != REMOVES_OLD_FIRST)
        return move_aside(plan, err);
    /*
     * The marker comes first, so that a directory without pg_control always says what it is; from
     * the rename on no server starts here.
     */
    return marker_save(plan, plan->has_new_wal, err) && FAULT_POINT("restore.after-marker", err) &&
           take_control_away(plan, err) && FAULT_POINT("restore.control-away", err) &&
           keep_wal(plan->data, plan, err) && FAULT_POINT("restore.wal-kept", err) &&
           remove_old(plan, err);
}

/* ---- removed last -----------------------------------------------------------------------------
 */

/* WAL that an earlier restore could only keep in the directory itself. */
static bool bring_out_wal(const RestorePlan *plan, Error *err)
{
    CLEANUP(directory_done) DIR *list = opendir(plan->moved_to);

    if (list == NULL)
        return error_set_errno(err, ERR_IO, errno, "list %s", plan->moved_to);
    for (const struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
        if (!is_kept_wal(entry->d_name))
            continue;
        CLEANUP(text_freep) char *from = text_format("%s/%s", plan->moved_to, entry->d_name);
        CLEANUP(text_freep)
        char *to = text_format("%s.pgcairn-pg_wal-%s", plan->data,
                               entry->d_name + strlen(KEPT_WAL_INSIDE));
        if (!rename_durably(from, to, err))
            return false;
    }
    return true;
}

/* What is said to be gone stays gone. */
static bool remove_durably(const char *path, Error *err)
{
    return tree_remove(path, err) && file_sync_parent(path, err);
}

static bool remove_moved(const RestorePlan *plan, Error *err)
{
    for (size_t i = 0; i < plan->old_version_count; i++) {
        CLEANUP(text_freep)
        char *kept = text_format("%s.pgcairn-%s", plan->old_versions[i], plan->stamp);
        if (!remove_durably(kept, err))
            return false;
    }
    return remove_durably(plan->moved_to, err);
}

bool restore_remove_old(RestorePlan *plan, Error *err)
{
    if (plan->replacement != REMOVES_OLD_LAST)
        return true;
    if (!FAULT_POINT("restore.before-remove-old", err) || !keep_wal(plan->moved_to, plan, err) ||
        !bring_out_wal(plan, err) || !FAULT_POINT("restore.old-wal-kept", err) ||
        !remove_moved(plan, err))
        return error_context(err, "remove the old directory %s", plan->moved_to);
    plan->moved_to = NULL;
    return true;
}
