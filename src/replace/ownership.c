#include "replace/ownership.h"

#include "replace/data_state.h"

#include "base/file.h"
#include "repo/recovery_plan.h"
#include "server/server.h"

#include <dirent.h>
#include <sys/stat.h>

enum { HOMES_MAX = 4, LOOKED_AT_MAX = 2000 };

typedef struct Homes {
    const char *paths[HOMES_MAX];
    size_t count;
} Homes;

static void add_home(Homes *homes, const char *path)
{
    if (path != NULL && path[0] == '/' && homes->count < HOMES_MAX)
        homes->paths[homes->count++] = path;
}

/* What can't be read says nothing. */
static Homes homes_of(const char *data, Arena *arena)
{
    Homes homes = {.count = 0};
    ServerLock lock;
    ServerStart start;
    RecoveryPlan recovery;
    Error unreadable = {0};
    bool found = false;

    if (server_lock_read(data, arena, &lock, &found, &unreadable) && found)
        add_home(&homes, lock.data);
    found = false;
    if (server_start_read(data, arena, &start, &found, &unreadable) && found)
        add_home(&homes, start.data);
    if (recovery_plan_load(data, arena, &recovery, &unreadable))
        add_home(&homes, recovery.data);
    return homes;
}

static bool is_same(const char *a, const char *b)
{
    struct stat first, second;

    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

static bool homes_have(const char *data, const Homes *homes)
{
    for (size_t i = 0; i < homes->count; i++) {
        if (is_same(data, homes->paths[i]))
            return true;
    }
    return false;
}

static bool has_link_to(const char *data, const char *location, Arena *arena)
{
    const char **targets;
    size_t count;
    Error unreadable = {0};

    if (!file_exists_in(data, "PG_VERSION") ||
        !tablespace_links(data, arena, &targets, &count, &unreadable))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(targets[i], location) == 0)
            return true;
    }
    return false;
}

/* A copy that was never started where it is makes no claim. */
static bool entry_claims(const RestorePlan *plan, const char *data, const char *location,
                         Arena *arena)
{
    if (is_same(data, plan->placement.data) || !has_link_to(data, location, arena))
        return false;
    const Homes homes = homes_of(data, arena);
    return homes_have(data, &homes);
}

typedef struct HomeSearch {
    const RestorePlan *plan;
    const char *location;
    Arena *arena;
    size_t looked_at;
    const char *found;
} HomeSearch;

/* Data directories are kept beside one another, as in /var/lib/postgresql/15/main. */
static void search_in(HomeSearch *search, const char *folder, int depth)
{
    CLEANUP(directory_done) DIR *list = opendir(folder);

    for (const struct dirent *entry = list != NULL ? readdir(list) : NULL;
         entry != NULL && search->found == NULL && search->looked_at++ < LOOKED_AT_MAX;
         entry = readdir(list)) {
        CLEANUP(text_freep) char *path = text_format("%s/%s", folder, entry->d_name);
        struct stat status;
        if (entry->d_name[0] == '.' || lstat(path, &status) != 0 || !S_ISDIR(status.st_mode))
            continue;
        if (entry_claims(search->plan, path, search->location, search->arena)) {
            search->found = arena_text(search->arena, path);
        } else if (depth > 1 && !file_exists_in(path, "PG_VERSION")) {
            search_in(search, path, depth - 1);
        }
    }
}

static char *parent_of(const char *path)
{
    char *parent = text_format("%s", path);
    char *slash = strrchr(parent, '/');

    slash[slash == parent ? 1 : 0] = '\0';
    return parent;
}

static const char *find_claimant(RestorePlan *plan, const Homes *homes, const char *location)
{
    HomeSearch search = {.plan = plan, .location = location, .arena = &plan->arena};
    const char *running = tablespace_user(location, plan->placement.data, &plan->arena);
    CLEANUP(text_freep) char *parent = parent_of(plan->placement.data);
    CLEANUP(text_freep) char *above = parent_of(parent);
    const char *original = plan->decision.manifest.header.data_directory;

    if (running != NULL)
        return running;
    for (size_t i = 0; i < homes->count; i++) {
        if (entry_claims(plan, homes->paths[i], location, &plan->arena))
            return homes->paths[i];
    }
    if (original != NULL && entry_claims(plan, original, location, &plan->arena))
        return original;
    search_in(&search, parent, 1);
    if (search.found == NULL && strcmp(above, "/") != 0)
        search_in(&search, above, 2);
    return search.found;
}

static bool has_other_owner(const RestorePlan *plan, const char *version)
{
    struct stat data, found;

    return stat(plan->placement.data, &data) == 0 && lstat(version, &found) == 0 &&
           data.st_uid != found.st_uid;
}

/* Of a restore that did not end its own marker says what it had taken for its own. */
static bool is_claimed_by_marker(const RestorePlan *plan, const char *version)
{
    for (size_t i = 0; i < plan->old.marked_version_count; i++) {
        if (strcmp(plan->old.marked_versions[i], version) == 0)
            return true;
    }
    return false;
}

Ownership ownership_of(RestorePlan *plan, const char *location, const char *version,
                       const char **whose)
{
    Homes homes = homes_of(plan->placement.data, &plan->arena);

    *whose = NULL;
    if (has_other_owner(plan, version)) {
        *whose = "another user";
        return OF_ANOTHER;
    }
    *whose = find_claimant(plan, &homes, location);
    if (*whose != NULL)
        return OF_ANOTHER;
    if (plan->old.state == DATA_HALF_RESTORED)
        return is_claimed_by_marker(plan, version) ? OWNED : NOT_PROVEN;
    add_home(&homes, plan->decision.manifest.header.data_directory);
    return homes_have(plan->placement.data, &homes) ? OWNED : NOT_PROVEN;
}
