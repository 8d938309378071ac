/*
 * pack_shares.h - which packs only one backup refers to: what removing it would free.
 */
#pragma once

#include "base/buffer.h"
#include "catalog/backups.h"

typedef struct PackShares {
    Buffer users; /* a PackUser for each pack of each backup */
} PackShares;

void pack_shares_done(PackShares *shares); /* for CLEANUP() */
/* backup: its number among the items. */
void pack_shares_add(PackShares *shares, const ManifestHead *head, size_t backup);
/* When all are added: freed_bytes of each of the items, which must still be in that order. */
void pack_shares_settle(PackShares *shares, BackupInfo *items);
