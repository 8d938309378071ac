#include "postgres/left_empty.h"

#include <stdlib.h>
#include <string.h>

bool left_empty_is(const void *version, size_t size)
{
    static const char begin[] = "0-left-empty-by-pgcairn";

    return size >= sizeof begin - 1 && memcmp(version, begin, sizeof begin - 1) == 0;
}

/* What comes after `parts` slashes. NULL when there are fewer. */
static const char *path_part(const char *path, int parts)
{
    for (; parts > 0; parts--) {
        path = strchr(path, '/');
        if (path == NULL)
            return NULL;
        path++;
    }
    return path;
}

uint32_t database_of_path(const char *path)
{
    const char *oid = NULL;
    char *end;

    if (strncmp(path, "base/", 5) == 0)
        oid = path + 5;
    if (strncmp(path, "pg_tblspc/", 10) == 0)
        oid = path_part(path, 3);
    if (oid == NULL || *oid < '1' || *oid > '9')
        return 0;
    const unsigned long number = strtoul(oid, &end, 10);
    return (*end == '/' || *end == '\0') && number <= UINT32_MAX ? (uint32_t)number : 0;
}
