#include "pack_shares.h"

#define PACK_UNUSED UINT32_MAX
#define PACK_SHARED (UINT32_MAX - 1)

void pack_shares_begin(PackShares *shares, const ObjectList *packs)
{
    *shares = (PackShares){.users = mem_alloc((packs->count + 1) * sizeof shares->users[0])};
    pack_index_make(&shares->index, packs);
    for (size_t i = 0; i < packs->count; i++)
        shares->users[i] = PACK_UNUSED;
}

void pack_shares_done(PackShares *shares)
{
    mem_free(shares->users);
    pack_index_done(&shares->index);
    *shares = (PackShares){.users = NULL};
}

const ObjectInfo *pack_shares_add(PackShares *shares, const char *pack_id, size_t number)
{
    const ObjectInfo *found = pack_index_find(&shares->index, pack_id);

    if (found != NULL) {
        uint32_t *user = &shares->users[found - shares->index.packs->objects];

        *user = *user == PACK_UNUSED || *user == number ? (uint32_t)number : PACK_SHARED;
    }
    return found;
}

void pack_shares_settle(const PackShares *shares, BackupInfo *items)
{
    for (size_t i = 0; shares->users != NULL && i < shares->index.packs->count; i++) {
        if (shares->users[i] != PACK_UNUSED && shares->users[i] != PACK_SHARED)
            items[shares->users[i]].freed_bytes += shares->index.packs->objects[i].size;
    }
}
