/*
 * command_place.h - is this a place to keep something in? What lies in a data directory or a
 * tablespace is copied, replaced and lost along with it.
 */
#pragma once

#include "base/error.h"

/*
 * Neither in a data directory nor in a tablespace, whatever path or mount leads there; `path` need
 * not be there yet. data: one that is gone through, too, for a second mount of a directory in it;
 * may be NULL. what: "the repository". ERR_REFUSED.
 */
bool place_check_outside(const char *what, const char *path, const char *data,
                         Error *err) MUST_CHECK;

/* A directory for a new repository: absent, empty, or one already. ERR_REFUSED. */
bool place_check_repository(const char *path, Error *err) MUST_CHECK;

/* The path in the address of a repository that is a directory. */
const char *place_of_address(const char *address);
