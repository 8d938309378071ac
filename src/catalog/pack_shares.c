#include "pack_shares.h"

#include <stdlib.h>

typedef struct PackUser {
    char pack[33];
    uint32_t backup;
    uint64_t size;
} PackUser;

void pack_shares_done(PackShares *shares)
{
    buffer_done(&shares->users);
}

void pack_shares_add(PackShares *shares, const ManifestHead *head, size_t backup)
{
    for (size_t i = 0; i < head->pack_count; i++) {
        PackUser user = {.backup = (uint32_t)backup, .size = head->packs[i].size};

        memcpy(user.pack, head->packs[i].id, sizeof user.pack);
        buffer_append(&shares->users, &user, sizeof user);
    }
}

static int users_by_pack(const void *one, const void *other)
{
    return strcmp(((const PackUser *)one)->pack, ((const PackUser *)other)->pack);
}

void pack_shares_settle(PackShares *shares, BackupInfo *items)
{
    PackUser *users = (PackUser *)(void *)shares->users.data;
    const size_t count = shares->users.size / sizeof users[0];

    if (count > 0)
        qsort(users, count, sizeof users[0], users_by_pack);
    for (size_t i = 0; i < count;) {
        size_t end = i + 1;

        while (end < count && users_by_pack(&users[i], &users[end]) == 0)
            end++;
        if (end == i + 1)
            items[users[i].backup].freed_bytes += users[i].size;
        i = end;
    }
}
