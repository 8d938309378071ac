/*
 * space.h - is there room for what a restore writes, on each file system it writes to?
 */
#pragma once

#include "rebuild/restore_plan.h"

/* ERR_REFUSED naming the place, what is needed and what is free. */
bool space_check(const RestorePlan *plan, Error *err) MUST_CHECK;
