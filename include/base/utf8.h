/*
 * utf8.h - where a character of a text ends.
 */
#pragma once

#include "base/base.h"

/*
 * Bytes of the UTF-8 character at text, 0 when there is none: a stray byte, one cut short, a
 * surrogate, longer than needed. The terminating zero is a character of one byte.
 */
size_t utf8_size(const char *text);
