/*
 * order.h - orders for qsort(3) and bsearch(3).
 */
#pragma once

#include "base/base.h"

/* Of uint32_t, the smallest first. */
static inline int order_numbers(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

/* Of const char *, as strcmp(3) has it. */
static inline int order_texts(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}
