#include "replace/replace.h"

#include "base/file.h"
#include "base/order.h"

#include <dirent.h>
#include <stdlib.h>

enum { LEFTOVERS_MAX = 100 };

typedef struct Leftovers {
    const char **paths;
    size_t count;
    Arena *arena;
} Leftovers;

static bool is_in_use(const RestorePlan *plan, const char *path)
{
    return plan->placement.extra_directory != NULL &&
           strcmp(path, plan->placement.extra_directory) == 0;
}

/* Everything called NAME.pgcairn-... beside the directory NAME. */
static void find_beside(const RestorePlan *plan, const char *directory, Leftovers *found)
{
    CLEANUP(text_freep) char *parent = text_format("%s", directory);
    char *slash = strrchr(parent, '/');

    if (slash == NULL || slash[1] == '\0')
        return;
    CLEANUP(text_freep) char *prefix = text_format("%s.pgcairn-", slash + 1);
    slash[slash == parent ? 1 : 0] = '\0';
    CLEANUP(directory_done) DIR *list = opendir(parent);
    for (const struct dirent *entry = list != NULL ? readdir(list) : NULL;
         entry != NULL && found->count < LEFTOVERS_MAX; entry = readdir(list)) {
        const char *path;

        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        path = arena_format(found->arena, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent,
                            entry->d_name);
        if (!is_in_use(plan, path))
            found->paths[found->count++] = path;
    }
}

/* A tablespace's place may be that of before. */
static void drop_repeated(Leftovers *found)
{
    size_t kept = 0;

    for (size_t i = 0; i < found->count; i++) {
        if (kept == 0 || strcmp(found->paths[kept - 1], found->paths[i]) != 0)
            found->paths[kept++] = found->paths[i];
    }
    found->count = kept;
}

const char *const *restore_leftovers(const RestorePlan *plan, Arena *arena, size_t *count)
{
    Leftovers found = {.paths = arena_alloc(arena, LEFTOVERS_MAX * sizeof *found.paths),
                       .arena = arena};

    find_beside(plan, plan->placement.data, &found);
    for (size_t i = 0; i < plan->old.version_count; i++)
        find_beside(plan, plan->old.versions[i], &found);
    for (size_t i = 0; i < plan->placement.tablespace_count; i++)
        find_beside(plan, plan->placement.tablespaces[i].version, &found);
    qsort(found.paths, found.count, sizeof *found.paths, order_texts);
    drop_repeated(&found);
    *count = found.count;
    return (const char *const *)found.paths;
}
