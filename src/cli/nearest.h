/*
 * nearest.h - what somebody who mistyped a name may have meant.
 */
#pragma once

#include "base/base.h"

typedef struct Nearest {
    const char *wanted; /* It has `size` bytes, and need not end with zero. */
    size_t size;
    const char *found; /* It is the nearest so far, or NULL when nothing is near enough. */
    size_t distance;
} Nearest;

/* Consider one more candidate. */
void nearest_try(Nearest *nearest, const char *candidate);
