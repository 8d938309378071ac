/*
 * listed_pack.h - packs in a listing of all packs of a cluster.
 */
#pragma once

#include "storage/storage.h"

/* packs: as storage_list() sorts them. NULL: the pack with this id is not there. */
const ObjectInfo *pack_find_listed(const ObjectList *packs, const char *id);

/* The same for many questions: ten thousand backups ask twenty million. */
typedef struct PackIndex {
    const ObjectList *packs; /* They are borrowed. */
    const char **ids;        /* It has for each place the end of a pack's name, or NULL. */
    uint32_t *numbers;       /* It has for each place the number of the pack in the list. */
    size_t mask;             /* It is the number of places, a power of two, minus one. */
} PackIndex;

void pack_index_make(PackIndex *index, const ObjectList *packs);
void pack_index_done(PackIndex *index); /* for CLEANUP() */
const ObjectInfo *pack_index_find(const PackIndex *index, const char *id);
