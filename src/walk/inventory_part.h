/*
 * inventory_part.h - which part of an archive an inventory knows, when not all of it was listed.
 */
#pragma once

#include "walk/inventory.h"

/*
 * Of a timeline the objects of segments first..last were listed, all there are; last is UINT64_MAX
 * when the listing came to the timeline's end. first > last: only that the timeline is there.
 */
typedef struct WalExtent {
    uint32_t timeline;
    uint64_t first, last;
} WalExtent;

/* Each timeline that has an object has an extent. Of one that has none there is nothing to know. */
struct WalPart {
    WalExtent *extents;
    size_t count;
    size_t capacity;
    bool is_exceeded; /* Something else was asked for, and was answered from what is known. */
};

void wal_part_freep(WalPart **place);
void wal_part_add(WalPart *part, const WalExtent *extent);
/* Whether from..to, or all of a timeline that is not there, is known. */
bool wal_part_knows(const WalPart *part, uint32_t timeline, uint64_t from, uint64_t to);

/* Both note it when not. part may be NULL: then all is known. */
void wal_part_ask(WalPart *part, uint32_t timeline, uint64_t segment);
/* All from this segment to the timeline's end. */
void wal_part_ask_from(WalPart *part, uint32_t timeline, uint64_t segment);

/* Fill in what the names tell; they are sorted. The arrays are in the inventory's arena. */
void wal_inventory_add_names(WalInventory *inventory, const Cluster *cluster,
                             const ObjectList *list);
