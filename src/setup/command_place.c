#include "setup/command_place.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PARENTS_MAX = 128 };

/* The directories above a place, itself included, as the kernel knows them. */
typedef struct Parents {
    struct stat items[PARENTS_MAX];
    size_t count;
} Parents;

const char *place_of_address(const char *address)
{
    static const char scheme[] = "file://";

    return strncmp(address, scheme, strlen(scheme)) == 0 ? address + strlen(scheme) : address;
}

static bool path_has(int directory, const char *name)
{
    struct stat found;

    return fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW) == 0;
}

/* "PG_15_202209061": what a server has in a tablespace. */
static bool is_version_directory(const char *path)
{
    static const char prefix[] = "/PG_", digits[] = "0123456789";
    const char *name = strrchr(path, '/');

    if (name == NULL || strncmp(name, prefix, sizeof prefix - 1) != 0)
        return false;
    const char *major = name + sizeof prefix - 1;
    size_t size = strspn(major, digits);
    size_t catalog = major[size] == '_' ? strspn(major + size + 1, digits) : 0;
    return size > 0 && catalog > 0 && major[size + 1 + catalog] == '\0';
}

static bool command_check_directory(const char *what, const char *path, int fd, Error *err)
{
    CLEANUP(text_freep) char *link = text_format("/proc/self/fd/%d", fd);
    char name[4096] = "";
    const char *kind = NULL;

    (void)!readlink(link, name, sizeof name - 1);
    if (path_has(fd, "PG_VERSION") && path_has(fd, "global"))
        kind = "data directory";
    if (is_version_directory(name))
        kind = "tablespace";
    if (kind == NULL)
        return true;
    error_set(err, ERR_REFUSED, "%s at %s would be in the %s %s", what, path, kind, name);
    return error_hint(err, "choose a place outside it: what is in it is lost when it is lost, and "
                           "goes when it is restored");
}

/* What is above a place, itself included, is gone through. */
typedef struct Climb {
    const char *what, *path;
    Parents *parents;
} Climb;

static bool note_parent(void *context, int fd, const struct stat *found, Error *err)
{
    const Climb *climb = context;

    if (climb->parents->count < PARENTS_MAX)
        climb->parents->items[climb->parents->count++] = *found;
    return command_check_directory(climb->what, climb->path, fd, err);
}

typedef struct CommandSearch {
    const char *what, *path;
    const Parents *parents;
} CommandSearch;

/* NOLINTNEXTLINE(readability-non-const-parameter): it is a TreeVisit */
static bool command_compare(void *context, const TreeEntry *entry, bool *descends, Error *err)
{
    const CommandSearch *search = context;

    (void)descends;
    for (size_t i = 0; S_ISDIR(entry->found.st_mode) && i < search->parents->count; i++) {
        const struct stat *parent = &search->parents->items[i];
        if (parent->st_ino != entry->found.st_ino || parent->st_dev != entry->found.st_dev)
            continue;
        error_set(err, ERR_REFUSED, "%s at %s would be in the data directory, where it is %s",
                  search->what, search->path, entry->path);
        return error_hint(err, "choose a place outside it");
    }
    return true;
}

static bool search_data(const char *what, const char *path, const char *data,
                        const Parents *parents, Error *err)
{
    CommandSearch search = {.what = what, .path = path, .parents = parents};
    const TreeVisitor visitor = {.before = command_compare, .context = &search};
    CLEANUP(fd_done) int fd = open(data, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(text_freep) char *link = text_format("/proc/self/fd/%d", fd);
    char real[4096] = "";
    Error unseen = {0}; /* of what may not be read nothing can be said */

    if (fd < 0 || readlink(link, real, sizeof real - 1) <= 0 ||
        tree_walk(real, &visitor, &unseen) || unseen.code != ERR_REFUSED)
        return true;
    return error_pass(err, &unseen);
}

bool place_check_outside(const char *what, const char *path, const char *data, Error *err)
{
    Parents parents = {.count = 0};
    Climb climb = {.what = what, .path = path, .parents = &parents};

    return tree_walk_up(path, note_parent, &climb, err) &&
           (data == NULL || search_data(what, path, data, &parents, err));
}

/*
 * Of the file system, or of an `init` that was killed; a cluster's folder whose `repository` was
 * lost is told by whoever creates it.
 */
static bool belongs_to_repository(const char *path, const char *name)
{
    CLEANUP(text_freep) char *registration = text_format("%s/%s/registration", path, name);

    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lost+found") == 0 ||
           text_begins_with(name, "probe-") || text_begins_with(name, "repository") ||
           file_exists(registration);
}

bool place_check_repository(const char *path, Error *err)
{
    CLEANUP(directory_done) DIR *list = NULL;

    if (file_exists_in(path, "repository") || (list = opendir(path)) == NULL)
        return true; /* what else is wrong with it is told by whoever creates it */
    for (const struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
        if (belongs_to_repository(path, entry->d_name))
            continue;
        error_set(err, ERR_REFUSED, "%s is not empty and is not a repository", path);
        return error_hint(err, "choose a directory that is empty or does not exist yet");
    }
    return true;
}
