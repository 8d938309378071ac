/*
 * foreign_names.h - words that other programs use for what is done here under another name, and
 * options that were here once.
 */
#pragma once

#include "base/error.h"

/* What to type instead of a command's name, as a hint; false: the word is not known. */
bool foreign_command_hint(const char *name, Error *err);

/* The same for an option; name need not end with zero. */
bool foreign_option_hint(const char *name, size_t size, Error *err);
