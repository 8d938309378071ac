/*
 * pack_shares.h - which packs only one backup refers to: what removing it would free.
 */
#pragma once

#include "catalog/backups.h"
#include "catalog/listed_pack.h"

typedef struct PackShares {
    PackIndex index; /* It has all packs that are there. */
    /*
     * It has for each pack PACK_UNUSED, PACK_SHARED, or the number of the only backup that uses it.
     */
    uint32_t *users;
} PackShares;

void pack_shares_begin(PackShares *shares, const ObjectList *packs);
void pack_shares_done(PackShares *shares); /* for CLEANUP() */
/* number: the backup's among the items. NULL: the pack is not there. */
const ObjectInfo *pack_shares_add(PackShares *shares, const char *pack_id, size_t number);
/* When all are added: freed_bytes of each of the items, which must still be in that order. */
void pack_shares_settle(const PackShares *shares, BackupInfo *items);
