/*
 * listed_pack.h - packs in a listing of all packs of a cluster.
 */
#pragma once

#include "storage/storage.h"

/* packs: as storage_list() sorts them. NULL: the pack with this id is not there. */
const ObjectInfo *pack_find_listed(const ObjectList *packs, const char *id);

/* The same for many questions: ten thousand backups ask twenty million. */
typedef struct PackIndex {
    const ObjectList *packs; /* borrowed */
    const char **ids;        /* of each place the end of a pack's name, or NULL */
    uint32_t *numbers;       /* of each place the pack's number in the list */
    size_t mask;             /* how many places there are, a power of two, less one */
} PackIndex;

void pack_index_make(PackIndex *index, const ObjectList *packs);
void pack_index_done(PackIndex *index); /* for CLEANUP() */
const ObjectInfo *pack_index_find(const PackIndex *index, const char *id);
