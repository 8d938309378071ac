/*
 * extra_place.h - where configuration from outside the data directory goes.
 */
#pragma once

#include "base/held.h"
#include "rebuild/placement.h"

#define DEBIAN_ROOT "/etc/postgresql"

/*
 * Makes and opens placement->extra_directory; where files are put back,
 * /etc/postgresql/VERSION/NAME, made as Debian makes it. ERR_IO.
 */
bool extra_place_make(const Placement *placement, HeldDirectory *place, Error *err) MUST_CHECK;

/*
 * Whether something on the way from `root` down to `path`, which is below it, is a symbolic link,
 * be it the last part alone and lead nowhere: none is followed when files are put back.
 */
bool extra_place_has_link(const char *root, const char *path);
