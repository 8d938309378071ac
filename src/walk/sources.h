/*
 * sources.h - what an inventory keeps for wal_source.h: the local files that were added to it, the
 * paths of all histories, and what was found so far.
 */
#pragma once

#include "walk/wal_source.h"

WalSources *wal_sources_new(void);
void wal_sources_freep(WalSources **sources);
/* Any local file of this timeline? sources may be NULL. */
bool wal_sources_know(const WalSources *sources, uint32_t timeline);
