/*
 * database_names.h - the databases that a cluster had when a backup of it ended, as its manifest
 * keeps them (docs/format.md, chapter 5, `databases`): "16385 shop", a line each.
 */
#pragma once

#include "base/buffer.h"
#include "base/memory.h"

typedef struct DatabaseName {
    uint32_t oid;
    const char *name; /* It has the bytes that the server has, in whatever encoding. */
} DatabaseName;

typedef struct DatabaseNameList {
    DatabaseName *items; /* They are in the order of the text. */
    size_t count;
} DatabaseNameList;

void database_names_put(Buffer *text, uint32_t oid, const char *name);
/* A line that can't be read is ignored: the only effect is that this name is unknown. */
void database_names_parse(const char *text, Arena *arena, DatabaseNameList *names);

/* NULL: none of this name. */
const DatabaseName *database_names_find(const DatabaseNameList *names, const char *name);
