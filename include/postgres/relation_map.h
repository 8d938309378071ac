/*
 * relation_map.h - pg_filenode.map: which files the catalogs have that can't say so themselves.
 *
 * pg_class, pg_attribute and a few others of each database, and all shared catalogs: without one of
 * these files nobody can connect. Source: utils/cache/relmapper.c.
 */
#pragma once

#include "base/error.h"

enum {
    RELATION_MAP_SIZE_MAX = 524, /* The file has 512 bytes, and from 16 on 524. */
    RELATION_MAP_MAX = 64,       /* It has 62 entries, and from 16 on 64. */
};

typedef struct RelationMap {
    /* They are the numbers of the main forks, in the order of the map. */
    uint32_t files[RELATION_MAP_MAX];
    uint32_t count;
} RelationMap;

/* ERR_CORRUPT when the server would not read it either: size, magic, checksum. */
bool relation_map_parse(const uint8_t *bytes, size_t size, RelationMap *map, Error *err) MUST_CHECK;
