#include "sources.h"

WalSources *wal_sources_new(void)
{
    return mem_alloc(sizeof(WalSources));
}

void wal_sources_freep(WalSources **sources)
{
    if (*sources == NULL)
        return;
    arena_done(&(*sources)->arena);
    mem_free(*sources);
    *sources = NULL;
}

bool wal_sources_know(const WalSources *sources, uint32_t timeline)
{
    for (size_t i = 0; sources != NULL && i < sources->file_count; i++) {
        if (sources->files[i].timeline == timeline)
            return true;
    }
    return false;
}
