#include "pack/database_names.h"

#include "repo/percent.h"

#include <stdlib.h>
#include <string.h>

void database_names_put(Buffer *text, uint32_t oid, const char *name)
{
    buffer_print(text, "%u ", oid);
    percent_encode(text, name, 0x20);
    buffer_print(text, "\n");
}

static bool names_parse_line(const char *line, size_t size, Arena *arena, DatabaseName *database)
{
    char *end;
    const unsigned long oid = strtoul(line, &end, 10);
    const size_t begin = (size_t)(end - line) + 1;

    if (end == line || *end != ' ' || oid == 0 || oid > UINT32_MAX || begin >= size)
        return false;
    char *name = arena_alloc(arena, size - begin + 1);
    *database = (DatabaseName){.oid = (uint32_t)oid, .name = name};
    return percent_decode(line + begin, size - begin, name);
}

static size_t names_count_lines(const char *text)
{
    size_t count = 0;

    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        count++;
    return count;
}

void database_names_parse(const char *text, Arena *arena, DatabaseNameList *names)
{
    *names = (DatabaseNameList){.count = 0};
    if (text == NULL)
        return;
    names->items = arena_alloc(arena, (names_count_lines(text) + 1) * sizeof *names->items);
    for (const char *end; (end = strchr(text, '\n')) != NULL; text = end + 1) {
        if (names_parse_line(text, (size_t)(end - text), arena, &names->items[names->count]))
            names->count++;
    }
}

const DatabaseName *database_names_find(const DatabaseNameList *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i].name, name) == 0)
            return &names->items[i];
    }
    return NULL;
}
