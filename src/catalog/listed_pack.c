#include "catalog/listed_pack.h"

#include <stdlib.h>

enum { PACK_ID_LENGTH = 32 };

/* Their names differ in the ids at the end, and are sorted by these. */
static int pack_by_id(const void *id, const void *object)
{
    const char *name = ((const ObjectInfo *)object)->name;
    const size_t size = strlen(name);

    return strcmp(id, size < PACK_ID_LENGTH ? name : name + size - PACK_ID_LENGTH);
}

const ObjectInfo *pack_find_listed(const ObjectList *packs, const char *id)
{
    return packs->count == 0
               ? NULL
               : bsearch(id, packs->objects, packs->count, sizeof *packs->objects, pack_by_id);
}
