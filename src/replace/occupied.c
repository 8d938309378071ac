#include "replace/occupied.h"

#include "rebuild/marker.h"
#include "replace/strays.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONTROL       "global/pg_control"
#define CONTROL_ASIDE "global/pg_control.pgcairn-old"

static bool rename_held(HeldPath from, HeldPath to, Error *err)
{
    if (!FAULT_POINT("restore.before-rename", err) || !held_rename(from, to, err) ||
        !FAULT_POINT("restore.after-rename", err))
        return false;
    return held_sync_parent(to, err) && held_sync_parent(from, err);
}

/* The directory that has it, and its name there. */
static bool hold_parent(const char *path, HeldDirectory *parent, HeldPath *at, Error *err)
{
    const char *name = strrchr(path, '/') + 1;
    CLEANUP(text_freep) char *folder = text_format("%.*s", (int)(name - path), path);

    *at = held_at(parent, name);
    return held_open(parent, folder, err);
}

/* To a name beside it, or beside the directory that it is in. */
static bool rename_durably(HeldPath from, const char *to, Error *err)
{
    CLEANUP(held_done) HeldDirectory parent = HELD_NONE;
    HeldPath at;

    return hold_parent(to, &parent, &at, err) && rename_held(from, at, err);
}

static bool rename_directory(const char *from, const char *to, Error *err)
{
    CLEANUP(held_done) HeldDirectory parent = HELD_NONE;
    HeldPath at;

    return hold_parent(from, &parent, &at, err) && rename_durably(at, to, err);
}

static bool take_control_away(const HeldDirectory *data, Error *err)
{
    HeldPath control = held_at(data, CONTROL);

    return !held_has(control) || rename_held(control, held_at(data, CONTROL_ASIDE), err);
}

/* Not in a directory that an earlier restore had begun to empty. */
static bool give_control_back(const HeldDirectory *data, Error *err)
{
    HeldPath control = held_at(data, CONTROL), aside = held_at(data, CONTROL_ASIDE);

    if (held_has(control) || !held_has(aside) || held_has(held_at(data, RESTORE_MARKER_FILE)))
        return true;
    return rename_held(aside, control, err);
}

static bool move_versions(const RestorePlan *plan, Error *err)
{
    for (size_t i = 0; i < plan->old.version_count; i++) {
        CLEANUP(text_freep)
        char *kept = text_format("%s.pgcairn-%s", plan->old.versions[i], plan->old.stamp);
        if (!rename_directory(plan->old.versions[i], kept, err))
            return false;
    }
    return true;
}

/*
 * Without tablespaces it is one rename. With some, their version directories go first, since what
 * is left of them in their places would be in the way of the next run; meanwhile the directory,
 * which could be started without them, has no pg_control.
 */
static bool move_aside(const RestorePlan *plan, const HeldDirectory *data, Error *err)
{
    if (plan->old.version_count > 0 && !take_control_away(data, err))
        return false;
    if (!FAULT_POINT("restore.before-move-aside", err))
        return false;
    return move_versions(plan, err) && FAULT_POINT("restore.tablespaces-aside", err) &&
           rename_directory(plan->placement.data, plan->old.moved_to, err) &&
           FAULT_POINT("restore.after-move-aside", err) && give_control_back(data, err);
}

/* What a link leads to stays where it is. */
static bool keep_wal(const HeldDirectory *data, const RestorePlan *plan, Error *err)
{
    HeldPath wal = held_at(data, "pg_wal");
    struct stat status;

    if (plan->old.wal_kept == NULL || !held_look(wal, &status) || S_ISLNK(status.st_mode))
        return true;
    return rename_durably(wal, plan->old.wal_kept, err);
}

static bool is_kept_wal(const char *name)
{
    return strncmp(name, KEPT_WAL_INSIDE, strlen(KEPT_WAL_INSIDE)) == 0;
}

bool occupied_clear(const RestorePlan *plan, const HeldDirectory *data, uint64_t *strays,
                    Error *err)
{
    if (!plan->old.is_occupied)
        return true;
    if (plan->old.replacement != OVERWRITES_OLD)
        return move_aside(plan, data, err);
    /*
     * The marker comes first, so that a directory without pg_control always says what it is; from
     * the rename on no server starts here.
     */
    if (!marker_save(plan, data, plan->old.has_new_wal, err) ||
        !FAULT_POINT("restore.after-marker", err))
        return false;
    return take_control_away(data, err) && FAULT_POINT("restore.control-away", err) &&
           keep_wal(data, plan, err) && FAULT_POINT("restore.wal-kept", err) &&
           strays_remove(plan, data, strays, err);
}

/* WAL that an earlier restore could only keep in the directory itself. */
static bool bring_out_wal(const RestorePlan *plan, const HeldDirectory *old, Error *err)
{
    CLEANUP(fd_done) int fd = openat(old->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(directory_done) DIR *list = fd >= 0 ? fdopendir(fd) : NULL;

    if (list == NULL)
        return error_set_errno(err, ERR_IO, errno, "list %s", old->path);
    (void)fd_take(&fd); /* the list's own now */
    for (const struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
        if (!is_kept_wal(entry->d_name))
            continue;
        CLEANUP(text_freep)
        char *to = text_format("%s.pgcairn-pg_wal-%s", plan->placement.data,
                               entry->d_name + strlen(KEPT_WAL_INSIDE));
        if (!rename_durably(held_at(old, entry->d_name), to, err))
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
    for (size_t i = 0; i < plan->old.version_count; i++) {
        CLEANUP(text_freep)
        char *kept = text_format("%s.pgcairn-%s", plan->old.versions[i], plan->old.stamp);
        if (!remove_durably(kept, err))
            return false;
    }
    return remove_durably(plan->old.moved_to, err);
}

static bool keep_and_remove(const RestorePlan *plan, Error *err)
{
    CLEANUP(held_done) HeldDirectory old = HELD_NONE;

    if (!held_open(&old, plan->old.moved_to, err) ||
        !FAULT_POINT("restore.before-remove-old", err) || !keep_wal(&old, plan, err))
        return false;
    return bring_out_wal(plan, &old, err) && FAULT_POINT("restore.old-wal-kept", err) &&
           remove_moved(plan, err);
}

bool restore_remove_old(RestorePlan *plan, Error *err)
{
    if (plan->old.replacement != REMOVES_OLD_LAST)
        return true;
    if (!keep_and_remove(plan, err))
        return error_context(err, "remove the old directory %s", plan->old.moved_to);
    plan->old.moved_to = NULL;
    return true;
}
