/*
 * storage_names.h - what the name of an object looks like.
 */
#pragma once

#include "base/base.h"

/* One part between slashes: not empty, of [A-Za-z0-9._-], no dot in front, no ".tmp-" in it. */
bool name_part_is_valid(const char *part, size_t size);
bool name_is_valid(const char *name);
/* The beginning of a name, or "". */
bool name_prefix_is_valid(const char *prefix);
