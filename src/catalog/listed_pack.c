#include "catalog/listed_pack.h"

#include "base/bytes.h"
#include "base/memory.h"

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

/* An id is the hexadecimal text of a hash, or of random bytes: its first digits are as good as any.
 */
static size_t pack_place(const PackIndex *index, const char *id)
{
    const uint64_t digits = get_le64((const uint8_t *)id) * UINT64_C(0x9e3779b97f4a7c15);

    return (size_t)(digits >> 32) & index->mask;
}

void pack_index_make(PackIndex *index, const ObjectList *packs)
{
    size_t places = 64;

    while (places < packs->count * 2)
        places *= 2;
    *index = (PackIndex){.packs = packs,
                         .ids = mem_alloc(places * sizeof index->ids[0]),
                         .numbers = mem_alloc(places * sizeof index->numbers[0]),
                         .mask = places - 1};
    for (size_t place = 0; place < places; place++)
        index->ids[place] = NULL;
    for (size_t i = 0; i < packs->count; i++) {
        const char *name = packs->objects[i].name;
        const size_t size = strlen(name);

        if (size < PACK_ID_LENGTH)
            continue;
        size_t place = pack_place(index, name + size - PACK_ID_LENGTH);
        while (index->ids[place] != NULL)
            place = (place + 1) & index->mask;
        index->ids[place] = name + size - PACK_ID_LENGTH;
        index->numbers[place] = (uint32_t)i;
    }
}

void pack_index_done(PackIndex *index)
{
    mem_free(index->ids);
    mem_free(index->numbers);
    *index = (PackIndex){.ids = NULL};
}

const ObjectInfo *pack_index_find(const PackIndex *index, const char *id)
{
    if (strnlen(id, PACK_ID_LENGTH) < PACK_ID_LENGTH)
        return NULL;
    for (size_t place = pack_place(index, id); index->ids[place] != NULL;
         place = (place + 1) & index->mask) {
        if (strcmp(index->ids[place], id) == 0)
            return &index->packs->objects[index->numbers[place]];
    }
    return NULL;
}
