/*
 * sources.h - what an inventory keeps for wal_source.h: the local files that were added to it, the
 * paths of all histories, and what was found so far.
 */
#pragma once

#include "walk/wal_source.h"

typedef struct FoundSource FoundSource;
struct FoundSource {
    FoundSource *next;
    WalSource source;
};

struct WalSources {
    Arena arena;
    WalFile *files;
    size_t file_count;
    TimelinePath *paths; /* They are those of the histories that can be read. */
    size_t path_count;
    size_t history_count; /* The paths were looked for in this many histories. */
    FoundSource *found;
    size_t found_with; /* The sources were found with this many histories. */
};

WalSources *wal_sources_new(void);
void wal_sources_freep(WalSources **sources);
/* Any local file of this timeline? sources may be NULL. */
bool wal_sources_know(const WalSources *sources, uint32_t timeline);
