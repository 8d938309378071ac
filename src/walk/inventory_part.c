#include "inventory_part.h"

void wal_part_freep(WalPart **place)
{
    if (*place == NULL)
        return;
    mem_free((*place)->extents);
    mem_free(*place);
    *place = NULL;
}

/* Whether from..to, or all of a timeline that is not there, is known. */
bool wal_part_knows(const WalPart *part, uint32_t timeline, uint64_t from, uint64_t to)
{
    bool is_there = false;

    for (size_t i = 0; i < part->count; i++) {
        const WalExtent *extent = &part->extents[i];

        if (extent->timeline != timeline)
            continue;
        is_there = true;
        if (extent->first <= from && extent->last >= to && extent->first <= extent->last)
            return true;
    }
    return !is_there;
}

void wal_part_ask(WalPart *part, uint32_t timeline, uint64_t segment)
{
    if (part != NULL && !wal_part_knows(part, timeline, segment, segment))
        part->is_exceeded = true;
}

void wal_part_ask_from(WalPart *part, uint32_t timeline, uint64_t segment)
{
    if (part != NULL && !wal_part_knows(part, timeline, segment, UINT64_MAX))
        part->is_exceeded = true;
}

void wal_part_add(WalPart *part, const WalExtent *extent)
{
    if (part->count == part->capacity) {
        part->capacity = part->capacity == 0 ? 16 : 2 * part->capacity;
        part->extents = mem_resize(part->extents, part->capacity * sizeof *part->extents);
    }
    part->extents[part->count++] = *extent;
}

bool wal_inventory_suffices(const WalInventory *inventory)
{
    return inventory->part == NULL || !inventory->part->is_exceeded;
}
