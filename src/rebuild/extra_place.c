#include "rebuild/extra_place.h"

#include "base/file.h"
#include "base/memory.h"

#include <errno.h>
#include <sys/stat.h>

enum { DEBIAN_MODE = 0755 };

static bool extra_place_make_directory(HeldPath at, Error *err)
{
    CLEANUP(fd_done) int fd = -1;

    if (held_has(at))
        return true;
    return held_make_directory(at, err) && held_open_any(at, &fd, err) &&
           (fchmod(fd, DEBIAN_MODE) == 0 ||
            error_set_errno(err, ERR_IO, errno, "set the mode of %s", at.below)) &&
           held_sync_parent(at, err);
}

/* pg_createcluster makes conf.d, postgresql.conf includes it, and it is empty most often. */
static bool make_debian_place(const Placement *placement, HeldDirectory *place, Error *err)
{
    CLEANUP(held_done) HeldDirectory root = HELD_NONE;
    CLEANUP(text_freep)
    char *own = text_format("%s/%s", placement->debian_version, placement->debian_name);
    CLEANUP(text_freep) char *more = text_format("%s/conf.d", own);

    return held_open_resolved(&root, DEBIAN_ROOT, err) &&
           extra_place_make_directory(held_at(&root, placement->debian_version), err) &&
           extra_place_make_directory(held_at(&root, own), err) &&
           extra_place_make_directory(held_at(&root, more), err) &&
           held_open_below(place, held_at(&root, own), err);
}

bool extra_place_make(const Placement *placement, HeldDirectory *place, Error *err)
{
    bool is_new;

    if (placement->puts_back)
        return make_debian_place(placement, place, err);
    return held_make(place, placement->extra_directory, &is_new, err) &&
           (!is_new || file_sync_parent(placement->extra_directory, err));
}

bool extra_place_has_link(const char *root, const char *path)
{
    CLEANUP(text_freep) char *way = text_format("%s", path);
    struct stat found;

    for (char *slash = way + strlen(root); slash != NULL && *slash == '/';) {
        slash = strchr(slash + 1, '/');
        if (slash != NULL)
            *slash = '\0';
        if (lstat(way, &found) == 0 && S_ISLNK(found.st_mode))
            return true;
        if (slash != NULL)
            *slash = '/';
    }
    return false;
}
