/*
 * nearest.h - what somebody who mistyped a name may have meant.
 */
#pragma once

#include "base/base.h"

typedef struct Nearest {
    const char *wanted; /* need not end with zero: size bytes */
    size_t size;
    const char *found; /* so far, or NULL: nothing is near enough */
    size_t distance;
} Nearest;

/* Consider one more candidate. */
void nearest_try(Nearest *nearest, const char *candidate);
