/*
 * listed_pack.h - one pack in a listing of all packs of a cluster.
 */
#pragma once

#include "storage/storage.h"

/* packs: as storage_list() sorts them. NULL: the pack with this id is not there. */
const ObjectInfo *pack_find_listed(const ObjectList *packs, const char *id);
