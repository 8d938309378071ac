/*
 * empty_directory.h - is anything in a directory that a restore is to fill?
 */
#pragma once

#include "base/error.h"

/*
 * Whether a directory has no entries but lost+found and what a restore left that was killed in its
 * first step; a missing one is empty.
 */
bool directory_is_empty(const char *path, bool *is_empty, Error *err) MUST_CHECK;
/* The same of one that is open. */
bool directory_is_empty_fd(int fd, const char *path, bool *is_empty, Error *err) MUST_CHECK;
