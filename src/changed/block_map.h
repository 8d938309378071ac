/*
 * block_map.h - blocks of main forks, and what is said of whole files, over any number of segments;
 * in a bounded memory.
 *
 * In chunks of 65536 blocks: numbers while they are few, a bit for each block when they are many,
 * and "all" when the memory ends: first those that have many.
 */
#pragma once

#include "changed/changed_blocks.h"

typedef struct BlockMap BlockMap;
BlockMap *block_map_new(size_t memory_max);
void block_map_freep(BlockMap **map); /* for CLEANUP() */

void block_map_add(BlockMap *map, const RelationFile *file, uint32_t block);
void block_map_cut(BlockMap *map, const RelationFile *file, uint32_t block); /* all from it on */
void block_map_database(BlockMap *map, uint32_t tablespace, uint32_t database);
void block_map_tablespace(BlockMap *map, uint32_t tablespace);
/* There was more than the memory holds: it knows nothing. */
bool block_map_is_full(const BlockMap *map);

ChangedAnswer block_map_answer(const BlockMap *map, const RelationFile *file, uint32_t first,
                               uint32_t count, uint64_t *words);
