#include "base/memory_limit.h"

#include "base/file.h"

#include <stdlib.h>
#include <unistd.h>

enum { LIST_SIZE_MAX = 1 << 20, FILES_MAX = 200, NUMBER_SIZE_MAX = 4096 };

#define VERSION_2 "/sys/fs/cgroup"
#define VERSION_1 "/sys/fs/cgroup/memory"

typedef struct LimitFiles {
    const char **items;
    size_t count;
    Arena *arena;
} LimitFiles;

/* Of path and of all that is above it: a limit there holds here, too. */
static void limit_files_add(LimitFiles *files, const char *root, const char *name, const char *path,
                            size_t size)
{
    while (size > 0 && path[size - 1] == '/')
        size--;
    for (;;) {
        if (files->count < FILES_MAX) {
            files->items[files->count++] =
                arena_format(files->arena, "%s%.*s/%s", root, (int)size, path, name);
        }
        if (size == 0)
            return;
        while (path[--size] != '/' && size > 0)
            continue;
    }
}

static bool names_memory(const char *controllers, size_t size)
{
    static const char memory[] = "memory";

    for (const char *word = controllers; word < controllers + size;) {
        const size_t length = strcspn(word, ",:");
        if (length == sizeof memory - 1 && strncmp(word, memory, length) == 0)
            return true;
        word += length + 1;
    }
    return false;
}

/* "4:memory:/path", or "0::/path" of version 2. */
const char *const *memory_limit_files(const char *cgroups, Arena *arena)
{
    LimitFiles files = {.items = arena_alloc(arena, (FILES_MAX + 1) * sizeof(char *)),
                        .arena = arena};

    for (const char *line = cgroups; *line != '\0';) {
        const size_t length = strcspn(line, "\n");
        const char *controllers = memchr(line, ':', length);
        const char *path = controllers != NULL ? memchr(controllers + 1, ':',
                                                        length - (size_t)(controllers + 1 - line))
                                               : NULL;

        if (path != NULL) {
            const size_t named = (size_t)(path - controllers - 1);
            const size_t size = length - (size_t)(path + 1 - line);
            if (named == 0)
                limit_files_add(&files, VERSION_2, "memory.max", path + 1, size);
            if (names_memory(controllers + 1, named))
                limit_files_add(&files, VERSION_1, "memory.limit_in_bytes", path + 1, size);
        }
        line += length + (line[length] == '\n');
    }
    files.items[files.count] = NULL;
    return (const char *const *)files.items;
}

/* "max" or a number of bytes; 0: neither, or no such group. */
static uint64_t read_limit(const char *path)
{
    CLEANUP(buffer_done) Buffer text = {0};
    Error unread = {0};

    if (!file_read_whole(path, NUMBER_SIZE_MAX, &text, &unread))
        return 0;
    return strtoull((const char *)text.data, NULL, 10);
}

uint64_t memory_limit(void)
{
    CLEANUP(arena_done) Arena arena = {0};
    CLEANUP(buffer_done) Buffer text = {0};
    Error unread = {0}; /* no control groups: no limit */
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    uint64_t memory = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;

    if (!file_read_whole("/proc/self/cgroup", LIST_SIZE_MAX, &text, &unread))
        return memory;
    const char *const *files = memory_limit_files((const char *)text.data, &arena);
    for (size_t i = 0; files[i] != NULL; i++) {
        const uint64_t limit = read_limit(files[i]);
        if (limit > 0 && (memory == 0 || limit < memory))
            memory = limit;
    }
    return memory;
}

uint64_t memory_available_of(const char *meminfo)
{
    static const char name[] = "MemAvailable:";

    for (const char *line = meminfo; *line != '\0';) {
        const size_t length = strcspn(line, "\n");
        if (strncmp(line, name, sizeof name - 1) == 0)
            return strtoull(line + sizeof name - 1, NULL, 10) << 10;
        line += length + (line[length] == '\n');
    }
    return 0;
}

uint64_t memory_available(void)
{
    CLEANUP(buffer_done) Buffer text = {0};
    Error unread = {0};
    const uint64_t limit = memory_limit();

    if (!file_read_whole("/proc/meminfo", LIST_SIZE_MAX, &text, &unread))
        return 0;
    const uint64_t available = memory_available_of((const char *)text.data);
    return limit > 0 && limit < available ? limit : available;
}
