#include "storage_names.h"

static const char name_characters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

/* FileWriter's temporary names hold ".tmp-": an object called so would show in no listing. */
static bool has_temporary_mark(const char *part, size_t size)
{
    return memmem(part, size, ".tmp-", 5) != NULL;
}

bool name_part_is_valid(const char *part, size_t size)
{
    return size > 0 && part[0] != '.' && strspn(part, name_characters) >= size &&
           !has_temporary_mark(part, size);
}

bool name_is_valid(const char *name)
{
    for (;;) {
        size_t size = strcspn(name, "/");
        if (!name_part_is_valid(name, size))
            return false;
        if (name[size] == '\0')
            return true;
        name += size + 1;
    }
}

bool name_prefix_is_valid(const char *prefix)
{
    for (;;) {
        size_t size = strcspn(prefix, "/");
        if (prefix[size] == '\0') /* the last part may be anything that can become a name */
            return size == 0 || (prefix[0] != '.' && strspn(prefix, name_characters) == size);
        if (!name_part_is_valid(prefix, size))
            return false;
        prefix += size + 1;
    }
}
