/*
 * listing.h - the objects that were there when the run began.
 */
#pragma once

#include "verify_run.h"

/* NULL: it is not there. */
const ObjectInfo *listing_find(const VerifyRun *run, const char *name);
