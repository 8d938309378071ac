/*
 * extra_place.h - where configuration from outside the data directory goes.
 */
#pragma once

#include "base/held.h"
#include "rebuild/restore_plan.h"

#define DEBIAN_ROOT "/etc/postgresql"

/*
 * Makes and opens plan->extra_directory; where files are put back, /etc/postgresql/VERSION/NAME,
 * made as Debian makes it. ERR_IO.
 */
bool extra_place_make(const RestorePlan *plan, HeldDirectory *place, Error *err) MUST_CHECK;
