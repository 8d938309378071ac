#include "stall.h"

#include "walk/inventory.h"

const char *stall_in_words(const Cluster *cluster, const char *segment, Arena *arena)
{
    CLEANUP(wal_inventory_done) WalInventory inventory = {0};
    Error unknown = {0};
    WalName name;

    if (segment[0] == '\0')
        return "";
    if (cluster == NULL)
        return "not known: name it with --repo";
    if (!wal_name_parse(segment, cluster->wal_segment_size, &name, &unknown) ||
        !wal_inventory_load(&inventory, cluster, &unknown))
        return arena_format(arena, "can't be looked at: %s", unknown.message);
    if (wal_inventory_has(&inventory, name.timeline, name.segment))
        return "has it";
    return wal_inventory_has_later(&inventory, name.timeline, name.segment)
               ? "does not have it, and has later ones: a hole"
               : "does not have it, nor a later one";
}
