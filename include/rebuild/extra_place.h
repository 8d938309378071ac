/*
 * extra_place.h - where configuration from outside the data directory goes.
 */
#pragma once

#include "rebuild/restore_plan.h"

#define DEBIAN_ROOT "/etc/postgresql"
enum { EXTRA_PLACE_MODE = 0700 };

/* Makes plan->extra_directory; /etc/postgresql/VERSION/NAME as Debian makes it. ERR_IO. */
bool extra_place_make(const RestorePlan *plan, Error *err) MUST_CHECK;
