/*
 * text.h - questions to a text, letter by letter: no locale is asked.
 */
#pragma once

#include "base/base.h"

/* '0' to '9'. */
static inline bool text_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Both are true for the empty beginning and the empty end. */
static inline bool text_begins_with(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

static inline bool text_ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);

    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}
